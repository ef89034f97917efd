package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/jung-kurt/gofpdf"
)

// This file alone knows gofpdf, which nobody maintains any more and which panics
// on what it does not expect. Only its plain drawing is used: its own line breaking
// (MultiCell, SplitText, Write) loses Chinese characters.

const family = "noto"

// draw writes the pages as a PDF, once it is complete and checked.
func draw(w io.Writer, doc Document, pages []*page) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gofpdf: panic: %v", r)
		}
	}()
	codes := newCodes()
	for _, p := range pages {
		for _, t := range p.texts {
			codes.add(t.content)
		}
	}
	d, err := newDrawing(doc, codes)
	if err != nil {
		return err
	}
	for _, p := range pages {
		if err := d.page(p); err != nil {
			return err
		}
	}
	var raw bytes.Buffer
	if err := d.pdf.Output(&raw); err != nil {
		return err
	}
	return finish(w, raw.Bytes(), codes, len(pages), len(d.pictures))
}

// drawing is a PDF being drawn.
type drawing struct {
	pdf      *gofpdf.Fpdf
	doc      Document
	codes    *codes
	pictures map[string]bool // by the digest of the JPEG
}

func newDrawing(doc Document, codes *codes) (*drawing, error) {
	subset, err := codes.font()
	if err != nil {
		return nil, err
	}
	pdf := gofpdf.NewCustom(&gofpdf.InitType{UnitStr: "pt", Size: gofpdf.SizeType{Wd: pageWidth, Ht: pageHeight}})
	pdf.SetMargins(0, 0, 0)
	pdf.SetAutoPageBreak(false, 0)
	pdf.SetCatalogSort(true)
	pdf.SetCreationDate(doc.receivedAt())
	pdf.SetModificationDate(doc.receivedAt())
	pdf.SetTitle(bmp(doc.Title+" "+doc.ID), true)
	pdf.SetSubject(bmp(doc.whose()), true)
	pdf.SetAuthor("casepress", true)
	pdf.SetCreator("casepress", true)
	pdf.SetProducer("casepress", true)
	pdf.AddUTF8FontFromBytes(family, "", subset)
	return &drawing{pdf, doc, codes, map[string]bool{}}, pdf.Error()
}

func (d *drawing) page(p *page) error {
	d.pdf.AddPage()
	d.pdf.SetFont(family, "", styleBody.size)
	for _, b := range p.bookmarks {
		d.pdf.Bookmark(bmp(b.title), b.level, b.y)
	}
	for _, b := range p.boxes {
		d.pdf.SetFillColor(b.fill.r, b.fill.g, b.fill.b)
		d.pdf.Rect(b.x, b.y, b.w, b.h, "F")
	}
	for _, pl := range p.pictures {
		if err := d.picture(pl); err != nil {
			return fmt.Errorf("image %d: %w", pl.image+1, err)
		}
	}
	for _, t := range p.texts {
		d.text(t)
	}
	return d.pdf.Error()
}

func (d *drawing) text(t text) {
	d.pdf.SetFontSize(t.style.size)
	d.pdf.SetTextColor(t.style.colour.r, t.style.colour.g, t.style.colour.b)
	if t.style.bold {
		// There is one weight in the binary; a hairline around it makes another.
		d.pdf.SetDrawColor(t.style.colour.r, t.style.colour.g, t.style.colour.b)
		d.pdf.SetLineWidth(t.style.size * 0.028)
		d.pdf.SetTextRenderingMode(2)
		defer d.pdf.SetTextRenderingMode(0)
	}
	d.pdf.Text(t.x, t.y, d.codes.encode(t.content))
}

// picture embeds the bytes of a JPEG as they are, once however often they appear.
func (d *drawing) picture(p placed) error {
	img := d.doc.Images[p.image]
	if img.Open == nil {
		return errors.New("no picture and no problem")
	}
	r, err := img.Open()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	options := gofpdf.ImageOptions{ImageType: "jpg"}
	info := d.pdf.RegisterImageOptionsReader(name, options, bytes.NewReader(data))
	if err := d.pdf.Error(); err != nil {
		return err
	}
	if !d.pictures[name] {
		if w, h := math.Round(info.Width()), math.Round(info.Height()); int(w) != img.Width || int(h) != img.Height {
			return fmt.Errorf("the JPEG is %v x %v, not %d x %d", w, h, img.Width, img.Height)
		}
		d.pictures[name] = true
		if err := unique(info, len(d.pictures)); err != nil {
			return err
		}
	}
	d.pdf.ImageOptions(name, p.x, p.y, p.w, p.h, false, options, 0, "")
	return d.pdf.Error()
}

// unique gives the n-th picture a width that no other has, by less than a pixel:
// gofpdf writes pictures in the order of their widths, and those of one width in
// the order of a map, which is another one each time. The only way to the width is
// through its gob.
func unique(info *gofpdf.ImageInfoType, n int) error {
	raw, err := info.GobEncode()
	if err != nil {
		return err
	}
	var f struct {
		data, mask, palette        []byte
		n, depth                   int
		w, h, scale, dpi           float64
		space, filter, decodeParms string
		transparent                []int
	}
	fields := []any{&f.data, &f.mask, &f.n, &f.w, &f.h, &f.space, &f.palette, &f.depth, &f.filter, &f.decodeParms, &f.transparent, &f.scale, &f.dpi}
	dec := gob.NewDecoder(bytes.NewReader(raw))
	for _, field := range fields {
		if err := dec.Decode(field); err != nil {
			return fmt.Errorf("gofpdf's picture: %w", err)
		}
	}
	f.w += float64(n) / (1 << 20)
	var wider bytes.Buffer
	enc := gob.NewEncoder(&wider)
	for _, field := range fields {
		if err := enc.Encode(field); err != nil {
			return fmt.Errorf("gofpdf's picture: %w", err)
		}
	}
	return info.GobDecode(wider.Bytes())
}
