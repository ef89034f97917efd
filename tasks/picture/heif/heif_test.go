//go:build !noheif

package heif_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/heif"
)

// largePhoto is a photo of 12 megapixels that is too large for the repository.
const largePhoto = "../../../../shared/photos/20_iphone11pro_12mp_o6.heic"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is enough for the small pictures.
const memory = 16 << 20

// file reads a file of testdata: four quarters, red, green, blue and yellow, written
// by libvips 8.14 and x265.
func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return b
}

// The quarters in reading order.
var quarters = [4]color.RGBA{{200, 30, 30, 255}, {30, 160, 30, 255}, {30, 30, 200, 255}, {220, 200, 20, 255}}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name  string
		depth int
	}{{"quarters.heic", 8}, {"quarters10.heic", 10}, {"quarters-grey.heic", 8}} {
		t.Run(c.name, func(t *testing.T) {
			data := file(t, c.name)
			require.Equal(t, c.depth, info(data).Depth)
			img, err := decode(t, t.Context(), data, 1<<20, memory)
			require.NoError(t, err)
			require.Equal(t, image.Rect(0, 0, 128, 96), img.Bounds())
			for i, want := range quarters {
				if c.name == "quarters-grey.heic" {
					y := color.GrayModel.Convert(want).(color.Gray).Y
					want = color.RGBA{y, y, y, 255}
				}
				got := color.RGBAModel.Convert(img.At(32+i%2*64, 24+i/2*48)).(color.RGBA)
				for _, d := range [][2]uint8{{want.R, got.R}, {want.G, got.G}, {want.B, got.B}} {
					require.InDelta(t, d[0], d[1], 12, "quarter %d: want %v, got %v", i, want, got)
				}
			}
			again, err := decode(t, t.Context(), data, 1<<20, memory)
			require.NoError(t, err)
			requireSame(t, img, again)
		})
	}
}

// requireSame compares what can be seen; rows may have any bytes behind their ends.
func requireSame(t *testing.T, a, b image.Image) {
	t.Helper()
	require.Equal(t, a.Bounds(), b.Bounds())
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			require.Equal(t, a.At(x, y), b.At(x, y))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	whole := file(t, "quarters.heic")
	_, err := decode(t, t.Context(), whole, 1000, memory)
	require.ErrorIs(t, err, heif.ErrTooLarge)
	red := file(t, "red.heic") // 2000 x 1500
	_, err = decode(t, t.Context(), red, 1<<22, memory)
	require.ErrorIs(t, err, heif.ErrDamaged, "more memory than it was given")
	_, err = decode(t, t.Context(), red, 1<<22, 3*memory)
	require.NoError(t, err)
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("no photo at all"), "its first half": whole[:len(whole)/2], "boxes only": whole[:300],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, t.Context(), data, 1<<20, memory)
			require.ErrorIs(t, err, heif.ErrDamaged)
		})
	}
}

// TestDecodeAlphaTakesNoCopy decodes the transparency of a file with 8 MB more than it needs.
func TestDecodeAlphaTakesNoCopy(t *testing.T) {
	const more = 8 << 20
	data, err := os.ReadFile("../testdata/alpha.heic")
	require.NoError(t, err)
	data = append(data, make([]byte, more)...)
	was := bytes.Clone(data)
	_, err = heif.DecodeAlpha(t.Context(), data, info(data), 1<<20, 2*more+memory) // compiled from here on
	require.NoError(t, err)
	require.True(t, bytes.Equal(was, data), "the file is as it was")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	alpha, err := heif.DecodeAlpha(t.Context(), data, info(data), 1<<20, 2*more+memory)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.NotZero(t, alpha.Bounds().Dx())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(more))
}

func TestDecodeStops(t *testing.T) {
	data, err := os.ReadFile(largePhoto)
	if err != nil {
		data = file(t, "quarters.heic")
	}
	_, err = decode(t, t.Context(), file(t, "quarters-grey.heic"), 1<<20, memory) // compiled from here on
	require.NoError(t, err)
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	start := time.Now()
	_, err = decode(t, ctx, data, 25_000_000, heif.MaxMemory)
	require.ErrorIs(t, err, why)
	t.Log("returned after", time.Since(start))
	ctx, cancel = context.WithCancelCause(t.Context())
	timer := time.AfterFunc(20*time.Millisecond, func() { start = time.Now(); cancel(why) })
	defer timer.Stop()
	if _, err = decode(t, ctx, data, 25_000_000, heif.MaxMemory); err != nil { // a small photo may be done before
		require.ErrorIs(t, err, why)
		t.Log("returned after", time.Since(start))
	}
}

func FuzzDecode(f *testing.F) {
	whole := file(f, "quarters.heic")
	f.Add(whole)
	f.Add(file(f, "quarters-grey.heic"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		info(b)
		img, err := decode(t, ctx, b, 1<<20, memory)
		if err == nil {
			require.LessOrEqual(t, img.Bounds().Dx()*img.Bounds().Dy(), 1<<20, memory)
		}
	})
}

// info reads the boxes of a file.
func info(data []byte) heif.Info { return heif.ReadInfo(container.Memory(data)) }

// decode decodes a file and gives the sandbox back at the end of the test.
func decode(t testing.TB, ctx context.Context, data []byte, maxPixels, memory int64) (image.Image, error) {
	data = bytes.Clone(data)
	img, err := heif.Decode(ctx, data, info(data), maxPixels, memory)
	if err != nil {
		return nil, err
	}
	t.Cleanup(img.Close)
	return img.Image, nil
}

func TestReadInfo(t *testing.T) {
	box := func(kind string, content ...[]byte) []byte {
		c := bytes.Join(content, nil)
		n := len(c) + 8
		return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), kind[0], kind[1], kind[2], kind[3]}, c...)
	}
	// The primary picture is item 2, a grid of item 1; item 3 is its transparency. Properties are
	// handed out in turn: the first to the tile, all others to the grid.
	file := func(before []byte, properties ...[]byte) []byte {
		associations := []byte{0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 1, 1, 0, 2, byte(len(properties) - 2)}
		for i := 2; i < len(properties); i++ {
			associations = append(associations, byte(i))
		}
		associations = append(associations, 0, 3, 1, byte(len(properties)))
		infe := func(number byte, kind string) []byte {
			return box("infe", []byte{2, 0, 0, 0, 0, number, 0, 0}, []byte(kind), []byte{0})
		}
		return append(append(box("ftyp", []byte("heic")), before...), box("meta", make([]byte, 4), box("hdlr"),
			box("pitm", []byte{0, 0, 0, 0, 0, 2}), box("iinf", []byte{0, 0, 0, 0, 0, 3}, infe(1, "hvc1"), infe(2, "grid"), infe(3, "hvc1")),
			box("iref", make([]byte, 4), box("dimg", []byte{0, 2, 0, 1, 0, 1}), box("auxl", []byte{0, 3, 0, 1, 0, 2})),
			box("iprp", box("ipco", properties...), box("ipma", associations)))...)
	}
	ispe := func(w, h byte) []byte { return box("ispe", []byte{0, 0, 0, 0, 0, 0, 0, w, 0, 0, 0, h}) }
	alpha := box("auxC", []byte("\x00\x00\x00\x00urn:mpeg:hevc:2015:auxid:1\x00"))
	depth := box("auxC", []byte("\x00\x00\x00\x00urn:mpeg:hevc:2015:auxid:2\x00"))
	tile, grid := ispe(99, 99), ispe(50, 40)
	colours := box("colr", []byte("nclx\x00\x01\x00\x0d\x00\x06\x80"))
	film := box("colr", []byte("nclx\x00\x0c\x00\x10\x00\x01\x00"))
	profile := box("colr", []byte("profACSP"))
	for _, c := range []struct {
		name  string
		data  []byte
		check func(*require.Assertions, heif.Info)
	}{
		{"nothing", nil, func(r *require.Assertions, i heif.Info) { r.Equal(heif.Info{Depth: 8, PlaneHalves: 3, Images: 1}, i) }},
		{"the picture's size, not the largest", file(nil, tile, grid, depth), func(r *require.Assertions, i heif.Info) {
			r.Equal([]int{50, 40}, []int{i.Width, i.Height})
			r.Equal("hvc1", i.Codec)
			r.False(i.HasAlpha())
			r.Equal(1, i.Images)
		}},
		{"transparency", file(nil, tile, grid, alpha), func(r *require.Assertions, i heif.Info) { r.True(i.HasAlpha()) }},
		{"the data in front", file(box("mdat", make([]byte, 100_000)), tile, grid, depth), func(r *require.Assertions, i heif.Info) { r.Equal(50, i.Width) }},
		{"profile and numbers", file(nil, tile, grid, profile, colours, depth), func(r *require.Assertions, i heif.Info) {
			r.Equal("ACSP", string(i.Profile))
			r.Equal(&heif.Colour{Primaries: 1, Transfer: 13, Matrix: 6, FullRange: true}, i.Colour)
		}},
		{"the numbers of a film", file(nil, tile, grid, film, depth), func(r *require.Assertions, i heif.Info) {
			r.Equal(&heif.Colour{Primaries: 12, Transfer: 16, Matrix: 1}, i.Colour)
		}},
		{"ten bits", file(nil, tile, grid, box("pixi", []byte{0, 0, 0, 0, 3, 10, 10, 10}), depth), func(r *require.Assertions, i heif.Info) { r.Equal(10, i.Depth) }},
		{"a size beyond the end", file(nil, tile, grid, alpha)[:60], func(r *require.Assertions, i heif.Info) { r.Zero(i.Width) }},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(require.New(t), info(c.data)) })
	}
	t.Run("an item named twice", func(t *testing.T) {
		associations := box("ipma", []byte{0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 1, 0, 1, 1, 2})
		i := info(box("meta", make([]byte, 4), box("pitm", []byte{0, 0, 0, 0, 0, 1}), box("iprp", box("ipco", ispe(50, 40), ispe(9, 9)), associations)))
		require.Equal(t, []int{50, 40}, []int{i.Width, i.Height}, "the first entry counts")
	})
	photo := info(testPhoto(t))
	require.NotNil(t, photo.Profile)
	require.Equal(t, []int{4032, 3024, 1}, []int{photo.Width, photo.Height, photo.Images})
	require.Len(t, photo.Exif, 1)
}

func testPhoto(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(largePhoto)
	if err != nil {
		t.Skip("the large photos are not here")
	}
	return b
}

func TestTooLittleMemoryIsNoDamage(t *testing.T) {
	_, err := decode(t, t.Context(), file(t, "red.heic"), 1<<22, memory)
	require.ErrorIs(t, err, heif.ErrMemory)
	require.NotErrorIs(t, err, context.Canceled)
}

func TestNoSandboxIsNoDamage(t *testing.T) {
	_, err := decode(t, t.Context(), file(t, "quarters.heic"), 1<<20, 1<<60) // more than any machine has
	require.ErrorIs(t, err, heif.ErrSandbox)
	require.ErrorIs(t, err, syscall.ENOMEM)
	require.NotErrorIs(t, err, heif.ErrDamaged)
	_, err = decode(t, t.Context(), file(t, "quarters.heic"), 1<<20, memory)
	require.NoError(t, err)
}
