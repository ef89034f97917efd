package jpeg_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/planar"
)

var scales = []int{1, 2, 4, 6, 8} // in eighths

func small(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".jpg"))
	require.NoError(tb, err)
	return data
}

func smallNames(tb testing.TB) (names []string) {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.jpg")
	require.NoError(tb, err)
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".jpg"))
	}
	require.NotEmpty(tb, names)
	return names
}

func TestDecodeAsStd(t *testing.T) {
	for _, name := range smallNames(t) {
		if strings.Contains(name, "restart") && strings.Contains(name, "-a") {
			continue // image/jpeg counts blocks of scans of one component in its own way
		}
		t.Run(name, func(t *testing.T) {
			data := small(t, name)
			require.LessOrEqual(t, furthest(t, decoded(t, data, 8).Planes, stdSamples(t, data)), 1)
		})
	}
}

func TestDecodeLosslessVariants(t *testing.T) {
	for _, name := range smallNames(t) {
		root, _, variant := strings.Cut(name, "-")
		if !variant {
			continue
		}
		for _, eighths := range scales {
			t.Run(fmt.Sprint(name, " at ", eighths), func(t *testing.T) {
				require.Zero(t, furthest(t, decoded(t, small(t, root), eighths).Planes, decoded(t, small(t, name), eighths).Planes))
			})
		}
	}
}

// TestDecodeSizes tries sizes around those of blocks and MCUs in every sampling.
func TestDecodeSizes(t *testing.T) {
	samplings := [][2]int{{0, 0}, {1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}}
	for _, size := range [][2]int{{1, 1}, {2, 3}, {7, 9}, {8, 8}, {9, 7}, {16, 15}, {17, 33}, {33, 64}, {65, 31}, {500, 1}, {1, 300}} {
		for _, s := range samplings {
			t.Run(fmt.Sprint(size, s), func(t *testing.T) {
				data := picture(t, size[0], size[1], s[0], s[1])
				require.LessOrEqual(t, furthest(t, decoded(t, data, 8).Planes, stdSamples(t, data)), 1)
				for _, eighths := range scales {
					checkShape(t, decoded(t, data, eighths), size[0], size[1], s, eighths)
				}
			})
		}
	}
}

func checkShape(t *testing.T, m *planar.Image, width, height int, sampling [2]int, eighths int) {
	t.Helper()
	w, h := (width*eighths+7)/8, (height*eighths+7)/8
	require.Equal(t, [2]int{w, h}, [2]int{m.Width, m.Height})
	x, y := m.Chroma()
	require.Equal(t, [2]int{x, y}, sampling)
	for i, p := range m.Planes {
		pw, ph := w, h
		if i > 0 {
			pw, ph = (w+x-1)/x, (h+y-1)/y
		}
		require.Equal(t, [2]int{pw, ph}, [2]int{p.Width, p.Height})
	}
}

// picture encodes gentle waves, which survive reduction.
func picture(tb testing.TB, width, height, x, y int) []byte {
	tb.Helper()
	m := planar.New(width, height, x, y)
	defer m.Release()
	for i, p := range m.Planes {
		for row := range p.Height {
			for col := range p.Width {
				v := 128 + 60*math.Sin(float64(col)/11+float64(i)) + 50*math.Cos(float64(row)/9-float64(i))
				p.Pix[row*p.Stride+col] = byte(v)
			}
		}
	}
	data, err := jpeg.AppendEncode(tb.Context(), nil, m, 90)
	require.NoError(tb, err)
	return data
}

// TestDecodeReduced holds the reduced planes against averages of the whole ones, from
// which they may differ little in a picture of gentle waves. At 6/8 the rows of some end
// within a block.
func TestDecodeReduced(t *testing.T) {
	for _, size := range [][2]int{{128, 96}, {42, 41}, {84, 50}, {85, 97}} {
		data := picture(t, size[0], size[1], 2, 2)
		whole := decoded(t, data, 8)
		for _, eighths := range scales[:len(scales)-1] {
			for i, p := range decoded(t, data, eighths).Planes {
				off := distance(p, whole.Planes[i], 8/float64(eighths))
				require.Less(t, off, 2.0, "%v at %d, plane %d", size, eighths, i)
			}
		}
	}
}

// distance is how far p is on average from whole, its samples being side times as large.
// Samples that reach beyond whole do not count.
func distance(p, whole planar.Plane, side float64) float64 {
	width, height := int(float64(whole.Width)/side), int(float64(whole.Height)/side)
	var sum float64
	for y := range height {
		for x, v := range p.Row(y)[:width] {
			diff := float64(v) - average(whole, x, y, side)
			sum += diff * diff
		}
	}
	return math.Sqrt(sum / float64(width*height))
}

// average is that of p under sample x, y of a plane whose samples are side times as large.
func average(p planar.Plane, x, y int, side float64) (v float64) {
	for row := int(float64(y) * side); row < p.Height && overlap(row, y, side) > 0; row++ {
		for col := int(float64(x) * side); col < p.Width && overlap(col, x, side) > 0; col++ {
			v += float64(p.Row(row)[col]) * overlap(row, y, side) * overlap(col, x, side)
		}
	}
	return v / (side * side)
}

// overlap is how much of sample i lies under sample n of those that are side times as large.
func overlap(i, n int, side float64) float64 {
	return max(0, min(float64(i+1), float64(n+1)*side)-max(float64(i), float64(n)*side))
}

func TestDecodeIsDeterministic(t *testing.T) {
	data := small(t, "420-progressive")
	first := decoded(t, data, 4)
	for _, name := range []string{"444", "420-restart", "fine-progressive"} { // leave other states in the pool
		decoded(t, small(t, name), 8)
	}
	require.Zero(t, furthest(t, first.Planes, decoded(t, data, 4).Planes))
}
