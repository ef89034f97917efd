// Package font implements the typefaces of the PDF: it finds the glyphs of a character with its
// marks, and cuts small TrueType files that hold only the glyphs that a PDF uses.
//
// It promises that no character turns into an empty box: where [Font.Draw] says that a typeface lacks
// something, the caller must print it another way. It hands out no whole typeface, and it neither
// joins letters nor orders text from right to left.
//
// The typefaces lie in the binary and are never copied; only the parts that are read come into memory.
package font

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Font is a TrueType file, read in place. It may be used by many goroutines at
// once.
type Font struct {
	tables   map[string][]byte
	groups   []group // of the cmap, sorted
	glyphs   int
	metrics  int // glyphs that have a width of their own in hmtx
	longLoca bool
	em       int // font units an em
}

// errCut says that a table is shorter than its own counts say.
var errCut = errors.New("table cut off")

// needed are the tables without which there is no text in a PDF, and their least
// sizes in bytes.
var needed = map[string]int{
	"cmap": 4, "glyf": 0, "head": 54, "hhea": 36, "hmtx": 4, "loca": 2, "maxp": 32, "OS/2": 78, "post": 32,
}

// Parse indexes a TrueType file, which must not change afterwards. It wants a
// Unicode cmap of format 12 or 4.
func Parse(b []byte) (*Font, error) {
	f := &Font{tables: map[string][]byte{}}
	for _, step := range []func() error{
		func() error { return f.readDirectory(b) }, f.readHeads, f.readCmap,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("parse font: %w", err)
		}
	}
	return f, nil
}

// readDirectory finds the tables:
//
//	version(4) | tables(2) | search hints(6) | per table: tag(4) checksum(4) offset(4) length(4)
func (f *Font) readDirectory(b []byte) error {
	if len(b) < 12 || binary.BigEndian.Uint32(b) != 0x00010000 {
		return errors.New("not a TrueType file")
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if len(b) < 12+16*n {
		return errCut
	}
	for i := range n {
		e := b[12+16*i:][:16]
		at, size := uint64(binary.BigEndian.Uint32(e[8:])), uint64(binary.BigEndian.Uint32(e[12:]))
		if at+size > uint64(len(b)) {
			return fmt.Errorf("%q: %w", e[:4], errCut)
		}
		f.tables[string(e[:4])] = b[at : at+size : at+size]
	}
	for tag, least := range needed {
		if t, ok := f.tables[tag]; !ok || len(t) < least {
			return fmt.Errorf("table %q missing or cut off", tag)
		}
	}
	return nil
}

func (f *Font) readHeads() error {
	head := f.tables["head"]
	f.em = int(binary.BigEndian.Uint16(head[18:]))
	f.longLoca = binary.BigEndian.Uint16(head[50:]) == 1
	f.glyphs = int(binary.BigEndian.Uint16(f.tables["maxp"][4:]))
	f.metrics = int(binary.BigEndian.Uint16(f.tables["hhea"][34:]))
	locaEntry := 2
	if f.longLoca {
		locaEntry = 4
	}
	switch {
	case f.em == 0, f.glyphs == 0, f.metrics == 0, f.metrics > f.glyphs:
		return errors.New("no glyphs")
	case len(f.tables["loca"]) < locaEntry*(f.glyphs+1):
		return fmt.Errorf("loca: %w", errCut)
	case len(f.tables["hmtx"]) < 4*f.metrics+2*(f.glyphs-f.metrics):
		return fmt.Errorf("hmtx: %w", errCut)
	}
	return nil
}

// advance returns a glyph's width in font units.
func (f *Font) advance(id int) int {
	return int(binary.BigEndian.Uint16(f.tables["hmtx"][4*min(id, f.metrics-1):]))
}

// bearing returns the space left of a glyph in font units.
func (f *Font) bearing(id int) int16 {
	hmtx := f.tables["hmtx"]
	if id < f.metrics {
		return int16(binary.BigEndian.Uint16(hmtx[4*id+2:]))
	}
	return int16(binary.BigEndian.Uint16(hmtx[4*f.metrics+2*(id-f.metrics):]))
}

// outline returns a glyph's data, empty for a blank one:
//
//	contours(2), -1 if it is made of other glyphs | box(4x2): left, bottom, right, top | …
func (f *Font) outline(id int) ([]byte, error) {
	if id < 0 || id >= f.glyphs {
		return nil, fmt.Errorf("no glyph %d", id)
	}
	loca, glyf := f.tables["loca"], f.tables["glyf"]
	var from, to uint64
	if f.longLoca {
		from, to = uint64(binary.BigEndian.Uint32(loca[4*id:])), uint64(binary.BigEndian.Uint32(loca[4*id+4:]))
	} else {
		from, to = 2*uint64(binary.BigEndian.Uint16(loca[2*id:])), 2*uint64(binary.BigEndian.Uint16(loca[2*id+2:]))
	}
	if from > to || to > uint64(len(glyf)) || (to > from && to-from < outlineHead) {
		return nil, fmt.Errorf("glyph %d: %w", id, errCut)
	}
	return glyf[from:to], nil
}

const outlineHead = 10

// Metrics describe a typeface to a PDF reader, in thousandths of an em.
type Metrics struct {
	Ascent, Descent, CapHeight int
	Box                        [4]int // left, bottom, right, top of all glyphs
}

// Metrics returns the file's own measures.
func (f *Font) Metrics() Metrics {
	head, hhea, os2 := f.tables["head"], f.tables["hhea"], f.tables["OS/2"]
	m := Metrics{Ascent: f.thousandths(hhea[4:]), Descent: f.thousandths(hhea[6:])}
	m.CapHeight = m.Ascent
	const capHeight = 88
	if len(os2) >= capHeight+2 && binary.BigEndian.Uint16(os2) >= 2 {
		m.CapHeight = f.thousandths(os2[capHeight:])
	}
	for i := range m.Box {
		m.Box[i] = f.thousandths(head[36+2*i:])
	}
	return m
}

func (f *Font) thousandths(b []byte) int {
	return int(int16(binary.BigEndian.Uint16(b))) * 1000 / f.em
}
