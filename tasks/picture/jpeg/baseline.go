package jpeg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"casepress/tasks/picture/container"
)

// baseline follows the segments of a file that is kept as it is and holds them to what every reader
// of JPEG takes: baseline as T.81 defines it, and within that what libjpeg refuses (which most readers
// build on, libjpeg-turbo or version 9), even if our decoder does not. Such a refusal costs the reader the
// whole picture, while a file that is encoded anew loses next to nothing: the rules may be too strict.
//
//	APP0  JFIF 1.x alone, which is all that libjpeg knows, without a thumbnail
//	SOF0  P 8; Y and X 1 … 65500 (libjpeg: no height of 0 that DNL tells, JPEG_MAX_DIMENSION);
//	      1 component or 3, no name twice; H and V 1 … 4 that divide the largest of all (libjpeg: jdsample.c);
//	      Tq 0 … 3 (B.2.2); three names that no reader takes for other colours than Y, Cb, Cr (libjpeg: jdapimin.c)
//	DQT   Pq 0, Tq 0 … 3, steps from 1 (B.2.4.1)
//	DHT   Tc 0 or 1, Th 0 or 1 (table B.5); 1 … 256 codes, that of ones alone free at every length (annex C;
//	      libjpeg: jdhuff.c); DC of categories 0 … 11, AC of 1 … 10, end of block and 16 zeros (F.1.2.1, F.1.2.2)
//	DRI   once before a scan
//	SOS   components of the frame, in its order, each in one scan of the file (B.2.3); tables that are there;
//	      several with 10 blocks in an MCU at most (B.2.3; libjpeg: D_MAX_BLOCKS_IN_MCU); Ss, Se, Ah, Al 0, 63, 0, 0
//
// Nothing else, no table that no scan uses, and nothing behind the scan that completes the picture but EOI.
type baseline struct {
	components   []baselineComponent // of the frame
	quantisation [4]tableState
	huffman      [2][2]tableState // by class
	interval     tableState
}

type baselineComponent struct {
	id, h, v, table byte
	scanned         bool
}

// tableState says whether there is a table, and whether a scan has used it since it was defined.
type tableState int

const (
	tableMissing tableState = iota
	tableWaiting
	tableUsed
)

// define notes a table. One that nothing used in between could hide anything the first time.
func (t *tableState) define() error {
	if *t == tableWaiting {
		return fmt.Errorf("a table that comes again: %w", ErrFormat)
	}
	*t = tableWaiting
	return nil
}

func (t *tableState) use() error {
	if *t == tableMissing { // decoders differ on the standard ones
		return fmt.Errorf("a scan without its tables: %w", ErrFormat)
	}
	*t = tableUsed
	return nil
}

// segment takes the next segment that is kept. The error wraps ErrFormat and says which rule it breaks.
func (b *baseline) segment(marker byte, payload []byte) error {
	switch {
	case b.complete():
		return fmt.Errorf("segment %#x behind the last scan: %w", marker, ErrFormat)
	case marker == container.MarkerAPP0 && len(payload) == 14 && payload[5] == 1:
		return nil
	case marker == container.MarkerSOF0:
		return b.frame(payload)
	case marker == container.MarkerDQT:
		return eachTable(payload, quantisationBytes, b.quantisationTable)
	case marker == container.MarkerDHT:
		return eachTable(payload, huffmanBytes, b.huffmanTable)
	case marker == container.MarkerDRI && len(payload) == 2:
		return b.interval.define()
	case marker == container.MarkerSOS:
		return b.scan(payload)
	}
	return fmt.Errorf("segment %#x, which is not baseline or of a wrong length: %w", marker, ErrFormat)
}

// complete says that every component has had its scan.
func (b *baseline) complete() bool {
	return b.components != nil && !slices.ContainsFunc(b.components, func(c baselineComponent) bool { return !c.scanned })
}

// end is called at EOI.
func (b *baseline) end() error {
	waiting := slices.Contains(slices.Concat(b.quantisation[:], b.huffman[0][:], b.huffman[1][:]), tableWaiting)
	if !b.complete() || waiting {
		return fmt.Errorf("a component without a scan, or a table without one: %w", ErrFormat)
	}
	return nil
}

func (b *baseline) frame(p []byte) error {
	const most = 65500
	if b.components != nil {
		return fmt.Errorf("two frames: %w", ErrFormat)
	}
	if len(p) < 6 || p[5] != 1 && p[5] != 3 || len(p) != 6+3*int(p[5]) || p[0] != 8 {
		return fmt.Errorf("frame of other than 8 bits or 1 or 3 components: %w", ErrFormat)
	}
	height, width := binary.BigEndian.Uint16(p[1:]), binary.BigEndian.Uint16(p[3:])
	if height < 1 || width < 1 || height > most || width > most {
		return fmt.Errorf("frame of %d x %d pixels: %w", width, height, ErrFormat)
	}
	var ids []byte
	var hMost, vMost byte
	for p := range slices.Chunk(p[6:], 3) {
		c := baselineComponent{id: p[0], h: p[1] >> 4, v: p[1] & 15, table: p[2]}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.table > 3 || bytes.IndexByte(ids, c.id) >= 0 {
			return fmt.Errorf("component %d: %w", c.id, ErrFormat)
		}
		ids = append(ids, c.id)
		hMost, vMost = max(hMost, c.h), max(vMost, c.v)
		b.components = append(b.components, c)
	}
	for _, c := range b.components {
		if hMost%c.h != 0 || vMost%c.v != 0 {
			return fmt.Errorf("sampling factors %d, %d of %d, %d: %w", c.h, c.v, hMost, vMost, ErrFormat)
		}
	}
	if slices.Contains([]string{"RGB", "rgb", "\x01\x22\x23"}, string(ids)) { // the last is the bg-sYCC of version 9
		return fmt.Errorf("components that are called %q: %w", ids, ErrFormat)
	}
	return nil
}

func (b *baseline) quantisationTable(t []byte) error {
	if t[0] > 3 || bytes.IndexByte(t[1:], 0) >= 0 {
		return fmt.Errorf("quantisation table %#x: %w", t[0], ErrFormat)
	}
	return b.quantisation[t[0]].define()
}

func (b *baseline) huffmanTable(t []byte) error {
	const most = 256
	class, number := t[0]>>4, t[0]&15
	if class > 1 || number > 1 || len(t) == 17 || len(t) > 17+most {
		return fmt.Errorf("huffman table %#x of %d codes: %w", t[0], len(t)-17, ErrFormat)
	}
	next := 0 // the first code of a length that is free
	for i, count := range t[1:17] {
		next = next<<1 + int(count)
		if count > 0 && next >= 2<<i {
			return fmt.Errorf("huffman table %#x has too many codes of %d bits: %w", t[0], i+1, ErrFormat)
		}
	}
	for _, symbol := range t[17:] {
		if !baselineSymbol(class, symbol) {
			return fmt.Errorf("huffman table %#x has the symbol %#x: %w", t[0], symbol, ErrFormat)
		}
	}
	return b.huffman[class][number].define()
}

// baselineSymbol says whether 8 bits a sample can need a symbol: of DC the bits of a difference (table F.1), of
// AC zeros(4) and the bits of the coefficient behind them(4) (table F.2).
func baselineSymbol(class, symbol byte) bool {
	const mostDC, mostAC, endOfBlock, zeros = 11, 10, 0x00, 0xf0
	if class == 0 {
		return symbol <= mostDC
	}
	size := symbol & 15
	return size >= 1 && size <= mostAC || symbol == endOfBlock || symbol == zeros
}

func (b *baseline) scan(p []byte) error {
	const mostBlocks = 10
	if len(p) < 6 || len(p) != 4+2*int(p[0]) || !bytes.Equal(p[len(p)-3:], []byte{0, 63, 0}) {
		return fmt.Errorf("scan header: %w", ErrFormat)
	}
	blocks, from := 0, 0
	for named := range slices.Chunk(p[1:len(p)-3], 2) {
		at := slices.IndexFunc(b.components[from:], func(c baselineComponent) bool { return c.id == named[0] })
		if at < 0 || b.components[from+at].scanned {
			return fmt.Errorf("scan of component %d, which is unknown, out of order or comes again: %w", named[0], ErrFormat)
		}
		c := &b.components[from+at]
		from += at + 1
		c.scanned = true
		blocks += int(c.h) * int(c.v)
		if err := b.useTables(c, named[1]>>4, named[1]&15); err != nil {
			return err
		}
	}
	if p[0] > 1 && blocks > mostBlocks {
		return fmt.Errorf("scan of %d blocks in an MCU: %w", blocks, ErrFormat)
	}
	if b.interval != tableMissing {
		b.interval = tableUsed
	}
	return nil
}

func (b *baseline) useTables(c *baselineComponent, dc, ac byte) error {
	if dc > 1 || ac > 1 {
		return fmt.Errorf("huffman tables %d and %d: %w", dc, ac, ErrFormat)
	}
	for _, t := range []*tableState{&b.quantisation[c.table], &b.huffman[0][dc], &b.huffman[1][ac]} {
		if err := t.use(); err != nil {
			return err
		}
	}
	return nil
}
