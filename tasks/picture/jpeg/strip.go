package jpeg

import (
	"bytes"
	"fmt"

	"casepress/tasks/picture/container"
)

// Strip returns data without its metadata, every sample as it was: of a baseline file
//
//	SOI | APPn, COM … | DQT, SOF0, DHT, DRI … | SOS, data | [DHT | SOS, data] … | EOI | anything
//
// it keeps what a decoder needs, and so that every decoder takes it: see [baseline] for the rules. Of the
// APPn segments that is a JFIF header, made to hold its density and no thumbnail. What follows EOI goes:
// second pictures, films, whatever a phone hid there. So does an ICC profile, and the orientation; a picture
// that needs them must be encoded anew. So must one that is not grey or Y, Cb and Cr, one of another
// process than baseline, and one that some decoder would refuse: they give an error that wraps ErrFormat, as do
// data that JPEG allows nowhere, or that end too early, and never a part of a file. The time it takes
// grows with data.
func Strip(data []byte) ([]byte, error) {
	h, err := ReadHeader(container.Memory(data))
	if err != nil {
		return nil, fmt.Errorf("strip: %w", err)
	}
	if h.Transform != Grey && h.Transform != YCbCr { // Adobe's segment goes, which may tell otherwise
		return nil, fmt.Errorf("strip: colours that the components' names do not tell: %w", ErrFormat)
	}
	size := 0
	if err := keep(data, func(part []byte) { size += len(part) }); err != nil {
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
	rules    baseline
	jfif     bool // there was a JFIF header
	scanned  bool // there was a scan
	used     usedTables
}

// keep calls emit with each part of data that Strip keeps.
func keep(data []byte, emit func(part []byte)) error {
	segments, ok := container.JPEG(container.Memory(data))
	if !ok {
		return fmt.Errorf("no SOI: %w", ErrFormat)
	}
	s := stripper{data: data, segments: segments, emit: emit, used: readUsedTables(data)}
	emit(data[:2])
	for segments.Next() {
		if segments.Stray { // decoders differ on what that means
			return fmt.Errorf("bytes of no segment before byte %d: %w", segments.Start, ErrFormat)
		}
		if segments.Marker == container.MarkerEOI {
			emit([]byte{0xff, container.MarkerEOI})
			return s.rules.end()
		}
		if err := s.segment(segments.Marker, segments.Bytes(segments.Length)); err != nil {
			return fmt.Errorf("before byte %d: %w", segments.At, err)
		}
	}
	return fmt.Errorf("no EOI: %w", ErrFormat)
}

// segment keeps a segment, or what is to be kept of it, or drops it.
func (s *stripper) segment(marker byte, payload []byte) error {
	const app14, app15 = container.MarkerAPP0 + 14, container.MarkerAPP0 + 15
	switch {
	case marker == container.MarkerAPP0:
		return s.keepDensity(payload)
	case marker == app14 && s.scanned && bytes.HasPrefix(payload, []byte("Adobe")): // decoders differ on whether that counts
		return fmt.Errorf("an Adobe segment behind a scan: %w", ErrFormat)
	case marker > container.MarkerAPP0 && marker <= app15, marker == container.MarkerCOM:
		return nil
	case marker == container.MarkerDQT, marker == container.MarkerDHT:
		return s.keepTables(marker, payload)
	case marker == container.MarkerSOS:
		return s.keepScan(payload)
	}
	return s.keepSegment(marker, payload)
}

// keepSegment keeps a segment that keeps the rules.
func (s *stripper) keepSegment(marker byte, payload []byte) error {
	if err := s.rules.segment(marker, payload); err != nil {
		return err
	}
	n := len(payload) + 2
	s.emit([]byte{0xff, marker, byte(n >> 8), byte(n)})
	s.emit(payload)
	return nil
}

// keepDensity keeps a JFIF header's version and density, not its thumbnail, and no
// other kind of APP0: JFXX is a thumbnail.
func (s *stripper) keepDensity(payload []byte) error {
	if s.jfif || !bytes.HasPrefix(payload, []byte("JFIF\x00")) {
		return nil
	}
	if len(payload) < 14 || s.scanned { // decoders differ on whether that counts
		return fmt.Errorf("a JFIF header that is short or behind a scan: %w", ErrFormat)
	}
	s.jfif = true
	return s.keepSegment(container.MarkerAPP0, append(payload[:12:12], 0, 0))
}

// keepScan keeps a scan: its header and the data up to the next marker that is none
// of RSTn. Within the data 0xff 0 stands for the byte 0xff.
func (s *stripper) keepScan(payload []byte) error {
	s.scanned = true
	if err := s.keepSegment(container.MarkerSOS, payload); err != nil {
		return err
	}
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
