package container

import (
	"bytes"
	"encoding/binary"
)

// The markers of a JPEG (ITU-T T.81, table B.1).
const (
	MarkerSOF0  = 0xc0 // baseline
	MarkerSOF2  = 0xc2 // progressive, Huffman
	MarkerDHT   = 0xc4
	MarkerJPG   = 0xc8
	MarkerDAC   = 0xcc
	MarkerRST0  = 0xd0
	MarkerRST7  = 0xd7
	MarkerSOI   = 0xd8
	MarkerEOI   = 0xd9
	MarkerSOS   = 0xda
	MarkerDQT   = 0xdb
	MarkerDNL   = 0xdc
	MarkerDRI   = 0xdd
	MarkerAPP0  = 0xe0
	MarkerAPP15 = 0xef
	MarkerCOM   = 0xfe
)

// IsFrame says whether a marker is that of a frame header.
func IsFrame(marker byte) bool {
	return marker >= MarkerSOF0 && marker <= 0xcf && marker != MarkerDHT && marker != MarkerJPG && marker != MarkerDAC
}

// IsRestart says whether a marker is one of RST0 to RST7.
func IsRestart(marker byte) bool { return marker >= MarkerRST0 && marker <= MarkerRST7 }

// standsAlone says whether no length follows a marker. Those below SOF0 are reserved (01 is
// TEM, which has none): decoders differ on whether a length follows them, and none that is
// of use writes them.
func standsAlone(marker byte) bool {
	return marker < MarkerSOF0 || IsRestart(marker) || marker == MarkerSOI
}

// Segments walks the segments of a JPEG:
//
//	SOI | segment … | SOS segment, entropy-coded data | segment … | EOI
//	segment = FF … FF marker(1) length(2, counts itself) payload
//
// Bytes that belong to no segment, and markers that stand alone, are stepped over. A length
// below 2 is an empty payload, as in libjpeg.
type Segments struct {
	// At is where the next segment is looked for. After SOS that is the entropy-coded data:
	// whoever reads these sets At behind them; else the walk finds the next marker in them.
	At int64
	// Marker is the segment's.
	Marker byte
	// Start is the offset of the first marker byte, fill bytes not counted.
	Start int64
	// Payload and Length are where the payload is.
	Payload, Length int64
	// Stray says that something else than fill bytes stood before the segment, or that its
	// length is impossible: decoders may differ on such a file.
	Stray bool

	r *Reader
}

// JPEG returns a walk that begins behind SOI. ok is false if the file does not begin with one.
func JPEG(r *Reader) (s *Segments, ok bool) {
	head := r.Exactly(0, 2)
	return &Segments{At: 2, r: r}, head != nil && head[0] == 0xff && head[1] == MarkerSOI
}

// Next goes to the next segment with a length, or to EOI. It says false at the end of the
// file, and where a payload is not all there.
func (s *Segments) Next() bool {
	s.Stray = false
	for {
		marker, start, ok := s.Find()
		if !ok {
			s.At = s.r.size
			return false
		}
		s.Marker, s.Start, s.At = marker, start, start+2
		s.Payload, s.Length = s.At, 0
		if marker == MarkerEOI {
			return true
		}
		if !standsAlone(marker) {
			return s.measure()
		}
		s.Stray = true
	}
}

// measure steps over the payload.
func (s *Segments) measure() bool {
	b := s.r.Exactly(s.At, 2)
	if b == nil {
		s.At = s.r.size
		return false
	}
	n := int64(binary.BigEndian.Uint16(b))
	if n < 2 {
		s.Stray, n = true, 2
	}
	if n > s.r.size-s.At {
		s.At = s.r.size
		return false
	}
	s.Payload, s.Length = s.At+2, n-2
	s.At += n
	return true
}

// Bytes reads the payload, or the first most bytes of it.
func (s *Segments) Bytes(most int64) []byte { return s.r.UpTo(s.Payload, min(s.Length, most)) }

// Find looks from At on for the next marker, of whatever kind: FF bytes and then one that is
// neither FF nor 0. start is the offset of the last FF. At stays.
func (s *Segments) Find() (marker byte, start int64, ok bool) {
	const small, large = 32, 4096
	at, size, fill := s.At, int64(small), false
	for {
		b := s.r.UpTo(at, size)
		if len(b) == 0 {
			return 0, 0, false
		}
		for i := 0; i < len(b); {
			if !fill {
				n := bytes.IndexByte(b[i:], 0xff)
				if n != 0 {
					s.Stray = true
				}
				if n < 0 {
					break
				}
				i += n + 1
				fill = true
				continue
			}
			switch b[i] {
			case 0xff:
			case 0:
				fill, s.Stray = false, true
			default:
				return b[i], at + int64(i) - 1, true
			}
			i++
		}
		at += int64(len(b))
		size = large
	}
}

// SkipScan steps over entropy-coded data, in which FF is followed by 0 or a restart marker. It
// says false at the end of the file. reserved says that markers below SOF0 stood in them.
func (s *Segments) SkipScan() (reserved, ok bool) {
	for {
		marker, start, ok := s.Find()
		switch {
		case !ok:
			s.At = s.r.size
			return reserved, false
		case IsRestart(marker), marker < MarkerSOF0:
			reserved = reserved || marker < MarkerSOF0
			s.At = start + 2
		default:
			s.At = start
			return reserved, true
		}
	}
}
