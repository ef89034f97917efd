package picture_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// realPhotos is a folder of photos that are too large for the repository.
const realPhotos = "../../../shared/photos"

// secrets is EXIF with a maker, a serial number, a time and a position, all of which
// say "secret" in some way.
func secrets(orientation uint16) []byte {
	order := binary.BigEndian
	type entry struct {
		tag, kind uint16
		count     uint32
		value     []byte
	}
	directory := func(at int, entries ...entry) (dir, data []byte) {
		dir = order.AppendUint16(nil, uint16(len(entries)))
		behind := at + 2 + 12*len(entries) + 4
		for _, e := range entries {
			dir = order.AppendUint16(order.AppendUint16(dir, e.tag), e.kind)
			dir = order.AppendUint32(dir, e.count)
			value := e.value
			if len(value) > 4 {
				value = order.AppendUint32(nil, uint32(behind+len(data)))
				data = append(data, e.value...)
			}
			dir = append(dir, append(value, 0, 0, 0, 0)[:4]...)
		}
		return append(dir, 0, 0, 0, 0), data
	}
	text := func(tag uint16, s string) entry { return entry{tag, 2, uint32(len(s) + 1), append([]byte(s), 0)} }
	pointer := func(tag uint16, at int) entry { return entry{tag, 4, 1, order.AppendUint32(nil, uint32(at))} }
	const exifAt, gpsAt = 300, 600
	block := make([]byte, 900)
	copy(block, "MM\x00*\x00\x00\x00\x08")
	put := func(at int, entries ...entry) {
		dir, data := directory(at, entries...)
		copy(block[at:], append(dir, data...))
	}
	put(8, text(0x10f, "secretMaker"), entry{0x112, 3, 1, order.AppendUint16(nil, orientation)}, pointer(0x8769, exifAt), pointer(0x8825, gpsAt))
	put(exifAt, text(0x9003, "2026:11:21 19:57:31"), text(0x9011, "+08:00"), text(0xa431, "secretSerial"))
	put(gpsAt, text(1, "N"), entry{2, 5, 3, bytes.Repeat([]byte{0, 0, 0, 31, 0, 0, 0, 1}, 3)})
	return block
}

const secretXMP = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="secretTool"/></rdf:RDF></x:xmpmeta>`

func TestProcessIsPrivate(t *testing.T) {
	photo := encodeJPEG(t, noise(300, 200))
	jpegSecrets := [][]byte{
		segment(0xe1, append([]byte("Exif\x00\x00"), secrets(1)...)), segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+secretXMP)),
		segment(0xe2, []byte("MPF\x00secret")), segment(0xed, []byte("Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x0b\x1c\x02\x50\x00\x06secret\x00")), segment(0xef, []byte("secret")), segment(0xfe, []byte("secret comment")),
	}
	text := pngChunk("tEXt", []byte("Author\x00secret"))
	for _, c := range []struct {
		name string
		data []byte
		o    picture.Options
	}{
		{"jpeg, encoded anew", withSegments(photo, jpegSecrets...), picture.Options{MaxSide: 100}},
		{"jpeg, its pixels kept", append(withSegments(photo, jpegSecrets...), "secret film"...), picture.Options{}},
		{"jpeg in cmyk", withSegments(testdata(t, "cmyk.jpg"), jpegSecrets...), picture.Options{}},
		{"png photo", withChunks(encodePNG(t, noise(300, 200)), text, pngChunk("eXIf", secrets(1)), pngChunk("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"+secretXMP))), picture.Options{}},
		{"png drawing", withChunks(encodePNG(t, image.NewGray(image.Rect(0, 0, 300, 200))), text, pngChunk("eXIf", secrets(1))), picture.Options{}},
		{"tiff", encodeTIFF([]*image.NRGBA{noise(30, 20)}, tiffTag{0x10f, 2, 7, []byte("secret\x00")}), picture.Options{}},
		{"webp", testdata(t, "lossy.webp"), picture.Options{}},
		{"heic", testdata(t, "quarters.heic"), picture.Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := process(t, c.data, c.o)
			require.NoError(t, err)
			requirePrivate(t, res)
			require.NotContains(t, string(res.Full.Data), "secret")
			require.NotContains(t, string(res.Thumb.Data), "secret")
			require.True(t, slices.IsSorted(res.Removed))
			if bytes.Contains(c.data, []byte("secretSerial")) {
				require.Contains(t, res.Removed, "GPSLatitude")
				require.Equal(t, "2026-11-21T19:57:31+08:00", res.CapturedAt)
			}
			require.NotContains(t, res.Removed, "secret")
		})
	}
}

// requirePrivate takes both files of a result apart and requires that they hold the
// picture and nothing else.
func requirePrivate(t testing.TB, res picture.Result) {
	t.Helper()
	for _, out := range []picture.Encoded{res.Full, res.Thumb} {
		again, err := process(t, out.Data, picture.Options{})
		require.NoError(t, err)
		require.Empty(t, again.Removed)
		if out.Format == picture.FormatPNG {
			requireBarePNG(t, out.Data)
			continue
		}
		requireBareJPEG(t, out.Data)
	}
}

func requireBarePNG(t testing.TB, b []byte) {
	t.Helper()
	_, err := png.Decode(bytes.NewReader(b))
	require.NoError(t, err)
	for b = b[8:]; len(b) >= 12; b = b[12+binary.BigEndian.Uint32(b):] {
		require.Contains(t, []string{"IHDR", "IDAT", "IEND"}, string(b[4:8]))
	}
	require.Empty(t, b)
}

// requireBareJPEG allows the tables and frames that decoding needs, a JFIF header
// without a thumbnail, and nothing behind the end.
func requireBareJPEG(t testing.TB, b []byte) {
	t.Helper()
	require.True(t, bytes.HasSuffix(b, []byte{0xff, 0xd9}))
	for i := 2; b[i+1] != 0xda; i += 2 + int(binary.BigEndian.Uint16(b[i+2:])) {
		require.Equal(t, byte(0xff), b[i])
		switch b[i+1] {
		case 0xdb, 0xc0, 0xc4, 0xdd:
		case 0xe0:
			require.Equal(t, uint16(16), binary.BigEndian.Uint16(b[i+2:]))
			require.Equal(t, "JFIF\x00", string(b[i+4:i+9]))
			require.Equal(t, []byte{0, 0}, b[i+16:i+18], "no thumbnail")
		default:
			require.Fail(t, "a segment too many", "marker %x", b[i+1])
		}
	}
}

// TestProcessRealPhotos looks at what phones, sites and attackers really send.
func TestProcessRealPhotos(t *testing.T) {
	if testing.Short() {
		t.Skip("large, and one goroutine each")
	}
	files, err := filepath.Glob(realPhotos + "/[0-9]*")
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("the large photos are not here")
	}
	refused := map[string]string{
		"31_avif8.avif": picture.CodeUnsupported, "92_bomb.png": picture.CodeTooLarge, "93_bomb_header.jpg": picture.CodeTooLarge, "94_text.jpg": picture.CodeNotImage,
	}
	noted := map[string]string{
		"12_cmyk_swop.jpg": picture.CodeColours, "50_anim.gif": picture.CodeFirstFrame, "90_truncated.jpg": picture.CodeDamaged, "91_bitflips.jpg": picture.CodeDamaged,
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			res, err := process(t, b, picture.Options{})
			if code, ok := refused[filepath.Base(name)]; ok {
				p := new(picture.Problem)
				require.ErrorAs(t, err, &p)
				require.Equal(t, code, p.Code)
				return
			}
			require.NoError(t, err)
			requirePrivate(t, res)
			require.LessOrEqual(t, max(res.Full.Width, res.Full.Height), 1600)
			if code, ok := noted[filepath.Base(name)]; ok {
				require.Len(t, res.Notes, 1)
				require.Equal(t, code, res.Notes[0].Code)
			} else {
				require.Empty(t, res.Notes)
			}
		})
	}
}
