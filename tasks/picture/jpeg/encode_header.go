package jpeg

import (
	"encoding/binary"
	"slices"

	"casepress/tasks/picture/container"
)

// appendHeader appends all that comes before the first scan: JFIF 1.02 without a
// thumbnail and with square pixels, the quantisation tables, the frame.
func (e *encoder) appendHeader(out []byte) []byte {
	out = append(out, 0xff, container.MarkerSOI)
	out = append(appendSegment(out, container.MarkerAPP0, 14), "JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00"...)
	for class := range min(len(e.components), 2) {
		out = append(appendSegment(out, container.MarkerDQT, 65), byte(class))
		steps := e.quantisers[class].steps
		for _, at := range zigzagOrder {
			out = append(out, steps[at])
		}
	}
	out = append(appendSegment(out, container.MarkerSOF0, 6+3*len(e.components)), 8)
	out = binary.BigEndian.AppendUint16(out, uint16(e.height))
	out = binary.BigEndian.AppendUint16(out, uint16(e.width))
	out = append(out, byte(len(e.components)))
	for _, c := range e.components {
		out = append(out, c.id, byte(c.h<<4|c.v), byte(c.class))
	}
	return out
}

// appendScan appends the Huffman tables, the header and the data of the scan whose
// tokens are at hand.
func (e *encoder) appendScan(out []byte, scan []encodeComponent) []byte {
	var codes [tokenSymbols]tokenCode
	dataBits := uint64(0)
	for class := scan[0].class; class <= scan[len(scan)-1].class; class++ {
		for ac := range 2 {
			table := newBestTable(e.tokens.classCounts(class, ac))
			out = append(appendSegment(out, container.MarkerDHT, 17+table.used), byte(ac<<4|class))
			out = append(append(out, table.lengths[:]...), table.symbols[:table.used]...)
			dataBits += e.tokens.setCodes(&codes, &table, class, ac)
		}
	}
	out = append(appendSegment(out, container.MarkerSOS, 4+2*len(scan)), byte(len(scan)))
	for _, c := range scan {
		out = append(out, c.id, byte(c.class<<4|c.class))
	}
	out = append(out, 0, 63, 0)
	size := int(dataBits / 8)
	return e.tokens.appendTokens(slices.Grow(out, size+size/64+64), &codes)
}

// appendSegment appends a marker and the length of the n bytes to follow.
func appendSegment(out []byte, marker byte, n int) []byte {
	return append(out, 0xff, marker, byte((n+2)>>8), byte(n+2))
}

// tokenSymbol returns the index of a table's symbol in tokenBuffer's counts.
func tokenSymbol(class, ac, symbol int) int {
	if ac == 0 {
		symbol = symbol<<4 | symbolDC
	}
	return class<<8 | symbol
}

// classCounts returns how often each symbol of the DC or AC table occurs.
func (t *tokenBuffer) classCounts(class, ac int) *[256]uint64 {
	var counts [256]uint64
	for symbol := range 256 {
		if ac == 0 && symbol > 15 || ac == 1 && symbol&15 == symbolDC {
			continue
		}
		counts[symbol] = t.counts[tokenSymbol(class, ac, symbol)]
	}
	return &counts
}

// setCodes enters table's codes and returns how many bits of data they will make.
func (t *tokenBuffer) setCodes(codes *[tokenSymbols]tokenCode, table *bestTable, class, ac int) (dataBits uint64) {
	table.each(func(symbol byte, code uint64, bits int) {
		size := int(symbol & 15)
		all := tokenCode(code<<size<<8) | tokenCode(bits+size)
		if size > tokenValueBits {
			all |= tokenCodeLong
		}
		at := tokenSymbol(class, ac, int(symbol))
		codes[at] = all
		dataBits += t.counts[at] * uint64(bits+size)
	})
	return dataBits
}
