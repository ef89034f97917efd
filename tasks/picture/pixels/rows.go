package pixels

import "encoding/binary"

// In all of these every product is rounded by its conversion, which forbids the compiler to fuse it
// with the sum, and sums are made in the order of the taps: so vectors, which do four samples of a
// pixel at once, come to the same bytes.

// isOpaque says whether no pixel of a row is transparent.
func isOpaque(row []byte) bool {
	const both = 0xff000000_ff000000
	all := uint64(both)
	for ; len(row) >= 2*Size; row = row[2*Size:] {
		all &= binary.LittleEndian.Uint64(row)
	}
	if len(row) >= Size {
		all &= uint64(binary.LittleEndian.Uint32(row)) | 0xff000000_00000000
	}
	return all&both == both
}

// floatsGo writes samples as numbers.
func floatsGo(dst []float64, row []byte) {
	dst = dst[:len(row)]
	for i, v := range row {
		dst[i] = float64(v)
	}
}

// acrossGo scales a row of numbers across.
func acrossGo(dst []byte, line []float64, f *filter) {
	for i, start := range f.starts {
		var r, g, b, a float64
		p := line[Size*int(start):]
		for _, w := range f.weights[i*f.taps:][:f.taps] {
			aw := float64(p[3] * w)
			r += float64(p[0] * aw)
			g += float64(p[1] * aw)
			b += float64(p[2] * aw)
			a += aw
			p = p[Size:]
		}
		mixed(dst[Size*i:][:Size:Size], r, g, b, a)
	}
}

// acrossOpaqueGo is acrossGo of a row without transparency.
func acrossOpaqueGo(dst []byte, line []float64, f *filter) {
	for i, start := range f.starts {
		var r, g, b float64
		p := line[Size*int(start):]
		for _, w := range f.opaque[i*f.taps:][:f.taps] {
			r += float64(p[0] * w)
			g += float64(p[1] * w)
			b += float64(p[2] * w)
			p = p[Size:]
		}
		opaquely(dst[Size*i:][:Size:Size], r, g, b, f.inverse[i])
	}
}

// downGo makes a row of as many as there are weights, each stride bytes behind the one before.
func downGo(dst, rows []byte, stride int, weights []float64) {
	for x := 0; x < len(dst); x += Size {
		var r, g, b, a float64
		at := x
		for _, w := range weights {
			p := rows[at:][:Size:Size]
			aw := float64(float64(p[3]) * w)
			r += float64(float64(p[0]) * aw)
			g += float64(float64(p[1]) * aw)
			b += float64(float64(p[2]) * aw)
			a += aw
			at += stride
		}
		mixed(dst[x:][:Size:Size], r, g, b, a)
	}
}

// downOpaqueGo is downGo of rows without transparency.
func downOpaqueGo(dst, rows []byte, stride int, weights []float64, inverse float64) {
	for x := 0; x < len(dst); x += Size {
		var r, g, b float64
		at := x
		for _, w := range weights {
			p := rows[at:][:Size:Size]
			r += float64(float64(p[0]) * w)
			g += float64(float64(p[1]) * w)
			b += float64(float64(p[2]) * w)
			at += stride
		}
		opaquely(dst[x:][:Size:Size], r, g, b, inverse)
	}
}

// mixed writes the pixel of sums that were weighted by a.
func mixed(dst []byte, r, g, b, a float64) {
	if a == 0 {
		clear(dst)
		return
	}
	inverse := 1 / a
	dst[0], dst[1], dst[2], dst[3] = sample(r*inverse), sample(g*inverse), sample(b*inverse), sample(a)
}

// opaquely writes the pixel of sums of opaque pixels.
func opaquely(dst []byte, r, g, b, inverse float64) {
	dst[0], dst[1], dst[2], dst[3] = sample(r*inverse), sample(g*inverse), sample(b*inverse), 255
}

// sample rounds. What is no number becomes 0.
func sample(v float64) byte {
	v += 0.5
	switch {
	case v >= 255:
		return 255
	case v > 0:
		return byte(v)
	}
	return 0
}
