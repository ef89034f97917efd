package planar

import "encoding/binary"

const (
	// fraction is how many bits of a line's samples lie behind the point: 255 with
	// the overshoot of Lanczos stays within an int16.
	fraction = 6
	// toLine and toSample are the shifts that take the weights' 14 bits off again.
	toLine, toSample = 14 - fraction, 14 + fraction

	// lane is how many taps of an output sample, and how many output samples, the
	// fast path takes at a time.
	lane = 8
)

// groups is a filter laid out for vectors: output samples in groups of eight, their
// taps in chunks of eight, filled up with zeros.
//
//	weights:  group 0, chunk 0 | group 0, chunk 1 | … | group 1, chunk 0 | …
//	chunk:    8 weights each for the samples 0 4 1 5 2 6 3 7 of the group
//
// Samples four apart are neighbours because a 256-bit vector takes them together, and
// summing across its two halves then leaves the eight in order.
type groups struct {
	width, chunks int
	starts        []int32
	weights       []int16
}

// slot is where the weights of a group's sample lie in a chunk.
func slot(sample int) int { return (sample%4*2 + sample/4) * lane }

func group(f filter) groups {
	n := (len(f.starts) + lane - 1) / lane
	g := groups{width: len(f.starts), chunks: (f.taps + lane - 1) / lane, starts: make([]int32, n*lane)}
	g.weights = make([]int16, n*g.chunks*lane*lane)
	copy(g.starts, f.starts)
	for i := range f.starts {
		at := i/lane*g.chunks*lane*lane + slot(i%lane)
		for w := f.weights[i*f.taps:][:f.taps]; len(w) > 0; at += lane * lane {
			w = w[copy(g.weights[at:][:lane], w):]
		}
	}
	return g
}

// verticalGo sums width samples of as many rows as there are weights, src being the
// first of them, into line. Eight samples are loaded at once and multiplied in pairs:
// a sum of products of the low half never is so large that it could not be told from
// the high half's, of which it borrows 1 when it is negative.
func verticalGo(line []int16, src []byte, stride int, weights []int16, width int) {
	const (
		pair  = 0x000000ff_000000ff
		round = 1<<(toLine-1) | 1<<(toLine-1)<<32
	)
	for x := 0; x < width; x += 8 {
		var a, b, c, d int64 = round, round, round, round
		at := x
		for _, weight := range weights {
			w, v := int64(weight), binary.LittleEndian.Uint64(src[at:])
			a += w * int64(v&pair)
			b += w * int64(v>>8&pair)
			c += w * int64(v>>16&pair)
			d += w * int64(v>>24&pair)
			at += stride
		}
		out := line[x:][:8:8]
		out[0], out[4] = halves(a)
		out[1], out[5] = halves(b)
		out[2], out[6] = halves(c)
		out[3], out[7] = halves(d)
	}
}

// halves parts two sums and brings them to a line's scale.
func halves(sums int64) (low, high int16) {
	l := int32(sums)
	h := int32((sums - int64(l)) >> 32)
	return int16(l >> toLine), int16(h >> toLine)
}

// horizontalGo makes two rows of samples from two lines, of which pairs holds the sum
// low + high<<32 at each place: one multiplication serves both.
func horizontalGo(low, high []byte, pairs []int64, g *groups) {
	const round = 1<<(toSample-1) | 1<<(toSample-1)<<32
	for i := range g.width {
		at := i/lane*g.chunks*lane*lane + slot(i%lane)
		from := int(g.starts[i])
		sums := int64(round)
		for range g.chunks {
			w, v := g.weights[at:][:lane:lane], pairs[from:][:lane:lane]
			sums += int64(w[0])*v[0] + int64(w[1])*v[1] + int64(w[2])*v[2] + int64(w[3])*v[3] +
				int64(w[4])*v[4] + int64(w[5])*v[5] + int64(w[6])*v[6] + int64(w[7])*v[7]
			at, from = at+lane*lane, from+lane
		}
		l := int32(sums)
		h := int32((sums - int64(l)) >> 32)
		low[i] = uint8(max(0, min(l>>toSample, 255)))
		high[i] = uint8(max(0, min(h>>toSample, 255)))
	}
}

// pair puts two lines into one for horizontalGo.
func pair(pairs []int64, low, high []int16) {
	high = high[:len(low)]
	pairs = pairs[:len(low)]
	for i, v := range low {
		pairs[i] = int64(v) + int64(high[i])<<32
	}
}

// rowsGo makes the rows y and y+1 of dst, and says how many those were.
func (r *resizer) rowsGo(dst, src *Plane, y int) int {
	n := min(2, dst.Height-y)
	for i := range n {
		start, weights := r.v.at(y + i)
		verticalGo(r.lines[i], src.Pix[start*src.Stride:], src.Stride, weights, src.Width)
	}
	if r.pairs == nil {
		r.pairs = make([]int64, len(r.lines[0]))
	}
	pair(r.pairs, r.lines[0], r.lines[n-1])
	horizontalGo(dst.Row(y), dst.Row(y+n-1), r.pairs, &r.h)
	return n
}
