package picture_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/tasks/picture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The four quarters of a test picture, from the top left in reading order.
var (
	red    = color.NRGBA{200, 30, 30, 255}
	green  = color.NRGBA{30, 160, 30, 255}
	blue   = color.NRGBA{30, 30, 200, 255}
	yellow = color.NRGBA{220, 200, 20, 255}
)

// quarters returns a picture of four coloured quarters.
func quarters(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := [2][2]color.NRGBA{{red, green}, {blue, yellow}}[2*y/h][2*x/w]
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, jpeg.Encode(&buf, img, &jpeg.Options{Quality: 90}))
	return buf.Bytes()
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, img))
	return buf.Bytes()
}

func encodeGIF(t testing.TB, g *gif.GIF) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, gif.EncodeAll(&buf, g))
	return buf.Bytes()
}

// decode decodes a finished picture, JPEG or PNG.
func decode(t testing.TB, b []byte) image.Image {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(b))
	require.NoError(t, err)
	return img
}

// segment is one JPEG segment.
func segment(marker byte, payload []byte) []byte {
	b := []byte{0xff, marker}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)+2))
	return append(b, payload...)
}

// withSegments puts segments right behind the start of a JPEG.
func withSegments(jpg []byte, segments ...[]byte) []byte {
	out := append([]byte{}, jpg[:2]...)
	for _, s := range segments {
		out = append(out, s...)
	}
	return append(out, jpg[2:]...)
}

// exif is an APP1 segment that holds an orientation behind another tag.
func exif(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("Exif\x00\x00")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		b = append(b, "II*\x00"...)
	} else {
		b = append(b, "MM\x00*"...)
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, e := range [][2]uint16{{0x010f, 7}, {0x0112, orientation}} {
		b = order.AppendUint16(b, e[0])
		b = order.AppendUint16(b, 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, e[1])
		b = order.AppendUint16(b, 0)
	}
	return segment(0xe1, append(b, 0, 0, 0, 0))
}

// pngChunk is one chunk of a PNG.
func pngChunk(kind string, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = append(append(b, kind...), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngHeader is the signature and IHDR of a PNG.
func pngHeader(w, h uint32, depth, colour byte) []byte {
	ihdr := binary.BigEndian.AppendUint32(nil, w)
	ihdr = binary.BigEndian.AppendUint32(ihdr, h)
	ihdr = append(ihdr, depth, colour, 0, 0, 0)
	return append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", ihdr)...)
}

func process(t testing.TB, b []byte, o picture.Options) (picture.Result, error) {
	t.Helper()
	return picture.Process(t.Context(), bytes.NewReader(b), int64(len(b)), picture.NewBudget(64<<20), o)
}

// near requires that two colours are the same but for the loss of a JPEG.
func near(t testing.TB, want color.Color, got color.Color, at string) {
	t.Helper()
	wr, wg, wb, _ := want.RGBA()
	gr, gg, gb, _ := got.RGBA()
	for _, d := range [][2]uint32{{wr, gr}, {wg, gg}, {wb, gb}} {
		require.InDelta(t, d[0]>>8, d[1]>>8, 30, "%s: want %v, got %v", at, want, got)
	}
}

// requireQuarters requires the four colours, in reading order, at the middles of
// the quarters of a finished picture.
func requireQuarters(t testing.TB, made []byte, want [4]color.NRGBA) {
	t.Helper()
	img := decode(t, made)
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	for i, c := range want {
		x, y := w/4+i%2*w/2, h/4+i/2*h/2
		near(t, c, img.At(x, y), [4]string{"top left", "top right", "bottom left", "bottom right"}[i])
	}
}

// heic is the beginning of a HEIC file that claims a size.
func heic(w, h uint32) []byte { return heifBoxes("heic", "heic", [2]uint32{w, h}, [2]uint32{512, 512}) }

// heifBoxes is a HEIC file without pixels: a grid of the first size as its primary picture, made
// of tiles of the second.
func heifBoxes(major, compatible string, grid, tile [2]uint32) []byte {
	box := func(kind string, contents ...[]byte) []byte {
		all := bytes.Join(contents, nil)
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(all))), kind...), all...)
	}
	ispe := func(size [2]uint32) []byte {
		return box("ispe", make([]byte, 4), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, size[0]), size[1]))
	}
	infe := func(number byte, kind string) []byte {
		return box("infe", []byte{2, 0, 0, 0, 0, number, 0, 0}, []byte(kind), []byte{0})
	}
	return append(box("ftyp", []byte(major), make([]byte, 4), []byte("mif1"), []byte(compatible)), box("meta", make([]byte, 4),
		box("pitm", []byte{0, 0, 0, 0, 0, 2}),
		box("iinf", []byte{0, 0, 0, 0, 0, 2}, infe(1, "hvc1"), infe(2, "grid")),
		box("iref", make([]byte, 4), box("dimg", []byte{0, 2, 0, 1, 0, 1})),
		box("iprp", box("ipco", ispe(tile), ispe(grid)), box("ipma", []byte{0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 1, 0, 2, 1, 2})),
	)...)
}
