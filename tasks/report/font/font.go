// Package font keeps the one typeface of the reports, Noto Sans SC Regular, and
// cuts from it small TrueType files that hold only the glyphs a document uses. It
// never hands out the whole typeface, and it never lets a character turn into an
// empty box: what [Font.Has] denies, a caller must print another way.
//
// The typeface is 10.6 MB and lies in the binary; it is never copied. Looking up
// a character is a binary search in the file's own table.
package font

import (
	_ "embed" // the typeface
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"sync"
)

//go:embed NotoSansSC-Regular.ttf
var notoSansSC []byte

// NotoSansSC returns the embedded typeface. It covers simplified and traditional
// Chinese, kana, Western European and Vietnamese Latin, Russian, and Greek without
// accents; not the rest of Europe's Latin (č, ł, ő), nor Hangul, Arabic or emoji.
var NotoSansSC = sync.OnceValue(func() *Font {
	f, err := Parse(notoSansSC)
	if err != nil {
		panic(err) // the file is part of the build, and a test reads it
	}
	return f
})

// Font is a TrueType file with simple glyphs, read in place. It may be used by
// many goroutines at once.
type Font struct {
	tables   map[string][]byte
	groups   []byte // of the cmap: 12 bytes each, sorted: first rune, last rune, first glyph
	glyphs   int
	metrics  int // glyphs that have a width of their own in hmtx
	longLoca bool
	em       float64 // font units an em
}

// errCut says that a table is too short for what it announces.
var errCut = errors.New("table cut off")

// needed are the tables without which there is no text in a PDF, and their least
// sizes in bytes.
var needed = map[string]int{
	"cmap": 4, "glyf": 0, "head": 54, "hhea": 36, "hmtx": 4, "loca": 2, "maxp": 32, "OS/2": 78, "post": 32,
}

// Parse indexes a TrueType file, which must not change afterwards. It wants a
// full Unicode cmap (format 12).
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
	f.em = float64(binary.BigEndian.Uint16(head[18:]))
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

// readCmap finds the full Unicode table, format 12:
//
//	12(2) | reserved(2) | length(4) | language(4) | groups(4) | per group: first(4) last(4) glyph(4)
func (f *Font) readCmap() error {
	const windows, fullUnicode, format12 = 3, 10, 12
	cmap := f.tables["cmap"]
	for i := range int(binary.BigEndian.Uint16(cmap[2:])) {
		at := 4 + 8*i
		if at+8 > len(cmap) {
			return fmt.Errorf("cmap: %w", errCut)
		}
		e := cmap[at:]
		start := uint64(binary.BigEndian.Uint32(e[4:]))
		if binary.BigEndian.Uint16(e) != windows || binary.BigEndian.Uint16(e[2:]) != fullUnicode || start+16 > uint64(len(cmap)) {
			continue
		}
		t := cmap[start:]
		n := uint64(binary.BigEndian.Uint32(t[12:]))
		if binary.BigEndian.Uint16(t) != format12 || 16+12*n > uint64(len(t)) {
			return fmt.Errorf("cmap: %w", errCut)
		}
		f.groups = t[16 : 16+12*n]
		return nil
	}
	return errors.New("no full Unicode cmap")
}

// glyph returns the glyph that the file itself has for r, 0 if none.
func (f *Font) glyph(r rune) int {
	n := len(f.groups) / 12
	i := sort.Search(n, func(i int) bool { return binary.BigEndian.Uint32(f.groups[12*i+4:]) >= uint32(r) })
	if i == n {
		return 0
	}
	g := f.groups[12*i:]
	first := binary.BigEndian.Uint32(g)
	if uint32(r) < first {
		return 0
	}
	id := uint64(binary.BigEndian.Uint32(g[8:])) + uint64(uint32(r)-first)
	if id >= uint64(f.glyphs) {
		return 0
	}
	return int(id)
}

// Has reports whether r can be shown, by a glyph of the file or one composed here.
func (f *Font) Has(r rune) bool {
	if f.glyph(r) != 0 {
		return true
	}
	s, ok := scripts[r]
	return ok && f.glyph(s.base) != 0
}

// Width returns how far r moves on, in ems. For a rune that [Font.Has] denies it
// is the width of the empty box.
func (f *Font) Width(r rune) float64 {
	if id := f.glyph(r); id != 0 {
		return float64(f.advance(id)) / f.em
	}
	if s, ok := scripts[r]; ok {
		return scriptScale*float64(f.advance(f.glyph(s.base)))/f.em + 2*scriptSpace
	}
	return float64(f.advance(0)) / f.em
}

func (f *Font) advance(id int) uint16 {
	return binary.BigEndian.Uint16(f.tables["hmtx"][4*min(id, f.metrics-1):])
}

// outline returns a glyph's data, empty for a blank one.
func (f *Font) outline(id int) ([]byte, error) {
	loca, glyf := f.tables["loca"], f.tables["glyf"]
	var from, to uint64
	if f.longLoca {
		from, to = uint64(binary.BigEndian.Uint32(loca[4*id:])), uint64(binary.BigEndian.Uint32(loca[4*id+4:]))
	} else {
		from, to = 2*uint64(binary.BigEndian.Uint16(loca[2*id:])), 2*uint64(binary.BigEndian.Uint16(loca[2*id+2:]))
	}
	if from > to || to > uint64(len(glyf)) || (to > from && to-from < 10) {
		return nil, fmt.Errorf("glyph %d: %w", id, errCut)
	}
	if to > from && int16(binary.BigEndian.Uint16(glyf[from:])) < 0 {
		return nil, fmt.Errorf("glyph %d is composed of others, which is not supported", id)
	}
	return glyf[from:to], nil
}
