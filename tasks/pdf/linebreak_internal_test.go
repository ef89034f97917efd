package pdf

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// cells is a width of two for wide characters, none for marks, one for others.
func cells(r rune) int {
	switch {
	case r == '\u0301':
		return 0
	case r >= 0x1100:
		return 2
	}
	return 1
}

func lettersOf(s string) []letter {
	var out []letter
	for _, r := range s {
		out = append(out, letter{text: string(r), width: cells(r)})
	}
	return out
}

func broken(s string, limit int) (lines []string) {
	for _, line := range breakLines(lettersOf(s), limit) {
		text := ""
		for _, l := range line {
			text += l.text
		}
		lines = append(lines, text)
	}
	return lines
}

func TestBreakLines(t *testing.T) {
	for _, c := range []struct {
		name, text string
		limit      int
		want       []string
	}{
		{"empty", "", 10, []string{""}},
		{"fits", "abc def", 10, []string{"abc def"}},
		{"at a blank", "abc def ghi", 7, []string{"abc def ", "ghi"}},
		{"blanks hang", "abc    def", 4, []string{"abc    ", "def"}},
		{"leading blanks stay", "  ab cd", 4, []string{"  ab ", "cd"}},
		{"between chinese characters", "患者体温", 4, []string{"患者", "体温"}},
		{"words stay whole in chinese", "体温abcd正常", 7, []string{"体温", "abcd正", "常"}},
		{"no comma at the start", "患者，体温", 4, []string{"患", "者，", "体温"}},
		{"no bracket at the end", "患者（体温）", 6, []string{"患者", "（体", "温）"}},
		{"no bracket at the end, latin", "患者 (temp)", 6, []string{"患者 ", "(temp)"}},
		{"quotes stick", "他说“好”。", 8, []string{"他说", "“好”。"}},
		{"a pair of dots stays", "患者……好", 6, []string{"患", "者……", "好"}},
		{"too long a word", "abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"too long a word keeps its comma", "abcd, x", 4, []string{"abc", "d, x"}},
		{"emoji", "ab😀😀😀", 4, []string{"ab😀", "😀😀"}},
		{"nothing but commas", "，，，，", 4, []string{"，，", "，，"}},
		{"narrower than a character", "患者", 1, []string{"患", "者"}},
		{"combining mark", "a\u0301b\u0301", 1, []string{"a\u0301", "b\u0301"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, broken(c.text, c.limit))
		})
	}
}

var alphabet = []rune("ab cd 12.,;:!?()[]%-/'\"患者体温正常，。、；：？！（）《》「」【】“”‘’…—·々ーァっ　℃¥#\u0301é𬭎")

func TestBreakLinesProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom(alphabet), 0, 200, -1).Draw(t, "text")
		limit := rapid.IntRange(1, 60).Draw(t, "limit")
		lines := broken(text, limit)
		require.Equal(t, text, strings.Join(lines, ""), "nothing is lost or added")
		for i, line := range lines {
			if i+1 < len(lines) || text != "" {
				require.NotEmpty(t, line)
			}
			requireFits(t, line, limit)
			if i > 0 {
				requireGoodBreak(t, lines[i-1], line, limit)
			}
		}
	})
}

// requireFits requires that a line without its last blanks is within the limit, or
// is one character.
func requireFits(t require.TestingT, line string, limit int) {
	line = strings.TrimRight(line, " \u3000")
	used := 0
	for _, r := range line {
		used += cells(r)
	}
	if utf8.RuneCountInString(line) > 1 {
		require.LessOrEqual(t, used, limit, "%q", line)
	}
}

// requireGoodBreak requires that a line ends at a forbidden place only if all
// places in it were forbidden.
func requireGoodBreak(t require.TestingT, line, next string, limit int) {
	runes := []rune(line)
	first, _ := utf8.DecodeRuneInString(next)
	if !forbidden(runes[len(runes)-1], first) {
		return
	}
	for i := 1; i < len(runes); i++ {
		require.True(t, forbidden(runes[i-1], runes[i]), "%q breaks before %q with limit %v, although it could after %q", line, first, limit, runes[i-1])
	}
}

func FuzzBreakLines(f *testing.F) {
	f.Add("患者，体温 36.8℃ (temp) “好”。……", 12)
	f.Add("\xff\x00\u0301", 0)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if !utf8.ValidString(s) {
			s = strings.ToValidUTF8(s, "\ufffd")
		}
		require.Equal(t, s, strings.Join(broken(s, limit), ""))
	})
}
