package jpeg

import (
	"bytes"
	"encoding/binary"
)

// The markers (T.81, table B.1).
const (
	markerSOF0 = 0xc0 // baseline
	markerSOF2 = 0xc2 // progressive, Huffman
	markerDHT  = 0xc4
	markerJPG  = 0xc8
	markerDAC  = 0xcc
	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerDQT  = 0xdb
	markerDNL  = 0xdc
	markerDRI  = 0xdd
	markerAPP0 = 0xe0
)

// segments walks the segments of a file, over fill bytes and stray bytes between them.
type segments struct {
	data    []byte
	at      int // the byte after the last segment
	marker  byte
	payload []byte
}

// next goes to the next segment that has a payload, or to EOI. It says false at the end
// of the data; a payload that the data cut short ends them.
func (s *segments) next() bool {
	for {
		marker, after := nextMarker(s.data, s.at)
		if after < 0 {
			s.at = len(s.data)
			return false
		}
		s.at, s.marker, s.payload = after, marker, nil
		switch {
		case marker == markerEOI:
			return true
		case isRestart(marker), marker == markerSOI, marker < markerSOF0:
			continue // stand alone, or reserved
		}
		return s.take()
	}
}

func (s *segments) take() bool {
	rest := s.data[s.at:]
	if len(rest) < 2 {
		s.at = len(s.data)
		return false
	}
	n := int(binary.BigEndian.Uint16(rest))
	if n < 2 || n > len(rest) {
		s.at = len(s.data)
		return false
	}
	s.payload, s.at = rest[2:n], s.at+n
	return true
}

// nextMarker finds the first marker from at on and the position behind it, negative if
// there is none. FF 00 and fill bytes are none.
func nextMarker(data []byte, at int) (marker byte, after int) {
	for at < len(data) {
		i := bytes.IndexByte(data[at:], 0xff)
		if i < 0 {
			break
		}
		for at += i; at < len(data) && data[at] == 0xff; {
			at++
		}
		if at < len(data) && data[at] != 0 {
			return data[at], at + 1
		}
	}
	return 0, -1
}

func isRestart(marker byte) bool { return marker >= markerRST0 && marker <= markerRST7 }

func isFrame(marker byte) bool {
	return marker >= markerSOF0 && marker <= 0xcf && marker != markerDHT && marker != markerJPG && marker != markerDAC
}
