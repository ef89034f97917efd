package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/memory"
)

// costOf is what decoding a file is said to cost.
func costOf(t *testing.T, b []byte) (cost, area int64) {
	t.Helper()
	h, err := readHeader(container.NewReader(t.Context(), bytes.NewReader(b), int64(len(b)), headerBudget))
	require.NoError(t, err)
	h.size = int64(len(b))
	return h.codec.cost(h, DefaultOptions()), h.area()
}

// TestCostsCountWhatIsHeldAtOnce compares files that differ in nothing but what a decoder holds beside
// the picture.
func TestCostsCountWhatIsHeldAtOnce(t *testing.T) {
	t.Run("the rows of a GIF in both orders", func(t *testing.T) {
		var b bytes.Buffer
		require.NoError(t, gif.Encode(&b, image.NewPaletted(image.Rect(0, 0, 640, 480), color.Palette{color.White}), nil))
		whole := b.Bytes()
		plain, area := costOf(t, whole)
		frame := bytes.Index(whole, []byte{0x2c, 0, 0, 0, 0, 0x80, 2})
		whole[frame+9] |= 0x40
		interlaced, _ := costOf(t, whole)
		require.Equal(t, plain+area, interlaced)
	})
	testdata := func(name string) []byte {
		b, err := os.ReadFile("testdata/" + name)
		require.NoError(t, err)
		return b
	}
	t.Run("the transparency of a WebP as it is unpacked", func(t *testing.T) {
		whole := testdata("alpha.webp")
		transparent, area := costOf(t, whole)
		copy(whole[bytes.Index(whole, []byte("ALPH")):], "none")
		opaque, _ := costOf(t, whole)
		require.Equal(t, opaque+5*area, transparent)
	})
	t.Run("the pixels of a lossy WebP before they are decoded", func(t *testing.T) {
		whole := testdata("lossy.webp")
		before, _ := costOf(t, whole)
		at := bytes.Index(whole, []byte("VP8 ")) + 4
		whole[at+2]++ // 64 KiB longer, and the file too
		whole = append(whole, make([]byte, 1<<16)...)
		after, _ := costOf(t, whole)
		require.Equal(t, before+1<<16, after)
	})
	t.Run("the planes of a HEIC whose colour is as fine as its light", func(t *testing.T) {
		whole := testdata("quarters.heic")
		coarse, area := costOf(t, whole)
		settings := bytes.Index(whole, []byte("hvcC")) + 4
		require.Equal(t, byte(1), whole[settings+16]&3)
		whole[settings+16] |= 3
		fine, _ := costOf(t, whole)
		require.Equal(t, coarse+3*area/2, fine)
	})
	t.Run("the buffer of a JPEG, which comes from a pool", func(t *testing.T) {
		whole := testdata("cmyk.jpg")
		before, _ := costOf(t, whole)
		more := append(whole, make([]byte, 1<<20)...)
		after, _ := costOf(t, more)
		b := memory.Get(len(more))
		defer b.Free()
		require.GreaterOrEqual(t, after-before, int64(len(b.Bytes)-len(whole)-len(whole)/8))
	})
}
