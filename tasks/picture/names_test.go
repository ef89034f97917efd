package picture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
	"casepress/tasks/picture/metadata"
)

func readNames(data []byte) metadata.Summary {
	got, _ := picture.Names(context.Background(), bytes.NewReader(data), int64(len(data)))
	got.Orientation = 0 // tested elsewhere
	return got
}

type example struct {
	file []byte
	want metadata.Summary
}

func examples() map[string]example {
	little := string(tiffBlock(binary.LittleEndian, exampleDirectory, thumbnailDirectory))
	big := string(tiffBlock(binary.BigEndian, exampleDirectory, thumbnailDirectory))
	var (
		exifTags    = metadata.Summary{Tags: exampleTags, CapturedAt: exampleTime}
		inSegment   = []string{"GPSLatitude", "GPSLatitudeRef", "Make", "Orientation"}
		withTags    = func(tags ...string) metadata.Summary { return metadata.Summary{Tags: tags} }
		xmpSegment  = appSegment(0xe1, "http://ns.adobe.com/xap/1.0/\x00"+exampleXMP)
		extension   = "http://ns.adobe.com/xmp/extension/\x00" + strings.Repeat("0", 40)
		long        = `<a:b xmlns:a="c"><a:Data>secret</a:Data></a:b>`
		inTIFF      = slices.DeleteFunc(slices.Clone(exampleTags), func(s string) bool { return s == "Orientation" || s == "Compression" })
		psdInSeg    = appSegment(0xed, "Photoshop 3.0\x00"+photoshop())
		iccInPNG    = rawChunk("iCCP", "secret\x00\x00"+deflated(iccProfile()))
		xmpInPNG    = rawChunk("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+exampleXMP)
		xmpInPNGToo = rawChunk("iTXt", "XML:com.adobe.xmp\x00\x01\x00\x00\x00"+deflated(exampleXMP))
	)
	return map[string]example{
		"JPEG EXIF":          {jpegFile(exifSegment()), withTags(inSegment...)},
		"JPEG XMP":           {jpegFile("\xff\xff", xmpSegment), withTags(exampleXMPTags...)},
		"JPEG extended XMP":  {jpegFile(appSegment(0xe1, extension+long[:20]), appSegment(0xe1, extension+long[20:])), withTags("XMP:Data", "XMP:b")},
		"JPEG IPTC":          {jpegFile(psdInSeg), withTags(photoshopTags...)},
		"JPEG ICC":           {jpegFile(appSegment(0xe2, "ICC_PROFILE\x00\x01\x02"+iccProfile()), appSegment(0xe2, "ICC_PROFILE\x00\x02\x02secret")), withTags(iccTags...)},
		"JPEG other":         {jpegFile(appSegment(0xe2, "MPF\x00secret"), appSegment(0xfe, "secret"), appSegment(0xe4, "secret")), withTags("APP4", "Comment", "MPF")},
		"JPEG thumbnail":     {jpegFile(appSegment(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x01\x01abc")), withTags("ThumbnailImage")},
		"JPEG thumbnail too": {jpegFile(appSegment(0xe0, "JFXX\x00\x10")), withTags("ThumbnailImage")},
		"JPEG without":       {jpegFile(appSegment(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"), appSegment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x01")), metadata.Summary{}},
		"JPEG cut":           {jpegFile(exifSegment(), xmpSegment)[:300], withTags(inSegment...)},
		"PNG EXIF":           {pngFile(rawChunk("eXIf", big)), exifTags},
		"PNG raw EXIF":       {pngFile(rawChunk("zTXt", "Raw profile type exif\x00\x00"+deflated(rawProfile("exif", little)))), exifTags},
		"PNG raw APP1":       {pngFile(rawChunk("tEXt", "Raw profile type APP1\x00"+rawProfile("generic", "http://ns.adobe.com/xap/1.0/\x00"+exampleXMP))), withTags(exampleXMPTags...)},
		"PNG raw IPTC":       {pngFile(rawChunk("zTXt", "Raw profile type iptc\x00\x00"+deflated(rawProfile("iptc", photoshop())))), withTags(photoshopTags...)},
		"PNG raw ICC":        {pngFile(rawChunk("zTXt", "Raw profile type icc\x00\x00"+deflated(rawProfile("icc", iccProfile())))), withTags(iccTags...)},
		"PNG raw XMP":        {pngFile(rawChunk("zTXt", "Raw profile type xmp\x00\x00"+deflated(rawProfile("xmp", exampleXMP)))), withTags(exampleXMPTags...)},
		"PNG raw other":      {pngFile(rawChunk("zTXt", "Raw profile type secret\x00\x00"+deflated("secret"))), withTags("PNG:Text")},
		"PNG XMP":            {pngFile(xmpInPNG), withTags(exampleXMPTags...)},
		"PNG deflated XMP":   {pngFile(xmpInPNGToo), withTags(exampleXMPTags...)},
		"PNG ICC":            {pngFile(iccInPNG), withTags(iccTags...)},
		"PNG texts":          {pngFile(rawChunk("tIME", "1234567"), rawChunk("tEXt", "Author\x00secret"), rawChunk("zTXt", "my secret\x00\x00secret"), rawChunk("iTXt", "Comment\x00\x00\x00\x00\x00secret")), withTags("PNG:Author", "PNG:Comment", "PNG:ModifyDate", "PNG:Text")},
		"PNG without":        {pngFile(), metadata.Summary{}},
		"WebP":               {webpFile(riffChunk("VP8X", "0123456789"), riffChunk("ICCP", iccProfile()), riffChunk("EXIF", "Exif\x00\x00"+little), riffChunk("XMP ", exampleXMP)), metadata.Summary{Tags: tagsOf(iccTags, exampleTags, exampleXMPTags), CapturedAt: exampleTime}},
		"WebP odd":           {webpFile(riffChunk("VP8 ", "123"), riffChunk("EXIF", big)), exifTags},
		"TIFF":               {[]byte(little), metadata.Summary{Tags: inTIFF, CapturedAt: exampleTime}},
		"TIFF, big-endian":   {[]byte(big), metadata.Summary{Tags: inTIFF, CapturedAt: exampleTime}},
		"TIFF with blocks": {tiffBlock(binary.LittleEndian, []entry{
			{tag: 0x02bc, text: exampleXMP}, {tag: 0x83bb, text: iptcBlock()}, {tag: 0x8649, text: photoshop()}, {tag: 0x8773, text: iccProfile()},
		}), withTags(tagsOf(exampleXMPTags, photoshopTags, iccTags)...)},
		"HEIF":        {heifFile(big, exampleXMP), metadata.Summary{Tags: tagsOf(exampleTags, exampleXMPTags, iccTags), CapturedAt: exampleTime}},
		"no picture":  {[]byte("This is no picture at all, whatever its name says."), metadata.Summary{}},
		"short":       {[]byte("II"), metadata.Summary{}},
		"nothing":     {nil, metadata.Summary{}},
		"a broken II": {[]byte("II*\x00\xff\xff\xff\xff12345678"), metadata.Summary{}},
	}
}

func TestNames(t *testing.T) {
	for name, e := range examples() {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, e.want, readNames(e.file))
		})
	}
}

// behindTheScan moves what stands behind the start of a JPEG to before its end.
func behindTheScan(jpg []byte, segments ...[]byte) []byte {
	end := len(jpg) - 2
	return append(append(bytes.Clone(jpg[:end]), bytes.Join(segments, nil)...), jpg[end:]...)
}

// TestNamesOfWhatStandsBehindTheScan requires the same names of segments wherever they stand.
func TestNamesOfWhatStandsBehindTheScan(t *testing.T) {
	jpg := encodeJPEG(t, quarters(64, 48))
	taken := tiffBlock(binary.LittleEndian, []entry{{tag: 0x010f, text: "maker"}, {tag: 0x9003, text: "2026:11:21 22:42:31"}})
	xmp := []byte(`<x xmlns:pp="http://example.org/p/"><pp:Secret>1</pp:Secret></x>`)
	const extension = "http://ns.adobe.com/xmp/extension/\x00"
	segments := [][]byte{
		segment(0xe1, append([]byte("Exif\x00\x00"), taken...)),
		segment(0xe1, append([]byte(extension), append(make([]byte, 40), xmp...)...)),
		segment(0xfe, []byte("a comment")),
	}
	before, err := process(t, withSegments(jpg, segments...), picture.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"Comment", "DateTimeOriginal", "Make", "XMP:Secret"}, before.Removed)
	behind, err := process(t, behindTheScan(jpg, segments...), picture.Options{})
	require.NoError(t, err)
	require.Equal(t, before.Removed, behind.Removed)
	require.Equal(t, "2026-11-21T22:42:31", behind.CapturedAt)
}

// TestNamingBehindTheScanIsBounded names what stands behind the scan of a JPEG that has nothing else,
// and requires that the list ends with the budget, and with the context.
func TestNamingBehindTheScanIsBounded(t *testing.T) {
	comments := bytes.Repeat([]byte{0xff, 0xfe, 0, 2}, 1<<20+1<<15) // the last piece is one that cancelling sees
	model := segment(0xe1, append([]byte("Exif\x00\x00"), tiffBlock(binary.LittleEndian, []entry{{tag: 0x0110, text: "model"}})...))
	b := behindTheScan(encodeJPEG(t, quarters(64, 48)), comments, model)
	res, err := process(t, b, picture.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"Comment"}, res.Removed, "the model stands behind more than is read")

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	whole := &cancelling{Reader: bytes.NewReader(b), cancel: func() { cancel(why) }}
	res, err = picture.Process(ctx, whole, int64(len(b)), nil, picture.Options{})
	require.ErrorIs(t, err, why)
	require.Empty(t, res.Removed)
}

func TestNamesNeverTellsAValue(t *testing.T) {
	for name, e := range examples() {
		got := readNames(e.file)
		require.NotContains(t, strings.Join(got.Tags, " "), "secret", name)
	}
}

func TestCapturedAt(t *testing.T) {
	for _, c := range []struct{ name, taken, zone, want string }{
		{"with zone", "2026:11:21 22:42:31", "+05:30", "2026-11-21T22:42:31+05:30"},
		{"universal time", "2026:11:21 22:42:31", "+00:00", "2026-11-21T22:42:31Z"},
		{"without zone", "2026:11:21 22:42:31", "", "2026-11-21T22:42:31"},
		{"blank zone", "2026:11:21 22:42:31", "   :  ", "2026-11-21T22:42:31"},
		{"no such zone", "2026:11:21 22:42:31", "+99:00", "2026-11-21T22:42:31"},
		{"padded", " 2026:11:21 22:42:31  ", "-08:00 ", "2026-11-21T22:42:31-08:00"},
		{"never", "0000:00:00 00:00:00", "", ""},
		{"no such day", "2026:02:30 12:00:00", "", ""},
		{"blank", "    :  :     :  :  ", "", ""},
		{"text", "the other day secretly", "", ""},
		{"with dashes", "2026-11-21 22:42:31", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := tiffBlock(binary.LittleEndian, []entry{{tag: 0x8769, directory: []entry{{tag: 0x9003, text: c.taken}, {tag: 0x9011, text: c.zone}}}})
			require.Equal(t, c.want, readNames(data).CapturedAt)
		})
	}
}

// counter counts what is read through it.
type counter struct {
	io.ReaderAt
	reads, bytes int
}

func (c *counter) ReadAt(b []byte, at int64) (int, error) {
	c.reads++
	c.bytes += len(b)
	return c.ReaderAt.ReadAt(b, at)
}

// TestNamesIsBounded reads files that want to cost more than they may.
func TestNamesIsBounded(t *testing.T) {
	circle := tiffBlock(binary.LittleEndian, []entry{{tag: 0x8769, number: 8}, {tag: 0x8825, number: 8}})
	self := tiffBlock(binary.LittleEndian, []entry{})
	binary.LittleEndian.PutUint32(self[10:], 8)
	huge := tiffBlock(binary.LittleEndian, []entry{{tag: 0x02bc, text: "secret"}})
	binary.LittleEndian.PutUint32(huge[14:], math.MaxUint32)
	pieces := "\x00\x00\x00\x00\x00\x00\xff\xff" + strings.Repeat("\x00\x01\x00\x00\xff\xff", 65535)
	for name, data := range map[string][]byte{
		"directories in a circle": circle,
		"directory after itself":  self,
		"value of 4 GiB":          huge,
		"many segments":           jpegFile(strings.Repeat("\xff\xe0\x00\x02", 1<<18)),
		"fill bytes":              []byte(strings.Repeat("\xff\xd8\xff", 1<<18)),
		"many chunks":             pngFile(strings.Repeat(rawChunk("eXIf", ""), 1<<18)),
		"deflated zeros":          pngFile(strings.Repeat(rawChunk("iCCP", "a\x00\x00"+deflated(strings.Repeat("\x00", 2<<20))), 50)),
		"deep XMP":                webpFile(riffChunk("XMP ", strings.Repeat("<a:a>", 1<<19))),
		"many properties":         webpFile(riffChunk("XMP ", strings.Repeat("<a:a b:c='d'/>", 1<<16))),
		"pieces without length":   []byte(isoBox("ftyp", "heic") + isoBox("meta", "\x00\x00\x00\x00", isoBox("iloc", pieces))),
		"box without length":      []byte(isoBox("ftyp", "heic") + "\x00\x00\x00\x01free\x00\x00\x00\x00\x00\x00\x00\x00"),
		"boxes":                   []byte(isoBox("ftyp", "heic") + strings.Repeat(isoBox("free"), 1<<18)),
	} {
		t.Run(name, func(t *testing.T) {
			c := &counter{ReaderAt: bytes.NewReader(data)}
			start := processorTime()
			got, err := picture.Names(t.Context(), c, int64(len(data)))
			require.NoError(t, err)
			require.LessOrEqual(t, c.bytes, picture.NamesBudget)
			require.LessOrEqual(t, c.reads, picture.NamesBudget/32)
			require.LessOrEqual(t, len(got.Tags), 500)
			require.Less(t, processorTime()-start, 5*time.Second)
		})
	}
}

func TestNamesKeepsFewTags(t *testing.T) {
	var many []entry
	for tag := uint16(1); tag < 2000; tag++ {
		many = append(many, entry{tag: tag, number: 1})
	}
	require.Len(t, readNames(tiffBlock(binary.LittleEndian, many)).Tags, 500)
}

// broken fails every read.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestNamesOfWhatCannotBeRead(t *testing.T) {
	_, err := picture.Names(t.Context(), broken{}, 1<<40)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func FuzzNames(f *testing.F) {
	for _, e := range examples() {
		f.Add(e.file[:min(len(e.file), 4096)])
	}
	plain := regexp.MustCompile(`^[A-Za-z0-9_.: -]{1,80}$`)
	f.Fuzz(func(t *testing.T, data []byte) {
		got := readNames(data)
		require.LessOrEqual(t, len(got.Tags), 500)
		require.True(t, slices.IsSorted(got.Tags))
		require.Equal(t, slices.Compact(slices.Clone(got.Tags)), got.Tags)
		for _, tag := range got.Tags {
			require.Regexp(t, plain, tag)
		}
		if got.CapturedAt != "" {
			_, err := time.Parse("2006-01-02T15:04:05", got.CapturedAt[:19])
			require.NoError(t, err)
		}
	})
}

func BenchmarkNames(b *testing.B) {
	data := jpegFile(exifSegment(), appSegment(0xe1, "http://ns.adobe.com/xap/1.0/\x00"+exampleXMP))
	for b.Loop() {
		readNames(data)
	}
}
