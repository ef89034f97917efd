package jpeg

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// exact is the transform by its definition (T.81, A.3.3) of the n x n lowest of 64
// coefficients, times n/8, at x, y; coefficients lie column by column.
func exact(c []float64, n, x, y int) float64 {
	basis := func(k, at int) float64 {
		v := math.Cos(float64(2*at+1)*float64(k)*math.Pi/float64(2*n)) * math.Sqrt(2/float64(n))
		if k == 0 {
			v /= math.Sqrt2
		}
		return v
	}
	var sum float64
	for u := range n {
		for v := range n {
			sum += c[u*n+v] * basis(u, x) * basis(v, y)
		}
	}
	return min(max(sum*float64(n)/8+128, 0), 255)
}

// randomBlocks makes coefficients of count blocks as pictures have them, fewer and
// smaller at high frequencies, some blocks without any, and steps.
func randomBlocks(r *rand.Rand, n, count, most int) (c []int16, last []uint8, q *[64]int32) {
	q = new([64]int32)
	for i := range q {
		q[i] = 1 + r.Int32N(20)
	}
	last = make([]uint8, count)
	for b := range count {
		block := make([]int16, n*n)
		for i := range block {
			limit := most / (1 + i/n + i%n) / int(q[i])
			if i == 0 || b%4 != 0 && r.IntN(3) > 0 {
				block[i] = int16(r.IntN(2*limit+1) - limit)
			}
			if i > 0 && block[i] != 0 {
				last[b] = 63
			}
		}
		c = append(c, block...)
	}
	return c, last, q
}

var kernels = map[int]func(dst []byte, stride int, c []int16, last []uint8, q *[64]int32){
	8: inverse8, 6: inverseSix, 4: inverse4,
	2: func(dst []byte, stride int, c []int16, last []uint8, q *[64]int32) {
		inverse2(dst, stride, c, len(last), q)
	},
	1: func(dst []byte, _ int, c []int16, _ []uint8, q *[64]int32) { inverse1(dst, c, q[0]) },
}

func TestInverseIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n, kernel := range kernels {
		for _, count := range []int{1, 2, 3, 40} {
			c, last, q := randomBlocks(r, n, count, 1000)
			dst := make([]byte, n*n*count)
			kernel(dst, n*count, c, last, q)
			for b := range count {
				block := make([]float64, n*n)
				for i := range block {
					block[i] = float64(c[b*n*n+i]) * float64(q[i])
				}
				for y := range n {
					for x := range n {
						require.InDelta(t, exact(block, n, x, y), float64(dst[y*n*count+b*n+x]), 0.6, "%d: block %d, %d, %d", n, b, x, y)
					}
				}
			}
		}
	}
}

// TestInverseSixEndsWithItsRow makes samples for rows that end within the last block: the
// rows must be as in a wider plane, and nothing behind the last one touched.
func TestInverseSixEndsWithItsRow(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, count := range []int{1, 2, 6, 11} {
		c, last, q := randomBlocks(r, 6, count, 1000)
		whole := make([]byte, 36*count)
		inverse6Go(whole, 6*count, c, last, q)
		for cut := range 6 {
			stride := 6*count - cut
			dst := make([]byte, 6*stride, 7*stride)
			inverseSix(dst, stride, c, last, q)
			for y := range 6 {
				require.Equal(t, whole[6*count*y:][:stride], dst[stride*y:][:stride])
			}
			require.Equal(t, make([]byte, stride), dst[:cap(dst)][6*stride:])
		}
	}
}

// TestInverseTwins holds the vectors against their twins, also on coefficients that no
// picture has.
func TestInverseTwins(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 300 {
		for n, twins := range map[int][2]func([]byte, int, []int16, []uint8, *[64]int32){
			8: {inverse8, inverse8Go}, 6: {inverse6, inverse6Go}, 4: {inverse4, inverse4Go},
		} {
			count := 1 + r.IntN(9)
			c, last, q := randomBlocks(r, n, count, 20+round*100)
			if round%2 == 1 {
				for i := range c {
					if last[i/(n*n)] != 0 || i%(n*n) == 0 {
						c[i] = int16(r.Uint32())
					}
				}
				for i := range q {
					q[i] = int32(r.Uint32N(1 << 16))
				}
			}
			stride := n*count + 5
			a, b := make([]byte, stride*n), make([]byte, stride*n)
			twins[0](a, stride, c, last, q)
			twins[1](b, stride, c, last, q)
			require.Equal(t, b, a)
		}
	}
}

func BenchmarkInverse(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{8, 6, 4} {
		const count = 500
		c, last, q := randomBlocks(r, n, count, 1000)
		for i := range last {
			last[i] = 63
		}
		dst := make([]byte, n*n*count)
		for name, f := range map[string]func([]byte, int, []int16, []uint8, *[64]int32){"8": inverse8, "8Go": inverse8Go, "6": inverse6, "6Go": inverse6Go, "4": inverse4, "4Go": inverse4Go} {
			if int(name[0]-'0') != n {
				continue
			}
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					f(dst, n*count, c, last, q)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/block")
			})
		}
	}
}
