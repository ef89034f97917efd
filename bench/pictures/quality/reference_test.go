package quality_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/bench/pictures/quality"
)

// waves returns a JPEG of smooth waves, 4:2:0, with an EXIF orientation and a colour profile.
func waves(t *testing.T, w, h, orientation int) []byte {
	t.Helper()
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for y := range h {
		for x := range w {
			img.Y[y*img.YStride+x] = byte(128 + 60*math.Sin(float64(x)/9) + 40*math.Cos(float64(y)/7))
		}
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = byte(100+i%img.CStride/2), byte(150-i/img.CStride)
	}
	var buf bytes.Buffer
	require.NoError(t, jpeg.Encode(&buf, img, &jpeg.Options{Quality: 98}))
	exif := []byte("Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")
	exif[25] = byte(orientation)
	out := append([]byte{0xff, 0xd8}, app(0xe1, exif)...)
	out = append(out, app(0xe2, []byte("ICC_PROFILE\x00\x01\x01whatever"))...)
	return append(out, buf.Bytes()[2:]...)
}

func app(marker byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(data)+2)), data...)
}

func TestOrientationAndProfile(t *testing.T) {
	jpg := waves(t, 64, 48, 6)
	require.Equal(t, 6, quality.Orientation(jpg))
	bare := quality.WithoutProfile(jpg)
	require.Len(t, bare, len(jpg)-4-len("ICC_PROFILE\x00\x01\x01whatever"))
	require.NotContains(t, string(bare), "ICC_PROFILE")
	require.Equal(t, 6, quality.Orientation(bare))
	_, err := jpeg.Decode(bytes.NewReader(bare))
	require.NoError(t, err)
	require.Equal(t, 1, quality.Orientation([]byte{0xff, 0xd8}))
	require.Equal(t, 1, quality.Orientation(app(0xe1, []byte("xxExif\x00\x00MM"))))
}

func TestScore(t *testing.T) {
	for _, orientation := range []int{1, 3, 6, 7} {
		ref, err := quality.NewReference(waves(t, 400, 300, orientation))
		require.NoError(t, err)
		size := image.Pt(160, 120)
		if orientation >= 5 {
			size = image.Pt(120, 160)
		}
		fine, err := ref.Encode(size, 100)
		require.NoError(t, err)
		score, err := ref.Score(fine)
		require.NoError(t, err)
		require.Equal(t, size, score.Size)
		require.Equal(t, len(fine), score.Bytes)
		require.Greater(t, score.PSNR, 50.0, "little but rounding is lost at quality 100")
		require.Greater(t, score.Chroma, 50.0)
		require.Greater(t, score.SSIM, 0.998)

		coarse, err := ref.Encode(size, 30)
		require.NoError(t, err)
		worse, err := ref.Score(coarse)
		require.NoError(t, err)
		require.Less(t, worse.PSNR, score.PSNR)
		require.Less(t, worse.SSIM, score.SSIM)

		lying, err := ref.Encode(image.Pt(size.Y, size.X), 80)
		require.NoError(t, err)
		_, err = ref.Score(lying)
		require.ErrorContains(t, err, "not upright")
	}
}
