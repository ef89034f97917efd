package jpeg

import (
	"fmt"

	"casepress/tasks/picture/container"
)

// eachTable calls f with each of the tables that a segment holds; size tells how long the first of a
// row is, 0 if it cannot be told.
func eachTable(b []byte, size func(b []byte) int, f func(table []byte) error) error {
	for len(b) > 0 {
		n := size(b)
		if n == 0 || n > len(b) {
			return fmt.Errorf("a table that ends too early: %w", ErrFormat)
		}
		if err := f(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
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

// usedTables are the tables that the frame and the scans of a file name: those of quantisation by their
// number, whatever their precision, those of Huffman by their first byte. The others show nowhere, so that
// anything may stand in them.
type usedTables struct{ quantisation, huffman [256]bool }

func readUsedTables(data []byte) (u usedTables) {
	s, _ := container.JPEG(container.Memory(data))
	for s.Next() && s.Marker != container.MarkerEOI {
		switch b := s.Bytes(s.Length); {
		case s.Marker == container.MarkerSOF0:
			for at := 6; at+3 <= len(b); at += 3 {
				u.quantisation[b[at+2]] = true
			}
		case s.Marker == container.MarkerSOS:
			for at := 1; at+5 <= len(b); at += 2 {
				u.huffman[b[at+1]>>4] = true
				u.huffman[0x10|b[at+1]&15] = true
			}
			if _, ok := s.SkipScan(); !ok {
				return u
			}
		}
	}
	return u
}

// keepTables keeps those tables of a segment that are used.
func (s *stripper) keepTables(marker byte, payload []byte) error {
	var kept []byte
	size, used, name := quantisationBytes, &s.used.quantisation, byte(0x0f) // one of 16 bits takes the place of one of 8
	if marker == container.MarkerDHT {
		size, used, name = huffmanBytes, &s.used.huffman, 0xff
	}
	err := eachTable(payload, size, func(table []byte) error {
		if used[table[0]&name] {
			kept = append(kept, table...)
		}
		return nil
	})
	if err != nil || len(kept) == 0 {
		return err
	}
	return s.keepSegment(marker, kept)
}
