package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/report/font"
)

// FuzzCharacters requires that whatever comes in, all that comes out has a glyph
// and stands for itself.
func FuzzCharacters(f *testing.F) {
	f.Add("患者 a\tb\r\nc 😀 \u202e \xff \u00a0\u2009")
	f.Fuzz(func(t *testing.T, s string) {
		c := newCharacters(font.NotoSansSC())
		for _, p := range c.paragraphs(s) {
			for _, r := range p {
				require.True(t, font.NotoSansSC().Has(r) && !hidden(r), "U+%04X", r)
			}
		}
		for _, r := range c.replaced {
			require.True(t, strings.ContainsRune(s, r) || r == '\ufffd')
		}
	})
}
