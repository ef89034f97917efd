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
	"runtime"
	"strings"
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
	for y := range h.Height {
		if err := dec.Row(img.Pix[y*img.Stride:], y); err != nil {
			return nil, err
		}
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
	err = tiff.NewDecoder(r, h).Row(make([]byte, 4*h.Width), 0)
	require.ErrorIs(t, err, why)
}

// fax is a bilevel TIFF of one strip.
func fax(compression uint16, w, h int, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("II*\x00"), uint32(8+len(data)))
	b = binary.LittleEndian.AppendUint16(append(b, data...), 8)
	for _, e := range [][2]int{{0x100, w}, {0x101, h}, {0x102, 1}, {0x103, int(compression)}, {0x106, 0}, {0x111, 8}, {0x116, h}, {0x117, len(data)}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, 4)
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, uint32(e[1]))
	}
	return append(b, 0, 0, 0, 0)
}

// packed makes bytes of zeros and ones.
func packed(bits string) (b []byte) {
	for i, bit := range bits {
		if i%8 == 0 {
			b = append(b, 0)
		}
		b[i/8] |= byte(bit-'0') << (7 - i%8)
	}
	return b
}

// The codes of fax: runs of length 0, a white row of 64 pixels, and of rows by edges the horizontal
// mode and edges one to the left and right of those above.
const white0, black0, white64, horizontal, left, right = "00110101", "0000110111", "11011" + white0, "001", "010", "011"

// TestFaxRunsOfNothing requires that a row of 64 pixels is read however many empty runs there are
// in it up to a bound, and that memory is not taken for more.
func TestFaxRunsOfNothing(t *testing.T) {
	for _, c := range []struct {
		name        string
		compression uint16
		first, unit string
	}{
		{"by runs", 2, "", white0 + black0},
		{"by runs, with ends of lines", 3, "", white0 + black0},
		{"by edges, horizontal", 4, "", horizontal + white0 + black0},
		// The row above changes at 1, 2 and so on, so that an edge may lie at 0 again and again.
		{"by edges", 4, horizontal + "000111" + "010" + horizontal + "000111" + "010" + strings.Repeat(horizontal+"000111"+"010", 30), left + "000010"},
	} {
		t.Run(c.name, func(t *testing.T) {
			few := c.first + strings.Repeat(c.unit, 8)
			many := fax(c.compression, 64, 2, packed(c.first+strings.Repeat(c.unit, 1<<18)))
			if c.first == "" {
				got, err := all(t.Context(), fax(c.compression, 64, 1, packed(few+map[bool]string{true: horizontal}[c.compression == 4]+white64+black0)))
				require.NoError(t, err)
				require.Equal(t, color.NRGBA{255, 255, 255, 255}, got.NRGBAAt(63, 0))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := all(t.Context(), many)
			runtime.ReadMemStats(&after)
			require.Error(t, err, "more changes of colour than the row may have")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2*len(many)+1<<20))
		})
	}
}

// TestSearchesEndWithTheContext ends the context while a decoder looks for something in data that do
// not have it.
func TestSearchesEndWithTheContext(t *testing.T) {
	const size = 1 << 20
	for _, c := range []struct {
		name        string
		compression uint16
		data        []byte
	}{
		{"the end of a line behind a damaged one", 3, append([]byte{0, 0, 3}, bytes.Repeat([]byte{0xaa}, size)...)},
		{"the end of a line in fill bits", 3, make([]byte, size)},
		{"a code that gives something", 32773, bytes.Repeat([]byte{0x80}, size)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := fax(c.compression, 64, 64, c.data)
			looks := &ending{Context: t.Context()}
			r := container.NewReader(looks, bytes.NewReader(b), int64(len(b)), 10<<20)
			d, _ := r.TIFF()
			h, _, err := tiff.ReadHeader(d)
			require.NoError(t, err)
			dec := tiff.NewDecoder(r, h)
			looks.left = 6 // reading the strip takes two of them
			err = dec.Row(make([]byte, 4*h.Width), 0)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// ending is a context that ends after it was looked at some times; none if left is 0.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left == 0 {
		e.left++
		return context.Canceled
	}
	return nil
}

func TestCostCountsWhatIsHeldTwice(t *testing.T) {
	const size = 1 << 20
	b := fax(2, 64, 64, make([]byte, size))
	cost := func() int64 {
		d, _ := container.Memory(b).TIFF()
		h, _, err := tiff.ReadHeader(d)
		require.NoError(t, err)
		return h.Cost(size)
	}
	once := cost()
	at := bytes.LastIndex(b, []byte{0x06, 0x01, 4, 0}) // what is black; in its place the order of bits
	copy(b[at:], []byte{0x0a, 0x01, 4, 0, 1, 0, 0, 0, 2})
	require.Equal(t, once+size, cost())
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
