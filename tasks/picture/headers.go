package picture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// readFixed reads the size from the formats that keep it at a fixed place within
// the first 32 bytes. TIFF keeps it anywhere and stays without.
func (h *header) readFixed(b []byte) {
	switch h.Format {
	case FormatPNG:
		h.readPNG(b)
	case FormatGIF:
		if len(b) >= 10 {
			h.Width, h.Height = int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
		}
	case FormatBMP:
		h.readBMP(b)
	case FormatWebP:
		h.readWebP(b)
	}
}

// readPNG reads the IHDR chunk, which must come first:
//
//	8 signature | 4 length | "IHDR" | 4 width | 4 height | depth | colour type | compression | filter | interlace
func (h *header) readPNG(b []byte) {
	if len(b) < 29 || string(b[12:16]) != "IHDR" {
		return
	}
	w, ht := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	if w > 1<<31-1 || ht > 1<<31-1 {
		return
	}
	h.Width, h.Height = int(w), int(ht)
	depth, colour := int(b[24]), b[25]
	h.interlaced = b[28] != 0
	const grey, palette = 0, 3
	h.paletted = colour == palette
	h.depth = 4
	if colour == grey || colour == palette {
		h.depth = 1
	}
	if depth == 16 {
		h.depth *= 2
	}
}

func (h *header) readBMP(b []byte) {
	if binary.LittleEndian.Uint32(b[14:]) == 12 {
		if len(b) >= 22 {
			h.Width, h.Height = int(binary.LittleEndian.Uint16(b[18:])), int(binary.LittleEndian.Uint16(b[20:]))
		}
		return
	}
	if len(b) < 26 {
		return
	}
	w, ht := int(int32(binary.LittleEndian.Uint32(b[18:]))), int(int32(binary.LittleEndian.Uint32(b[22:])))
	if ht < 0 {
		ht = -ht // rows from the top down
	}
	if w > 0 && ht > 0 {
		h.Width, h.Height = w, ht
	}
}

// readWebP reads the first chunk, one of three kinds:
//
//	"RIFF" size "WEBP" | "VP8X" size flags(4) width-1(3) height-1(3)
//	                   | "VP8L" size 0x2f | 14 bits width-1, 14 bits height-1
//	                   | "VP8 " size frame tag(3) 9d 01 2a | 14 bits width, 14 bits height
func (h *header) readWebP(b []byte) {
	if len(b) < 30 {
		return
	}
	switch string(b[12:16]) {
	case "VP8X":
		h.Width = 1 + (int(b[24]) | int(b[25])<<8 | int(b[26])<<16)
		h.Height = 1 + (int(b[27]) | int(b[28])<<8 | int(b[29])<<16)
	case "VP8L":
		bits := binary.LittleEndian.Uint32(b[21:])
		h.Width, h.Height = 1+int(bits&0x3fff), 1+int(bits>>14&0x3fff)
	case "VP8 ":
		h.Width = int(binary.LittleEndian.Uint16(b[26:]) & 0x3fff)
		h.Height = int(binary.LittleEndian.Uint16(b[28:]) & 0x3fff)
	}
}

// readHEIF looks for the largest "ispe" property (image spatial extents) in the
// first 64 KiB: a photo is a grid of tiles, each with an extent of its own, and
// the grid's is the largest.
//
//	4 size | "ispe" | version and flags(4) | 4 width | 4 height
func (h *header) readHEIF(r *bufio.Reader) error {
	const window, box = 64 << 10, 16
	for read := 0; read < window; read++ {
		b, err := r.Peek(box)
		if err != nil {
			return err
		}
		if string(b[:4]) == "ispe" {
			w, ht := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
			if w < 1<<20 && ht < 1<<20 && int(w)*int(ht) > h.Width*h.Height {
				h.Width, h.Height = int(w), int(ht)
			}
		}
		if _, err := r.Discard(1); err != nil {
			return err
		}
	}
	return nil
}

// skip discards n bytes.
func skip(r *bufio.Reader, n int) error {
	_, err := r.Discard(n)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
