package pdf

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/pdf/font"
)

func TestLettersTypefaces(t *testing.T) {
	for _, c := range []struct {
		name, text string
		bold       bool
		want       []font.Face
	}{
		{"latin", "aé", false, []font.Face{font.Sans, font.Sans}},
		{"bold", "a患", true, []font.Face{font.SemiBold, font.Chinese}},
		{"quotes among chinese", "说“好”。", false, []font.Face{font.Chinese, font.Chinese, font.Chinese, font.Chinese, font.Chinese}},
		{"quotes before chinese", "“好", false, []font.Face{font.Chinese, font.Chinese}},
		{"quotes among latin", "“a”", false, []font.Face{font.Sans, font.Sans, font.Sans}},
		{"apostrophe", "it’s", false, []font.Face{font.Sans, font.Sans, font.Sans, font.Sans}},
		{"others", "김ไ∈⚕😀", false, []font.Face{font.Korean, font.Thai, font.Operators, font.Symbols, font.Emoji}},
		{"a selector asks for emoji", "☎☎\ufe0f", false, []font.Face{font.Chinese, font.Emoji}},
		{"one letter", "x\u0302\u0323", false, []font.Face{font.Sans}},
		{"a family", "👨\u200d👩\u200d👧", false, []font.Face{font.Emoji, font.Emoji, font.Emoji}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []font.Face
			text := ""
			for _, l := range newCharacters().letters(c.text, c.bold) {
				got = append(got, l.face)
				text += l.text
				require.Equal(t, c.bold && l.face != font.SemiBold, l.heavy)
			}
			require.Equal(t, c.want, got)
			require.Equal(t, c.text, text)
		})
	}
}

// FuzzCharacters requires that whatever comes in, all that comes out has a glyph
// and stands for itself or is one of the code points listed.
func FuzzCharacters(f *testing.F) {
	f.Add("患者 a\tb\r\nc 😀 \u202e \xff \u00a0\u2009 \u0301 e\u0301\u05b0 1\ufe0f\u20e3 👍🏽")
	f.Fuzz(func(t *testing.T, s string) {
		c := newCharacters()
		line := c.line(s)
		for _, l := range c.letters(line, true) {
			_, ok := l.face.Font().Draw(l.text)
			require.True(t, ok && l.text != "" && l.width >= 0, "%q", l.text)
		}
		require.Equal(t, line, c.line(line))
		for _, r := range c.replaced {
			require.True(t, strings.ContainsRune(s, r) || r == '\ufffd')
		}
	})
}
