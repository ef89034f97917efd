package report

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"

	"casepress/tasks/report/font"
)

// codes are the 16-bit codes under which a document's characters stand in its PDF:
// a character's own number, or, for those beyond the Basic Multilingual Plane
// (rare names are), one of the private-use area, which clean text never contains.
// The PDF's ToUnicode map leads back to the characters themselves.
type codes struct {
	runes map[uint16]rune
	far   map[rune]uint16
}

// The private-use area.
const (
	privateFirst = 0xe000
	privateLast  = 0xf8ff
)

func newCodes() *codes {
	return &codes{runes: map[uint16]rune{}, far: map[rune]uint16{}}
}

// add gives every character of clean text its code. It panics if the private-use
// area overflows, which takes more far characters than exist in the typeface.
func (c *codes) add(s string) {
	for _, r := range s {
		code := uint16(r)
		if r > 0xffff {
			known := false
			if code, known = c.far[r]; !known {
				code = privateFirst + uint16(len(c.far))
				if code > privateLast {
					panic("too many characters beyond the Basic Multilingual Plane")
				}
				c.far[r] = code
			}
		}
		c.runes[code] = r
	}
}

// encode returns s with every character replaced by its code.
func (c *codes) encode(s string) string {
	if len(c.far) == 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if code, far := c.far[r]; far {
			return rune(code)
		}
		return r
	}, s)
}

// font returns a typeface that holds just these characters.
func (c *codes) font() ([]byte, error) { return font.NotoSansSC().Subset(c.runes) }

// toUnicode returns the CMap from codes to characters, by which a reader copies
// and searches text. Blocks hold at most 100 entries, as the format demands.
func (c *codes) toUnicode() []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n" +
		"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n" +
		"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	for block := range slices.Chunk(slices.Sorted(maps.Keys(c.runes)), 100) {
		fmt.Fprintf(&b, "%d beginbfchar\n", len(block))
		for _, code := range block {
			fmt.Fprintf(&b, "<%04X> <", code)
			for _, unit := range utf16.Encode([]rune{c.runes[code]}) {
				fmt.Fprintf(&b, "%04X", unit)
			}
			b.WriteString(">\n")
		}
		b.WriteString("endbfchar\n")
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}

// bmp returns s fit for titles and bookmarks, which gofpdf cannot write beyond the
// Basic Multilingual Plane.
func bmp(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > 0xffff {
			fmt.Fprintf(&b, "[U+%04X]", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
