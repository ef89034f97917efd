package pdf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"unicode/utf16"

	"github.com/jung-kurt/gofpdf"
)

// This file alone uses gofpdf, which nobody maintains any more and which panics on what it does not
// expect. It makes the pages, their shapes, the outline and the title. Text and pictures are written
// into its pages by our own code: gofpdf loses Chinese characters where it breaks lines, knows neither
// characters beyond the Basic Multilingual Plane nor more than one typeface a line, and holds pictures
// in memory and writes them in the order of a map.

// drawing is a PDF being drawn.
type drawing struct {
	pdf   *gofpdf.Fpdf
	sheet sheet
	faces *typefaces
	keys  []string // by image
	line  []byte   // one line of content, kept for the next to use its memory
}

// draw returns the pages as gofpdf writes them, without typefaces and pictures.
func draw(doc Document, pages []*page, keys []string, faces *typefaces) (raw []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gofpdf: panic of type %T", r) // its text may be made of what is drawn
		}
	}()
	s := doc.Options.Paper.sheet()
	pdf := gofpdf.NewCustom(&gofpdf.InitType{UnitStr: "pt", Size: gofpdf.SizeType{Wd: s.width, Ht: s.height}})
	pdf.SetMargins(0, 0, 0)
	pdf.SetAutoPageBreak(false, 0)
	pdf.SetCatalogSort(true)
	pdf.SetCompression(false) // it is done later, with less memory
	meta := metadataOf(doc)
	pdf.SetCreationDate(meta.time)
	pdf.SetModificationDate(meta.time)
	pdf.SetTitle(utf16Text(meta.title), false)
	pdf.SetSubject(utf16Text(meta.subject), false)
	pdf.SetAuthor(creator, false)
	pdf.SetCreator(creator, false)
	pdf.SetProducer(creator, false)
	d := drawing{pdf: pdf, sheet: s, faces: faces, keys: keys}
	for _, p := range pages {
		d.page(p)
	}
	var b bytes.Buffer
	err = pdf.Output(&b)
	return b.Bytes(), err
}

// utf16Text returns text as titles and bookmarks have it. gofpdf's own conversion loses characters
// beyond the Basic Multilingual Plane.
func utf16Text(s string) string {
	b := []byte{0xfe, 0xff}
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.BigEndian.AppendUint16(b, unit)
	}
	return string(b)
}

func (d *drawing) page(p *page) {
	d.pdf.AddPage()
	for _, b := range p.bookmarks {
		d.pdf.Bookmark(utf16Text(b.title), 0, max(0, b.y-12))
	}
	for _, b := range p.boxes {
		d.pdf.SetFillColor(b.fill.r, b.fill.g, b.fill.b)
		d.pdf.Rect(b.x, b.y, b.w, b.h, "F")
	}
	for _, pl := range p.pictures {
		d.pdf.RawWriteStr(fmt.Sprintf("q %.2f 0 0 %.2f %.2f %.2f cm /%s Do Q", pl.w, pl.h, pl.x, d.sheet.height-pl.y-pl.h, d.keys[pl.image]))
	}
	for _, t := range p.texts {
		d.text(t)
	}
}

// text writes one line: its colour and place, then its letters, in runs of one typeface each.
func (d *drawing) text(t text) {
	c := t.style.colour
	d.line = fmt.Appendf(d.line[:0], "BT %.3f %.3f %.3f rg %.2f %.2f Td", float64(c.r)/255, float64(c.g)/255, float64(c.b)/255, t.x, d.sheet.height-t.y)
	for from, to := 0, 0; from < len(t.letters); from = to {
		l := t.letters[from]
		for to = from + 1; to < len(t.letters) && t.letters[to].face == l.face && t.letters[to].heavy == l.heavy; to++ {
		}
		if l.heavy {
			d.line = fmt.Appendf(d.line, " %.3f %.3f %.3f RG %.2f w 2 Tr", float64(c.r)/255, float64(c.g)/255, float64(c.b)/255, t.style.size*0.032)
		}
		d.line = fmt.Appendf(d.line, " /F%d ", l.face)
		d.line = strconv.AppendFloat(d.line, t.style.size, 'f', -1, 64)
		d.line = append(d.line, " Tf <"...)
		for _, l := range t.letters[from:to] {
			d.line = appendCode(d.line, d.faces.code(l))
		}
		d.line = append(d.line, "> Tj"...)
		if l.heavy {
			d.line = append(d.line, " 0 Tr"...)
		}
	}
	d.pdf.RawWriteStr(string(append(d.line, " ET"...)))
}

func appendCode(b []byte, code int) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, digits[code>>12&15], digits[code>>8&15], digits[code>>4&15], digits[code&15])
}
