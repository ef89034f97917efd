//go:build !amd64 || purego

package jpeg

// fdct transforms and quantises; see fdctGo.
func fdct(coefficients []int16, nonzero []uint64, src []byte, stride, pairs int, q *quantiser) {
	fdctGo(coefficients, nonzero, src, stride, pairs, q)
}
