package picture

import (
	"bufio"
	"encoding/binary"
	"io"
)

// The JPEG markers that matter before decoding (ITU-T T.81, table B.1).
const (
	markerSOF0  = 0xc0 // baseline
	markerSOF2  = 0xc2 // progressive
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerSOI   = 0xd8
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerAPP0  = 0xe0
	markerAPP1  = 0xe1
	markerAPP14 = 0xee
)

// readJPEG walks the segments up to the first scan and takes the frame header and
// the orientation from them. A damaged walk leaves the size at what was found.
func (h *header) readJPEG(r *bufio.Reader) error {
	if err := skip(r, 2); err != nil {
		return err
	}
	jfif := false
	for {
		marker, err := nextMarker(r)
		if err != nil {
			return err
		}
		switch {
		case marker == markerEOI, marker == markerSOS:
			return nil
		case marker >= markerRST0 && marker <= markerSOI, marker == 0x01:
			continue // stand alone
		}
		n, err := segmentLength(r)
		if err != nil || n < 0 {
			return err
		}
		switch {
		case isFrame(marker):
			err = h.readFrame(r, marker, n)
		case marker == markerAPP0:
			jfif = true
			err = skip(r, n)
		case marker == markerAPP1:
			err = h.readAPP1(r, n)
		case marker == markerAPP14:
			err = h.readAPP14(r, n, jfif)
		default:
			err = skip(r, n)
		}
		if err != nil {
			return err
		}
	}
}

func isFrame(marker byte) bool {
	return marker >= markerSOF0 && marker <= 0xcf && marker != markerDHT && marker != markerJPG && marker != markerDAC
}

// nextMarker finds the next marker, over fill bytes and stray ones as the
// decoders do.
func nextMarker(r *bufio.Reader) (byte, error) {
	var last byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if last == 0xff && b != 0xff && b != 0 {
			return b, nil
		}
		last = b
	}
}

// segmentLength returns the bytes that follow the length field, negative if the
// field is damaged.
func segmentLength(r *bufio.Reader) (int, error) {
	var b [2]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint16(b[:])) - 2, nil
}

// readFrame reads a frame header:
//
//	precision(1) | height(2) | width(2) | components(1) | per component: id(1) sampling(1: 4 bits h, 4 bits v) table(1)
func (h *header) readFrame(r *bufio.Reader, marker byte, n int) error {
	b, err := r.Peek(min(n, 6+4*3))
	if err != nil {
		return err
	}
	if len(b) >= 6 && h.Width == 0 {
		h.Height, h.Width = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
		h.progressive = marker == markerSOF2
		h.readComponents(int(b[5]), b[6:])
	}
	return skip(r, n)
}

func (h *header) readComponents(count int, b []byte) {
	most, sum, ids := 1, 0, ""
	for i := 0; i < count && len(b) >= 3*i+3; i++ {
		sides := int(b[3*i+1]>>4) * int(b[3*i+1]&15)
		most, sum = max(most, sides), sum+sides
		ids += string(rune(b[3*i]))
	}
	h.samples = min(float64(sum)/float64(most), 4)
	h.converted = h.converted || count == 4 || ids == "RGB"
}

// readAPP1 takes the orientation from the first EXIF segment.
func (h *header) readAPP1(r *bufio.Reader, n int) error {
	const prefix = "Exif\x00\x00"
	b, err := r.Peek(min(n, len(prefix)))
	if err != nil {
		return err
	}
	if string(b) != prefix || h.orientation != 1 {
		return skip(r, n)
	}
	segment := make([]byte, n) // at most 64 KiB
	if _, err := io.ReadFull(r, segment); err != nil {
		return err
	}
	h.orientation = exifOrientation(segment[len(prefix):])
	return nil
}

// readAPP14 reads Adobe's segment, whose last byte 0 means that three components
// are RGB.
func (h *header) readAPP14(r *bufio.Reader, n int, jfif bool) error {
	b, err := r.Peek(min(n, 12))
	if err != nil {
		return err
	}
	if len(b) == 12 && string(b[:5]) == "Adobe" && b[11] == 0 && !jfif {
		h.converted = true
	}
	return skip(r, n)
}
