package picture_test

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"encoding/binary"
	"image"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
)

// testdata reads a file of testdata: the four quarters again, written by Pillow 13
// (WebP, CMYK) and libvips 8.14 (HEIC), because nothing here writes those formats.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return b
}

func encodeBMP(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, bmp.Encode(&buf, img))
	return buf.Bytes()
}

// tiffTag is one entry of a directory; data longer than four bytes stand elsewhere.
type tiffTag struct {
	tag, kind uint16
	count     uint32
	data      []byte
}

func short(tag uint16, values ...uint16) tiffTag {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return tiffTag{tag, 3, uint32(len(values)), b}
}

// encodeTIFF writes pages of 8-bit RGB, each with the further tags.
func encodeTIFF(pages []*image.NRGBA, further ...tiffTag) []byte {
	b := []byte("II*\x00\x00\x00\x00\x00")
	next := 4 // where the offset of the next directory is to be put
	for _, img := range pages {
		strip := len(b)
		for i := 0; i < len(img.Pix); i += 4 {
			b = append(b, img.Pix[i:i+3]...)
		}
		long := func(tag uint16, v int) tiffTag {
			return tiffTag{tag, 4, 1, binary.LittleEndian.AppendUint32(nil, uint32(v))}
		}
		tags := []tiffTag{
			short(0x100, uint16(img.Rect.Dx())), short(0x101, uint16(img.Rect.Dy())), short(0x102, 8, 8, 8),
			short(0x103, 1), short(0x106, 2), long(0x111, strip),
		}
		tags = append(append(tags, short(0x115, 3), long(0x116, img.Rect.Dy()), long(0x117, 3*img.Rect.Dx()*img.Rect.Dy())), further...)
		slices.SortFunc(tags, func(a, b tiffTag) int { return cmp.Compare(a.tag, b.tag) })
		for i, t := range tags {
			if len(t.data) > 4 {
				tags[i].data = binary.LittleEndian.AppendUint32(nil, uint32(len(b)))
				b = append(b, t.data...)
			}
		}
		binary.LittleEndian.PutUint32(b[next:], uint32(len(b)))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(tags)))
		for _, t := range tags {
			b = binary.LittleEndian.AppendUint16(b, t.tag)
			b = binary.LittleEndian.AppendUint16(b, t.kind)
			b = binary.LittleEndian.AppendUint32(b, t.count)
			b = append(b, append(t.data, 0, 0, 0, 0)[:4]...)
		}
		next = len(b)
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

// withChunks puts chunks right behind the header of a PNG.
func withChunks(b []byte, chunks ...[]byte) []byte {
	const header = 8 + 25
	return append(append(bytes.Clone(b[:header]), bytes.Join(chunks, nil)...), b[header:]...)
}

// swapped is the profile of a screen on which red is blue and blue is red, so that
// applying it shows.
func swapped() []byte {
	fixed := func(values ...float64) []byte {
		b := []byte("XYZ \x00\x00\x00\x00")
		for _, v := range values {
			b = binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(v*65536))))
		}
		return b
	}
	red, green, blue := fixed(0.4361, 0.2225, 0.0139), fixed(0.3851, 0.7169, 0.0971), fixed(0.1431, 0.0606, 0.7141)
	gamma := []byte("curv\x00\x00\x00\x00\x00\x00\x00\x01\x02\x33\x00\x00") // 2.2
	tags := []struct {
		name string
		data []byte
	}{{"rXYZ", blue}, {"gXYZ", green}, {"bXYZ", red}, {"rTRC", gamma}, {"gTRC", gamma}, {"bTRC", gamma}}
	p := make([]byte, 128, 600)
	copy(p[8:], "\x02\x10")
	copy(p[12:], "mntrRGB XYZ ")
	copy(p[36:], "acsp")
	p = binary.BigEndian.AppendUint32(p, uint32(len(tags)))
	at := len(p) + 12*len(tags)
	var data []byte
	for _, t := range tags {
		p = append(p, t.name...)
		p = binary.BigEndian.AppendUint32(p, uint32(at+len(data)))
		p = binary.BigEndian.AppendUint32(p, uint32(len(t.data)))
		data = append(data, t.data...)
	}
	p = append(p, data...)
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	return p
}

// profileSegment is a profile as a JPEG carries it.
func profileSegment(profile []byte) []byte {
	return segment(0xe2, append([]byte("ICC_PROFILE\x00\x01\x01"), profile...))
}

// profileChunk is a profile as a PNG carries it.
func profileChunk(t testing.TB, profile []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	z.WriteString("name\x00\x00")
	w := zlib.NewWriter(&z)
	_, err := w.Write(profile)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return pngChunk("iCCP", z.Bytes())
}
