package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"casepress/tasks/report/font"
)

// codes are the 16-bit codes under which a document's characters stand in its PDF,
// in the order of their first appearance. The PDF's ToUnicode map leads back from
// them to the characters themselves, also to those beyond the Basic Multilingual
// Plane, as some names need them.
type codes struct {
	runes []rune // the i-th has the code font.Code(i)
	index map[rune]int
}

func newCodes() *codes { return &codes{index: map[rune]int{}} }

// add gives every character of clean text its code.
func (c *codes) add(s string) {
	for _, r := range s {
		if _, known := c.index[r]; !known {
			c.index[r] = len(c.runes)
			c.runes = append(c.runes, r)
		}
	}
}

// encode returns text that was added with every character replaced by its code.
func (c *codes) encode(s string) string {
	return strings.Map(func(r rune) rune { return rune(font.Code(c.index[r])) }, s)
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
	i := 0
	for block := range slices.Chunk(c.runes, 100) {
		fmt.Fprintf(&b, "%d beginbfchar\n", len(block))
		for _, r := range block {
			fmt.Fprintf(&b, "<%04X> <", font.Code(i))
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "%04X", unit)
			}
			b.WriteString(">\n")
			i++
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
