package jpeg_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/planar"
)

// encodeKinds are pictures that are hard on an encoder: f gives the sample of a plane
// at (x, y).
var encodeKinds = map[string]func(r *rand.Rand, x, y int) byte{
	"black": func(*rand.Rand, int, int) byte { return 0 },
	"white": func(*rand.Rand, int, int) byte { return 255 },
	"noise": func(r *rand.Rand, _, _ int) byte { return byte(r.Uint32()) },
	"ramp":  func(_ *rand.Rand, x, y int) byte { return byte(3*x + 5*y) },
	"smooth": func(_ *rand.Rand, x, y int) byte {
		return byte(128 + 100*math.Sin(float64(x)/9)*math.Cos(float64(y)/7))
	},
	"specks": func(r *rand.Rand, _, _ int) byte { return byte(max(0, int(r.Uint32()%1000)-744)) },
}

// paint returns a picture of a kind; x and y are the coarseness of its colour.
func paint(kind string, width, height, x, y int) *planar.Image {
	r := rand.New(rand.NewPCG(7, uint64(width*height)))
	m := planar.New(width, height, x, y)
	for _, p := range m.Planes {
		for i := range p.Pix {
			p.Pix[i] = 0x55 // what lies beside the picture must not matter
		}
		for y := range p.Height {
			for x := range p.Width {
				p.Pix[y*p.Stride+x] = encodeKinds[kind](r, x, y)
			}
		}
	}
	return m
}

// std returns m as image/jpeg's own kind of picture, sharing its samples, or nil for a
// coarseness it has no name for.
func std(m *planar.Image) image.Image {
	bounds := image.Rect(0, 0, m.Width, m.Height)
	if len(m.Planes) == 1 {
		return &image.Gray{Pix: m.Planes[0].Pix, Stride: m.Planes[0].Stride, Rect: bounds}
	}
	x, y := m.Chroma()
	ratio, ok := map[[2]int]image.YCbCrSubsampleRatio{
		{1, 1}: image.YCbCrSubsampleRatio444, {2, 1}: image.YCbCrSubsampleRatio422, {2, 2}: image.YCbCrSubsampleRatio420,
		{1, 2}: image.YCbCrSubsampleRatio440, {4, 1}: image.YCbCrSubsampleRatio411, {4, 2}: image.YCbCrSubsampleRatio410,
	}[[2]int{x, y}]
	if !ok {
		return nil
	}
	p := m.Planes
	return &image.YCbCr{
		Y: p[0].Pix, Cb: p[1].Pix, Cr: p[2].Pix, YStride: p[0].Stride, CStride: p[1].Stride,
		SubsampleRatio: ratio, Rect: bounds,
	}
}

// psnr compares the planes of m with decoded ones: the loss of each, in dB, up to 99.
func psnr(t *testing.T, m *planar.Image, planes []planar.Plane) (loss []float64) {
	t.Helper()
	require.Len(t, planes, len(m.Planes))
	for i, p := range m.Planes {
		sum := 0.0
		for y := range p.Height {
			for x := range p.Width {
				d := float64(p.Pix[y*p.Stride+x]) - float64(planes[i].Pix[y*planes[i].Stride+x])
				sum += d * d
			}
		}
		loss = append(loss, min(99, 10*math.Log10(255*255*float64(p.Width*p.Height)/sum)))
	}
	return loss
}

func planesOf(t *testing.T, m image.Image) []planar.Plane {
	t.Helper()
	switch m := m.(type) {
	case *image.Gray:
		return []planar.Plane{{Pix: m.Pix, Stride: m.Stride}}
	case *image.YCbCr:
		return []planar.Plane{{Pix: m.Y, Stride: m.YStride}, {Pix: m.Cb, Stride: m.CStride}, {Pix: m.Cr, Stride: m.CStride}}
	}
	require.FailNow(t, "neither grey nor YCbCr", "%T", m)
	return nil
}

func mustEncode(tb testing.TB, m *planar.Image, quality int) []byte {
	tb.Helper()
	data, err := jpeg.AppendEncode(tb.Context(), nil, m, quality)
	require.NoError(tb, err)
	return data
}

// TestEncode decodes what was encoded with image/jpeg: every coarseness it knows, odd
// sizes, hard pictures, the ends of the quality scale.
func TestEncode(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {8, 8}, {17, 3}, {31, 33}, {70, 41}} {
		for _, chroma := range [][2]int{{0, 0}, {1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 2}} {
			for kind := range encodeKinds {
				for _, quality := range []int{1, 50, 80, 100} {
					t.Run(fmt.Sprintf("%v %v %s %d", size, chroma, kind, quality), func(t *testing.T) {
						m := paint(kind, size[0], size[1], chroma[0], chroma[1])
						data := mustEncode(t, m, quality)
						decoded, err := stdjpeg.Decode(bytes.NewReader(data))
						require.NoError(t, err)
						require.Equal(t, std(m).Bounds(), decoded.Bounds())
						atLeast := map[int]float64{1: 5, 50: 12, 80: 17, 100: 44}[quality]
						for i, loss := range psnr(t, m, planesOf(t, decoded)) {
							require.Greater(t, loss, atLeast, "plane %d", i)
						}
					})
				}
			}
		}
	}
}

// TestEncodeNoWorseThanStd encodes what image/jpeg encodes and compares loss and size.
func TestEncodeNoWorseThanStd(t *testing.T) {
	for kind := range encodeKinds {
		for _, quality := range []int{1, 49, 50, 80, 95, 100} {
			for _, chroma := range [][2]int{{0, 0}, {2, 2}} {
				t.Run(fmt.Sprintf("%s %d %v", kind, quality, chroma), func(t *testing.T) {
					m := paint(kind, 112, 96, chroma[0], chroma[1])
					var theirs bytes.Buffer
					require.NoError(t, stdjpeg.Encode(&theirs, std(m), &stdjpeg.Options{Quality: quality}))
					ours := mustEncode(t, m, quality)
					require.LessOrEqual(t, len(ours), theirs.Len())
					want, err := stdjpeg.Decode(&theirs)
					require.NoError(t, err)
					got, err := stdjpeg.Decode(bytes.NewReader(ours))
					require.NoError(t, err)
					// In patterns many blocks are alike, so that a tie, rounded one way or the
					// other, shows; in what is like a photo it does not. From 55 dB on it is a
					// matter of single samples.
					within := map[string]float64{"ramp": 0.1, "specks": 0.1}[kind]
					wantLoss := psnr(t, m, planesOf(t, want))
					for i, loss := range psnr(t, m, planesOf(t, got)) {
						require.GreaterOrEqual(t, loss, min(55, wantLoss[i]-max(within, 0.02)), "plane %d", i)
					}
				})
			}
		}
	}
}

func TestEncodeIsDeterministic(t *testing.T) {
	m := paint("noise", 333, 77, 2, 2)
	want := mustEncode(t, m, 80)
	for range 5 {
		mustEncode(t, paint("specks", 200, 100, 1, 1), 100) // leaves other things in the pool
		require.Equal(t, want, mustEncode(t, m, 80))
	}
}

func TestEncodeAppends(t *testing.T) {
	m := paint("smooth", 20, 20, 0, 0)
	got, err := jpeg.AppendEncode(t.Context(), []byte("before"), m, 80)
	require.NoError(t, err)
	require.Equal(t, append([]byte("before"), mustEncode(t, m, 80)...), got)
}

func TestEncodeQualityIsMovedToTheNearerEnd(t *testing.T) {
	m := paint("noise", 40, 40, 2, 2)
	require.Equal(t, mustEncode(t, m, 1), mustEncode(t, m, -7))
	require.Equal(t, mustEncode(t, m, 100), mustEncode(t, m, 1000))
}

func TestEncodeRefuses(t *testing.T) {
	for name, m := range map[string]*planar.Image{
		"no pixels": {Planes: make([]planar.Plane, 1)},
		"too wide":  {Width: 65536, Height: 1, Planes: make([]planar.Plane, 1)},
		"too high":  {Width: 1, Height: 65536, Planes: make([]planar.Plane, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jpeg.AppendEncode(t.Context(), nil, m, 80)
			require.ErrorIs(t, err, jpeg.ErrSize)
		})
	}
}

func TestEncodeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := jpeg.AppendEncode(ctx, []byte("before"), paint("noise", 64, 64, 2, 2), 80)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "before", string(got))
}

// TestEncodeLeavesNoGarbage checks that a second picture needs no memory of its own.
func TestEncodeLeavesNoGarbage(t *testing.T) {
	m := paint("smooth", 640, 480, 2, 2)
	out := mustEncode(t, m, 80)
	perCall := testing.AllocsPerRun(20, func() { out, _ = jpeg.AppendEncode(context.Background(), out[:0], m, 80) })
	require.LessOrEqual(t, perCall, 20.0)
}

// FuzzEncode encodes a picture made of the input and decodes it with image/jpeg.
func FuzzEncode(f *testing.F) {
	f.Add(uint8(17), uint8(9), uint8(2), uint8(80), []byte("samples"))
	f.Add(uint8(255), uint8(255), uint8(0), uint8(100), []byte{0, 255})
	f.Add(uint8(1), uint8(1), uint8(5), uint8(1), []byte{})
	f.Fuzz(func(t *testing.T, width, height, kind, quality uint8, samples []byte) {
		chroma := [][2]int{{0, 0}, {1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 2}}[kind%7]
		m := planar.New(int(width)+1, int(height)+1, chroma[0], chroma[1])
		for _, p := range m.Planes {
			for i := range p.Pix {
				p.Pix[i] = byte(i)
				if len(samples) > 0 {
					p.Pix[i] = samples[i%len(samples)]
				}
			}
		}
		data := mustEncode(t, m, int(quality))
		decoded, err := stdjpeg.Decode(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, std(m).Bounds(), decoded.Bounds())
		if quality >= 100 {
			for i, loss := range psnr(t, m, planesOf(t, decoded)) {
				require.Greater(t, loss, 40.0, "plane %d", i)
			}
		}
		stripped, err := jpeg.Strip(data)
		require.NoError(t, err)
		requireBytes(t, data, stripped)
	})
}

func benchmarkPicture() *planar.Image {
	m := paint("smooth", 1600, 1200, 2, 2)
	r := rand.New(rand.NewPCG(9, 9))
	for _, p := range m.Planes {
		for i := range p.Pix { // as grainy as a photo: about 1.5 bits a pixel at 80
			p.Pix[i] = byte(min(255, max(0, int(p.Pix[i])+int(r.NormFloat64()*5))))
		}
	}
	return m
}

func BenchmarkEncode(b *testing.B) {
	m := benchmarkPicture()
	var out []byte
	b.SetBytes(int64(m.Width * m.Height))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		out, err = jpeg.AppendEncode(b.Context(), out[:0], m, 80)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(len(out)), "bytes")
}

func BenchmarkEncodeStd(b *testing.B) {
	m := std(benchmarkPicture())
	var out bytes.Buffer
	b.SetBytes(int64(m.Bounds().Dx() * m.Bounds().Dy()))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		require.NoError(b, stdjpeg.Encode(&out, m, &stdjpeg.Options{Quality: 80}))
	}
	b.ReportMetric(float64(out.Len()), "bytes")
}

// TestEncodeEveryChroma checks the frames of the coarsenesses that image/jpeg cannot
// read, beside those it can: 4 x 4 has a scan for each plane.
func TestEncodeEveryChroma(t *testing.T) {
	for _, x := range []int{1, 2, 4} {
		for _, y := range []int{1, 2, 4} {
			data := mustEncode(t, paint("noise", 71, 45, x, y), 80)
			frame := bytes.Index(data, []byte{0xff, 0xc0, 0, 17, 8, 0, 45, 0, 71, 3})
			require.Positive(t, frame)
			require.Equal(t, []byte{1, byte(x<<4 | y), 0, 2, 0x11, 1, 3, 0x11, 1}, data[frame+10:frame+19])
			scans := 1
			if x*y == 16 {
				scans = 3
			}
			require.Equal(t, scans, bytes.Count(data, []byte{0xff, 0xda}))
		}
	}
}

// TestEncodeRoundTrip reads back, with this package's decoder, every coarseness that
// planes can have, also those that image/jpeg cannot read.
func TestEncodeRoundTrip(t *testing.T) {
	for _, chroma := range [][2]int{{0, 0}, {1, 1}, {1, 2}, {1, 4}, {2, 1}, {2, 2}, {2, 4}, {4, 1}, {4, 2}, {4, 4}} {
		t.Run(fmt.Sprint(chroma), func(t *testing.T) {
			m := paint("smooth", 131, 67, chroma[0], chroma[1])
			got, damage, err := decode(t.Context(), mustEncode(t, m, 95), 8)
			require.NoError(t, err)
			require.NoError(t, damage)
			x, y := got.Chroma()
			require.Equal(t, [2]int{x, y}, chroma)
			for i, loss := range psnr(t, m, got.Planes) {
				require.Greater(t, loss, 45.0, "plane %d", i)
			}
		})
	}
}

// TestEncodeWritesNoMetadata walks what comes before the data: a JFIF header without a
// thumbnail, tables and the frame.
func TestEncodeWritesNoMetadata(t *testing.T) {
	data := mustEncode(t, paint("noise", 71, 45, 2, 2), 80)
	require.Equal(t, []byte{0xe0, 0xdb, 0xdb, 0xc0, 0xc4, 0xc4, 0xc4, 0xc4, 0xda}, markersOf(t, data))
	require.Equal(t, "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00", string(data[:20]))
	require.Equal(t, "\xff\xd9", string(data[len(data)-2:]))
}

// markersOf lists the markers up to the first scan.
func markersOf(t *testing.T, data []byte) (markers []byte) {
	t.Helper()
	for at := 2; ; {
		require.Equal(t, byte(0xff), data[at])
		markers = append(markers, data[at+1])
		if data[at+1] == 0xda {
			return markers
		}
		at += 2 + int(data[at+2])<<8 + int(data[at+3])
	}
}
