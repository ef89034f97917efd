//go:build !noheif

package heif_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

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
			require.Equal(t, c.depth, heif.ReadInfo(data).Depth)
			img, err := heif.Decode(t.Context(), data, 1<<20, memory)
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
			again, err := heif.Decode(t.Context(), data, 1<<20, memory)
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
	_, err := heif.Decode(t.Context(), whole, 1000, memory)
	require.ErrorIs(t, err, heif.ErrTooLarge)
	red := file(t, "red.heic") // 2000 x 1500
	_, err = heif.Decode(t.Context(), red, 1<<22, memory)
	require.ErrorIs(t, err, heif.ErrDamaged, "more memory than it was given")
	_, err = heif.Decode(t.Context(), red, 1<<22, 3*memory)
	require.NoError(t, err)
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("no photo at all"), "its first half": whole[:len(whole)/2], "boxes only": whole[:300],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := heif.Decode(t.Context(), data, 1<<20, memory)
			require.ErrorIs(t, err, heif.ErrDamaged)
		})
	}
}

func TestDecodeStops(t *testing.T) {
	data, err := os.ReadFile(largePhoto)
	if err != nil {
		data = file(t, "quarters.heic")
	}
	_, err = heif.Decode(t.Context(), file(t, "quarters-grey.heic"), 1<<20, memory) // compiled from here on
	require.NoError(t, err)
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	start := time.Now()
	_, err = heif.Decode(ctx, data, 25_000_000, heif.MaxMemory)
	require.ErrorIs(t, err, why)
	t.Log("returned after", time.Since(start))
	ctx, cancel = context.WithCancelCause(t.Context())
	timer := time.AfterFunc(20*time.Millisecond, func() { start = time.Now(); cancel(why) })
	defer timer.Stop()
	if _, err = heif.Decode(ctx, data, 25_000_000, heif.MaxMemory); err != nil { // a small photo may be done before
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
		heif.ReadInfo(b)
		img, err := heif.Decode(ctx, b, 1<<20, memory)
		if err == nil {
			require.LessOrEqual(t, img.Bounds().Dx()*img.Bounds().Dy(), 1<<20, memory)
		}
	})
}

func TestReadInfo(t *testing.T) {
	box := func(kind string, content ...[]byte) []byte {
		c := bytes.Join(content, nil)
		n := len(c) + 8
		return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), kind[0], kind[1], kind[2], kind[3]}, c...)
	}
	file := func(properties ...[]byte) []byte {
		return append(box("ftyp", []byte("heic")), box("meta", make([]byte, 4), box("hdlr"), box("iprp", box("ipco", properties...)))...)
	}
	colours := box("colr", []byte("nclx\x00\x01\x00\x0d\x00\x06\x80"))
	film := box("colr", []byte("nclx\x00\x01\x00\x0d\x00\x01\x00"))
	profile := box("colr", []byte("profACSP"))
	for _, c := range []struct {
		name string
		data []byte
		want heif.Info
	}{
		{"nothing", nil, heif.Info{Depth: 8}},
		{"no properties", file(), heif.Info{Depth: 8}},
		{"profile", file(profile, colours), heif.Info{Depth: 8, Profile: []byte("ACSP")}},
		{"limited range", file(film, colours), heif.Info{Depth: 8, Limited: true}},
		{"ten bits", file(box("pixi", []byte{0, 0, 0, 0, 3, 10, 10, 10})), heif.Info{Depth: 10}},
		{"a size beyond the end", append(file(profile)[:20], 0xff, 0xff, 0xff), heif.Info{Depth: 8}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, heif.ReadInfo(c.data)) })
	}
	require.NotNil(t, heif.ReadInfo(testPhoto(t)).Profile)
}

func testPhoto(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(largePhoto)
	if err != nil {
		t.Skip("the large photos are not here")
	}
	return b
}
