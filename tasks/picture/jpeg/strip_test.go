package jpeg_test

import (
	"bytes"
	"image"
	stdjpeg "image/jpeg"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/metadata"
)

// segment returns a segment of a JPEG file.
func segment(marker byte, payload string) string {
	n := len(payload) + 2
	return string([]byte{0xff, marker, byte(n >> 8), byte(n)}) + payload
}

// metadata has every kind of segment that tells more than the picture, by name.
var metadataSegments = map[string]string{
	"EXIF with a thumbnail": segment(0xe1, "Exif\x00\x00II*\x00\x08\x00\x00\x00 secret \xff\xd8\xff\xd9"),
	"XMP":                   segment(0xe1, "http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>secret"),
	"extended XMP":          segment(0xe1, "http://ns.adobe.com/xmp/extension/\x00secret"),
	"JFXX thumbnail":        segment(0xe0, "JFXX\x00\x10\xff\xd8 secret \xff\xd9"),
	"ICC profile":           segment(0xe2, "ICC_PROFILE\x00\x01\x01secret"),
	"list of pictures":      segment(0xe2, "MPF\x00secret"),
	"IPTC":                  segment(0xed, "Photoshop 3.0\x008BIM\x04\x04 secret"),
	"comment":               segment(0xfe, "secret"),
	"Samsung":               segment(0xe4, "QDIOBSsecret"),
	"HDR gain map":          segment(0xeb, "HDR_RI ver=11 secret"),
	"Adobe, of Y, Cb, Cr":   segment(0xee, "Adobe\x00\x64secr\x01"),
	"the last APP":          segment(0xef, "secret"),
	"an empty comment":      segment(0xfe, ""),
}

func plainFile(t testing.TB) []byte {
	return mustEncode(t, paint("smooth", 83, 41, 2, 2), 80)
}

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return data
}

// insert puts more behind SOI.
func insert(file []byte, more string) []byte {
	return []byte(string(file[:2]) + more + string(file[2:]))
}

func TestStripKeepsThePicture(t *testing.T) {
	for name, file := range map[string][]byte{
		"plain":       plainFile(t),
		"grey":        mustEncode(t, paint("noise", 30, 30, 0, 0), 90),
		"restarts":    testFile(t, "420-restart.jpg"),
		"three scans": testFile(t, "420-alone.jpg"),
		"two names":   renamed(t, "\x00\x01\x02"),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := jpeg.Strip(file)
			require.NoError(t, err)
			requireBytes(t, file, got)
		})
	}
}

func TestStripDropsMetadata(t *testing.T) {
	for name, more := range metadataSegments {
		t.Run(name, func(t *testing.T) {
			for _, file := range [][]byte{plainFile(t), testFile(t, "420-alone.jpg")} {
				got, err := jpeg.Strip(insert(file, more))
				require.NoError(t, err)
				requireBytes(t, file, got)
			}
		})
	}
}

func TestStripDropsWhatIsBetweenScansAndBehindTheEnd(t *testing.T) {
	file := testFile(t, "420-alone.jpg")
	scan := bytes.LastIndex(file, []byte{0xff, 0xda})
	comment := metadataSegments["comment"]
	dirty := string(file[:scan]) + "\xff\xff" + comment + "\xff\xff\xff" + string(file[scan:]) +
		"secret" + string(insert(plainFile(t), metadataSegments["EXIF with a thumbnail"]))
	got, err := jpeg.Strip([]byte(dirty))
	require.NoError(t, err)
	requireBytes(t, file, got)
}

func TestStripEmptiesTheHeader(t *testing.T) {
	file := plainFile(t)
	header := segment(0xe0, "JFIF\x00\x01\x01\x01\x00\x48\x00\x48\x01\x01secret")
	again := segment(0xe0, "JFIF\x00\x01\x01\x01\x00\x48\x00\x48\x00\x00 and more")
	got, err := jpeg.Strip([]byte(string(file[:2]) + header + again + string(file[20:])))
	require.NoError(t, err)
	want := segment(0xe0, "JFIF\x00\x01\x01\x01\x00\x48\x00\x48\x00\x00")
	require.Equal(t, string(file[:2])+want+string(file[20:]), string(got))
}

// renamed is a file without a JFIF header whose three components are called so.
func renamed(t testing.TB, names string) []byte {
	t.Helper()
	data := withoutJFIF(t, small(t, "420"))
	rename(t, data, names)
	scan := bytes.Index(data, []byte{0xff, 0xda})
	for i := range names {
		data[scan+5+2*i] = names[i]
	}
	return data
}

// TestStripDropsAdobe drops a segment that says what the components' names say to everybody.
func TestStripDropsAdobe(t *testing.T) {
	for _, names := range []string{"\x01\x02\x03", "\x00\x01\x02"} {
		file := renamed(t, names)
		got, err := jpeg.Strip(inserted(file, adobe(1)))
		require.NoError(t, err)
		requireBytes(t, file, got)
	}
}

func tagsIn(data []byte) []string {
	names := metadata.New(container.Memory(data))
	s, _ := container.JPEG(container.Memory(data))
	for s.Next() && s.Marker != container.MarkerSOS {
		if s.Marker >= container.MarkerAPP0 {
			names.Segment(s.Marker, s.Bytes(s.Length))
		}
	}
	return names.Summary().Tags
}

func TestNothingTellsMoreThanThePicture(t *testing.T) {
	require.Empty(t, tagsIn(plainFile(t)))
	all := plainFile(t)
	for _, more := range metadataSegments {
		all = insert(all, more)
	}
	require.NotEmpty(t, tagsIn(all))
	got, err := jpeg.Strip(all)
	require.NoError(t, err)
	require.Empty(t, tagsIn(got))
	require.NotContains(t, string(got), "secret")
}

// TestStripPhotos strips the whole JPEGs in the folder that CASEPRESS_PHOTOS names.
func TestStripPhotos(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(os.Getenv("CASEPRESS_PHOTOS"), "*.jpg"))
	require.NoError(t, err)
	if os.Getenv("CASEPRESS_PHOTOS") == "" || len(names) == 0 {
		t.Skip("no photos")
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			got, err := jpeg.Strip(data)
			if err != nil {
				t.Skip(err)
			}
			require.NotEmpty(t, tagsIn(data))
			require.Empty(t, tagsIn(got))
			if want, err := stdjpeg.Decode(bytes.NewReader(data)); err == nil {
				picture, err := stdjpeg.Decode(bytes.NewReader(got))
				require.NoError(t, err)
				require.True(t, reflect.DeepEqual(want, picture))
			}
		})
	}
}

func TestStripRefuses(t *testing.T) {
	file := string(plainFile(t))
	scans := string(testFile(t, "420-alone.jpg"))
	last := strings.LastIndex(scans, "\xff\xda")
	frame := strings.Index(file, "\xff\xc0")
	tables := strings.Index(file, "\xff\xdb")
	scan := strings.Index(file, "\xff\xda")
	for name, broken := range map[string]string{
		"nothing":             "",
		"SOI alone":           "\xff\xd8",
		"no scan":             "\xff\xd8\xff\xd9",
		"text":                "this is no picture at all",
		"no EOI":              file[:len(file)-2],
		"ends in a marker":    file[:len(file)-1],
		"ends in a header":    file[:frame+5],
		"ends behind marker":  file[:frame+2],
		"two frames":          file[:scan] + file[frame:],
		"scan before frame":   file[:frame] + file[scan:],
		"no pixels":           file[:frame+5] + "\x00\x00" + file[frame+7:],
		"more in frame":       file[:frame] + segment(0xc0, file[frame+4:frame+19]+"secret") + file[frame+19:],
		"more in table":       file[:tables] + segment(0xdb, file[tables+4:tables+69]+"secret") + file[tables+69:],
		"short huffman table": file[:tables] + segment(0xc4, "secret") + file[tables:],
		"stray bytes":         file[:tables] + "secret" + file[tables:],
		"restart in header":   file[:tables] + "\xff\xd0" + file[tables:],
		"JPGn":                file[:tables] + segment(0xf0, "secret") + file[tables:],
		"hierarchical":        file[:tables] + segment(0xde, file[frame+4:frame+19]) + file[tables:],
		"short JFIF header":   file[:2] + segment(0xe0, "JFIF\x00\x01\x02") + file[20:],
		"late Adobe":          scans[:last] + metadataSegments["Adobe, of Y, Cb, Cr"] + scans[last:],
		"segment too short":   file[:tables] + "\xff\xfe\x00\x01" + file[tables:],
	} {
		t.Run(name, func(t *testing.T) {
			got, err := jpeg.Strip([]byte(broken))
			require.ErrorIs(t, err, jpeg.ErrFormat)
			require.Nil(t, got)
		})
	}
}

// FuzzStrip checks that what Strip returns needs no stripping, and is the same picture.
func FuzzStrip(f *testing.F) {
	f.Add(testFile(f, "420-alone.jpg"))
	f.Add(testFile(f, "420-restart.jpg"))
	f.Add(mustEncode(f, paint("noise", 9, 9, 2, 2), 50))
	for _, more := range metadataSegments {
		f.Add(insert(mustEncode(f, paint("smooth", 17, 9, 1, 1), 50), more))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := jpeg.Strip(data)
		if err != nil {
			require.Nil(t, got)
			return
		}
		require.LessOrEqual(t, len(got), len(data))
		again, err := jpeg.Strip(got)
		require.NoError(t, err)
		requireBytes(t, got, again)
		if c, err := stdjpeg.DecodeConfig(bytes.NewReader(data)); err != nil || c.Width*c.Height > 1<<16 {
			return
		}
		if want, err := stdjpeg.Decode(bytes.NewReader(data)); err == nil {
			stripped, err := stdjpeg.Decode(bytes.NewReader(got))
			require.NoError(t, err)
			requireSamePicture(t, want, stripped)
		}
	})
}

// requireBytes is require.Equal without pages of bytes.
func requireBytes(t *testing.T, want, got []byte) {
	t.Helper()
	require.True(t, bytes.Equal(want, got), "%d bytes, not %d or others", len(got), len(want))
}

func requireSamePicture(t *testing.T, want, got image.Image) {
	t.Helper()
	require.IsType(t, want, got)
	require.Equal(t, want, got)
}

func BenchmarkStrip(b *testing.B) {
	file := insert(plainFile(b), strings.Repeat(metadataSegments["XMP"], 1000))
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		_, err := jpeg.Strip(file)
		require.NoError(b, err)
	}
}
