package picture_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

func TestInspect(t *testing.T) {
	jpg := encodeJPEG(t, quarters(40, 30))
	bmp := append([]byte("BM----\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), 0x80, 7, 0, 0, 0xc8, 0xfb, 0xff, 0xff, 0, 0, 0, 0, 0, 0)
	ispe := func(w, h uint32) []byte {
		b := binary.BigEndian.AppendUint32([]byte("\x00\x00\x00\x14ispe\x00\x00\x00\x00"), w)
		return binary.BigEndian.AppendUint32(b, h)
	}
	heic := append([]byte("\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic\x00\x00\x01\x00meta"), append(ispe(512, 512), ispe(4032, 3024)...)...)
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
		{"webp extended", []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x9f\x0f\x00\x6f\x17\x00"), picture.FormatWebP, "image/webp", 4000, 6000},
		{"webp lossy", []byte("RIFF\x00\x00\x00\x00WEBPVP8 \x0a\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\xa0\x0f\x70\x17"), picture.FormatWebP, "image/webp", 4000, 6000},
		{"webp lossless", []byte("RIFF\x00\x00\x00\x00WEBPVP8L\x0a\x00\x00\x00\x2f\x0f\xc0\x07\x00\x00\x00\x00\x00\x00"), picture.FormatWebP, "image/webp", 16, 32},
		{"heic, the grid and not a tile", heic, picture.FormatHEIC, "image/heic", 4032, 3024},
		{"avif", []byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif"), picture.FormatAVIF, "image/avif", 0, 0},
		{"tiff", []byte("II*\x00\x08\x00\x00\x00\x00\x00\x00\x00"), picture.FormatTIFF, "image/tiff", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			info, err := picture.Inspect(iotest.OneByteReader(bytes.NewReader(c.data)))
			require.NoError(t, err)
			require.Equal(t, picture.Info{Format: c.format, MediaType: c.media, Width: c.w, Height: c.h}, info)
		})
	}
}

func TestInspectRefusesWhatIsNoPicture(t *testing.T) {
	for _, s := range []string{"", "B", "BMW is a car maker, not a bitmap", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "RIFF....WAVE", "\xff\xd8", "<svg/>"} {
		_, err := picture.Inspect(bytes.NewReader([]byte(s)))
		require.ErrorIs(t, err, picture.ErrNotImage, "%q", s)
	}
}

func TestInspectReturnsTheReadersError(t *testing.T) {
	for _, n := range []int{0, 10, 300} {
		r := io.MultiReader(bytes.NewReader(encodeJPEG(t, quarters(40, 30))[:n]), iotest.ErrReader(io.ErrClosedPipe))
		_, err := picture.Inspect(r)
		require.ErrorIs(t, err, io.ErrClosedPipe)
	}
}

var fill = bytes.Repeat([]byte{0xff}, 1<<16)

// endless is a JPEG whose header never ends.
type endless struct{ at int }

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	if e.at == 0 {
		n = copy(p, "\xff\xd8")
	}
	copy(p[n:], fill)
	e.at += len(p)
	return len(p), nil
}

func TestInspectIsBounded(t *testing.T) {
	r := new(endless)
	var info picture.Info
	allocated := testing.AllocsPerRun(1, func() {
		*r = endless{}
		var err error
		info, err = picture.Inspect(r)
		require.NoError(t, err)
	})
	require.Equal(t, picture.FormatJPEG, info.Format)
	require.Zero(t, info.Width)
	require.LessOrEqual(t, r.at, 33<<20)
	require.Less(t, allocated, 20.0)
}

func FuzzInspect(f *testing.F) {
	f.Add(encodeJPEG(f, quarters(8, 8)))
	f.Add(withSegments(encodeJPEG(f, quarters(8, 8)), exif(binary.LittleEndian, 6)))
	f.Add(encodePNG(f, quarters(8, 8)))
	f.Add([]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic\x00\x00\x00\x14ispe\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x10\x00"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x9f\x0f\x00\x6f\x17\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := picture.Inspect(bytes.NewReader(b))
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
