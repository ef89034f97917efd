//go:build !noheif

package heif_test

import (
	"bytes"
	"context"
	"errors"
	"image"
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

// file reads a file of testdata, which is the test data of
// github.com/gen2brain/heic v0.5.0 (MIT).
func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return b
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name  string
		depth int
		kind  image.Image
	}{
		{"test8.heic", 8, &image.YCbCr{}},
		{"gray.heic", 8, &image.Gray{}},
		{"test12.heic", 12, &image.YCbCr{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := file(t, c.name)
			require.Equal(t, c.depth, heif.ReadInfo(data).Depth)
			img, err := heif.Decode(t.Context(), data, 1<<20)
			require.NoError(t, err)
			require.IsType(t, c.kind, img)
			require.Equal(t, image.Rect(0, 0, 512, 512), img.Bounds())
			again, err := heif.Decode(t.Context(), data, 1<<20)
			require.NoError(t, err)
			require.Equal(t, img, again)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	whole := file(t, "test8.heic")
	_, err := heif.Decode(t.Context(), whole, 1000)
	require.ErrorIs(t, err, heif.ErrTooLarge)
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("no photo at all"), "its first half": whole[:len(whole)/2], "boxes only": whole[:400],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := heif.Decode(t.Context(), data, 1<<20)
			require.ErrorIs(t, err, heif.ErrDamaged)
		})
	}
}

func TestDecodeStops(t *testing.T) {
	data, err := os.ReadFile(largePhoto)
	if err != nil {
		data = file(t, "test8.heic")
	}
	_, err = heif.Decode(t.Context(), file(t, "gray.heic"), 1<<20) // compiled from here on
	require.NoError(t, err)
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	start := time.Now()
	_, err = heif.Decode(ctx, data, 25_000_000)
	require.ErrorIs(t, err, why)
	t.Log("returned after", time.Since(start))
	ctx, cancel = context.WithCancelCause(t.Context())
	timer := time.AfterFunc(20*time.Millisecond, func() { start = time.Now(); cancel(why) })
	defer timer.Stop()
	if _, err = heif.Decode(ctx, data, 25_000_000); err != nil { // a small photo may be done before
		require.ErrorIs(t, err, why)
		t.Log("returned after", time.Since(start))
	}
}

func FuzzDecode(f *testing.F) {
	whole := file(f, "test8.heic")
	f.Add(whole)
	f.Add(file(f, "gray.heic"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		heif.ReadInfo(b)
		img, err := heif.Decode(ctx, b, 1<<20)
		if err == nil {
			require.LessOrEqual(t, img.Bounds().Dx()*img.Bounds().Dy(), 1<<20)
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
