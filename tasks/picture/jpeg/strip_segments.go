package jpeg

import (
	"fmt"

	"casepress/tasks/picture/container"
)

// wellFormed says whether payload is as long as a segment of that kind must be, so that
// nothing can hide behind it, and whether there is such a kind. Its contents are the
// decoder's matter.
func wellFormed(marker byte, payload []byte) bool {
	switch {
	case container.IsFrame(marker):
		return frameFits(payload)
	case marker == container.MarkerSOS:
		return len(payload) >= 6 && payload[0] <= 4 && len(payload) == 4+2*int(payload[0])
	case marker == container.MarkerDRI, marker == container.MarkerDNL:
		return len(payload) == 2
	case marker == container.MarkerDAC:
		return len(payload)%2 == 0
	case marker == container.MarkerDQT:
		return tablesFit(payload, quantisationBytes)
	case marker == container.MarkerDHT:
		return tablesFit(payload, huffmanBytes)
	}
	return false
}

// frameFits also wants a picture of at least one pixel.
func frameFits(payload []byte) bool {
	return len(payload) >= 9 && payload[5] <= 4 && len(payload) == 6+3*int(payload[5]) &&
		payload[1]|payload[2] != 0 && payload[3]|payload[4] != 0
}

// tablesFit says whether b is a row of tables; size tells how long the first of a row
// is, 0 if it cannot be told.
func tablesFit(b []byte, size func(b []byte) int) bool {
	for len(b) > 0 {
		n := size(b)
		if n == 0 || n > len(b) {
			return false
		}
		b = b[n:]
	}
	return true
}

func quantisationBytes(b []byte) int {
	if b[0]>>4 == 0 {
		return 1 + 64
	}
	return 1 + 2*64
}

func huffmanBytes(b []byte) int {
	if len(b) < 17 {
		return 0
	}
	n := 17
	for _, count := range b[1:17] {
		n += int(count)
	}
	return n
}

// usedTables are the tables that the frame and the scans of a file name: the others show nowhere,
// so that anything may stand in them.
type usedTables struct {
	quantisation [16]bool
	huffman      [2][16]bool // by class
	progressive  bool
}

func readUsedTables(data []byte) (u usedTables) {
	s, _ := container.JPEG(container.Memory(data))
	for s.Next() && s.Marker != container.MarkerEOI {
		b := s.Bytes(s.Length)
		switch {
		case container.IsFrame(s.Marker) && frameFits(b):
			u.progressive = s.Marker == container.MarkerSOF2
			for i := range int(b[5]) {
				u.quantisation[b[6+3*i+2]&15] = true
			}
		case s.Marker == container.MarkerSOS && wellFormed(s.Marker, b):
			ac := b[1+2*int(b[0])] > 0
			for i := range int(b[0]) {
				tables := b[2+2*i]
				u.huffman[0][tables>>4] = u.huffman[0][tables>>4] || !u.progressive || !ac
				u.huffman[1][tables&15] = u.huffman[1][tables&15] || !u.progressive || ac
			}
			if _, ok := s.SkipScan(); !ok {
				return u
			}
		}
	}
	return u
}

// keepTables keeps those tables of a segment that are used. One that is defined twice before a
// scan could hide anything the first time.
func (s *stripper) keepTables(marker byte, payload []byte) error {
	var kept []byte
	size, class := quantisationBytes, byte(0x80)
	if marker == container.MarkerDHT {
		size, class = huffmanBytes, 0
	}
	for b := payload; len(b) > 0; {
		n := size(b)
		used := s.used.quantisation[b[0]&15]
		if marker == container.MarkerDHT {
			used = s.used.huffman[b[0]>>4&1][b[0]&15]
		}
		if used {
			name := class | b[0]&0x1f
			if marker == container.MarkerDQT {
				name = class | b[0]&15
			}
			if s.defined[name] {
				return fmt.Errorf("a table that comes again: %w", ErrFormat)
			}
			s.defined[name] = true
			kept = append(kept, b[:n]...)
			if marker == container.MarkerDHT {
				s.seen[b[0]>>4&1<<2|b[0]&3] = true
			}
		}
		b = b[n:]
	}
	if len(kept) > 0 {
		s.keepSegment(marker, kept)
	}
	return nil
}
