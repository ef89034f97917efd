package font_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"sync"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	xfont "golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"pgregory.net/rapid"

	"casepress/tasks/report/font"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNotoSansSCCoverage(t *testing.T) {
	f := font.NotoSansSC()
	require.Greater(t, len(covered()), 30_890)
	for r := rune(0x4e00); r <= 0x9fef; r++ {
		require.True(t, f.Has(r), "%c", r)
	}
	for _, r := range "喆堃旻赟翀玥珺祎犇𬭎aZ09é¿Ωж⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎×±≥℃µ" {
		require.True(t, f.Has(r), "%c", r)
		require.Positive(t, f.Width(r), "%c", r)
	}
	for _, r := range []rune{'😀', 0, -1, 0xe000, 0x10ffff, 'א'} {
		require.False(t, f.Has(r), "%x", r)
	}
}

// TestSubset reads the cut file back with another library and compares every
// glyph with the whole typeface's.
func TestSubset(t *testing.T) {
	f := font.NotoSansSC()
	runes := []rune("患者喆堃旻赟 abcABC(){}“”，。𬭎𬘓⁹9₂")
	small, err := f.Subset(runes)
	require.NoError(t, err)
	require.Less(t, len(small), 30_000)
	again, err := f.Subset(runes)
	require.NoError(t, err)
	require.Equal(t, small, again)

	whole, cut := parse(t, ttf(t)), parse(t, small)
	require.Equal(t, len(runes)+2, cut.NumGlyphs(), "the box, and the 2 that ₂ is made of")
	for i, r := range runes {
		got := outline(t, cut, rune(font.Code(i)))
		require.InDelta(t, 1000*f.Width(r), float64(got.advance), 1, "%c", r)
		switch r {
		case '⁹', '₂':
			base := outline(t, whole, map[rune]rune{'⁹': '9', '₂': '2'}[r])
			require.Len(t, got.segments, len(base.segments))
			require.InDelta(t, 0.6*float64(base.height), float64(got.height), 2)
		default:
			require.Equal(t, outline(t, whole, r), got, "%c", r)
		}
	}
	for _, r := range []rune{'a', rune(font.Code(0)) + 1, rune(font.Code(len(runes)))} {
		i, err := cut.GlyphIndex(nil, r)
		require.NoError(t, err)
		require.Zero(t, i, "%x has no code", r)
	}
}

func TestSubsetRefuses(t *testing.T) {
	_, err := font.NotoSansSC().Subset([]rune{'a', '😀'})
	require.ErrorContains(t, err, "U+1F600")
	_, err = font.NotoSansSC().Subset(covered()[:font.MaxRunes+1])
	require.ErrorContains(t, err, "16001")
}

func TestSubsetOfTheMost(t *testing.T) {
	runes := covered()[:font.MaxRunes]
	small, err := font.NotoSansSC().Subset(runes)
	require.NoError(t, err)
	requireAll(t, small, len(runes))
	small, err = font.NotoSansSC().Subset(nil)
	require.NoError(t, err)
	requireAll(t, small, 0)
}

func TestSubsetOfAnything(t *testing.T) {
	all := covered()
	rapid.Check(t, func(t *rapid.T) {
		runes := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 60, rapid.ID).Draw(t, "runes")
		small, err := font.NotoSansSC().Subset(runes)
		require.NoError(t, err)
		requireAll(t, small, len(runes))
	})
}

// requireAll requires that a cut font has n characters.
func requireAll(t require.TestingT, small []byte, n int) {
	cut, err := sfnt.Parse(small)
	require.NoError(t, err)
	for i := range n {
		g, err := cut.GlyphIndex(nil, rune(font.Code(i)))
		require.NoError(t, err)
		require.NotZero(t, g)
		if i%64 == 0 {
			_, err = cut.LoadGlyph(nil, g, fixed.I(1000), nil)
			require.NoError(t, err)
		}
	}
}

// covered returns every character of the typeface.
var covered = sync.OnceValue(func() []rune {
	var all []rune
	for r := range rune(unicode.MaxRune + 1) {
		if font.NotoSansSC().Has(r) {
			all = append(all, r)
		}
	}
	return all
})

func FuzzParse(f *testing.F) {
	small, err := font.NotoSansSC().Subset([]rune{'a', '⁹'})
	require.NoError(f, err)
	f.Add(full(small))
	f.Add(small)
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := font.Parse(b)
		if err != nil {
			return
		}
		for _, r := range []rune{0, 'a', '9', '⁹', '患', '𬭎', unicode.MaxRune, -1} {
			parsed.Width(r)
			if parsed.Has(r) {
				_, _ = parsed.Subset([]rune{r})
			}
		}
	})
}

// full gives a cut file a full Unicode cmap, so that it parses here.
func full(small []byte) []byte {
	b := bytes.Clone(small)
	cmap := []byte{0, 0, 0, 1, 0, 3, 0, 10, 0, 0, 0, 12, 0, 12, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 1}
	for _, v := range []uint32{'9', 'a', 1} {
		cmap = binary.BigEndian.AppendUint32(cmap, v)
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	for i := range n {
		if e := b[12+16*i:]; string(e[:4]) == "cmap" {
			binary.BigEndian.PutUint32(e[8:], uint32(len(b)))
			binary.BigEndian.PutUint32(e[12:], uint32(len(cmap)))
		}
	}
	return append(b, cmap...)
}

func ttf(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("NotoSansSC-Regular.ttf")
	require.NoError(t, err)
	return b
}

func parse(t *testing.T, b []byte) *sfnt.Font {
	t.Helper()
	f, err := sfnt.Parse(b)
	require.NoError(t, err)
	return f
}

type glyph struct {
	advance, height int
	segments        sfnt.Segments
}

func outline(t *testing.T, f *sfnt.Font, r rune) glyph {
	t.Helper()
	i, err := f.GlyphIndex(nil, r)
	require.NoError(t, err)
	require.NotZero(t, i, "%c", r)
	segments, err := f.LoadGlyph(nil, i, fixed.I(1000), nil)
	require.NoError(t, err)
	bounds, advance, err := f.GlyphBounds(nil, i, fixed.I(1000), xfont.HintingNone)
	require.NoError(t, err)
	return glyph{advance.Round(), (bounds.Max.Y - bounds.Min.Y).Round(), slices.Clone(segments)}
}
