package jpeg

import "fmt"

const (
	lookBits = 11 // codes of up to so many bits are resolved in one look-up
	lookSize = 1 << lookBits
)

// code is what a look-up of the next lookBits bits finds, one of
//
//	value(16, signed) | skip(8) | 0 | 0 | bits(6)      a coefficient: value, skip zeros before it, bits of code and value
//	0                 | skip(8) | 0 | 0 | bits(6)      end of block (skip is blockEnd) or 16 zeros (skip is 15)
//	0                 | symbol(8) | 1 | 0 | bits(6)    a code whose value does not fit; bits are those of the code
//	0                 | 0         | 1 | 0 | 0          a code longer than lookBits, or none
type code uint32

const (
	codeBits = 63
	codeLong = 1 << 7
	blockEnd = 128 // more than any position in a block
)

// huffman is a table of codes (T.81, annex C and F.2.2.3).
type huffman struct {
	defined bool
	built   tableUse // what look and step are good for
	counts  [16]byte // codes of 1 … 16 bits
	symbols [256]byte

	look [lookSize]code
	step [lookSize]step
	// longest[i] is the last code of i+1 bits, left-aligned in 16 bits and with ones
	// below, -1 if there is none up to there; first[i] leads from a code to its symbol.
	longest [16]int32
	offset  [16]int32
}

// tableUse is a kind of scan; each reads the same symbols differently.
type tableUse byte

const (
	useNone tableUse = iota
	useDC
	useAC
	useProgressive // AC of a progressive scan: symbols end runs of blocks too
)

// readHuffman reads the tables of a segment, each
//
//	class(4 bits: 0 DC, 1 AC) number(4 bits) counts(16) symbols(sum of counts)
func (d *decoder) readHuffman(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 || b[0]>>4 > 1 || b[0]&15 > 3 {
			return fmt.Errorf("huffman table: %w", ErrFormat)
		}
		t := &d.huffman[b[0]>>4][b[0]&15]
		total := 0
		for _, n := range b[1:17] {
			total += int(n)
		}
		if total > 256 || 17+total > len(b) {
			return fmt.Errorf("huffman table of %d codes: %w", total, ErrFormat)
		}
		t.counts = [16]byte(b[1:17])
		copy(t.symbols[:], b[17:17+total])
		t.defined, t.built = total > 0, useNone
		b = b[17+total:]
	}
	return nil
}

// build makes the look-up tables for a kind of scan, if they are not yet.
func (t *huffman) build(use tableUse) error {
	if !t.defined {
		return fmt.Errorf("huffman table is missing: %w", ErrFormat)
	}
	if t.built == use {
		return nil
	}
	var symbols [lookSize]uint16 // symbol(8) bits(8) of the code in front
	if err := t.order(&symbols); err != nil {
		return err
	}
	for i, s := range symbols {
		t.look[i] = newCode(uint32(i), byte(s>>8), uint(s&255), use)
	}
	if use == useAC {
		t.buildSteps(&symbols)
	}
	t.built = use
	return nil
}

// order hands out the codes, the shortest first and each the one before plus one.
func (t *huffman) order(symbols *[lookSize]uint16) error {
	next, k := int32(0), int32(0)
	for i, n := range t.counts {
		t.offset[i] = k - next
		for range n {
			if i < lookBits && next < 1<<(i+1) {
				from := int(next) << (lookBits - 1 - i)
				for j := range 1 << (lookBits - 1 - i) {
					symbols[from+j] = uint16(t.symbols[k])<<8 | uint16(i+1)
				}
			}
			next++
			k++
		}
		if next > 1<<(i+1) {
			return fmt.Errorf("huffman table has too many codes of %d bits: %w", i+1, ErrFormat)
		}
		t.longest[i] = next<<(15-i) - 1
		next <<= 1
	}
	return nil
}

func newCode(window uint32, symbol byte, bits uint, use tableUse) code {
	size, skip := uint(symbol&15), symbol>>4
	if use == useDC {
		size, skip = uint(symbol), 0
	}
	long := codeLong | code(symbol)<<8 | code(bits)
	switch {
	case bits == 0:
		return codeLong
	case size == 0 && use == useDC:
		return code(bits)
	case size == 0 && skip == 15:
		return 15<<8 | code(bits)
	case size == 0 && (skip == 0 || use == useAC):
		return blockEnd<<8 | code(bits)
	case size == 0 || bits+size > lookBits:
		return long
	}
	v := extend(window>>(lookBits-bits-size)&(1<<size-1), size)
	return code(uint32(v)<<16) | code(skip)<<8 | code(bits+size)
}

// extend turns size bits into the value they stand for (T.81, F.2.2.1, table F.1).
func extend(v uint32, size uint) int32 {
	if size == 0 || v>>(size-1) != 0 {
		return int32(v)
	}
	return int32(v) - (1<<size - 1)
}

// symbol finds the code in front of acc; bits is 0 if no code starts so.
func (t *huffman) symbol(acc uint64) (symbol byte, bits uint) {
	top := int32(acc >> 48)
	for i, longest := range t.longest {
		if top <= longest {
			return t.symbols[(t.offset[i]+top>>(15-i))&255], uint(i + 1)
		}
	}
	return 0, 0
}
