package picture_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

var white = color.NRGBA{255, 255, 255, 255}

// turned are the quarters of a picture whose header says 6: to be turned clockwise.
var turned = [4]color.NRGBA{blue, red, yellow, green}

func TestProcessOtherFormats(t *testing.T) {
	src := quarters(64, 48)
	plain := encodeTIFF([]*image.NRGBA{src})
	for _, c := range []struct {
		name string
		data []byte
		want [4]color.NRGBA
		note string
	}{
		{"webp lossy, to be turned", testdata(t, "lossy.webp"), turned, ""},
		{"webp lossless", testdata(t, "lossless.webp"), upright, ""},
		{"webp transparent", testdata(t, "alpha.webp"), [4]color.NRGBA{white, green, blue, yellow}, ""},
		{"webp animated", testdata(t, "animation.webp"), upright, picture.CodeFirstFrame},
		{"tiff", plain, upright, ""},
		{"tiff to be turned", encodeTIFF([]*image.NRGBA{src}, short(0x112, 6)), turned, ""},
		{"tiff of two pages", encodeTIFF([]*image.NRGBA{src, image.NewNRGBA(src.Rect)}), upright, picture.CodeFirstPage},
		{"bmp", encodeBMP(t, src), upright, ""},
		{"heic", testdata(t, "quarters.heic"), upright, ""},
		{"png to be turned", withChunks(encodePNG(t, src), pngChunk("eXIf", exif(binary.BigEndian, 6)[10:])), turned, ""},
		{"png with frames", withChunks(encodePNG(t, src), pngChunk("acTL", []byte{0, 0, 0, 2, 0, 0, 0, 0})), upright, picture.CodeFirstFrame},
		{"jpeg in cmyk", testdata(t, "cmyk.jpg"), upright, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := process(t, c.data, picture.Options{MaxSide: 48, ThumbSide: 24})
			require.NoError(t, err)
			require.Equal(t, 48, max(res.Full.Width, res.Full.Height))
			requireQuarters(t, res.Full.Data, c.want)
			requireQuarters(t, res.Thumb.Data, c.want)
			require.Equal(t, picture.FormatJPEG, res.Thumb.Format)
			if c.note == "" {
				require.Empty(t, res.Notes)
				return
			}
			require.Len(t, res.Notes, 1)
			require.Equal(t, c.note, res.Notes[0].Code)
		})
	}
}

func TestProcessShowsAFrameOnItsCanvas(t *testing.T) {
	res, err := process(t, onCanvas(testdata(t, "animation.webp"), 160, 120), picture.Options{})
	require.NoError(t, err)
	img := decode(t, res.Full.Data)
	require.Equal(t, image.Rect(0, 0, 160, 120), img.Bounds())
	near(t, red, img.At(10, 10), "the frame's top left")
	near(t, yellow, img.At(50, 40), "the frame's bottom right")
	near(t, white, img.At(120, 90), "the canvas beside it")
}

// onCanvas gives an animation another canvas.
func onCanvas(webp []byte, w, h int) []byte {
	b := bytes.Clone(webp)
	copy(b[24:], []byte{byte(w - 1), byte((w - 1) >> 8), 0, byte(h - 1), byte((h - 1) >> 8), 0})
	return b
}

func TestProcessAppliesProfiles(t *testing.T) {
	src := quarters(64, 48)
	profile := swapped()
	swap := func(c color.NRGBA) color.NRGBA { return color.NRGBA{c.B, c.G, c.R, 255} }
	want := [4]color.NRGBA{swap(red), swap(green), swap(blue), swap(yellow)}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"jpeg", withSegments(encodeJPEG(t, src), profileSegment(profile))},
		{"png", withChunks(encodePNG(t, src), profileChunk(t, profile))},
		{"tiff", encodeTIFF([]*image.NRGBA{src}, tiffTag{0x8773, 7, uint32(len(profile)), profile})},
		{"bmp", bmpColours(src, 0x4d424544, nil, profile)},
		{"gif", gifWith(t, paletted(src), func(b []byte) []byte { return slices.Insert(b, gifStart, gifProfile(profile)...) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := process(t, c.data, picture.Options{})
			require.NoError(t, err)
			require.Empty(t, res.Notes)
			requireQuarters(t, res.Full.Data, want)
			requireQuarters(t, res.Thumb.Data, want)
			require.NotContains(t, string(res.Full.Data), "acsp")
		})
	}
}

func TestProcessNotesProfilesThatCannotBeApplied(t *testing.T) {
	for name, profile := range map[string][]byte{"damaged": swapped()[:200], "empty": {}, "noise": bytes.Repeat([]byte{0xa5}, 400)} {
		t.Run(name, func(t *testing.T) {
			res, err := process(t, withSegments(encodeJPEG(t, quarters(64, 48)), profileSegment(profile)), picture.Options{})
			require.NoError(t, err)
			requireQuarters(t, res.Full.Data, upright)
			if name != "empty" {
				require.Len(t, res.Notes, 1)
				require.Equal(t, picture.CodeColours, res.Notes[0].Code)
			}
		})
	}
}

func TestProcessLeavesSmallJPEGsAsTheyAre(t *testing.T) {
	jpg := encodeJPEG(t, noise(64, 48))
	for _, c := range []struct {
		name string
		data []byte
		same bool
	}{
		{"plain", jpg, true},
		{"with metadata", withSegments(jpg, exif(binary.BigEndian, 1), segment(0xfe, []byte("comment"))), true},
		{"with something behind", append(bytes.Clone(jpg), "film"...), true},
		{"to be turned", withSegments(jpg, exif(binary.BigEndian, 3)), false},
		{"in other colours", withSegments(jpg, profileSegment(swapped())), false},
		{"cut short", jpg[:len(jpg)-200], false},
		{"too large", encodeJPEG(t, noise(200, 48)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := process(t, c.data, picture.Options{MaxSide: 100})
			require.NoError(t, err)
			scan := jpg[len(jpg)/2:]
			require.Equal(t, c.same, bytes.HasSuffix(res.Full.Data, scan))
			if c.same {
				require.Equal(t, decode(t, jpg), decode(t, res.Full.Data))
				require.LessOrEqual(t, len(res.Full.Data), len(jpg)+32, "a JFIF header at most")
			}
			require.Equal(t, c.name == "cut short", res.Damage != "")
		})
	}
}

func TestProcessKeepsDrawings(t *testing.T) {
	drawing := image.NewNRGBA(image.Rect(0, 0, 400, 300))
	for i := range drawing.Pix {
		drawing.Pix[i] = 255
	}
	for i := range 60 { // a few lines, as of text
		for x := 20; x < 380; x++ {
			drawing.SetNRGBA(x, 5*i, color.NRGBA{30, 30, uint8(30 + i), 255})
		}
	}
	grey := image.NewGray(image.Rect(0, 0, 400, 300))
	for i := range 300 {
		grey.SetGray(i, i, color.Gray{200})
	}
	for _, c := range []struct {
		name   string
		data   []byte
		format picture.Format
		model  color.Model
	}{
		{"drawing", encodePNG(t, drawing), picture.FormatPNG, color.RGBAModel},
		{"drawing as bmp", encodeBMP(t, drawing), picture.FormatPNG, color.RGBAModel},
		{"grey drawing", encodePNG(t, grey), picture.FormatPNG, color.GrayModel},
		{"photo", encodePNG(t, noise(400, 300)), picture.FormatJPEG, color.YCbCrModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := process(t, c.data, picture.Options{MaxSide: 300})
			require.NoError(t, err)
			require.Equal(t, c.format, res.Full.Format)
			got, format, err := image.DecodeConfig(bytes.NewReader(res.Full.Data))
			require.NoError(t, err)
			require.Equal(t, c.format.MediaType(), "image/"+format)
			require.Equal(t, c.model, got.ColorModel, "opaque, 8 bits, no palette")
			require.Equal(t, [2]int{300, 225}, [2]int{got.Width, got.Height})
		})
	}
}

func TestProcessDamaged(t *testing.T) {
	jpg := encodeJPEG(t, noise(300, 300))
	flipped := bytes.Clone(jpg)
	for i := len(jpg) / 2; i < len(jpg)/2+200; i++ {
		flipped[i] ^= 0x5a
	}
	for name, data := range map[string][]byte{"cut in the middle": jpg[:len(jpg)/2], "altered": flipped} {
		t.Run(name, func(t *testing.T) {
			res, err := process(t, data, picture.Options{MaxSide: 200})
			require.NoError(t, err)
			require.Equal(t, 200, res.Full.Width)
			require.Regexp(t, `^[A-Z].*\.$`, res.Damage)
			require.Len(t, res.Notes, 1)
			require.Equal(t, picture.CodeDamaged, res.Notes[0].Code)
			require.Contains(t, res.Notes[0].Detail, res.Damage)
			decode(t, res.Full.Data)
		})
	}
}
