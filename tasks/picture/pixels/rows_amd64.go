//go:build !purego

package pixels

import "golang.org/x/sys/cpu"

// fast says that the machine has the vectors of rows_amd64.s.
var fast = cpu.X86.HasAVX2

// block is how many pixels a vector path down takes at a time.
const block = 4

func floats(dst []float64, row []byte) {
	n := 0
	if fast {
		if n = len(row) &^ (Size*block - 1); n > 0 {
			_ = dst[n-1] // what the vectors touch, checked once; as below
			floatsAVX2(&dst[0], &row[0], n/(Size*block))
		}
	}
	floatsGo(dst[n:], row[n:])
}

func across(dst []byte, line []float64, f *filter) {
	if !fast {
		acrossGo(dst, line, f)
		return
	}
	f.check(dst, line)
	acrossAVX2(&dst[0], &line[0], &f.starts[0], &f.weights[0], f.taps, len(f.starts))
}

func acrossOpaque(dst []byte, line []float64, f *filter) {
	if !fast {
		acrossOpaqueGo(dst, line, f)
		return
	}
	f.check(dst, line)
	acrossOpaqueAVX2(&dst[0], &line[0], &f.starts[0], &f.opaque[0], &f.inverse[0], f.taps, len(f.starts))
}

// check panics if a filter reaches beyond a row. Its last pixel is made from what is furthest to the right.
func (f *filter) check(dst []byte, line []float64) {
	n := len(f.starts)
	_, _ = dst[Size*n-1], line[Size*(int(f.starts[n-1])+f.taps)-1]
}

func down(dst, rows []byte, weights []float64) {
	stride, n := len(rows)/len(weights), 0
	if fast {
		if n = len(dst) / (Size * block); n > 0 {
			_ = rows[(len(weights)-1)*stride+Size*block*n-1]
			downAVX2(&dst[0], &rows[0], &weights[0], stride, len(weights), n)
		}
	}
	if n *= Size * block; n < len(dst) {
		downGo(dst[n:], rows[n:], stride, weights)
	}
}

func downOpaque(dst, rows []byte, weights []float64, inverse float64) {
	stride, n := len(rows)/len(weights), 0
	if fast {
		if n = len(dst) / (Size * block); n > 0 {
			_ = rows[(len(weights)-1)*stride+Size*block*n-1]
			downOpaqueAVX2(&dst[0], &rows[0], &weights[0], stride, len(weights), n, inverse)
		}
	}
	if n *= Size * block; n < len(dst) {
		downOpaqueGo(dst[n:], rows[n:], stride, weights, inverse)
	}
}

// floatsAVX2 writes the samples of blocks*4 pixels as numbers.
//
//go:noescape
func floatsAVX2(dst *float64, row *byte, blocks int)

// acrossAVX2 makes n pixels of taps numbers each.
//
//go:noescape
func acrossAVX2(dst *byte, line *float64, starts *int32, weights *float64, taps, n int)

// acrossOpaqueAVX2 is acrossAVX2 without transparency.
//
//go:noescape
func acrossOpaqueAVX2(dst *byte, line *float64, starts *int32, weights, inverses *float64, taps, n int)

// downAVX2 makes blocks*4 pixels of taps rows.
//
//go:noescape
func downAVX2(dst, rows *byte, weights *float64, stride, taps, blocks int)

// downOpaqueAVX2 is downAVX2 without transparency.
//
//go:noescape
func downOpaqueAVX2(dst, rows *byte, weights *float64, stride, taps, blocks int, inverse float64)
