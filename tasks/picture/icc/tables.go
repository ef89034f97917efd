package icc

import (
	"fmt"
	"math"
	"sync"
)

const (
	// codeBits are the bits of fraction of an encoded value, and half is half a value.
	codeBits = 7
	half     = 1 << (codeBits - 1)

	// white is the light of 1.0 as it indexes the encoding table. Where the curve of
	// sRGB is steepest, a step of it is a fifth of a value of 8 bits.
	white = 1<<14 - 1

	// Light is summed up for red, green and blue in one word, in lanes of 21 bits with
	// extra bits below those of white. To each lane zero is added, about 8.0, so that
	// none is ever negative; above it are the 14 bits of a light in range, and extra.
	//
	//	bit   20  19 18 17  16 … 3  2 1 0
	//	       1   0  0  0   light  extra
	laneBits  = 21
	extraBits = 3
	laneWhite = white << extraBits
	zero      = 1 << 20
	lanes     = 1 | 1<<laneBits | 1<<(2*laneBits)
	laneMask  = 1<<laneBits - 1
	rangeMask = (laneMask &^ (1<<(14+extraBits) - 1)) * lanes

	// margin is how far, in steps of a curve, an index may lie outside its range:
	// colour planes give red, green and blue from -227 to 255+227.
	margin = 256 * finer
)

// entries is what the values of one channel add to the light of all three, from
// -margin on.
type entries [255*finer + 1 + 2*margin]int64

type matrix [3][3]float64

// sRGB has the colorants of sRGB under D50 as columns, as its own profile has them
// (IEC 61966-2-1 adapted by Bradford).
var sRGB = matrix{
	{0.436065674, 0.385147095, 0.143066406},
	{0.222488403, 0.716873169, 0.060607910},
	{0.013916016, 0.097076416, 0.714096069},
}

// fromColorants is the matrix from a profile's light to sRGB's. White must stay white
// but for rounding, which is taken off; and no colour may be so far out that the lanes
// overflow. Profiles of real devices are well within both.
func fromColorants(colorants matrix) (matrix, error) {
	const tolerance, most = 0.05, 7
	m := multiply(inverse(sRGB), colorants)
	for i, row := range m {
		sum := row[0] + row[1] + row[2]
		size := math.Abs(row[0]) + math.Abs(row[1]) + math.Abs(row[2])
		if math.Abs(sum-1) > tolerance || size > most {
			return m, fmt.Errorf("%w: its white is not D50, or its colours are not real", ErrUnsupported)
		}
		for k := range row {
			m[i][k] /= sum
		}
	}
	return m, nil
}

func multiply(a, b matrix) (m matrix) {
	for i := range m {
		for k := range m[i] {
			m[i][k] = float64(a[i][0]*b[0][k]) + float64(a[i][1]*b[1][k]) + float64(a[i][2]*b[2][k])
		}
	}
	return m
}

// inverse divides the cofactors by the determinant.
func inverse(a matrix) (m matrix) {
	for i := range m {
		for k := range m[i] {
			p, q, r, s := (k+1)%3, (k+2)%3, (i+1)%3, (i+2)%3
			m[i][k] = float64(a[p][r]*a[q][s]) - float64(a[p][s]*a[q][r])
		}
	}
	det := float64(a[0][0]*m[0][0]) + float64(a[0][1]*m[1][0]) + float64(a[0][2]*m[2][0])
	for i := range m {
		for k := range m[i] {
			m[i][k] /= det
		}
	}
	return m
}

// fillEntries makes the tables of the three channels. Where their curves agree, equal
// values are neutral, and what green adds is made the remainder of the neutral light:
// no rounding tints a grey.
func fillEntries(m matrix, curves [3]*curve) (in [3]entries) {
	neutral := *curves[0] == *curves[1] && *curves[0] == *curves[2]
	for i := range in[0] {
		at := max(0, min(i-margin, 255*finer))
		var sum [3]int64
		for _, channel := range [3]int{0, 2, 1} {
			light := curves[channel][at]
			for to := range 3 {
				v := int64(math.Floor(float64(float64(m[to][channel]*light)*laneWhite) + 0.5))
				if neutral && channel == 1 {
					v = int64(math.Floor(float64(light*laneWhite)+0.5)) - sum[to]
				}
				sum[to] += v
				in[channel][i] += v << (to * laneBits)
			}
		}
		in[0][i] += (zero + 1<<(extraBits-1)) * lanes
	}
	return in
}

// inRange clips each lane of a sum to 0..white, and takes zero off.
func inRange(sum int64) int64 {
	if sum&rangeMask == zero*lanes {
		return sum &^ rangeMask
	}
	return clipLanes(sum)
}

// clipLanes is apart, and kept apart, because it is rarely needed: within its callers'
// loops it would take the registers that they need.
//
//go:noinline
func clipLanes(sum int64) (clipped int64) {
	for shift := 0; shift < 3*laneBits; shift += laneBits {
		clipped |= max(0, min(sum>>shift&laneMask-zero, laneWhite)) << shift
	}
	return clipped
}

// values looks up the encoded red, green and blue of a sum in range.
func values(out *[white + 1]uint16, sum int64) (r, g, b int64) {
	return int64(out[sum>>extraBits&white]),
		int64(out[sum>>(extraBits+laneBits)&white]),
		int64(out[sum>>(extraBits+2*laneBits)&white])
}

// encoded is sRGB's value, with codeBits of fraction, of every light from 0 to white.
var encoded = sync.OnceValue(func() *[white + 1]uint16 {
	table := new([white + 1]uint16)
	for i := range table {
		v := float64(i) / white
		if v <= 0.0031308 {
			v = float64(12.92 * v)
		} else {
			v = float64(1.055*power(v, 1/2.4)) - 0.055
		}
		table[i] = uint16(float64(v*(255<<codeBits)) + 0.5)
	}
	return table
})
