package planar

import "math"

// unit is the sum of the weights of one output sample: they are fractions of 14 bits,
// so that a single weight of 1 still is an int16.
const unit = 1 << 14

// filter says from which input samples each output sample along one axis is made.
type filter struct {
	taps    int     // how many input samples an output sample is made from
	starts  []int32 // the first of them, by output sample; start + taps never exceeds the input
	weights []int16 // taps for each output sample; each such row sums to unit exactly
}

// axis is one direction of a resize. A sample of the input is num/den samples of the
// output wide, both planes beginning at the same edge of the picture. For colour
// planes this is not the ratio of the two lengths, which are rounded up.
type axis struct {
	from, to int
	num, den int
}

// lanczos makes the filter for one axis: Lanczos with three lobes, stretched when
// shrinking so that nothing aliases. Beyond the edges the outermost sample goes on.
func (a axis) lanczos() filter {
	scale := float64(a.num) / float64(a.den)
	stretch := max(scale, 1)
	support := 3 * stretch
	window := int(math.Ceil(2 * support))
	f := filter{taps: even(min(window, a.from), a.from), starts: make([]int32, a.to)}
	f.weights = make([]int16, a.to*f.taps)
	raw, folded := make([]float64, window+1), make([]float64, f.taps)
	period, shift := a.period()
	for i := range a.to {
		// Centres: (i + 1/2) * num/den - 1/2, from integers lest errors add up.
		centre := float64(int64(2*i+1)*int64(a.num))/float64(2*int64(a.den)) - 0.5
		first := int(math.Floor(centre-support)) + 1
		start, weights := max(0, min(first, a.from-f.taps)), f.weights[i*f.taps:][:f.taps]
		f.starts[i] = int32(start)
		if start == first && i >= period && int(f.starts[i-period])+shift == start {
			copy(weights, f.weights[(i-period)*f.taps:])
			continue
		}
		for k := range raw {
			raw[k] = kernel(math.Abs(float64(first+k)-centre) / stretch)
		}
		fold(folded, raw, first-start, a.from-start)
		quantise(weights, folded)
	}
	return f
}

// period is after how many output samples, and how many of the input, the weights
// repeat away from the edges: 50 and 63 from 2016 to 1600.
func (a axis) period() (output, input int) {
	x, y := a.num, a.den
	for y != 0 {
		x, y = y, x%y
	}
	return a.den / x, a.num / x
}

// at is the first input sample that sample i of the output is made from, and the
// weights of it and those after it.
func (f *filter) at(i int) (start int, weights []int16) {
	return int(f.starts[i]), f.weights[i*f.taps:][:f.taps]
}

// even makes n even where the input is long enough: the fast path takes rows in pairs.
func even(n, length int) int {
	if n%2 == 1 && n < length {
		return n + 1
	}
	return n
}

// fold puts the weights raw, of the samples from first on, into dst, whose first
// sample is 0. What falls outside [0, length) goes to the sample at that edge.
func fold(dst, raw []float64, first, length int) {
	clear(dst)
	for k, w := range raw {
		if w != 0 {
			dst[max(0, min(first+k, length-1, len(dst)-1))] += w
		}
	}
}

// quantise rounds the running sum rather than each weight, so that the weights sum to
// unit exactly and an even area keeps its value.
func quantise(dst []int16, weights []float64) {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	sum, done := 0.0, 0
	for i, w := range weights {
		sum += w
		next := int(math.Floor(float64(unit*sum/total) + 0.5))
		dst[i] = int16(next - done)
		done = next
	}
}

// kernel is sinc(x) sinc(x/3) for 0 <= x < 3 and 0 beyond. With t = pi x/3 it is
// sin 3t sin t / 3t², and sin 3t = sin t (3 - 4 sin² t).
func kernel(x float64) float64 {
	if x >= 3 {
		return 0
	}
	if x < 1e-6 {
		return 1
	}
	t := math.Pi * x / 3
	s := sine(min(x/3, 1-x/3))
	ss := float64(s * s)
	return float64(ss*(3-float64(4*ss))) / float64(3*float64(t*t))
}

// sine is sin(pi u) for 0 <= u <= 1/2 by its series. Each product is rounded by its
// conversion, which forbids the compiler to fuse it with the sum: the weights, and so
// the pictures, are the same on every machine. math.Sin does not promise that.
func sine(u float64) float64 {
	x := math.Pi * u
	z := float64(x * x)
	sum := 0.0
	for i := len(series) - 1; i >= 0; i-- {
		sum = float64(sum*z) + series[i]
	}
	return float64(x * sum)
}

var series = [...]float64{
	1, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
	1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000,
	-1.0 / 121645100408832000, 1.0 / 51090942171709440000,
}
