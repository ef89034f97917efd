//go:build !purego

package planar

import "golang.org/x/sys/cpu"

// fast says that the machine has the vectors of rows_amd64.s.
var fast = cpu.X86.HasAVX2

// rows makes one row of dst, y, or two where there are no vectors, and says how many.
func (r *resizer) rows(dst, src *Plane, y int) int {
	if !fast || r.v.taps%2 == 1 {
		return r.rowsGo(dst, src, y)
	}
	start, weights := r.v.at(y)
	vertical(r.lines[0], src.Pix[start*src.Stride:], src.Stride, weights, src.Width)
	horizontal(dst.Pix[y*dst.Stride:][:dst.Stride], r.lines[0], &r.h)
	return 1
}

// vertical is verticalGo, 32 samples at a time, for an even number of rows.
func vertical(line []int16, src []byte, stride int, weights []int16, width int) {
	blocks := (width + align - 1) / align
	// What the vectors touch, checked once.
	_, _ = line[blocks*align-1], src[(len(weights)-1)*stride+blocks*align-1]
	verticalAVX2(&line[0], &src[0], stride, &weights[0], len(weights)/2, blocks)
}

// horizontal does for one line what horizontalGo does for two, eight samples at a
// time. It may write up to seven bytes past the row's samples.
func horizontal(dst []byte, line []int16, g *groups) {
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
