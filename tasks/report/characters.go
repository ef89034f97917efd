package report

import (
	"fmt"
	"strings"
	"unicode"

	"casepress/tasks/report/font"
)

// characters turns the input into text that the typeface can show and remembers
// what it had to replace. Every rune of the input stays readable: what has no
// glyph, or would act on its neighbours unseen (control and bidirectional format
// characters), becomes its code point in brackets, such as [U+1F600].
type characters struct {
	font     *font.Font
	replaced []rune // in the order of appearance, each once
	seen     map[rune]bool
}

func newCharacters(f *font.Font) *characters {
	return &characters{font: f, seen: map[rune]bool{}}
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\v", "\n", "\f", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// paragraphs returns the paragraphs of s, clean.
func (c *characters) paragraphs(s string) []string {
	parts := strings.Split(lineEnds.Replace(s), "\n")
	for i, p := range parts {
		parts[i] = c.line(p)
	}
	return parts
}

// line returns s, clean and without line ends.
func (c *characters) line(s string) string {
	var b strings.Builder
	for _, r := range lineEnds.Replace(s) {
		switch {
		case r == '\n':
			b.WriteByte(' ')
		case r == '\t':
			b.WriteString("    ")
		case unicode.Is(unicode.Zs, r) && !c.font.Has(r):
			b.WriteByte(' ')
		case hidden(r) || !c.font.Has(r):
			c.replace(r)
			fmt.Fprintf(&b, "[U+%04X]", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hidden reports whether r is shown by no mark of its own.
func hidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
}

func (c *characters) replace(r rune) {
	if !c.seen[r] {
		c.seen[r] = true
		c.replaced = append(c.replaced, r)
	}
}

// problems returns one problem that lists what was replaced, or nothing.
func (c *characters) problems() []Problem {
	const listed = 12
	if len(c.replaced) == 0 {
		return nil
	}
	var names []string
	for _, r := range c.replaced[:min(len(c.replaced), listed)] {
		names = append(names, fmt.Sprintf("U+%04X", r))
	}
	more := ""
	if n := len(c.replaced) - listed; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return []Problem{{CodeCharacters, fmt.Sprintf(
		"Some characters cannot be shown by the report's typeface and are printed as their code points: %s%s.",
		strings.Join(names, ", "), more)}}
}

// width returns the width of clean text in points.
func (c *characters) width(s string, size float64) float64 {
	w := 0.0
	for _, r := range s {
		w += c.font.Width(r)
	}
	return w * size
}
