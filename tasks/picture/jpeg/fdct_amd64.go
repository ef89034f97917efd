//go:build !purego

package jpeg

import "golang.org/x/sys/cpu"

// fdct transforms and quantises; see fdctGo. It reads the 8 lines of 16 samples of
// each pair and nothing beyond.
func fdct(coefficients []int16, nonzero []uint64, src []byte, stride, pairs int, q *quantiser) {
	if !cpu.X86.HasAVX2 {
		fdctGo(coefficients, nonzero, src, stride, pairs, q)
		return
	}
	_ = coefficients[128*pairs-1]
	_ = nonzero[2*pairs-1]
	_ = src[7*stride+16*pairs-1]
	fdctAVX2(&coefficients[0], &nonzero[0], &src[0], stride, pairs, q)
}

//go:noescape
func fdctAVX2(coefficients *int16, nonzero *uint64, src *byte, stride, pairs int, q *quantiser)
