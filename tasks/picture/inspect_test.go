package picture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

func TestInspect(t *testing.T) {
	jpg := encodeJPEG(t, quarters(40, 30))
	bmp := append([]byte("BM----\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), 0x80, 7, 0, 0, 0xc8, 0xfb, 0xff, 0xff, 0, 0, 0, 0, 0, 0)
	heic := heifBoxes("mif1", "heic", [2]uint32{4032, 3024}, [2]uint32{512, 512})
	paletted := image.NewPaletted(image.Rect(0, 0, 7, 9), color.Palette{red, green})
	for _, c := range []struct {
		name   string
		data   []byte
		format picture.Format
		media  string
		w, h   int
	}{
		{"jpeg", jpg, picture.FormatJPEG, "image/jpeg", 40, 30},
		{"jpeg with fill bytes", append([]byte{0xff, 0xd8, 0xff, 0xff, 0xff}, jpg[3:]...), picture.FormatJPEG, "image/jpeg", 40, 30},
		{"jpeg cut before its frame", jpg[:20], picture.FormatJPEG, "image/jpeg", 0, 0},
		{"png", encodePNG(t, quarters(5, 6)), picture.FormatPNG, "image/png", 5, 6},
		{"png cut", encodePNG(t, quarters(5, 6))[:20], picture.FormatPNG, "image/png", 0, 0},
		{"gif", encodeGIF(t, &gif.GIF{Image: []*image.Paletted{paletted}, Delay: []int{0}}), picture.FormatGIF, "image/gif", 7, 9},
		{"bmp from the top down", bmp, picture.FormatBMP, "image/bmp", 1920, 1080},
		{"webp extended", []byte("RIFF\x40\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x9f\x0f\x00\x6f\x17\x00"), picture.FormatWebP, "image/webp", 4000, 6000},
		{"webp lossy", []byte("RIFF\x40\x00\x00\x00WEBPVP8 \x0a\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\xa0\x0f\x70\x17"), picture.FormatWebP, "image/webp", 4000, 6000},
		{"webp lossless", []byte("RIFF\x40\x00\x00\x00WEBPVP8L\x0a\x00\x00\x00\x2f\x0f\xc0\x07\x00\x00\x00\x00\x00\x00"), picture.FormatWebP, "image/webp", 16, 32},
		{"heic, the grid and not a tile", heic, picture.FormatHEIC, "image/heic", 4032, 3024},
		{"avif", []byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif"), picture.FormatAVIF, "image/avif", 0, 0},
		{"tiff", []byte("II*\x00\x08\x00\x00\x00\x00\x00\x00\x00"), picture.FormatTIFF, "image/tiff", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			info, err := picture.Inspect(t.Context(), bytes.NewReader(c.data), int64(len(c.data)))
			require.NoError(t, err)
			require.Equal(t, picture.Info{Format: c.format, MediaType: c.media, Width: c.w, Height: c.h}, info)
		})
	}
}

func TestInspectRefusesWhatIsNoPicture(t *testing.T) {
	for _, s := range []string{"", "B", "BMW is a car maker, not a bitmap", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "RIFF....WAVE", "\xff\xd8", "<svg/>"} {
		_, err := picture.Inspect(t.Context(), strings.NewReader(s), int64(len(s)))
		require.ErrorIs(t, err, picture.ErrNotImage, "%q", s)
	}
}

// failing is a file whose reads fail from an offset on.
type failing struct {
	*bytes.Reader
	from int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, io.ErrClosedPipe
	}
	return f.Reader.ReadAt(p, off)
}

func TestInspectReturnsTheReadersError(t *testing.T) {
	data := encodeJPEG(t, quarters(40, 30))
	for _, n := range []int64{0, 70, 150} {
		_, err := picture.Inspect(t.Context(), failing{bytes.NewReader(data), n}, int64(len(data)))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	}
}

func TestInspectEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("gone")
	cancel(why)
	data := encodeJPEG(t, quarters(40, 30))
	_, err := picture.Inspect(ctx, bytes.NewReader(data), int64(len(data)))
	require.ErrorIs(t, err, why)
}

// endless is a JPEG of 1 GiB whose header never ends.
type endless struct{ read int }

func (e *endless) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = 0xff
		if off+int64(i) == 1 {
			p[i] = 0xd8
		}
	}
	e.read += len(p)
	return len(p), nil
}

func TestInspectIsBounded(t *testing.T) {
	r := new(endless)
	info, err := picture.Inspect(t.Context(), r, 1<<30)
	require.NoError(t, err)
	require.Equal(t, picture.FormatJPEG, info.Format)
	require.Zero(t, info.Width)
	require.LessOrEqual(t, r.read, 9<<20)
}

func FuzzInspect(f *testing.F) {
	f.Add(encodeJPEG(f, quarters(8, 8)))
	f.Add(withSegments(encodeJPEG(f, quarters(8, 8)), exif(binary.LittleEndian, 6)))
	f.Add(encodePNG(f, quarters(8, 8)))
	f.Add([]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic\x00\x00\x00\x14ispe\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x10\x00"))
	f.Add([]byte("RIFF\x40\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x9f\x0f\x00\x6f\x17\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := picture.Inspect(t.Context(), bytes.NewReader(b), int64(len(b)))
		if err != nil {
			require.ErrorIs(t, err, picture.ErrNotImage)
			return
		}
		require.NotEmpty(t, info.MediaType)
		require.GreaterOrEqual(t, info.Width, 0)
		require.GreaterOrEqual(t, info.Height, 0)
	})
}

// FuzzProcess requires that whatever comes in, either a small picture or a problem
// comes out.
func FuzzProcess(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o := picture.Options{MaxSide: 16, ThumbSide: 4, MaxPixels: 1 << 16, MaxSourceSide: 1 << 12}
		res, err := process(t, b, o)
		requireSettled(t, res, err)
		if err == nil {
			require.LessOrEqual(t, max(res.Full.Width, res.Full.Height), 16)
		}
	})
}
