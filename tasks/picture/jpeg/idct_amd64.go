//go:build !purego

package jpeg

import "golang.org/x/sys/cpu"

// inverse8 is inverse8Go, to the same samples.
func inverse8(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	if !cpu.X86.HasAVX2 {
		inverse8Go(dst, stride, coefficients, last, q)
		return
	}
	for i := 0; i < len(last); {
		n := i
		for n < len(last) && last[n] != 0 {
			n++
		}
		if n > i {
			_, _ = coefficients[64*n-1], dst[7*stride+8*n-1]
			inverse8AVX2(&dst[8*i], stride, &coefficients[64*i], n-i, q)
		}
		for i = n; i < len(last) && last[i] == 0; i++ {
			flat(dst[8*i:], stride, 8, level(int32(coefficients[64*i])*q[0]))
		}
	}
}

// inverse6 is inverse6Go, to the same samples. The vectors read and write two columns beyond
// each block, so the last one is not for them.
func inverse6(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	n := max(len(last)-1, 0)
	if !cpu.X86.HasAVX2 {
		n = 0
	}
	if n > 0 {
		_, _ = coefficients[36*n+1], dst[5*stride+6*n+1]
		inverse6AVX2(&dst[0], stride, &coefficients[0], n, q)
	}
	inverse6Go(dst[6*n:], stride, coefficients[36*n:], last[n:], q)
}

// inverse4 is inverse4Go, to the same samples.
func inverse4(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	pairs := len(last) / 2
	if !cpu.X86.HasAVX2 {
		pairs = 0
	}
	if pairs > 0 {
		_, _ = coefficients[32*pairs-1], dst[3*stride+8*pairs-1]
		inverse4AVX2(&dst[0], stride, &coefficients[0], pairs, q)
	}
	inverse4Go(dst[8*pairs:], stride, coefficients[32*pairs:], last[2*pairs:], q)
}

// inverse8AVX2 turns n blocks, at least one, into samples.
//
//go:noescape
func inverse8AVX2(dst *byte, stride int, coefficients *int16, n int, q *[64]int32)

// inverse6AVX2 turns n blocks, at least one, into samples. It reads two coefficients and
// writes two samples of each row beyond the last.
//
//go:noescape
func inverse6AVX2(dst *byte, stride int, coefficients *int16, n int, q *[64]int32)

// inverse4AVX2 turns pairs of blocks, at least one, into samples.
//
//go:noescape
func inverse4AVX2(dst *byte, stride int, coefficients *int16, pairs int, q *[64]int32)
