//go:build !amd64 || purego

package jpeg

func inverse8(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	inverse8Go(dst, stride, coefficients, last, q)
}

func inverse6(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	inverse6Go(dst, stride, coefficients, last, q)
}

func inverse4(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	inverse4Go(dst, stride, coefficients, last, q)
}
