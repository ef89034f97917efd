package jpeg

import (
	"bytes"
	"fmt"
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
	data    []byte
	at      int
	emit    func(part []byte)
	frame   []byte // the payload of SOF, nil before it
	adobe   []byte // the payload of the last Adobe segment before SOF
	jfif    bool   // there was a JFIF header
	scanned bool   // there was a scan
}

// keep calls emit with each part of data that Strip keeps.
func keep(data []byte, emit func(part []byte)) error {
	if !bytes.HasPrefix(data, []byte{0xff, markerSOI}) {
		return fmt.Errorf("no SOI: %w", ErrFormat)
	}
	s := stripper{data: data, at: 2, emit: emit}
	emit(data[:2])
	for {
		marker, err := s.marker()
		if err != nil {
			return err
		}
		if marker == markerEOI {
			if !s.scanned {
				return fmt.Errorf("no scan: %w", ErrFormat)
			}
			emit([]byte{0xff, markerEOI})
			return nil
		}
		payload, err := s.payload(marker)
		if err != nil {
			return err
		}
		if err := s.segment(marker, payload); err != nil {
			return err
		}
	}
}

// marker steps over a marker and the fill bytes before it.
func (s *stripper) marker() (byte, error) {
	start := s.at
	for s.at < len(s.data) && s.data[s.at] == 0xff {
		s.at++
	}
	if s.at == len(s.data) {
		return 0, fmt.Errorf("no EOI: %w", ErrFormat)
	}
	if s.at == start {
		return 0, fmt.Errorf("no marker at byte %d: %w", start, ErrFormat)
	}
	s.at++
	return s.data[s.at-1], nil
}

// payload steps over the rest of a segment and returns it without its length.
func (s *stripper) payload(marker byte) ([]byte, error) {
	rest := s.data[s.at:]
	if len(rest) >= 2 {
		if n := int(rest[0])<<8 | int(rest[1]); n >= 2 && n <= len(rest) {
			s.at += n
			return rest[2:n], nil
		}
	}
	return nil, fmt.Errorf("marker %#x at byte %d has no segment: %w", marker, s.at, ErrFormat)
}

// segment keeps a segment, or what is to be kept of it, or drops it.
func (s *stripper) segment(marker byte, payload []byte) error {
	const app14, app15, com = markerAPP0 + 14, markerAPP0 + 15, 0xfe
	switch {
	case marker == markerAPP0:
		return s.keepDensity(payload)
	case marker == app14:
		return s.keepAdobe(payload)
	case marker > markerAPP0 && marker <= app15, marker == com:
		return nil
	case !wellFormed(marker, payload):
		return fmt.Errorf("segment %#x before byte %d: %w", marker, s.at, ErrFormat)
	case isFrame(marker):
		return s.keepFrame(marker, payload)
	case marker == markerSOS:
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
	s.keepSegment(markerAPP0, append(payload[:12:12], 0, 0))
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
		s.keepSegment(markerAPP0+14, s.adobe)
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
	s.keepSegment(markerSOS, payload)
	for at := s.at; ; {
		i := bytes.IndexByte(s.data[at:], 0xff)
		if i < 0 {
			return fmt.Errorf("no EOI: %w", ErrFormat)
		}
		end := at + i
		for at = end; at < len(s.data) && s.data[at] == 0xff; at++ {
		}
		if at < len(s.data) && (s.data[at] == 0 || isRestart(s.data[at])) {
			continue
		}
		s.emit(s.data[s.at:end])
		s.at = end
		return nil
	}
}
