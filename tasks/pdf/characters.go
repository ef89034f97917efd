package pdf

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"casepress/tasks/pdf/font"
)

// letter is the smallest unit that is printed: a character with its marks and selectors.
type letter struct {
	text  string // as a reader copies it
	face  font.Face
	width int // thousandths of an em
	// heavy letters are drawn with a hairline around them, because their typeface
	// has no heavier weight.
	heavy bool
}

// characters turns text into letters and lists what it had to replace. Every rune of the input stays
// readable: what has no glyph, or changes its neighbours without being seen (control and bidirectional
// format characters), becomes its code point in brackets, such as [U+202E].
type characters struct {
	replaced []rune // in the order of appearance, each once
	unshaped bool   // there are letters that should have joined
	seen     map[rune]bool
	known    map[shape]letter // also what no typeface has: width -1
}

// shape is all that the look of a letter depends on.
type shape struct {
	text       string
	bold, wide bool
}

func newCharacters() *characters {
	return &characters{seen: map[rune]bool{}, known: map[shape]letter{}}
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\v", "\n", "\f", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// paragraphs returns the paragraphs of s.
func (c *characters) paragraphs(s string) []string {
	return strings.Split(lineEnds.Replace(s), "\n")
}

// line returns s as one line that can be shown.
func (c *characters) line(s string) string {
	var b strings.Builder
	for _, l := range c.letters(strings.ReplaceAll(lineEnds.Replace(s), "\n", " "), false) {
		b.WriteString(l.text)
	}
	return b.String()
}

// letters returns the letters of a text without line ends.
func (c *characters) letters(s string, bold bool) []letter {
	out := make([]letter, 0, len(s))
	for s != "" {
		n := clusterEnd(s)
		wide := shared[first(s)] && (len(out) > 0 && out[len(out)-1].face == font.Chinese || chineseNext(s[n:]))
		out = c.appendCluster(out, s[:n], bold, wide)
		s = s[n:]
	}
	return out
}

// appendCluster adds the letter for a cluster, or, if no typeface has all of it, letters for its parts.
func (c *characters) appendCluster(out []letter, cluster string, bold, wide bool) []letter {
	if l, ok := c.resolve(shape{cluster, bold, wide}); ok {
		c.unshaped = c.unshaped || unicode.Is(unicode.Devanagari, first(cluster))
		return append(out, l)
	}
	r, n := utf8.DecodeRuneInString(cluster)
	if n < len(cluster) {
		out = c.appendCluster(out, cluster[:n], bold, wide)
		return c.appendCluster(out, cluster[n:], bold, wide)
	}
	for _, ascii := range c.substitute(r) {
		if l, ok := c.resolve(shape{string(ascii), bold, false}); ok {
			out = append(out, l)
		}
	}
	return out
}

// substitute returns what is printed for a character that no typeface shows.
func (c *characters) substitute(r rune) string {
	switch {
	case r == '\t':
		return "    "
	case unicode.Is(unicode.Zs, r):
		return " "
	}
	if !c.seen[r] {
		c.seen[r] = true
		c.replaced = append(c.replaced, r)
	}
	return fmt.Sprintf("[U+%04X]", r)
}

// resolve finds the typeface for a cluster.
func (c *characters) resolve(s shape) (letter, bool) {
	l, ok := c.known[s]
	if !ok {
		l = find(s)
		c.known[s] = l
	}
	return l, l.width >= 0
}

func find(s shape) letter {
	r := first(s.text)
	if hidden(r) || r == utf8.RuneError && !strings.HasPrefix(s.text, "\ufffd") {
		return letter{width: -1}
	}
	for _, face := range preference(s) {
		if d, ok := face.Font().Draw(s.text); ok {
			return letter{
				text: s.text, face: face, width: d.Thousandths(),
				heavy: s.bold && face != font.SemiBold,
			}
		}
	}
	return letter{width: -1}
}

// hidden reports whether r shows nothing on paper.
func hidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) || font.Joins(r)
}

var (
	regular = []font.Face{font.Sans, font.Operators, font.Chinese, font.Korean, font.Thai, font.Symbols, font.Emoji}
	heavy   = slices.Concat([]font.Face{font.SemiBold}, regular[1:])
	chinese = slices.Concat([]font.Face{font.Chinese}, regular)
	emoji   = slices.Concat([]font.Face{font.Emoji}, regular)
)

// preference is the order in which typefaces are asked.
func preference(s shape) []font.Face {
	switch {
	case strings.ContainsRune(s.text, '\ufe0f'):
		return emoji
	case s.wide:
		return chinese
	case s.bold:
		return heavy
	}
	return regular
}

// shared is punctuation that Chinese and Western text write with the same
// characters but in other widths.
var shared = set("“”‘’…—·‥―")

// chineseNext reports whether the text goes on in Chinese.
func chineseNext(s string) bool {
	for _, r := range s {
		if !shared[r] {
			return ideographic(r)
		}
	}
	return false
}

// clusterEnd returns the length of the first cluster of s in bytes.
func clusterEnd(s string) int {
	const most = 7 // marks on one letter
	base, end := utf8.DecodeRuneInString(s)
	for range most {
		r, n := utf8.DecodeRuneInString(s[end:])
		switch {
		case n == 0, !unicode.Is(unicode.M, r) && r != '\u200d':
			return end
		case r == '\u200d':
			if next, _ := utf8.DecodeRuneInString(s[end+n:]); !pictographic(base) || !pictographic(next) {
				return end
			}
			return end + n
		case font.Joins(r) && !selectable(base), hidden(base):
			return end
		}
		end += n
	}
	return end
}

// pictographic reports whether r is a sign that U+200D may join to another.
func pictographic(r rune) bool { return r > 0xff && font.Emoji.Font().Has(r) }

// selectable reports whether r has variants that a selector may ask for.
func selectable(r rune) bool {
	return font.Emoji.Font().Has(r) || unicode.Is(unicode.Han, r)
}

func first(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// problems returns what a reader of the PDF must know about the characters.
func (c *characters) problems(w *labels) (all []Problem) {
	const listed = 12
	if len(c.replaced) > 0 {
		var names []string
		for _, r := range c.replaced[:min(len(c.replaced), listed)] {
			names = append(names, fmt.Sprintf("U+%04X", r))
		}
		all = append(all, Problem{CodeCharacters, w.codePoints(strings.Join(names, w.listGap), len(c.replaced)-len(names))})
	}
	if c.unshaped {
		all = append(all, Problem{CodeUnshaped, w.unshaped})
	}
	return all
}
