package font

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

// group maps a run of characters to a run of glyphs.
type group struct{ first, last, glyph uint32 }

// readCmap finds the Unicode table, the one for all of Unicode before the one for
// the Basic Multilingual Plane:
//
//	version(2) | tables(2) | per table: platform(2) encoding(2) offset(4)
func (f *Font) readCmap() error {
	const windows, fullUnicode, basicPlane = 3, 10, 1
	cmap := f.tables["cmap"]
	tables := map[uint16][]byte{}
	for i := range int(binary.BigEndian.Uint16(cmap[2:])) {
		at := 4 + 8*i
		if at+8 > len(cmap) {
			return fmt.Errorf("cmap: %w", errCut)
		}
		start := binary.BigEndian.Uint32(cmap[at+4:])
		if binary.BigEndian.Uint16(cmap[at:]) == windows && uint64(start)+16 <= uint64(len(cmap)) {
			tables[binary.BigEndian.Uint16(cmap[at+2:])] = cmap[start:]
		}
	}
	var err error
	switch {
	case tables[fullUnicode] != nil:
		err = f.readFormat12(tables[fullUnicode])
	case tables[basicPlane] != nil:
		err = f.readFormat4(tables[basicPlane])
	default:
		err = errors.New("no Unicode table")
	}
	if err != nil {
		return fmt.Errorf("cmap: %w", err)
	}
	return nil
}

// readFormat12 reads
//
//	12(2) | reserved(2) | length(4) | language(4) | groups(4) | per group: first(4) last(4) glyph(4)
func (f *Font) readFormat12(t []byte) error {
	n := uint64(binary.BigEndian.Uint32(t[12:]))
	if binary.BigEndian.Uint16(t) != 12 || 16+12*n > uint64(len(t)) {
		return errCut
	}
	f.groups = make([]group, n)
	for i := range f.groups {
		g := t[16+12*i:]
		f.groups[i] = group{binary.BigEndian.Uint32(g), binary.BigEndian.Uint32(g[4:]), binary.BigEndian.Uint32(g[8:])}
	}
	return nil
}

// readFormat4 reads
//
//	4(2) | length(2) | language(2) | 2*segments(2) | hints(6) | lasts | 0(2) | firsts | deltas | range offsets | glyphs
//
// where a range offset other than 0 leads, from where it stands, to the segment's
// glyphs.
func (f *Font) readFormat4(t []byte) error {
	n := int(binary.BigEndian.Uint16(t[6:])) / 2
	if binary.BigEndian.Uint16(t) != 4 || 16+8*n > len(t) {
		return errCut
	}
	word := func(at int) uint16 { return binary.BigEndian.Uint16(t[at:]) }
	for i := range n {
		last, first, delta := word(14+2*i), word(16+2*n+2*i), word(16+4*n+2*i)
		at := 16 + 6*n + 2*i
		offset := int(word(at))
		for c := uint32(first); c <= uint32(last) && c < 0xffff; c++ {
			id := uint16(c) + delta
			if offset != 0 {
				entry := at + offset + 2*int(c-uint32(first))
				if entry+2 > len(t) {
					return errCut
				}
				if id = word(entry); id != 0 {
					id += delta
				}
			}
			f.extend(c, uint32(id))
		}
	}
	return nil
}

// extend adds one character to the groups.
func (f *Font) extend(c, id uint32) {
	if id == 0 {
		return
	}
	if n := len(f.groups); n > 0 {
		g := &f.groups[n-1]
		if g.last+1 == c && g.glyph+(c-g.first) == id {
			g.last = c
			return
		}
	}
	f.groups = append(f.groups, group{c, c, id})
}

// glyph returns the glyph for r, 0 if none.
func (f *Font) glyph(r rune) int {
	i := sort.Search(len(f.groups), func(i int) bool { return f.groups[i].last >= uint32(r) })
	if i == len(f.groups) || uint32(r) < f.groups[i].first {
		return 0
	}
	id := uint64(f.groups[i].glyph) + uint64(uint32(r)-f.groups[i].first)
	if id >= uint64(f.glyphs) {
		return 0
	}
	return int(id)
}

// Has reports whether the typeface has a glyph for r.
func (f *Font) Has(r rune) bool { return f.glyph(r) != 0 }
