//go:build !purego

package planar

import "golang.org/x/sys/cpu"

// fast says that the machine has the vectors of rows_amd64.s.
var fast = cpu.X86.HasAVX2

// vertical is verticalGo with vectors: 32 samples at a time, rows in pairs.
func vertical(line []int16, src []byte, stride int, weights []int16, width int) {
	if !fast || len(weights)%2 == 1 {
		verticalGo(line, src, stride, weights, width)
		return
	}
	blocks := (width + align - 1) / align
	// What the vectors touch, checked once.
	_, _ = line[blocks*align-1], src[(len(weights)-1)*stride+blocks*align-1]
	verticalAVX2(&line[0], &src[0], stride, &weights[0], len(weights)/2, blocks)
}

// horizontal is horizontalGo with vectors: eight output samples at a time. It may
// write up to seven bytes past the row's samples.
func horizontal(dst []byte, line []int16, g *groups) {
	if !fast {
		horizontalGo(dst, line, g)
		return
	}
	n := len(g.starts)
	_, _ = dst[n-1], line[int(g.starts[g.width-1])+g.chunks*lane-1]
	horizontalAVX2(&dst[0], &line[0], &g.starts[0], &g.weights[0], g.chunks, n/lane)
}

// verticalAVX2 sums pairs*2 rows, blocks*32 samples wide, into line.
//
//go:noescape
func verticalAVX2(line *int16, src *byte, stride int, weights *int16, pairs, blocks int)

// horizontalAVX2 makes count groups of eight samples from line.
//
//go:noescape
func horizontalAVX2(dst *byte, line *int16, starts *int32, weights *int16, chunks, count int)
