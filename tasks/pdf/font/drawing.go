package font

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Drawing is how a typeface shows a character with whatever belongs to it, such as
// accents: one glyph, or several on top of each other.
type Drawing struct {
	parts []part
	width int // font units
	em    int
}

// part is a glyph and where it stands, in font units.
type part struct{ glyph, dx, dy int }

// Thousandths returns how far the drawing moves on, in thousandths of an em: the
// unit of widths in a PDF.
func (d Drawing) Thousandths() int { return (d.width*1000 + d.em/2) / d.em }

// Draw returns the drawing of a character and the marks that follow it, and
// whether the typeface has all of it. Composed glyphs are preferred (é for e and an
// accent); else every mark is centred above or below what is there, and raised or
// lowered where it would touch. Characters that only change how others look
// ([Joins]) are drawn as nothing; a mark with no letter before it sits on a dotted
// circle.
func (f *Font) Draw(text string) (Drawing, bool) {
	d := Drawing{em: f.em}
	for i, r := range f.compose(text) {
		if i > 0 && Joins(r) {
			continue
		}
		id := f.glyph(r)
		if id == 0 {
			return d, false
		}
		if dotted := f.glyph('◌'); i == 0 && unicode.Is(unicode.M, r) && dotted != 0 {
			d.parts, d.width = []part{{glyph: dotted}}, f.advance(dotted)
		}
		if len(d.parts) == 0 {
			d.parts, d.width = []part{{glyph: id}}, f.advance(id)
			continue
		}
		d.parts = append(d.parts, f.place(r, id, d))
	}
	return d, len(d.parts) > 0
}

// compose is the canonical composition of a character with marks. A character
// alone stays what it is if it can (﨔 is not 雷); else its canonical equivalent
// stands in for it.
func (f *Font) compose(text string) string {
	if r, n := utf8.DecodeRuneInString(text); n == len(text) && f.glyph(r) != 0 {
		return text
	}
	return norm.NFC.String(text)
}

// Joins reports whether r shows nothing by itself but belongs to the sign before
// it: the joiner and the variation selectors.
func Joins(r rune) bool {
	return r == '\u200d' || unicode.Is(unicode.Variation_Selector, r)
}

// place finds room for a mark over or under what is drawn already.
func (f *Font) place(r rune, id int, d Drawing) part {
	const gap = 0.05 // ems
	p := part{glyph: id}
	mark, have := f.box(part{glyph: id}), f.union(d.parts)
	if unicode.Is(unicode.Thai, r) {
		p.dx = d.width // Thai marks reach back over the letter before them
	} else {
		base := f.box(d.parts[0])
		if base[0] == base[2] { // a blank
			base = [4]int{2: d.width}
		}
		p.dx = (base[0]+base[2])/2 - (mark[0]+mark[2])/2
	}
	space := int(gap * float64(f.em))
	switch class := norm.NFC.PropertiesString(string(r)).CCC(); {
	case class == 220 || class == 103 || class == 202: // below
		p.dy = min(0, have[1]-space-mark[3])
		if class == 202 {
			p.dy = 0 // a cedilla hangs on its letter
		}
	case class == 230 || class == 107 || unicode.Is(unicode.Thai, r): // above
		p.dy = max(0, have[3]+space-mark[1])
	}
	return p
}

// box returns the left, bottom, right and top of a placed glyph.
func (f *Font) box(p part) (box [4]int) {
	data, err := f.outline(p.glyph)
	if err != nil || len(data) < outlineHead {
		return box
	}
	for i := range box {
		box[i] = int(int16(binary.BigEndian.Uint16(data[2+2*i:]))) + [2]int{p.dx, p.dy}[i%2]
	}
	return box
}

func (f *Font) union(parts []part) [4]int {
	all := f.box(parts[0])
	for _, p := range parts[1:] {
		b := f.box(p)
		all = [4]int{min(all[0], b[0]), min(all[1], b[1]), max(all[2], b[2]), max(all[3], b[3])}
	}
	return all
}
