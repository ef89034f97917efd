package picture_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"io"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

var upright = [4]color.NRGBA{red, green, blue, yellow}

func TestProcessFormats(t *testing.T) {
	src := quarters(64, 48)
	paletted := func() *image.Paletted {
		p := image.NewPaletted(src.Bounds(), color.Palette{red, green, blue, yellow})
		for y := range 48 {
			for x := range 64 {
				p.SetColorIndex(x, y, uint8(x/32+2*(y/24)))
			}
		}
		return p
	}
	deep := image.NewNRGBA64(src.Bounds())
	for y := range 48 {
		for x := range 64 {
			deep.Set(x, y, src.At(x, y))
		}
	}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"jpeg", encodeJPEG(t, src)},
		{"png", encodePNG(t, src)},
		{"png 16 bit", encodePNG(t, deep)},
		{"png paletted", encodePNG(t, paletted())},
		{"gif", encodeGIF(t, &gif.GIF{Image: []*image.Paletted{paletted()}, Delay: []int{0}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := process(t, c.data, picture.Options{MaxSide: 32, ThumbSide: 16})
			require.NoError(t, err)
			require.Equal(t, [2]int{64, 48}, [2]int{res.Source.Width, res.Source.Height})
			require.Equal(t, [2]int{32, 24}, [2]int{res.Full.Width, res.Full.Height})
			require.Equal(t, [2]int{16, 12}, [2]int{res.Thumb.Width, res.Thumb.Height})
			require.Equal(t, image.Rect(0, 0, 16, 12), decode(t, res.Thumb.Data).Bounds())
			requireQuarters(t, res.Full.Data, upright)
		})
	}
}

func TestProcessGrey(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 20, 10))
	for i := range img.Pix {
		img.Pix[i] = 90
	}
	for name, b := range map[string][]byte{"jpeg": encodeJPEG(t, img), "png": encodePNG(t, img)} {
		t.Run(name, func(t *testing.T) {
			res, err := process(t, b, picture.Options{})
			require.NoError(t, err)
			near(t, color.Gray{90}, decode(t, res.Full.Data).At(10, 5), "middle")
		})
	}
}

func TestProcessTurnsAllEightOrientations(t *testing.T) {
	want := map[uint16][4]color.NRGBA{
		1: {red, green, blue, yellow},
		2: {green, red, yellow, blue},
		3: {yellow, blue, green, red},
		4: {blue, yellow, red, green},
		5: {red, blue, green, yellow},
		6: {blue, red, yellow, green},
		7: {yellow, green, blue, red},
		8: {green, yellow, red, blue},
	}
	plain := encodeJPEG(t, quarters(64, 32))
	for orientation := uint16(0); orientation <= 9; orientation++ {
		for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
			t.Run(fmt.Sprintf("%d %v", orientation, order), func(t *testing.T) {
				// A large profile in front: the frame header lies far behind.
				b := withSegments(plain, segment(0xe2, make([]byte, 60000)), exif(order, orientation), segment(0xe2, make([]byte, 60000)))
				res, err := process(t, b, picture.Options{MaxSide: 32})
				require.NoError(t, err)
				colours, known := want[orientation]
				if !known {
					colours = upright
				}
				size := [2]int{32, 16}
				if orientation >= 5 && orientation <= 8 {
					size = [2]int{16, 32}
				}
				require.Equal(t, [2]int{res.Full.Width, res.Full.Height}, size)
				requireQuarters(t, res.Full.Data, colours)
				requireQuarters(t, res.Thumb.Data, colours)
			})
		}
	}
}

func TestProcessPutsTransparencyOverWhite(t *testing.T) {
	img := quarters(40, 40)
	for y := range 20 {
		for x := range 40 {
			a := uint8(0)
			if x >= 20 {
				a = 128
			}
			img.SetNRGBA(x, y, color.NRGBA{0, 0, 0, a})
		}
	}
	res, err := process(t, encodePNG(t, img), picture.Options{})
	require.NoError(t, err)
	requireQuarters(t, res.Full.Data, [4]color.NRGBA{{255, 255, 255, 255}, {127, 127, 127, 255}, blue, yellow})
}

func TestProcessNeverScalesUp(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {3, 200}, {1600, 1}, {320, 240}} {
		res, err := process(t, encodePNG(t, quarters(size[0], size[1])), picture.Options{})
		require.NoError(t, err)
		require.Equal(t, [2]int{res.Full.Width, res.Full.Height}, size)
	}
	res, err := process(t, encodePNG(t, quarters(5000, 1)), picture.Options{})
	require.NoError(t, err)
	require.Equal(t, [2]int{1600, 1}, [2]int{res.Full.Width, res.Full.Height})
}

func TestProcessGIFTakesTheFirstFrameOnItsCanvas(t *testing.T) {
	palette := color.Palette{color.NRGBA{}, red, green}
	first := image.NewPaletted(image.Rect(20, 20, 40, 40), palette)
	for i := range first.Pix {
		first.Pix[i] = 1
	}
	second := image.NewPaletted(image.Rect(0, 0, 40, 40), palette)
	for i := range second.Pix {
		second.Pix[i] = 2
	}
	b := encodeGIF(t, &gif.GIF{Image: []*image.Paletted{first, second}, Delay: []int{1, 1}, Config: image.Config{Width: 40, Height: 40, ColorModel: palette}})
	res, err := process(t, b, picture.Options{})
	require.NoError(t, err)
	white := color.NRGBA{255, 255, 255, 255}
	requireQuarters(t, res.Full.Data, [4]color.NRGBA{white, white, white, red})
}

// TestProcessPaletteIndexOutOfRange feeds the file that ends a process which
// hands it to the resizer as it is (CVE-2023-36308).
func TestProcessPaletteIndexOutOfRange(t *testing.T) {
	var idat bytes.Buffer
	z := zlib.NewWriter(&idat)
	for range 8 {
		_, err := z.Write([]byte{0, 0, 1, 70, 255, 0, 1, 70, 255})
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	b := pngHeader(8, 8, 8, 3)
	b = append(b, pngChunk("PLTE", []byte{200, 30, 30, 30, 160, 30})...)
	b = append(b, pngChunk("IDAT", idat.Bytes())...)
	b = append(b, pngChunk("IEND", nil)...)
	_, err := process(t, b, picture.Options{MaxSide: 4})
	require.NoError(t, err)
}

func TestProcessProblems(t *testing.T) {
	jpg := encodeJPEG(t, quarters(200, 200))
	bomb := bytes.Clone(jpg)
	frame := bytes.Index(bomb, []byte{0xff, 0xc0})
	copy(bomb[frame+5:], []byte{0xff, 0xdc, 0xff, 0xdc})
	headless := append(bytes.Clone(jpg[:frame]), 0xff, 0xd9)
	for _, c := range []struct {
		name string
		data []byte
		code string
	}{
		{"empty", nil, picture.CodeNotImage},
		{"text", []byte("this is a letter, not a photo, whatever its name says"), picture.CodeNotImage},
		{"pdf", []byte("%PDF-1.7 and so on and so forth and so on"), picture.CodeNotImage},
		{"jpeg cut in the header", jpg[:30], picture.CodeUndecodable},
		{"jpeg of three bytes", jpg[:3], picture.CodeUndecodable},
		{"jpeg without a frame", headless, picture.CodeUndecodable},
		{"jpeg that claims 65500 x 65500", bomb, picture.CodeTooLarge},
		{"png bomb", pngHeader(30000, 30000, 8, 0), picture.CodeTooLarge},
		{"png of a too long side", pngHeader(1, 20001, 8, 0), picture.CodeTooLarge},
		{"png without pixels", pngHeader(30, 30, 8, 0), picture.CodeUndecodable},
		{"png of no size", pngHeader(0, 30, 8, 0), picture.CodeUndecodable},
		{"gif without frames", []byte("GIF89a\x10\x00\x10\x00\x00\x00\x00;"), picture.CodeUndecodable},
		{"heic of one box", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), picture.CodeUndecodable},
		{"heic of no picture", heic(64, 64), picture.CodeUndecodable},
		{"heic of too many pixels", heic(6000, 5000), picture.CodeTooLarge},
		{"avif", []byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif"), picture.CodeUnsupported},
		{"webp of one chunk", []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x9f\x0f\x00\x6f\x17\x00"), picture.CodeUndecodable},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := process(t, c.data, picture.Options{})
			p, ok := errors.AsType[*picture.Problem](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.code, p.Code)
			require.Regexp(t, `^The .*\.$`, p.Detail)
		})
	}
}

func TestProcessIsRepeatable(t *testing.T) {
	b := encodeJPEG(t, quarters(500, 300))
	first, err := process(t, b, picture.Options{MaxSide: 100})
	require.NoError(t, err)
	second, err := process(t, b, picture.Options{MaxSide: 100})
	require.NoError(t, err)
	first.Waited, first.Worked, second.Waited, second.Worked = 0, 0, 0, 0
	require.Equal(t, first, second)
}

// failingReader serves a picture until limit, then calls fail and returns its
// error.
type failingReader struct {
	*bytes.Reader
	limit int64
	fail  func() error
}

func (f failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.limit {
		if err := f.fail(); err != nil {
			return 0, err
		}
	}
	return f.Reader.ReadAt(p, off)
}

func TestProcessTellsReadErrorsFromDamage(t *testing.T) {
	b := encodePNG(t, noise(300, 300))
	for _, limit := range []int64{0, 150_000} {
		r := failingReader{bytes.NewReader(b), limit, func() error { return io.ErrClosedPipe }}
		_, err := picture.Process(t.Context(), r, int64(len(b)), nil, picture.Options{})
		require.ErrorIs(t, err, io.ErrClosedPipe)
		_, isProblem := errors.AsType[*picture.Problem](err)
		require.False(t, isProblem)
	}
}

// failingAfter is a file of which a number of reads succeed.
type failingAfter struct {
	*bytes.Reader
	reads int
}

func (f *failingAfter) ReadAt(p []byte, off int64) (int, error) {
	if f.reads--; f.reads < 0 {
		return 0, syscall.EIO
	}
	return f.Reader.ReadAt(p, off)
}

// TestAFailingDiskIsNoDamage lets one of the last reads of a file of each format fail.
func TestAFailingDiskIsNoDamage(t *testing.T) {
	files := samples(t)
	large := image.NewPaletted(image.Rect(0, 0, 400, 400), palette.WebSafe)
	for i, v := range noise(400, 400).Pix[:len(large.Pix)] {
		large.Pix[i] = v % 200
	}
	files["large gif"] = encodeGIF(t, &gif.GIF{Image: []*image.Paletted{large}, Delay: []int{0}}) // read in pieces of 64 KiB
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			const many = 1 << 20
			r := &failingAfter{bytes.NewReader(b), many}
			_, err := picture.Process(t.Context(), r, int64(len(b)), nil, picture.Options{})
			require.NoError(t, err)
			reads := many - r.reads
			for n := range min(reads, 8) {
				r := &failingAfter{bytes.NewReader(b), reads - 1 - n}
				_, err := picture.Process(t.Context(), r, int64(len(b)), nil, picture.Options{})
				require.ErrorIs(t, err, syscall.EIO, "read %d of %d", reads-n, reads)
			}
		})
	}
}

func TestProcessStopsWhenTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	shutdown := errors.New("shutting down")
	b := encodePNG(t, noise(300, 300))
	r := failingReader{bytes.NewReader(b), 150_000, func() error { cancel(shutdown); return nil }}
	_, err := picture.Process(ctx, r, int64(len(b)), nil, picture.Options{})
	require.ErrorIs(t, err, shutdown)
	_, err = picture.Process(ctx, bytes.NewReader(b), int64(len(b)), picture.NewBudget(1), picture.Options{})
	require.ErrorIs(t, err, shutdown)
}

// noise returns a picture that does not compress.
func noise(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	seed := uint32(1)
	for i := range img.Pix {
		seed = seed*1664525 + 1013904223
		img.Pix[i] = byte(seed >> 24)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	return img
}

// TestSmallPicturesKeepEveryPixel shows icons: JPEG with colour at half the resolution would mix what is next to
// each other.
func TestSmallPicturesKeepEveryPixel(t *testing.T) {
	icon := image.NewNRGBA(image.Rect(0, 0, 9, 7))
	for i := range 9 * 7 {
		icon.SetNRGBA(i%9, i/9, []color.NRGBA{red, green, blue, yellow}[(i*i+i/9)%4])
	}
	for name, b := range map[string][]byte{"png": encodePNG(t, icon), "bmp": encodeBMP(t, icon), "tiff": encodeTIFF([]*image.NRGBA{icon})} {
		t.Run(name, func(t *testing.T) {
			res, err := process(t, b, picture.Options{})
			require.NoError(t, err)
			shown := decode(t, res.Full.Data)
			for y := range 7 {
				for x := range 9 {
					require.Equal(t, icon.At(x, y), color.NRGBAModel.Convert(shown.At(x, y)), "%d, %d", x, y)
				}
			}
		})
	}
}
