package jpeg

import (
	"bytes"
	"fmt"

	"casepress/tasks/picture/container"
)

// Strip returns data without its metadata, every sample as it was: of a file
//
//	SOI | APPn, COM … | DQT, SOF, DHT, DRI … | SOS, data | [DHT | SOS, data] … | EOI | anything
//
// it keeps what a decoder needs. Of the APPn segments these are a JFIF header, made
// to hold its density and no thumbnail, and an Adobe segment where the colours depend
// on it. What follows EOI goes: second pictures, films, whatever a phone hid there. So
// does an ICC profile, and the orientation; a picture that needs them must be encoded
// anew. Data that JPEG allows nowhere, or that ends too early, gives an error that
// wraps ErrFormat, and never a part of a file. The time it takes grows with data.
func Strip(data []byte) ([]byte, error) {
	size := 0
	err := keep(data, func(part []byte) { size += len(part) })
	if err != nil {
		return nil, fmt.Errorf("strip: %w", err)
	}
	out := make([]byte, 0, size)
	_ = keep(data, func(part []byte) { out = append(out, part...) }) // it was whole a moment ago
	return out, nil
}

// stripper is where a walk through a file has come to.
type stripper struct {
	data     []byte
	segments *container.Segments
	emit     func(part []byte)
	frame    []byte // the payload of SOF, nil before it
	adobe    []byte // the payload of the last Adobe segment before SOF
	jfif     bool   // there was a JFIF header
	scanned  bool   // there was a scan
	used     usedTables
	seen     [8]bool       // Huffman tables so far, those of AC from 4 on
	defined  map[byte]bool // tables tables since the last scan
	done     []byte        // components of sequential scans
}

// keep calls emit with each part of data that Strip keeps.
func keep(data []byte, emit func(part []byte)) error {
	segments, ok := container.JPEG(container.Memory(data))
	if !ok {
		return fmt.Errorf("no SOI: %w", ErrFormat)
	}
	s := stripper{data: data, segments: segments, emit: emit, used: readUsedTables(data), defined: map[byte]bool{}}
	emit(data[:2])
	for segments.Next() {
		if segments.Stray { // decoders differ on what that means
			return fmt.Errorf("bytes of no segment before byte %d: %w", segments.Start, ErrFormat)
		}
		if segments.Marker == container.MarkerEOI {
			if !s.scanned {
				return fmt.Errorf("no scan: %w", ErrFormat)
			}
			emit([]byte{0xff, container.MarkerEOI})
			return nil
		}
		if err := s.segment(segments.Marker, segments.Bytes(segments.Length)); err != nil {
			return err
		}
	}
	return fmt.Errorf("no EOI: %w", ErrFormat)
}

// segment keeps a segment, or what is to be kept of it, or drops it.
func (s *stripper) segment(marker byte, payload []byte) error {
	const app14, app15, com = container.MarkerAPP0 + 14, container.MarkerAPP0 + 15, 0xfe
	switch {
	case marker == container.MarkerAPP0:
		return s.keepDensity(payload)
	case marker == app14:
		return s.keepAdobe(payload)
	case marker > container.MarkerAPP0 && marker <= app15, marker == com:
		return nil
	case !wellFormed(marker, payload):
		return fmt.Errorf("segment %#x before byte %d: %w", marker, s.segments.At, ErrFormat)
	case container.IsFrame(marker):
		return s.keepFrame(marker, payload)
	case marker == container.MarkerDQT, marker == container.MarkerDHT:
		return s.keepTables(marker, payload)
	case marker == container.MarkerSOS:
		return s.keepScan(payload)
	}
	s.keepSegment(marker, payload)
	return nil
}

func (s *stripper) keepSegment(marker byte, payload []byte) {
	n := len(payload) + 2
	s.emit([]byte{0xff, marker, byte(n >> 8), byte(n)})
	s.emit(payload)
}

// keepDensity keeps a JFIF header's version and density, not its thumbnail, and no
// other kind of APP0: JFXX is a thumbnail.
func (s *stripper) keepDensity(payload []byte) error {
	if s.jfif || !bytes.HasPrefix(payload, []byte("JFIF\x00")) {
		return nil
	}
	if len(payload) < 14 { // decoders differ on whether that counts
		return fmt.Errorf("short JFIF header: %w", ErrFormat)
	}
	s.jfif = true
	s.keepSegment(container.MarkerAPP0, append(payload[:12:12], 0, 0))
	return nil
}

// keepAdobe keeps an Adobe segment until the frame says whether the colours need it.
func (s *stripper) keepAdobe(payload []byte) error {
	if len(payload) < 12 || string(payload[:5]) != "Adobe" {
		return nil
	}
	if s.scanned { // decoders differ on whether that counts
		return fmt.Errorf("an Adobe segment behind a scan: %w", ErrFormat)
	}
	s.adobe = payload[:12]
	if s.frame != nil {
		s.keepColours()
	}
	return nil
}

// keepColours keeps the Adobe segment at hand where a decoder would guess otherwise
// without it: of four components, and of three that are not Y, Cb and Cr or are not
// called 1, 2 and 3.
func (s *stripper) keepColours() {
	const yCbCr = 1
	if s.adobe == nil {
		return
	}
	ids := make([]byte, 0, 4)
	for at := 6; at < len(s.frame); at += 3 {
		ids = append(ids, s.frame[at])
	}
	plain := s.adobe[11] == yCbCr && string(ids) == "\x01\x02\x03"
	if len(ids) > 1 && !plain {
		s.keepSegment(container.MarkerAPP0+14, s.adobe)
	}
}

func (s *stripper) keepFrame(marker byte, payload []byte) error {
	if s.frame != nil {
		return fmt.Errorf("two frames: %w", ErrFormat)
	}
	s.frame = payload
	s.keepColours()
	s.keepSegment(marker, payload)
	return nil
}

// keepScan keeps a scan: its header and the data up to the next marker that is none
// of RSTn. Within the data 0xff 0 stands for the byte 0xff.
func (s *stripper) keepScan(payload []byte) error {
	if s.frame == nil {
		return fmt.Errorf("a scan before the frame: %w", ErrFormat)
	}
	s.scanned = true
	for i := range int(payload[0]) {
		if tables := payload[2+2*i]; !s.used.progressive && (!s.seen[tables>>4&3] || !s.seen[4|tables&3]) {
			return fmt.Errorf("a scan without its tables: %w", ErrFormat) // decoders differ on the standard ones
		}
	}
	clear(s.defined)
	for i := range int(payload[0]) {
		id := payload[1+2*i]
		if !s.used.progressive && bytes.IndexByte(s.done, id) >= 0 {
			return fmt.Errorf("a scan that comes again: %w", ErrFormat)
		}
		s.done = append(s.done, id)
	}
	s.keepSegment(container.MarkerSOS, payload)
	from := s.segments.At
	reserved, ok := s.segments.SkipScan()
	if !ok || reserved {
		return fmt.Errorf("no EOI, or a reserved marker in a scan: %w", ErrFormat)
	}
	end := s.segments.At
	for end > from && s.data[end-1] == 0xff { // fill bytes
		end--
	}
	s.emit(s.data[from:end])
	return nil
}
