package font_test

import (
	"encoding/binary"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	xfont "golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"casepress/tasks/pdf/font"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFacesCoverage(t *testing.T) {
	for r := rune(0x4e00); r <= 0x9fef; r++ {
		require.True(t, font.Chinese.Font().Has(r), "%c", r)
	}
	for r := rune(0xac00); r <= 0xd7a3; r++ {
		require.True(t, font.Korean.Font().Has(r), "%c", r)
	}
	for _, c := range []struct {
		face font.Face
		has  string
	}{
		{font.Sans, "aZ09éčłőřžşğİıþÞắộựẞαάἀώΩжЇҐў⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎×±℃µ€\u0301\u0323"},
		{font.SemiBold, "aZ09éčłőřžşğİıþÞắộựẞαάἀώΩжЇҐў"},
		{font.Chinese, "喆堃旻赟翀玥珺祎犇𬭎ア、。（％"},
		{font.Thai, "กขไำ\u0e31\u0e34\u0e48"},
		{font.Operators, "→⇒≤≥∈∑√∞"},
		{font.Symbols, "⚕"},
		{font.Emoji, "😀❤🩹💊🏽🫀\u20e3"},
	} {
		for _, r := range c.has {
			require.True(t, c.face.Font().Has(r), "%s %c", c.face.Name(), r)
		}
		for _, r := range []rune{-1, 0xe000, 0x10ffff, 'א'} {
			require.False(t, c.face.Font().Has(r), "%s %x", c.face.Name(), r)
		}
		m := c.face.Font().Metrics()
		require.Positive(t, m.Ascent)
		require.Negative(t, m.Descent)
		require.Less(t, m.Box[0], m.Box[2])
	}
}

// TestCutOfEverything cuts every character of every typeface and compares width and
// outline with the whole typeface's, as another library reads both.
func TestCutOfEverything(t *testing.T) {
	for face := range font.Faces {
		t.Run(face.Name(), func(t *testing.T) {
			t.Parallel()
			f := face.Font()
			var drawings []font.Drawing
			var runes []rune
			for r := range rune(unicode.MaxRune + 1) {
				if f.Has(r) && !unicode.Is(unicode.M, r) && len(drawings) < font.MaxDrawings {
					d, ok := f.Draw(string(r))
					require.True(t, ok, "%x", r)
					drawings, runes = append(drawings, d), append(runes, r)
				}
			}
			file, err := f.Cut(drawings)
			require.NoError(t, err)
			cut := parse(t, withCmap(file))
			var buf sfnt.Buffer
			units := fixed.I(int(cut.UnitsPerEm()))
			for i := range runes {
				_, err := cut.LoadGlyph(&buf, sfnt.GlyphIndex(i+1), units, nil)
				require.NoError(t, err, "%x", runes[i])
				advance, err := cut.GlyphAdvance(&buf, sfnt.GlyphIndex(i+1), units, xfont.HintingNone)
				require.NoError(t, err)
				require.InDelta(t, drawings[i].Thousandths(), advance.Round()*1000/int(cut.UnitsPerEm()), 1, "%x", runes[i])
			}
		})
	}
}

func TestCutKeepsOutlines(t *testing.T) {
	for _, c := range []struct{ face, text string }{
		{"plain", "a"}, {"composed in the file", "é"}, {"composed twice", "ộ"},
	} {
		f := font.Sans.Font()
		d, ok := f.Draw(c.text)
		require.True(t, ok)
		file, err := f.Cut([]font.Drawing{d, d})
		require.NoError(t, err)
		cut, all := parse(t, withCmap(file)), parse(t, whole(t))
		id, err := all.GlyphIndex(nil, []rune(c.text)[0])
		require.NoError(t, err)
		want := outline(t, all, id)
		require.NotEmpty(t, want)
		require.Equal(t, want, outline(t, cut, 1), c.face)
		require.Equal(t, want, outline(t, cut, 2), c.face)
		again, err := f.Cut([]font.Drawing{d, d})
		require.NoError(t, err)
		require.Equal(t, file, again)
	}
}

func TestDrawMarks(t *testing.T) {
	f := font.Sans.Font()
	bounds := func(text string) fixed.Rectangle26_6 {
		d, ok := f.Draw(text)
		require.True(t, ok, "%q", text)
		file, err := f.Cut([]font.Drawing{d})
		require.NoError(t, err)
		b, _, err := parse(t, withCmap(file)).GlyphBounds(nil, 1, fixed.I(1000), xfont.HintingNone)
		require.NoError(t, err)
		return b // y grows downwards
	}
	plain := bounds("x")
	above, two, below := bounds("x\u0302"), bounds("x\u0302\u0302"), bounds("x\u0323")
	require.Less(t, above.Min.Y, plain.Min.Y, "a mark above")
	require.Less(t, two.Min.Y, above.Min.Y, "another above that")
	require.Greater(t, below.Max.Y, plain.Max.Y, "a mark below")
	require.Equal(t, plain.Min.X, above.Min.X, "centred")
	require.Less(t, bounds("X\u0302").Min.Y, above.Min.Y, "higher over a capital")
	require.Equal(t, bounds("é"), bounds("e\u0301"), "composed")
	require.Equal(t, plain, bounds("x\ufe0f"), "a selector draws nothing")
	for _, text := range []string{"", "患", "x\u05b0"} {
		_, ok := f.Draw(text)
		require.False(t, ok, "%q", text)
	}
}

func TestCutRefuses(t *testing.T) {
	_, err := font.Sans.Font().Cut(make([]font.Drawing, 1))
	require.ErrorContains(t, err, "empty")
	_, err = font.Sans.Font().Cut(make([]font.Drawing, font.MaxDrawings+1))
	require.ErrorContains(t, err, "30001")
	d, ok := font.Chinese.Font().Draw("\u9fa5")
	require.True(t, ok)
	_, err = font.Thai.Font().Cut([]font.Drawing{d})
	require.ErrorContains(t, err, "no glyph")
	file, err := font.Thai.Font().Cut(nil)
	require.NoError(t, err)
	require.Equal(t, 1, parse(t, withCmap(file)).NumGlyphs())
}

func FuzzParse(f *testing.F) {
	d, _ := font.Sans.Font().Draw("é")
	small, err := font.Sans.Font().Cut([]font.Drawing{d})
	require.NoError(f, err)
	f.Add(withCmap(small))
	f.Add(small)
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := font.Parse(b)
		if err != nil {
			return
		}
		parsed.Metrics()
		for _, text := range []string{"a", "\x00", "é", "e\u0301", "a\u0323\u0302", "患", "\U0010ffff"} {
			if d, ok := parsed.Draw(text); ok {
				d.Thousandths()
				_, _ = parsed.Cut([]font.Drawing{d})
			}
		}
	})
}

// withCmap gives a cut file the tables that other libraries want: a full Unicode
// cmap for a to c, names, and what is in a PDF elsewhere.
func withCmap(small []byte) []byte {
	cmap := []byte{0, 0, 0, 1, 0, 3, 0, 10, 0, 0, 0, 12, 0, 12, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 1}
	for _, v := range []uint32{'a', 'c', 1} {
		cmap = binary.BigEndian.AppendUint32(cmap, v)
	}
	tables := map[string][]byte{"cmap": cmap, "name": {0, 0, 0, 0, 0, 6}, "post": append([]byte{0, 3, 0, 0}, make([]byte, 28)...), "OS/2": make([]byte, 96)}
	n := int(binary.BigEndian.Uint16(small[4:]))
	for i := range n {
		e := small[12+16*i:]
		at, size := binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])
		tables[string(e[:4])] = small[at : at+size]
	}
	return fileOf(tables)
}
