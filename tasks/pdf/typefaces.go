package pdf

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"unicode/utf16"

	"casepress/tasks/pdf/font"
)

// glyphs are the letters of one typeface that a PDF uses, in the order of their first appearance. In
// the text of the pages the i-th letter has the code i+1, which is also the number of its glyph in the
// embedded typeface.
type glyphs struct {
	face     font.Face
	letters  []letter
	index    map[string]int
	drawings []font.Drawing
}

// code returns the code of a letter.
func (g *glyphs) code(l letter) int {
	i, known := g.index[l.text]
	if !known {
		i = len(g.letters)
		g.index[l.text] = i
		g.letters = append(g.letters, l)
		d, _ := g.face.Font().Draw(l.text) // there is one: it was asked for when the letter was made
		g.drawings = append(g.drawings, d)
	}
	return i + 1
}

// typefaces are the glyphs of a document, by typeface; nil for one that is not used.
type typefaces [font.Faces]*glyphs

func (t *typefaces) code(l letter) int {
	if t[l.face] == nil {
		t[l.face] = &glyphs{face: l.face, index: map[string]int{}}
	}
	return t[l.face].code(l)
}

// toUnicode returns the CMap from codes to characters, by which a reader copies
// and searches text. Blocks hold at most 100 entries, as the format demands.
func (g *glyphs) toUnicode() []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n" +
		"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n" +
		"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	code := 1
	for block := range slices.Chunk(g.letters, 100) {
		fmt.Fprintf(&b, "%d beginbfchar\n", len(block))
		for _, l := range block {
			fmt.Fprintf(&b, "<%04X> <", code)
			for _, unit := range utf16.Encode([]rune(l.text)) {
				fmt.Fprintf(&b, "%04X", unit)
			}
			b.WriteString(">\n")
			code++
		}
		b.WriteString("endbfchar\n")
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}

// widths returns the letters' widths as a PDF wants them.
func (g *glyphs) widths() []byte {
	b := []byte("[1 [")
	for i, l := range g.letters {
		if i > 0 {
			b = append(b, ' ')
		}
		b = fmt.Append(b, l.width)
	}
	return append(b, "]]"...)
}

// fontObjects is the number of objects of a typeface in a PDF.
const fontObjects = 5

// write adds the typeface as the objects from number on: the font, its
// descendant, descriptor, file, and map to characters.
func (g *glyphs) write(f *file, number int) error {
	cut, err := g.face.Font().Cut(g.drawings)
	if err != nil {
		return err
	}
	// A subset's name begins with six letters of its own.
	sum := sha256.Sum256(cut)
	tag := make([]byte, 6)
	for i := range tag {
		tag[i] = 'A' + sum[i]%26
	}
	name := fmt.Sprintf("%s+%s", tag, g.face.Name())
	m := g.face.Font().Metrics()
	f.object(number, fmt.Sprintf("<</Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R>>",
		name, number+1, number+4))
	f.object(number+1, fmt.Sprintf("<</Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo <</Registry (Adobe) /Ordering (Identity) /Supplement 0>>\n"+
		"/CIDToGIDMap /Identity /DW 1000 /W %s /FontDescriptor %d 0 R>>", name, g.widths(), number+2))
	f.object(number+2, fmt.Sprintf("<</Type /FontDescriptor /FontName /%s /Flags 4 /FontBBox [%d %d %d %d] /ItalicAngle 0 /Ascent %d /Descent %d /CapHeight %d /StemV 80 /FontFile2 %d 0 R>>",
		name, m.Box[0], m.Box[1], m.Box[2], m.Box[3], m.Ascent, m.Descent, m.CapHeight, number+3))
	f.stream(number+3, fmt.Sprintf("/Length1 %d ", len(cut)), cut)
	f.stream(number+4, "", g.toUnicode())
	return f.err
}

var packers = sync.Pool{New: func() any {
	z, err := zlib.NewWriterLevel(nil, zlib.BestSpeed)
	if err != nil {
		panic(err) // BestSpeed is a level
	}
	return z
}}

// deflated compresses data, with more regard to time than to size.
func deflated(data []byte) ([]byte, error) {
	z := packers.Get().(*zlib.Writer)
	defer packers.Put(z)
	b := bytes.NewBuffer(make([]byte, 0, len(data)/2+64))
	z.Reset(b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
