package font

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// MaxDrawings is how many drawings a cut font can hold. Twice as many glyphs fit,
// and those that others are made of need room too.
const MaxDrawings = 30_000

// glyphOut is one glyph of the file being cut.
type glyphOut struct {
	data    []byte
	advance uint16
	bearing int16
}

// cut is a file being made.
type cut struct {
	from   *Font
	glyphs []glyphOut
	index  map[int]uint16 // glyph of from -> glyph here
}

// Cut returns a TrueType file with nothing but the drawings, the i-th as glyph
// i+1; glyph 0 is the empty box. It has no table of characters: in a PDF the text
// names glyphs. Drawings of another font are an error, and so are more than
// [MaxDrawings].
func (f *Font) Cut(drawings []Drawing) ([]byte, error) {
	if len(drawings) > MaxDrawings {
		return nil, fmt.Errorf("cut font: %d drawings, at most %d fit", len(drawings), MaxDrawings)
	}
	c := &cut{from: f, index: map[int]uint16{}, glyphs: make([]glyphOut, 1+len(drawings))}
	var err error
	if c.glyphs[0], err = c.copy(0, 0); err != nil {
		return nil, fmt.Errorf("cut font: %w", err)
	}
	for i, d := range drawings {
		if c.glyphs[i+1], err = c.draw(d); err != nil {
			return nil, fmt.Errorf("cut font: drawing %d: %w", i, err)
		}
	}
	return c.assemble(), nil
}

// draw returns the new glyph for a drawing.
func (c *cut) draw(d Drawing) (glyphOut, error) {
	switch len(d.parts) {
	case 0:
		return glyphOut{}, errors.New("empty")
	case 1:
		return c.copy(d.parts[0].glyph, 0)
	}
	g := glyphOut{advance: uint16(d.width)}
	g.data = binary.BigEndian.AppendUint16(nil, 0xffff)
	box := c.from.union(d.parts)
	for _, v := range box {
		g.data = binary.BigEndian.AppendUint16(g.data, uint16(int16(v)))
	}
	g.bearing = int16(box[0])
	for i, p := range d.parts {
		id, err := c.component(p.glyph, 0)
		if err != nil {
			return g, err
		}
		flags := uint16(wordArgs | argsAreXY)
		if i+1 < len(d.parts) {
			flags |= moreComponents
		}
		for _, v := range []uint16{flags, id, uint16(int16(p.dx)), uint16(int16(p.dy))} {
			g.data = binary.BigEndian.AppendUint16(g.data, v)
		}
	}
	return g, nil
}

// Flags of a component: flags(2) | glyph(2) | dx, dy (2x1 or 2x2) | scale (0, 2, 4 or 8).
const (
	wordArgs       = 0x01
	argsAreXY      = 0x02
	haveScale      = 0x08
	moreComponents = 0x20
	haveXYScale    = 0x40
	haveMatrix     = 0x80
)

// copy returns glyph id of the file, with those that it is made of renumbered.
func (c *cut) copy(id, depth int) (glyphOut, error) {
	data, err := c.from.outline(id)
	if err != nil {
		return glyphOut{}, err
	}
	g := glyphOut{data, uint16(c.from.advance(id)), c.from.bearing(id)}
	if len(data) == 0 || int16(binary.BigEndian.Uint16(data)) >= 0 {
		return g, nil
	}
	if depth > 4 {
		return g, errors.New("glyphs made of glyphs without end")
	}
	g.data = bytes.Clone(data)
	for at, more := outlineHead, true; more; {
		if at+4 > len(g.data) {
			return g, errCut
		}
		flags := binary.BigEndian.Uint16(g.data[at:])
		n, err := c.component(int(binary.BigEndian.Uint16(g.data[at+2:])), depth+1)
		if err != nil {
			return g, err
		}
		binary.BigEndian.PutUint16(g.data[at+2:], n)
		at += componentSize(flags)
		more = flags&moreComponents != 0
	}
	return g, nil
}

func componentSize(flags uint16) int {
	size := 6
	if flags&wordArgs != 0 {
		size += 2
	}
	switch {
	case flags&haveScale != 0:
		size += 2
	case flags&haveXYScale != 0:
		size += 4
	case flags&haveMatrix != 0:
		size += 8
	}
	return size
}

// component returns the new number of a glyph that others are made of.
func (c *cut) component(id, depth int) (uint16, error) {
	if n, ok := c.index[id]; ok {
		return n, nil
	}
	g, err := c.copy(id, depth)
	if err != nil {
		return 0, err
	}
	if len(c.glyphs) >= 0xffff {
		return 0, errors.New("too many glyphs")
	}
	n := uint16(len(c.glyphs))
	c.index[id] = n
	c.glyphs = append(c.glyphs, g)
	return n, nil
}

// assemble writes the tables, each padded to four bytes with zeros:
//
//	header(12) | directory(16 a table) | tables
func (c *cut) assemble() []byte {
	tables := c.tables()
	tags := slices.Sorted(maps.Keys(tables))
	at := 12 + 16*len(tags)
	total := at
	for _, t := range tables {
		total += len(t) + 3
	}
	directory := append(make([]byte, 0, total), 0, 1, 0, 0)
	directory = binary.BigEndian.AppendUint16(directory, uint16(len(tags)))
	directory = append(directory, make([]byte, 6)...) // search hints that no reader needs
	for _, tag := range tags {
		t := tables[tag]
		directory = append(directory, tag...)
		directory = binary.BigEndian.AppendUint32(directory, checksum(t))
		directory = binary.BigEndian.AppendUint32(directory, uint32(at))
		directory = binary.BigEndian.AppendUint32(directory, uint32(len(t)))
		at += (len(t) + 3) &^ 3
	}
	for _, tag := range tags {
		directory = append(directory, tables[tag]...)
		directory = append(directory, 0, 0, 0)[:(len(directory)+3)&^3]
	}
	return directory
}

// tables returns every table.
func (c *cut) tables() map[string][]byte {
	out := map[string][]byte{}
	for _, tag := range []string{"prep", "fpgm", "cvt "} {
		if t, ok := c.from.tables[tag]; ok {
			out[tag] = t
		}
	}
	n := len(c.glyphs)
	out["head"] = patched(c.from.tables["head"], map[int]uint16{8: 0, 10: 0, 50: 1})
	out["hhea"] = patched(c.from.tables["hhea"], map[int]uint16{34: uint16(n)})
	out["maxp"] = c.maxp(uint16(n))
	size := 0
	for _, g := range c.glyphs {
		size += len(g.data) + 3
	}
	glyf, loca, hmtx := make([]byte, 0, size), make([]byte, 0, 4*(n+1)), make([]byte, 0, 4*n)
	for _, g := range c.glyphs {
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		glyf = append(glyf, g.data...)
		glyf = append(glyf, 0, 0, 0)[:(len(glyf)+3)&^3]
		hmtx = binary.BigEndian.AppendUint16(hmtx, g.advance)
		hmtx = binary.BigEndian.AppendUint16(hmtx, uint16(g.bearing))
	}
	out["loca"] = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
	out["glyf"], out["hmtx"] = glyf, hmtx
	return out
}

// maxp returns the table of maxima, with room for what drawings put together.
func (c *cut) maxp(glyphs uint16) []byte {
	const count, points, contours, composedPoints, composedContours, components, depth = 4, 6, 8, 10, 12, 28, 30
	t := c.from.tables["maxp"]
	word := func(at int) int { return int(binary.BigEndian.Uint16(t[at:])) }
	const together = 8
	return patched(t, map[int]uint16{
		count:            glyphs,
		composedPoints:   uint16(min(0xffff, together*max(word(points), word(composedPoints)))),
		composedContours: uint16(min(0xffff, together*max(word(contours), word(composedContours)))),
		components:       uint16(max(together, word(components))),
		depth:            uint16(word(depth) + 1),
	})
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
