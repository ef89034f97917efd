package pixels

import "math"

// filter says from which pixels of the input each pixel of the output is made along one axis.
type filter struct {
	taps    int     // how many pixels of the input one of the output is made from
	starts  []int32 // the first of them; start + taps never exceeds the input
	weights []float64

	// For opaque pixels: the weights times 255, and 1 over the sum of those.
	opaque, inverse []float64
}

// lobes is how many the kernel has.
const lobes = 3

// lanczos makes the filter that brings from pixels to fewer: Lanczos with three lobes, stretched so
// that nothing aliases. Beyond the edges there is nothing, and the weights of what there is sum to 1.
func lanczos(from, to int) *filter {
	step := float64(from) / float64(to)
	stretch := max(step, 1)
	reach := math.Ceil(stretch * lobes)
	window := func(i int) (begin, end int, centre float64) {
		centre = float64((float64(i)+0.5)*step) - 0.5
		begin, end = max(int(math.Ceil(centre-reach)), 0), min(int(math.Floor(centre+reach)), from-1)
		for begin < end && math.Abs((float64(begin)-centre)/stretch) >= lobes {
			begin++
		}
		for begin < end && math.Abs((float64(end)-centre)/stretch) >= lobes {
			end--
		}
		return begin, end, centre
	}
	f := &filter{starts: make([]int32, to), inverse: make([]float64, to)}
	for i := range to {
		begin, end, _ := window(i)
		f.taps = max(f.taps, end-begin+1)
	}
	f.weights, f.opaque = make([]float64, to*f.taps), make([]float64, to*f.taps)
	for i := range to {
		begin, end, centre := window(i)
		start := min(begin, from-f.taps)
		f.starts[i] = int32(start)
		weights, opaque := f.weights[i*f.taps:][:f.taps], f.opaque[i*f.taps:][:f.taps]
		sum, all := 0.0, 0.0
		for u := begin; u <= end; u++ {
			weights[u-start] = kernel((float64(u) - centre) / stretch)
			sum += weights[u-start]
		}
		for k := range weights {
			weights[k] /= sum
			opaque[k] = float64(255 * weights[k])
			all += opaque[k]
		}
		f.inverse[i] = 1 / all
	}
	return f
}

// kernel is sinc(x) sinc(x/3) within its lobes and 0 beyond.
func kernel(x float64) float64 {
	x = math.Abs(x)
	if x >= lobes {
		return 0
	}
	return sinc(x) * sinc(x/lobes)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// taps is how many pixels lanczos makes one of at most.
func taps(from, to int) int {
	step := max(float64(from)/float64(to), 1)
	return min(int(math.Ceil(2*lobes*step))+1, from)
}
