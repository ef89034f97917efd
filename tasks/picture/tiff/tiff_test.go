package tiff_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	xtiff "golang.org/x/image/tiff"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/tiff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all decodes a file.
func all(ctx context.Context, data []byte) (*image.NRGBA, error) {
	r := container.NewReader(ctx, bytes.NewReader(data), int64(len(data)), 10<<20)
	d, ok := r.TIFF()
	if !ok {
		return nil, tiff.ErrFormat
	}
	h, _, err := tiff.ReadHeader(d)
	if err != nil {
		return nil, err
	}
	if h.Width*h.Height > 1<<20 || h.Cost(int64(len(data))) > 32<<20 {
		return nil, errors.New("too large for a test")
	}
	dec := tiff.NewDecoder(r, h)
	img := image.NewNRGBA(image.Rect(0, 0, h.Width, h.Height))
	for y := 0; y < h.Height; y += 7 {
		part, err := dec.Rows(y, min(y+7, h.Height))
		if err != nil {
			return nil, err
		}
		copy(img.Pix[y*img.Stride:], part.Pix)
	}
	return img, dec.Damage()
}

// noise fills a picture.
func noise(pix []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range pix {
		pix[i] = byte(r.Uint32())
	}
}

// TestDecodeAgrees compares with golang.org/x/image/tiff, which writes the files.
func TestDecodeAgrees(t *testing.T) {
	rect := image.Rect(0, 0, 37, 29)
	rgba, nrgba, grey, grey16, wide := image.NewRGBA(rect), image.NewNRGBA(rect), image.NewGray(rect), image.NewGray16(rect), image.NewNRGBA64(rect)
	for _, pix := range [][]byte{nrgba.Pix, grey.Pix, grey16.Pix, wide.Pix} {
		noise(pix)
	}
	for i := range rgba.Pix {
		rgba.Pix[i] = 255
	}
	paletted := image.NewPaletted(rect, color.Palette{color.NRGBA{1, 2, 3, 255}, color.NRGBA{200, 100, 50, 255}, color.NRGBA{9, 250, 9, 255}})
	for i := range paletted.Pix {
		paletted.Pix[i] = byte(i * i % 3)
	}
	for name, img := range map[string]image.Image{"RGBA": rgba, "NRGBA": nrgba, "grey": grey, "grey of 16 bits": grey16, "16 bits": wide, "palette": paletted} {
		for _, o := range []xtiff.Options{{}, {Compression: xtiff.Deflate}, {Compression: xtiff.Deflate, Predictor: true}} {
			t.Run(fmt.Sprint(name, o), func(t *testing.T) {
				var b bytes.Buffer
				require.NoError(t, xtiff.Encode(&b, img, &o))
				want, err := xtiff.Decode(bytes.NewReader(b.Bytes()))
				require.NoError(t, err)
				got, err := all(t.Context(), b.Bytes())
				require.NoError(t, err)
				for y := range rect.Dy() {
					for x := range rect.Dx() {
						w := color.NRGBAModel.Convert(want.At(x, y)).(color.NRGBA)
						g := got.NRGBAAt(x, y)
						if w.A == 0 {
							w, g = color.NRGBA{}, color.NRGBA{A: g.A}
						}
						for _, d := range [][2]uint8{{w.R, g.R}, {w.G, g.G}, {w.B, g.B}, {w.A, g.A}} {
							require.InDelta(t, d[0], d[1], 1, "%d, %d", x, y)
						}
					}
				}
			})
		}
	}
}

func TestDecodeSalvages(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 40, 40))
	var b bytes.Buffer
	require.NoError(t, xtiff.Encode(&b, img, nil))
	data := b.Bytes()
	// The strip's length is cut to half: what is missing is white.
	d, _ := container.Memory(data).TIFF()
	entries, _, _ := d.Directory(d.First)
	for i, e := range entries {
		if e.Tag == 0x117 {
			binary.LittleEndian.PutUint32(data[d.First+2+12*int64(i)+8:], 800)
		}
	}
	got, err := all(t.Context(), data)
	require.Error(t, err)
	require.NotErrorIs(t, err, tiff.ErrFormat)
	require.Equal(t, color.NRGBA{0, 0, 0, 255}, got.NRGBAAt(5, 5))
	require.Equal(t, color.NRGBA{255, 255, 255, 255}, got.NRGBAAt(5, 35))
}

func TestDecodeEndsWithTheContext(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, xtiff.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 40)), nil))
	ctx, cancel := context.WithCancelCause(t.Context())
	r := container.NewReader(ctx, bytes.NewReader(b.Bytes()), int64(b.Len()), 1<<20)
	d, _ := r.TIFF()
	h, _, err := tiff.ReadHeader(d)
	require.NoError(t, err)
	why := errors.New("enough")
	cancel(why)
	_, err = tiff.NewDecoder(r, h).Rows(0, 40)
	require.ErrorIs(t, err, why)
}

// FuzzDecode requires that whatever comes in, nothing panics and reading ends.
func FuzzDecode(f *testing.F) {
	for _, o := range []xtiff.Options{{}, {Compression: xtiff.Deflate, Predictor: true}} {
		var b bytes.Buffer
		img := image.NewNRGBA(image.Rect(0, 0, 9, 7))
		noise(img.Pix)
		require.NoError(f, xtiff.Encode(&b, img, &o))
		f.Add(b.Bytes())
	}
	for _, compression := range []uint16{2, 3, 4, 5, 32773} { // of a bilevel picture of 16 x 8
		b := []byte("II*\x00\x18\x00\x00\x00\x26\xa0\x00\x10\x01\x26\xa0\x5d\x9f\x00\x10\x01\x00\x10\x01\x00")
		b = binary.LittleEndian.AppendUint16(b, 8)
		for _, e := range [][2]uint16{{0x100, 16}, {0x101, 8}, {0x102, 1}, {0x103, compression}, {0x106, 0}, {0x111, 8}, {0x117, 16}, {0x124, 1}} {
			b = binary.LittleEndian.AppendUint16(b, e[0])
			b = append(b, 3, 0, 1, 0, 0, 0, byte(e[1]), byte(e[1]>>8), 0, 0)
		}
		f.Add(append(b, 0, 0, 0, 0))
	}
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = all(t.Context(), b) })
}
