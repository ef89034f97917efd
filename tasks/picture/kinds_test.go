package picture_test

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// kind is a kind of picture that devices and programs make, and what becomes of it: it is shown, with
// notes perhaps, or refused with a code. docs/pictures.md lists the same kinds.
type kind struct {
	name    string
	data    []byte
	want    [4]color.NRGBA // what is seen in the middle of each quarter, where it is opaque
	notes   []string
	refused string
}

// kinds are unlike what this package's own encoders make. The files of testdata that nothing here
// writes are by Pillow 13 with libtiff and pillow-heif 1.8.
func kinds(t testing.TB) []kind {
	src := quarters(64, 48)
	jpg := encodeJPEG(t, src)
	general := bytes.Clone(testdata(t, "quarters.heic"))
	copy(general[8:], "mif1")
	frame := paletted(src)
	inks := func(c color.NRGBA) []byte { return []byte{c.R, c.G, c.B, 255} }
	var black [4]color.NRGBA
	black[0], black[1], black[2], black[3] = color.NRGBA{0, 0, 0, 255}, white, white, white
	var inGrey [4]color.NRGBA
	for i, c := range upright {
		v := color.GrayModel.Convert(c).(color.Gray).Y
		inGrey[i] = color.NRGBA{v, v, v, 255}
	}
	xmpTurned := segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<a xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6'/>"))
	return []kind{
		{"heic, the data in front of the boxes", testdata(t, "mdat-first.heic"), upright, nil, ""},
		{"heic of a general brand", general, upright, nil, ""},
		{"heic, narrower than the decoder's planes", testdata(t, "narrow.heic"), upright, nil, ""},
		{"heic of limited range", testdata(t, "limited.heic"), upright, nil, ""},
		{"heic, transparent", testdata(t, "alpha.heic"), [4]color.NRGBA{white, green, blue, yellow}, nil, ""},
		{"heic whose main picture is a thumbnail of another", thumbnailOfAnother(testdata(t, "alpha.heic")), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"heic, grey and transparent", testdata(t, "alpha-grey.heic"), [4]color.NRGBA{white, {106, 106, 106, 255}, {49, 49, 49, 255}, {185, 185, 185, 255}}, nil, ""},
		{"jpeg, turned by a LONG", withSegments(jpg, exifEntry(4, []byte{0, 0, 0, 6})), turned, nil, ""},
		{"jpeg, turned by an SSHORT", withSegments(jpg, exifEntry(8, []byte{0, 6, 0, 0})), turned, nil, ""},
		{"jpeg, turned by an SLONG", withSegments(jpg, exifEntry(9, []byte{0, 0, 0, 6})), turned, nil, ""},
		{"jpeg, turned by XMP", withSegments(jpg, xmpTurned), turned, nil, ""},
		{"jpeg that EXIF turns otherwise than XMP", withSegments(jpg, xmpTurned, exif(binary.BigEndian, 1)), upright, nil, ""},
		{"jpeg, turned by a BYTE", withSegments(jpg, exifEntry(1, []byte{6, 0, 0, 0})), turned, nil, ""},
		{"png, turned by EXIF with a prefix", withChunks(encodePNG(t, src), pngChunk("eXIf", exif(binary.BigEndian, 6)[4:])), turned, nil, ""},
		{"png, turned by a raw profile", withChunks(encodePNG(t, src), pngChunk("tEXt", []byte("Raw profile type exif\x00"+rawProfile("exif", string(exif(binary.BigEndian, 6)[4:]))))), turned, nil, ""},
		{"png, turned by XMP", withChunks(encodePNG(t, src), pngChunk("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00<a xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6'/>"))), turned, nil, ""},
		{"png whose text has a wrong checksum", withChunks(encodePNG(t, src), append(pngChunk("tEXt", []byte("Comment\x00x"))[:20], 0)), upright, nil, ""},
		{"png without its end", encodePNG(t, src)[:len(encodePNG(t, src))-12], upright, []string{picture.CodeDamaged}, ""},
		{"png in BT.2020 with PQ", withChunks(encodePNG(t, src), pngChunk("cICP", []byte{9, 16, 0, 1})), upright, []string{picture.CodeColours}, ""},
		{"png in a narrow range", withChunks(encodePNG(t, src), pngChunk("cICP", []byte{1, 13, 0, 0})), upright, []string{picture.CodeColours}, ""},
		{"png in brightness and colour", withChunks(encodePNG(t, src), pngChunk("cICP", []byte{1, 13, 1, 1})), upright, []string{picture.CodeColours}, ""},
		{"bmp of other primaries", bmpColours(src, 0, []uint32{687194767, 354334802, 32212255, 225485783, 762357350, 85899345, 161061274, 64424509, 848256041}, nil), upright, []string{picture.CodeColours}, ""},
		{"bmp of another gamma", bmpColours(src, 0, []uint32{0, 0, 0, 0, 0, 0, 0, 0, 0, 1 << 16}, nil), upright, []string{picture.CodeColours}, ""},
		{"bmp with a stray number among its primaries", bmpColours(src, 0, []uint32{8: 2}, nil), upright, nil, ""},
		{"bmp of the usual primaries and gamma", bmpColours(src, 0, []uint32{
			687194767, 354334802, 32212255, 322122547, 644245094, 107374182, 161061274, 64424509, 848256041, 144179, 144179, 144179,
		}, nil), upright, nil, ""},
		{"bmp whose profile is another file", bmpColours(src, 0x4c494e4b, nil, []byte("c:\\p3.icc\x00")), upright, []string{picture.CodeColours}, ""},
		{"bmp whose profile is damaged", bmpColours(src, 0x4d424544, nil, swapped()[:200]), upright, []string{picture.CodeColours}, ""},
		{"gif whose profile is damaged", gifWith(t, frame, func(b []byte) []byte { return slices.Insert(b, gifStart, gifProfile(swapped()[:200])...) }), upright, []string{picture.CodeColours}, ""},
		{"png of the usual gamma and primaries", withChunks(encodePNG(t, src), pngChunk("gAMA", []byte{0, 0, 0xb1, 0x8f}), pngChunk("cHRM", chromaticities(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))), upright, nil, ""},
		{"png of another gamma", withChunks(encodePNG(t, src), pngChunk("gAMA", []byte{0, 1, 0x86, 0xa0})), upright, []string{picture.CodeColours}, ""},
		{"png of other primaries", withChunks(encodePNG(t, src), pngChunk("cHRM", chromaticities(31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))), upright, []string{picture.CodeColours}, ""},
		{"jpeg without Huffman tables", withoutSegment(jpg, 0xc4), upright, nil, ""},
		{"jpeg with its height behind the scan", heightBehind(t, jpg), upright, nil, ""},
		{"jpeg of differing colour samplings", dcJPEG(src, [][2]int{{2, 2}, {1, 1}, {1, 2}}, "\x01\x02\x03", ycc), upright, nil, ""},
		{"jpeg sampled in threes", dcJPEG(src, [][2]int{{3, 1}, {1, 1}, {1, 1}}, "\x01\x02\x03", ycc), upright, nil, ""},
		{"jpeg whose components have one name", dcJPEG(src, [][2]int{{1, 1}, {1, 1}, {1, 1}}, "\x01\x01\x01", ycc), upright, nil, ""},
		{"jpeg in RGB", dcJPEG(src, [][2]int{{1, 1}, {1, 1}, {1, 1}}, "RGB", func(c color.NRGBA) []byte { return []byte{c.R, c.G, c.B} }), upright, nil, ""},
		{"jpeg of inks without Adobe's segment", dcJPEG(src, [][2]int{{1, 1}, {1, 1}, {1, 1}, {1, 1}}, "\x01\x02\x03\x04", inks), upright, nil, ""},
		{"jpeg of inks that ends early", dcJPEG(src, [][2]int{{1, 1}, {1, 1}, {1, 1}, {1, 1}}, "\x01\x02\x03\x04", inks)[:300], [4]color.NRGBA{red, green, {}, {}}, []string{picture.CodeDamaged}, ""},
		{"jpeg whose comment has no length", slices.Concat(jpg[:2], []byte{0xff, 0xfe, 0, 0}, jpg[2:]), upright, nil, ""},
		{"jpeg with restart markers behind the picture", slices.Concat(jpg[:len(jpg)-2], []byte{0xff, 0xd0, 0xff, 0xd9}), upright, nil, ""},
		{"tiff in planes", planes(src), upright, nil, ""},
		{"tiff with a sample too many", encodeTIFFSamples(src, 4, short(0x152, 0)), upright, nil, ""},
		{"tiff with transparency", encodeTIFFSamples(src, 4, short(0x152, 2)), upright, nil, ""},
		{"tiff whose second sample too many is its transparency", fiveSamples(hidden(src)), [4]color.NRGBA{white, green, blue, yellow}, nil, ""},
		{"tiff with transparency that it does not declare", encodeTIFFSamples(hidden(src), 4), [4]color.NRGBA{white, green, blue, yellow}, nil, ""},
		{"tiff with a sample that would hide everything", encodeTIFFSamples(hidden(hidden(hidden(hidden(src)))), 4), upright, nil, ""},
		{"tiff of inks", encodeTIFFSamples(src, 4, short(0x106, 5)), [4]color.NRGBA{inverted(red), inverted(green), inverted(blue), inverted(yellow)}, []string{picture.CodeColours}, ""},
		{"tiff with its pages in reverse", reversed(encodeTIFF([]*image.NRGBA{image.NewNRGBA(src.Rect), src})), upright, []string{picture.CodeFirstPage}, ""},
		{"gif with too much data", gifWith(t, frame, func(b []byte) []byte { return append(b[:len(b)-2], 3, 1, 2, 3, 0, 0x3b) }), upright, nil, ""},
		{"gif with an unknown extension", gifWith(t, frame, func(b []byte) []byte { return slices.Insert(b, gifStart, 0x21, 0x2a, 1, 7, 0) }), upright, nil, ""},
		{"gif without a screen", gifWith(t, frame, func(b []byte) []byte { clear(b[6:10]); return b }), upright, nil, ""},
		{"gif that ends early", gifWith(t, frame, func(b []byte) []byte { return b[:len(b)-300] }), [4]color.NRGBA{red, green, {}, {}}, []string{picture.CodeDamaged}, ""},
		{"gif with colours that its palette lacks", gifWith(t, frame, func(b []byte) []byte { b[10]--; return slices.Delete(b, 13+3*4, gifStart) }), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"gif without colours", gifWith(t, frame, func(b []byte) []byte { b[10] &= 0x7f; return slices.Delete(b, 13, gifStart) }), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"gif whose transparent colour is not in its palette", gifWith(t, transparentBeyond(frame), func(b []byte) []byte {
			return slices.Insert(b, gifStart, 0x21, 0xf9, 4, 1, 0, 0, 7, 0)
		}), [4]color.NRGBA{white, green, blue, yellow}, nil, ""},
		{"png with colours that its palette lacks", indexedPNG(frame, pngChunk("PLTE", colours(frame)[:12])), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"png with a palette", indexedPNG(frame, pngChunk("PLTE", colours(frame))), upright, nil, ""},
		{"png whose palette has a byte too many", indexedPNG(frame, pngChunk("PLTE", append(colours(frame), 9))), upright, nil, ""},
		{"png whose palette has colours too many", indexedPNG(frame, pngChunk("PLTE", append(colours(frame), make([]byte, 3*256)...))), upright, nil, ""},
		{"png with transparency before its palette", indexedPNG(frame, pngChunk("tRNS", make([]byte, 8)), pngChunk("PLTE", colours(frame))), upright, []string{picture.CodeTransparency}, ""},
		{"png with transparency behind its pixels", withoutEnd(encodePNG(t, src), pngChunk("tRNS", []byte{0, red.R, 0, red.G, 0, red.B}), pngChunk("IEND", nil)), upright, []string{picture.CodeTransparency}, ""},
		{"png whose transparency has a wrong checksum", withChunks(encodePNG(t, src), wrongSum(pngChunk("tRNS", []byte{0, red.R, 0, red.G, 0, red.B}))), upright, []string{picture.CodeTransparency}, ""},
		{"png whose transparency has a wrong checksum and comes again", withChunks(encodePNG(t, src), append(wrongSum(pngChunk("tRNS", []byte{0, red.R, 0, red.G, 0, red.B})), pngChunk("tRNS", make([]byte, 6))...)), upright, nil, ""},
		{"png in grey with a palette", withChunks(greyPNG(src), pngChunk("PLTE", colours(frame))), inGrey, nil, ""},
		{"png, interlaced, with bytes behind its pixels", interlacedPNG(src, 1, 2, 3), upright, nil, ""},
		{"png with rows too many", rgbPNG(src, zlibStream(append(rgbRows(src), rgbRows(src)...))), upright, nil, ""},
		{"png with bytes behind its pixels", rgbPNG(src, append(zlibStream(rgbRows(src)), 1, 2, 3)), upright, nil, ""},
		{"png whose pixels have no checksum", rgbPNG(src, zlibStream(rgbRows(src))[:len(zlibStream(rgbRows(src)))-4]), upright, nil, ""},
		{"png whose pixels have a wrong checksum", rgbPNG(src, append(zlibStream(rgbRows(src))[:len(zlibStream(rgbRows(src)))-4], 0, 0, 0, 0)), upright, []string{picture.CodeDamaged}, ""},
		{"bmp of bit fields without bits", noFields(bmp565(src)), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"bmp with run lengths that end at once", emptyRuns(frame), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"bmp that does not say where its pixels are", withoutOffset(encodeBMP(t, src)), upright, nil, ""},
		{"bmp with a palette that does not say where its pixels are", withoutOffset(bmpIndexed(frame)), upright, nil, ""},
		{"bmp of bit fields that does not say where its pixels are", withoutOffset(bmp565(src)), upright, nil, ""},
		{"bmp of OS/2 that does not say where its pixels are", withoutOffset(bmpCore(frame)), upright, nil, ""},
		{"bmp with more colours than there can be", tooManyColours(encodeBMP(t, src)), upright, nil, ""},
		{"bmp of 16 bits in fields", bmp565(src), upright, nil, ""},
		{"bmp of 32 bits, its transparency all zero", bmp32(src), upright, nil, ""},
		{"jpeg, baseline", jpg, upright, nil, ""},
		{"jpeg, progressive", progressive(t), [4]color.NRGBA{}, nil, ""},
		{"jpeg that ends early", encodeJPEG(t, noise(64, 48))[:2500], [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"jpeg, progressive, without its last scans", append(progressive(t)[:bytes.LastIndex(progressive(t), []byte{0xff, 0xda})], 0xff, 0xd9), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"jpeg that says twice how large it is", secondFrame(jpg), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"jpeg of inks with Adobe's segment", testdata(t, "cmyk.jpg"), upright, nil, ""},
		{"jpeg with a table of colours as its profile", withSegments(jpg, profileSegment([]byte("no profile that is read here"))), upright, []string{picture.CodeColours}, ""},
		{"jpeg, arithmetic coding", bytes.Replace(jpg, []byte{0xff, 0xc0}, []byte{0xff, 0xc9}, 1), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"jpeg, 12 bits", bytes.Replace(jpg, []byte{0xff, 0xc0, 0, 17, 8}, []byte{0xff, 0xc1, 0, 17, 12}, 1), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"heic", testdata(t, "quarters.heic"), upright, nil, ""},
		{"heif of other pictures than HEVC", bytes.Replace(heifBoxes("mif1", "miaf", [2]uint32{64, 48}, [2]uint32{64, 48}), []byte("hvc1"), []byte("jpeg"), 1), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"avif", heifBoxes("avif", "avif", [2]uint32{64, 48}, [2]uint32{64, 48}), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"png", encodePNG(t, src), upright, nil, ""},
		{"png, animated", withChunks(encodePNG(t, src), pngChunk("acTL", []byte{0, 0, 0, 2, 0, 0, 0, 0})), upright, []string{picture.CodeFirstFrame}, ""},
		{"bmp of 24 bits in fields", fieldsOf24(encodeBMP(t, src)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"png of Apple's apps (CgBI)", cgbi(encodePNG(t, src)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"png whose pixels end early", encodePNG(t, src)[:120], [4]color.NRGBA{}, nil, picture.CodeUndecodable},
		{"webp, lossy, turned", testdata(t, "lossy.webp"), turned, nil, ""},
		{"webp of 28 bytes", []byte("RIFF\x14\x00\x00\x00WEBPVP8L\x08\x00\x00\x00\x2f\x00\x00\x00\x00\x88\x88\x08"), [4]color.NRGBA{}, nil, ""},
		{"webp, lossless", testdata(t, "lossless.webp"), upright, nil, ""},
		{"webp, transparent", testdata(t, "alpha.webp"), [4]color.NRGBA{white, green, blue, yellow}, nil, ""},
		{"webp, animated", testdata(t, "animation.webp"), upright, []string{picture.CodeFirstFrame}, ""},
		{"gif", gifWith(t, frame, func(b []byte) []byte { return b }), upright, nil, ""},
		{"bmp with run lengths", bmpRuns(frame), upright, nil, ""},
		{"bmp with run lengths that end early", bmpRuns(frame)[:900], [4]color.NRGBA{{}, {}, blue, yellow}, []string{picture.CodeDamaged}, ""},
		{"bmp with run lengths for more rows", lowered(bmpRuns(frame)), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"bmp with run lengths that leave their row", wideRun(bmpRuns(frame)), upright, nil, ""},
		{"bmp with colours that its palette lacks", outsidePalette(bmpCore(frame)), [4]color.NRGBA{}, []string{picture.CodeDamaged}, ""},
		{"bmp whose palette ends early", manyColours(bmpRuns(frame)), upright, nil, ""},
		{"bmp of OS/2", bmpCore(frame), upright, nil, ""},
		{"bmp", encodeBMP(t, src), upright, nil, ""},
		{"tiff", encodeTIFF([]*image.NRGBA{src}), upright, nil, ""},
		{"tiff, fax, one row at a time without marks", testdata(t, "fax-runs.tif"), black, nil, ""},
		{"tiff, fax of group 3", testdata(t, "fax-g3.tif"), black, nil, ""},
		{"tiff, fax of group 3 in two dimensions", testdata(t, "fax-g3-2d.tif"), black, nil, ""},
		{"tiff, fax of group 3 with fill bits", testdata(t, "fax-g3-fill.tif"), black, nil, ""},
		{"tiff, fax of group 4", testdata(t, "fax-g4.tif"), black, nil, ""},
		{"tiff, fax whose black is zero", testdata(t, "fax-g4-black-is-zero.tif"), black, nil, ""},
		{"tiff, fax with its bits in reverse", testdata(t, "fax-fill-order.tif"), black, nil, ""},
		{"tiff of 64 bits (BigTIFF)", []byte("II+\x00\x08\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"tiff with JPEG in it", encodeTIFFSamples(src, 3, short(0x103, 7)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"tiff in floating point", encodeTIFFSamples(src, 3, short(0x153, 3, 3, 3)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"tiff with more depths than samples", encodeTIFFSamples(src, 3, short(0x102, 8, 8, 8, 1)), upright, nil, ""},
		{"tiff with LZW from before TIFF 6.0", oldLZW(t, src), upright, nil, ""},
		{"tiff with a palette", palettedTIFF(frame, 257), upright, nil, ""},
		{"tiff with a palette of 8 bits", palettedTIFF(frame, 1), upright, nil, ""},
		{"tiff of signed numbers", encodeTIFFSamples(src, 3, short(0x153, 2, 2, 2)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"tiff of 32 bits", encodeTIFFSamples(src, 3, short(0x102, 32, 32, 32)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"tiff compressed with LZMA, Zstandard or WebP", encodeTIFFSamples(src, 3, short(0x103, 34925)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"tiff of Lab or YCbCr", encodeTIFFSamples(src, 3, short(0x106, 8)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"raw file of a camera", encodeTIFFSamples(src, 3, short(0xfe, 1)), [4]color.NRGBA{}, nil, picture.CodeUnsupported},
		{"no picture, such as a PDF", []byte("%PDF-1.7 and so on, and on, and on"), [4]color.NRGBA{}, nil, picture.CodeNotImage},
	}
}

// TestKinds compares what is shown.
func TestKinds(t *testing.T) {
	for _, c := range kinds(t) {
		t.Run(c.name, func(t *testing.T) {
			res, err := process(t, c.data, picture.Options{})
			if c.refused != "" {
				p, ok := errors.AsType[*picture.Problem](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, c.refused, p.Code, p.Detail)
				return
			}
			require.NoError(t, err)
			var notes []string
			for _, n := range res.Notes {
				notes = append(notes, n.Code)
			}
			require.Equal(t, c.notes, notes)
			require.Equal(t, slices.Contains(notes, picture.CodeDamaged), res.Damage != "")
			img := decode(t, res.Full.Data)
			w, h := img.Bounds().Dx(), img.Bounds().Dy()
			for i, want := range c.want {
				if want.A != 0 {
					near(t, want, img.At(w/4+i%2*w/2, h/4+i/2*h/2), [4]string{"top left", "top right", "bottom left", "bottom right"}[i])
				}
			}
		})
	}
}

// TestHEICOfAnyMajorBrand: what the file is, its pictures say; the brand in front may be that of a
// sequence, of a film, or of a profile.
func TestHEICOfAnyMajorBrand(t *testing.T) {
	for _, brand := range []string{"heic", "heix", "hevc", "hevx", "heim", "heis", "hevm", "hevs", "mif1", "mif2", "msf1", "miaf", "MiHE", "isom", "iso8", "qt  "} {
		t.Run(brand, func(t *testing.T) {
			b := bytes.Clone(testdata(t, "quarters.heic"))
			copy(b[8:], brand)
			res, err := process(t, b, picture.Options{})
			require.NoError(t, err)
			require.Empty(t, res.Notes)
			requireQuarters(t, res.Full.Data, upright)
		})
	}
}

// TestDisplayP3ByNumber shows pictures whose values are those of Display P3, as a number says, in
// sRGB: without a conversion red would have 30 of green.
func TestDisplayP3ByNumber(t *testing.T) {
	want := [4]color.NRGBA{{218, 0, 6, 255}, {0, 163, 0, 255}, {30, 30, 208, 255}, {224, 199, 0, 255}}
	for name, b := range map[string][]byte{
		"png":  withChunks(encodePNG(t, quarters(64, 48)), pngChunk("cICP", []byte{12, 13, 0, 1})),
		"heic": testdata(t, "p3.heic"),
	} {
		t.Run(name, func(t *testing.T) {
			res, err := process(t, b, picture.Options{})
			require.NoError(t, err)
			require.Empty(t, res.Notes)
			img := decode(t, res.Full.Data)
			w, h := img.Bounds().Dx(), img.Bounds().Dy()
			for i, c := range want {
				got := color.NRGBAModel.Convert(img.At(w/4+i%2*w/2, h/4+i/2*h/2)).(color.NRGBA)
				for _, d := range [][2]uint8{{c.R, got.R}, {c.G, got.G}, {c.B, got.B}} {
					require.InDelta(t, d[0], d[1], 12, "%v, got %v", c, got)
				}
			}
		})
	}
}

// TestKindsAreDocumented reads the table of docs/pictures.md: the same kinds, with the same ends.
func TestKindsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/pictures.md")
	require.NoError(t, err)
	documented := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+) \| (shown|shown, `+"`[a-z-]+`|`[a-z-]+`"+`) \|$`).FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[2]
	}
	made := map[string]string{}
	for _, c := range kinds(t) {
		switch {
		case c.refused != "":
			made[c.name] = "`" + c.refused + "`"
		case len(c.notes) > 0:
			made[c.name] = "shown, `" + c.notes[0] + "`"
		default:
			made[c.name] = "shown"
		}
	}
	require.Equal(t, made, documented)
}

// progressive is a picture that is built up in scans.
func progressive(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("jpeg/testdata/420-progressive.jpg")
	require.NoError(t, err)
	return b
}

func inverted(c color.NRGBA) color.NRGBA { return color.NRGBA{255 - c.R, 255 - c.G, 255 - c.B, 255} }

func ycc(c color.NRGBA) []byte {
	y, cb, cr := color.RGBToYCbCr(c.R, c.G, c.B)
	return []byte{y, cb, cr}
}

// chromaticities are those of white, red, green and blue in hundred thousandths.
func chromaticities(v ...uint32) (b []byte) {
	for _, v := range v {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// exifEntry is an APP1 segment with an orientation of a type.
func exifEntry(kind byte, value []byte) []byte {
	return segment(0xe1, slices.Concat([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00"), []byte{kind, 0, 0, 0, 1}, value, make([]byte, 4)))
}

// withoutSegment leaves out the segments of a marker in front of the scan.
func withoutSegment(jpg []byte, marker byte) []byte {
	out, at := bytes.Clone(jpg[:2]), 2
	for jpg[at+1] != 0xda {
		n := 2 + int(binary.BigEndian.Uint16(jpg[at+2:]))
		if jpg[at+1] != marker {
			out = append(out, jpg[at:at+n]...)
		}
		at += n
	}
	return append(out, jpg[at:]...)
}

// secondFrame puts a frame header of a row less behind the first.
func secondFrame(jpg []byte) []byte {
	from := bytes.Index(jpg, []byte{0xff, 0xc0})
	to := from + 2 + int(binary.BigEndian.Uint16(jpg[from+2:]))
	second := bytes.Clone(jpg[from:to])
	second[6]--
	return slices.Concat(jpg[:to], second, jpg[to:])
}

// heightBehind moves the height from the frame header to a DNL segment behind the scan.
func heightBehind(t testing.TB, jpg []byte) []byte {
	b := bytes.Clone(jpg)
	at := bytes.Index(b, []byte{0xff, 0xc0})
	height := bytes.Clone(b[at+5 : at+7])
	clear(b[at+5 : at+7])
	require.Equal(t, []byte{0xff, 0xd9}, b[len(b)-2:])
	return slices.Concat(b[:len(b)-2], segment(0xdc, height), []byte{0xff, 0xd9})
}

// dcJPEG writes a JPEG of any sampling, every block of one value: codes of 4 bits say how many
// bits a difference of DC has, and a single bit ends the block.
func dcJPEG(img *image.NRGBA, sampling [][2]int, ids string, colours func(color.NRGBA) []byte) []byte {
	b := []byte{0xff, 0xd8}
	b = append(b, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...))...)
	frame := []byte{8, 0, byte(img.Rect.Dy()), 0, byte(img.Rect.Dx()), byte(len(sampling))}
	scan := []byte{byte(len(sampling))}
	hMost, vMost := 1, 1
	for i, s := range sampling {
		frame = append(frame, ids[i], byte(s[0]<<4|s[1]), 0)
		scan = append(scan, ids[i], 0)
		hMost, vMost = max(hMost, s[0]), max(vMost, s[1])
	}
	b = append(b, segment(0xc0, frame)...)
	dc := append([]byte{0, 0, 0, 0, 12}, make([]byte, 12)...)
	for i := range byte(12) {
		dc = append(dc, i)
	}
	b = append(b, segment(0xc4, dc)...)
	b = append(b, segment(0xc4, append(append([]byte{0x10, 1}, make([]byte, 15)...), 0))...)
	b = append(b, segment(0xda, append(scan, 0, 63, 0))...)
	var acc uint64
	bits := 0
	put := func(v, n int) {
		acc, bits = acc<<n|uint64(v), bits+n
		for ; bits >= 8; bits -= 8 {
			o := byte(acc >> (bits - 8))
			if b = append(b, o); o == 0xff {
				b = append(b, 0)
			}
		}
	}
	pred := make([]int, len(sampling))
	wide, high := 8*hMost, 8*vMost
	for y := 0; y < img.Rect.Dy(); y += high {
		for x := 0; x < img.Rect.Dx(); x += wide {
			for i, s := range sampling {
				for v := range s[1] {
					for h := range s[0] {
						at := img.NRGBAAt(min(x+(2*h+1)*wide/(2*s[0]), img.Rect.Dx()-1), min(y+(2*v+1)*high/(2*s[1]), img.Rect.Dy()-1))
						d := int(colours(at)[i]) - 128 // the step of 8 makes this the value itself
						diff := d - pred[i]
						pred[i] = d
						n := 0
						for m := max(diff, -diff); m > 0; m >>= 1 {
							n++
						}
						put(n, 4)
						if diff < 0 {
							diff += 1<<n - 1
						}
						put(diff, n)
						put(0, 1)
					}
				}
			}
		}
	}
	put(0x7f, 7)
	return append(b, 0xff, 0xd9)
}

// encodeTIFFSamples writes 8-bit pixels of so many samples, with tags in place of the usual ones.
func encodeTIFFSamples(img *image.NRGBA, samples int, further ...tiffTag) []byte {
	var pix []byte
	for i := 0; i < len(img.Pix); i += 4 {
		pix = append(pix, img.Pix[i:i+3]...)
		for range samples - 3 {
			pix = append(pix, img.Pix[i+3]-byte(255*slices.IndexFunc(further, func(t tiffTag) bool { return t.tag == 0x106 })+255))
		}
	}
	tags := append([]tiffTag{short(0x115, uint16(samples))}, further...)
	if !slices.ContainsFunc(further, func(t tiffTag) bool { return t.tag == 0x102 }) {
		tags = append(tags, short(0x102, []uint16{8, 8, 8, 8}[:samples]...))
	}
	return rawTIFF(img.Rect, pix, tags)
}

// fiveSamples writes red, green, blue, 0 of no use, and transparency.
func fiveSamples(img *image.NRGBA) []byte {
	var pix []byte
	for i := 0; i < len(img.Pix); i += 4 {
		pix = append(append(append(pix, img.Pix[i:i+3]...), 0), img.Pix[i+3])
	}
	return rawTIFF(img.Rect, pix, []tiffTag{short(0x102, 8, 8, 8, 8, 8), short(0x115, 5), short(0x152, 0, 2)})
}

// palettedTIFF writes indexes of 8 bits, and colours of so much for each of 255 steps.
func palettedTIFF(p *image.Paletted, unit uint16) []byte {
	palette := make([]uint16, 3*256)
	for i, c := range p.Palette {
		c := c.(color.NRGBA)
		palette[i], palette[256+i], palette[512+i] = unit*uint16(c.R), unit*uint16(c.G), unit*uint16(c.B)
	}
	return rawTIFF(p.Rect, p.Pix, []tiffTag{short(0x102, 8), short(0x106, 3), short(0x115, 1), short(0x140, palette...)})
}

// oldLZW writes codes as GIF has them.
func oldLZW(t testing.TB, img *image.NRGBA) []byte {
	var packed bytes.Buffer
	w := lzw.NewWriter(&packed, lzw.LSB, 8)
	for i := 0; i < len(img.Pix); i += 4 {
		_, err := w.Write(img.Pix[i : i+3])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return rawTIFF(img.Rect, packed.Bytes(), []tiffTag{short(0x102, 8, 8, 8), short(0x103, 5), short(0x115, 3)})
}

// planes writes a TIFF whose red, green and blue stand one behind the other.
func planes(img *image.NRGBA) []byte {
	var pix []byte
	for c := range 3 {
		for i := c; i < len(img.Pix); i += 4 {
			pix = append(pix, img.Pix[i])
		}
	}
	n := uint32(img.Rect.Dx() * img.Rect.Dy())
	longs := func(tag uint16, v ...uint32) tiffTag {
		var b []byte
		for _, v := range v {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return tiffTag{tag, 4, uint32(len(v)), b}
	}
	return rawTIFF(img.Rect, pix, []tiffTag{short(0x102, 8, 8, 8), short(0x115, 3), short(0x11c, 2), longs(0x111, 8, 8+n, 8+2*n), longs(0x117, n, n, n)})
}

// rawTIFF writes pixels in one strip at offset 8, with tags in place of the usual ones.
func rawTIFF(r image.Rectangle, pix []byte, further []tiffTag) []byte {
	b := append([]byte("II*\x00\x00\x00\x00\x00"), pix...)
	long := func(tag uint16, v int) tiffTag {
		return tiffTag{tag, 4, 1, binary.LittleEndian.AppendUint32(nil, uint32(v))}
	}
	tags := slices.Clone(further)
	for _, usual := range []tiffTag{
		short(0x100, uint16(r.Dx())), short(0x101, uint16(r.Dy())), short(0x103, 1), short(0x106, 2),
		long(0x111, 8), long(0x116, r.Dy()), long(0x117, len(pix)),
	} {
		if !slices.ContainsFunc(further, func(t tiffTag) bool { return t.tag == usual.tag }) {
			tags = append(tags, usual)
		}
	}
	slices.SortFunc(tags, func(a, b tiffTag) int { return int(a.tag) - int(b.tag) })
	for i, t := range tags {
		if len(t.data) > 4 {
			tags[i].data = binary.LittleEndian.AppendUint32(nil, uint32(len(b)))
			b = append(b, t.data...)
		}
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(tags)))
	for _, t := range tags {
		b = binary.LittleEndian.AppendUint16(b, t.tag)
		b = binary.LittleEndian.AppendUint16(b, t.kind)
		b = binary.LittleEndian.AppendUint32(b, t.count)
		b = append(b, append(t.data, 0, 0, 0, 0)[:4]...)
	}
	return append(b, 0, 0, 0, 0)
}

// reversed makes the second page of two the first, so that the next one stands before it.
func reversed(tiff []byte) []byte {
	b := bytes.Clone(tiff)
	first := binary.LittleEndian.Uint32(b[4:])
	next := first + 2 + 12*uint32(binary.LittleEndian.Uint16(b[first:]))
	second := binary.LittleEndian.Uint32(b[next:])
	binary.LittleEndian.PutUint32(b[4:], second)
	binary.LittleEndian.PutUint32(b[next:], 0)
	binary.LittleEndian.PutUint32(b[second+2+12*uint32(binary.LittleEndian.Uint16(b[second:])):], first)
	return b
}

// paletted is a picture of the four colours, and grain so that it has some bytes.
func paletted(img *image.NRGBA) *image.Paletted {
	p := image.NewPaletted(img.Rect, color.Palette{red, green, blue, yellow, color.NRGBA{200, 35, 30, 255}, color.NRGBA{30, 165, 30, 255}, color.NRGBA{30, 35, 200, 255}, color.NRGBA{220, 205, 20, 255}})
	for i := range p.Pix {
		x, y := i%64, i/64
		p.Pix[i] = uint8(2*y/48*2+2*x/64) + uint8(i*i*31>>3&1)*4
	}
	return p
}

// gifStart is where the blocks of a GIF of 8 colours begin.
const gifStart = 13 + 3*8

func gifWith(t testing.TB, p *image.Paletted, change func([]byte) []byte) []byte {
	return change(encodeGIF(t, &gif.GIF{Image: []*image.Paletted{p}, Delay: []int{0}, Config: image.Config{ColorModel: p.Palette, Width: 64, Height: 48}}))
}

// transparentBeyond is a picture of 7 colours at most, the first quarter of which has the index 7.
func transparentBeyond(p *image.Paletted) *image.Paletted {
	q := image.NewPaletted(p.Rect, p.Palette)
	for i, v := range p.Pix {
		if q.Pix[i] = v; v%4 == 0 {
			q.Pix[i] = 7
		} else if v == 7 {
			q.Pix[i] = 3
		}
	}
	return q
}

// colours are those of a palette, three bytes each.
func colours(p *image.Paletted) (b []byte) {
	for _, c := range p.Palette {
		c := c.(color.NRGBA)
		b = append(b, c.R, c.G, c.B)
	}
	return b
}

func zlibStream(raw []byte) []byte { return []byte(deflated(string(raw))) }

// filtered puts the filter of a PNG, none, in front of each row.
func filtered(pix []byte, row int) (b []byte) {
	for ; len(pix) > 0; pix = pix[row:] {
		b = append(append(b, 0), pix[:row]...)
	}
	return b
}

// rgbRows are the rows of a PNG in red, green and blue.
func rgbRows(img *image.NRGBA) []byte {
	var pix []byte
	for i := 0; i < len(img.Pix); i += 4 {
		pix = append(pix, img.Pix[i:i+3]...)
	}
	return filtered(pix, 3*img.Rect.Dx())
}

// pngOf writes a PNG of 8 bits with the given chunks in front of its pixels.
func pngOf(r image.Rectangle, colour byte, pixels []byte, chunks ...[]byte) []byte {
	b := append(pngHeader(uint32(r.Dx()), uint32(r.Dy()), 8, colour), bytes.Join(chunks, nil)...)
	return slices.Concat(b, pngChunk("IDAT", pixels), pngChunk("IEND", nil))
}

func rgbPNG(img *image.NRGBA, pixels []byte) []byte { return pngOf(img.Rect, 2, pixels) }

// interlacedPNG writes a PNG in its seven passes, with bytes behind the last.
func interlacedPNG(img *image.NRGBA, behind ...byte) []byte {
	var raw []byte
	for _, p := range [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		for y := p[1]; y < img.Rect.Dy(); y += p[3] {
			raw = append(raw, 0)
			for x := p[0]; x < img.Rect.Dx(); x += p[2] {
				c := img.NRGBAAt(x, y)
				raw = append(raw, c.R, c.G, c.B)
			}
		}
	}
	b := pngOf(img.Rect, 2, zlibStream(append(raw, behind...)))
	header := bytes.Clone(b[16:29])
	header[12] = 1
	return slices.Concat(b[:8], pngChunk("IHDR", header), b[33:])
}

func indexedPNG(p *image.Paletted, chunks ...[]byte) []byte {
	return pngOf(p.Rect, 3, zlibStream(filtered(p.Pix, p.Rect.Dx())), chunks...)
}

func greyPNG(img *image.NRGBA) []byte {
	var pix []byte
	for i := 0; i < len(img.Pix); i += 4 {
		pix = append(pix, color.GrayModel.Convert(color.NRGBA{img.Pix[i], img.Pix[i+1], img.Pix[i+2], 255}).(color.Gray).Y)
	}
	return pngOf(img.Rect, 0, zlibStream(filtered(pix, img.Rect.Dx())))
}

// wrongSum alters the checksum of a chunk of PNG.
func wrongSum(chunk []byte) []byte {
	chunk[len(chunk)-1] ^= 1
	return chunk
}

// withoutEnd puts chunks in place of the end mark.
func withoutEnd(b []byte, chunks ...[]byte) []byte {
	return append(b[:len(b)-12], bytes.Join(chunks, nil)...)
}

// noFields clears the masks of bit fields.
func noFields(b []byte) []byte {
	clear(b[54:66])
	return b
}

// emptyRuns is a BMP whose run lengths are nothing but the mark of the end.
func emptyRuns(p *image.Paletted) []byte {
	b := bmpRuns(p)
	return append(b[:binary.LittleEndian.Uint32(b[10:])], 0, 1)
}

// bmpIndexed writes 8-bit indexes as they are, and all 256 colours.
func bmpIndexed(p *image.Paletted) []byte {
	b := bmpHeader(p.Rect, 8, 0, 40, 4*256)
	for i := range 256 {
		c := p.Palette[i%len(p.Palette)].(color.NRGBA)
		b = append(b, c.B, c.G, c.R, 0)
	}
	for y := p.Rect.Dy() - 1; y >= 0; y-- {
		b = append(b, p.Pix[y*p.Stride:][:p.Rect.Dx()]...)
	}
	return b
}

// withoutOffset clears what a BMP says of where its pixels are.
func withoutOffset(b []byte) []byte {
	clear(b[10:14])
	return b
}

// tooManyColours is a BMP whose header says that its palette has 2³¹ colours.
func tooManyColours(b []byte) []byte {
	b[49] = 0x80
	return b
}

// bmp565 writes 5, 6 and 5 bits.
func bmp565(img *image.NRGBA) []byte {
	b := bmpHeader(img.Rect, 16, 3, 40, 12)
	for _, mask := range []uint32{0xf800, 0x07e0, 0x001f} {
		b = binary.LittleEndian.AppendUint32(b, mask)
	}
	for y := img.Rect.Dy() - 1; y >= 0; y-- {
		for x := range img.Rect.Dx() {
			c := img.NRGBAAt(x, y)
			b = binary.LittleEndian.AppendUint16(b, uint16(c.R>>3)<<11|uint16(c.G>>2)<<5|uint16(c.B>>3))
		}
	}
	return b
}

// fieldsOf24 puts masks behind the header of a file of 24 bits.
func fieldsOf24(b []byte) []byte {
	const masksAt, masks = 54, 12
	b = slices.Insert(b, masksAt, 0, 0, 0xff, 0, 0, 0xff, 0, 0, 0xff, 0, 0, 0)
	binary.LittleEndian.PutUint16(b[28:], 24)
	binary.LittleEndian.PutUint32(b[30:], 3)
	binary.LittleEndian.PutUint32(b[10:], masksAt+masks)
	return b
}

// cgbi puts the chunk in front of a file by which Apple's programs know their kind.
func cgbi(b []byte) []byte {
	return slices.Concat(b[:8], pngChunk("CgBI", []byte{0x50, 0, 0x20, 0x02}), b[8:])
}

// bmp32 writes a header of version 5 that says where the transparency is, and none.
func bmp32(img *image.NRGBA) []byte {
	b := bmpHeader(img.Rect, 32, 3, 124, 0)
	for i, mask := range []uint32{0xff0000, 0xff00, 0xff, 0xff000000} {
		binary.LittleEndian.PutUint32(b[14+40+4*i:], mask)
	}
	for y := img.Rect.Dy() - 1; y >= 0; y-- {
		for x := range img.Rect.Dx() {
			c := img.NRGBAAt(x, y)
			b = append(b, c.B, c.G, c.R, 0)
		}
	}
	return b
}

// bmpColours writes a header of version 5 with a kind of colours, its numbers, and a profile behind the pixels.
func bmpColours(img *image.NRGBA, kind uint32, numbers []uint32, profile []byte) []byte {
	b := bmp32(img)
	for i := 14 + 124 + 3; i < len(b); i += 4 {
		b[i] = 255
	}
	binary.LittleEndian.PutUint32(b[14+56:], kind)
	for i, v := range numbers {
		binary.LittleEndian.PutUint32(b[14+60+4*i:], v)
	}
	binary.LittleEndian.PutUint32(b[14+112:], uint32(len(b)-14))
	binary.LittleEndian.PutUint32(b[14+116:], uint32(len(profile)))
	return append(b, profile...)
}

// gifProfile is an extension with a profile, in pieces of 100 bytes.
func gifProfile(profile []byte) []byte {
	b := []byte("\x21\xff\x0bICCRGBG1012")
	for piece := range slices.Chunk(profile, 100) {
		b = append(append(b, byte(len(piece))), piece...)
	}
	return append(b, 0)
}

// bmpRuns writes runs of 8-bit indexes: a length and an index, 0 0 at the end of a row, 0 1 at that
// of the picture.
func bmpRuns(p *image.Paletted) []byte {
	b := bmpHeader(p.Rect, 8, 1, 40, 4*len(p.Palette))
	b[46] = byte(len(p.Palette))
	for _, c := range p.Palette {
		c := c.(color.NRGBA)
		b = append(b, c.B, c.G, c.R, 0)
	}
	for y := p.Rect.Dy() - 1; y >= 0; y-- {
		row := p.Pix[y*p.Stride:][:p.Rect.Dx()]
		for len(row) > 0 {
			n := 1
			for n < len(row) && row[n] == row[0] {
				n++
			}
			b = append(b, byte(n), row[0])
			row = row[n:]
		}
		b = append(b, 0, 0)
	}
	return append(b[:len(b)-1], 1)
}

// lowered is a BMP whose header says that it has half as many rows.
func lowered(b []byte) []byte {
	b[22] /= 2
	return b
}

// manyColours is a BMP whose header says that its palette has all 256 colours.
func manyColours(b []byte) []byte {
	clear(b[46:50])
	return b
}

// wideRun makes the first run of a BMP longer than any row, and ends its row there.
func wideRun(b []byte) []byte {
	at := int(binary.LittleEndian.Uint32(b[10:]))
	end := at
	for b[end] != 0 {
		end += 2
	}
	return slices.Replace(b, at, end, 250, 2)
}

// outsidePalette gives a BMP of OS/2 a palette of the 4 colours that are first; its pixels need 8.
func outsidePalette(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[10:], 14+12+3*4)
	return slices.Delete(b, 14+12+3*4, 14+12+3*256)
}

// hidden is a picture with another quarter of it transparent: the first that is not.
func hidden(img *image.NRGBA) *image.NRGBA {
	out := image.NewNRGBA(img.Rect)
	copy(out.Pix, img.Pix)
	for i := range 4 {
		r := image.Rect(0, 0, img.Rect.Dx()/2, img.Rect.Dy()/2).Add(image.Pt(i%2*img.Rect.Dx()/2, i/2*img.Rect.Dy()/2))
		if img.NRGBAAt(r.Min.X, r.Min.Y).A == 0 {
			continue
		}
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				out.Pix[out.PixOffset(x, y)+3] = 0
			}
		}
		break
	}
	return out
}

// thumbnailOfAnother makes the picture of a HEIC a thumbnail of what was its transparency:
//
//	auxl = from(2) count(2) to(2)
func thumbnailOfAnother(b []byte) []byte {
	b = bytes.Clone(b)
	at := bytes.Index(b, []byte("auxl"))
	copy(b[at:], "thmb")
	b[at+5], b[at+9] = b[at+9], b[at+5]
	return b
}

// bmpCore writes the header of OS/2, with sides of two bytes and colours of three.
func bmpCore(p *image.Paletted) []byte {
	b := []byte("BM\x00\x00\x00\x00\x00\x00\x00\x00")
	b = binary.LittleEndian.AppendUint32(b, 14+12+3*256)
	b = binary.LittleEndian.AppendUint32(b, 12)
	b = append(b, byte(p.Rect.Dx()), 0, byte(p.Rect.Dy()), 0, 1, 0, 8, 0)
	for i := range 256 {
		c := p.Palette[i%len(p.Palette)].(color.NRGBA)
		b = append(b, c.B, c.G, c.R)
	}
	for y := p.Rect.Dy() - 1; y >= 0; y-- {
		b = append(b, p.Pix[y*p.Stride:][:p.Rect.Dx()]...) // a multiple of four
	}
	return b
}

func bmpHeader(r image.Rectangle, bits, compression uint16, header, behind int) []byte {
	b := make([]byte, 14+header)
	copy(b, "BM")
	binary.LittleEndian.PutUint32(b[10:], uint32(14+header+behind))
	binary.LittleEndian.PutUint32(b[14:], uint32(header))
	binary.LittleEndian.PutUint32(b[18:], uint32(r.Dx()))
	binary.LittleEndian.PutUint32(b[22:], uint32(r.Dy()))
	b[26], b[28], b[30] = 1, byte(bits), byte(compression)
	return b
}
