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

// maxSegments is how many runs of codes a cmap of format 4 can hold in its 16-bit
// length.
const maxSegments = (1<<16 - 1 - 16) / 8

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

// Subset returns a TrueType file with the glyphs of runes only, where codes says
// under which 16-bit code each is found: a rune's own number where it fits, any
// free one where not. The file is the same for the same codes. Glyph 0 is the
// empty box. A rune that [Font.Has] denies is an error.
func (f *Font) Subset(codes map[uint16]rune) ([]byte, error) {
	c := &cut{from: f, index: map[int]uint16{}}
	if _, err := c.copy(0); err != nil {
		return nil, fmt.Errorf("cut font: %w", err)
	}
	sorted := slices.Sorted(maps.Keys(codes))
	glyphs := make([]uint16, len(sorted))
	for i, code := range sorted {
		g, err := c.add(codes[code])
		if err != nil {
			return nil, fmt.Errorf("cut font: U+%04X: %w", codes[code], err)
		}
		glyphs[i] = g
	}
	cmap, err := cmapOf(sorted, glyphs)
	if err != nil {
		return nil, fmt.Errorf("cut font: %w", err)
	}
	return c.assemble(cmap), nil
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

// cmapOf returns a cmap with one Windows Unicode table of format 4, one segment a
// run of codes whose glyphs run along:
//
//	0(2) tables(2) 3(2) 1(2) offset(4) | 4(2) length(2) language(2) 2*segments(2) hints(6)
//	last codes | 0(2) | first codes | deltas | range offsets, all 0
func cmapOf(codes, glyphs []uint16) ([]byte, error) {
	type segment struct{ first, last, delta uint16 }
	var segments []segment
	for i, code := range codes {
		delta := glyphs[i] - code
		if n := len(segments); n > 0 && segments[n-1].last+1 == code && segments[n-1].delta == delta {
			segments[n-1].last = code
			continue
		}
		segments = append(segments, segment{code, code, delta})
	}
	segments = append(segments, segment{0xffff, 0xffff, 1})
	if len(segments) > maxSegments {
		return nil, fmt.Errorf("%d runs of characters, at most %d fit", len(segments), maxSegments)
	}
	n := uint16(len(segments))
	words := []uint16{0, 1, 3, 1, 0, 12, 4, 16 + 8*n, 0, 2 * n, 0, 0, 0}
	for _, s := range segments {
		words = append(words, s.last)
	}
	words = append(words, 0)
	for _, s := range segments {
		words = append(words, s.first)
	}
	for _, s := range segments {
		words = append(words, s.delta)
	}
	words = append(words, make([]uint16, n)...)
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return b, nil
}
