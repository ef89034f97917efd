package font

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Characters stand in a cut font, and so in the document, under codes of two bytes
// that have nothing to do with their numbers: the first one under firstCode, each
// further one codeStep on. The step leaves a gap between any two, because gofpdf's
// table of widths takes cubic time over a run of neighbours: 4,000 characters in
// the order of the alphabet would keep it busy for a minute.
const (
	firstCode = 0x100
	codeStep  = 2
)

// MaxRunes is how many characters a cut font can hold: the table of codes has a
// 16-bit length. All codes lie below the surrogates, so that each is a character in
// the eyes of gofpdf.
const MaxRunes = 16_000

// Code returns the code of the i-th character of a cut font.
func Code(i int) uint16 { return uint16(firstCode + codeStep*i) }

// glyphOut is one glyph of the file being cut.
type glyphOut struct {
	data    []byte
	advance uint16
	bearing uint16
}

// cut is a file being made.
type cut struct {
	from   *Font
	glyphs []glyphOut
	index  map[int]uint16 // glyph of from -> glyph here
}

// Subset returns a TrueType file that holds the glyphs of runes only, runes[i]
// under [Code](i). Glyph 0 is the empty box. A rune that [Font.Has] denies is an
// error, and so are more than [MaxRunes].
func (f *Font) Subset(runes []rune) ([]byte, error) {
	if len(runes) > MaxRunes {
		return nil, fmt.Errorf("cut font: %d characters, at most %d fit", len(runes), MaxRunes)
	}
	c := &cut{from: f, index: map[int]uint16{}}
	if _, err := c.copy(0); err != nil {
		return nil, fmt.Errorf("cut font: %w", err)
	}
	glyphs := make([]uint16, len(runes))
	for i, r := range runes {
		g, err := c.add(r)
		if err != nil {
			return nil, fmt.Errorf("cut font: U+%04X: %w", r, err)
		}
		glyphs[i] = g
	}
	return c.assemble(cmapOf(glyphs)), nil
}

// add returns the new glyph for r, composing it if the file has none.
func (c *cut) add(r rune) (uint16, error) {
	if id := c.from.glyph(r); id != 0 {
		return c.copy(id)
	}
	s, ok := scripts[r]
	id := c.from.glyph(s.base)
	if !ok || id == 0 {
		return 0, errors.New("no glyph")
	}
	base, err := c.copy(id)
	if err != nil {
		return 0, err
	}
	g := c.glyphs[base]
	space := scriptSpace * c.from.em
	scaled := func(v uint16, plus float64) uint16 {
		return uint16(int16(math.Round(scriptScale*float64(int16(v)) + plus)))
	}
	c.glyphs = append(c.glyphs, glyphOut{
		data:    s.compose(base, g.data, c.from.em),
		advance: scaled(g.advance, 2*space),
		bearing: scaled(g.bearing, space),
	})
	return uint16(len(c.glyphs) - 1), nil
}

// copy returns the new glyph for glyph id of the file.
func (c *cut) copy(id int) (uint16, error) {
	if g, ok := c.index[id]; ok {
		return g, nil
	}
	data, err := c.from.outline(id)
	if err != nil {
		return 0, err
	}
	hmtx, n := c.from.tables["hmtx"], c.from.metrics
	bearing := hmtx[4*min(id, n-1)+2:]
	if id >= n {
		bearing = hmtx[4*n+2*(id-n):]
	}
	g := uint16(len(c.glyphs))
	c.index[id] = g
	c.glyphs = append(c.glyphs, glyphOut{data, c.from.advance(id), binary.BigEndian.Uint16(bearing)})
	return g, nil
}

// assemble writes the tables, each padded to four bytes with zeros:
//
//	header(12) | directory(16 a table) | tables
func (c *cut) assemble(cmap []byte) []byte {
	tables := c.tables()
	tables["cmap"] = cmap
	tags := slices.Sorted(maps.Keys(tables))
	at := 12 + 16*len(tags)
	out := []byte{0, 1, 0, 0}
	out = binary.BigEndian.AppendUint16(out, uint16(len(tags)))
	out = append(out, make([]byte, 6)...) // search hints that no reader needs
	var body bytes.Buffer
	for _, tag := range tags {
		t := tables[tag]
		out = append(out, tag...)
		out = binary.BigEndian.AppendUint32(out, checksum(t))
		out = binary.BigEndian.AppendUint32(out, uint32(at+body.Len()))
		out = binary.BigEndian.AppendUint32(out, uint32(len(t)))
		body.Write(t)
		body.Write(make([]byte, -len(t)&3))
	}
	return append(out, body.Bytes()...)
}

// tables returns every table but the cmap.
func (c *cut) tables() map[string][]byte {
	out := map[string][]byte{"name": {0, 0, 0, 0, 0, 6}} // no names
	for _, tag := range []string{"OS/2", "prep", "fpgm", "cvt ", "gasp"} {
		if t, ok := c.from.tables[tag]; ok {
			out[tag] = t
		}
	}
	n := uint16(len(c.glyphs))
	out["post"] = append([]byte{0, 3, 0, 0}, c.from.tables["post"][4:32]...)
	out["head"] = patched(c.from.tables["head"], map[int]uint16{8: 0, 10: 0, 50: 1})
	out["hhea"] = patched(c.from.tables["hhea"], map[int]uint16{34: n})
	maxp := c.from.tables["maxp"]
	points, contours := binary.BigEndian.Uint16(maxp[6:]), binary.BigEndian.Uint16(maxp[8:])
	const composedPoints, composedContours, components, depth = 10, 12, 28, 30
	out["maxp"] = patched(maxp, map[int]uint16{4: n, composedPoints: points, composedContours: contours, components: 1, depth: 1})
	var glyf, loca, hmtx []byte
	for _, g := range c.glyphs {
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		glyf = append(glyf, g.data...)
		glyf = append(glyf, make([]byte, -len(glyf)&3)...)
		hmtx = binary.BigEndian.AppendUint16(hmtx, g.advance)
		hmtx = binary.BigEndian.AppendUint16(hmtx, g.bearing)
	}
	out["loca"] = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
	out["glyf"], out["hmtx"] = glyf, hmtx
	return out
}

// patched returns a copy of a table with some 16-bit fields replaced.
func patched(t []byte, fields map[int]uint16) []byte {
	t = bytes.Clone(t)
	for at, v := range fields {
		binary.BigEndian.PutUint16(t[at:], v)
	}
	return t
}

func checksum(t []byte) (sum uint32) {
	for ; len(t) >= 4; t = t[4:] {
		sum += binary.BigEndian.Uint32(t)
	}
	var rest [4]byte
	copy(rest[:], t)
	return sum + binary.BigEndian.Uint32(rest[:])
}

// cmapOf returns a cmap with one Windows Unicode table of format 4, all codes in
// one segment with a list of glyphs, 0 in the gaps:
//
//	0(2) tables(2) 3(2) 1(2) offset(4) | 4(2) length(2) language(2) 2*segments(2) hints(6)
//	last codes(2x2) | 0(2) | first codes(2x2) | deltas(2x2) | range offsets(2x2) | glyphs
//
// The second segment is the end mark that the format wants.
func cmapOf(glyphs []uint16) []byte {
	const segments, end = 2, 0xffff
	list := make([]uint16, max(1, codeStep*len(glyphs)-1))
	for i, g := range glyphs {
		list[codeStep*i] = g
	}
	last := uint16(firstCode + len(list) - 1)
	words := []uint16{
		0, 1, 3, 1, 0, 12,
		4, uint16(16 + 8*segments + 2*len(list)), 0, 2 * segments, 0, 0, 0,
		last, end, 0, firstCode, end, 0, 1, 2 * segments, 0,
	}
	var b []byte
	for _, w := range append(words, list...) {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return b
}
