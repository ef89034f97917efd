package container

import "encoding/binary"

// GIFBlock is an extension or a frame of a GIF.
type GIFBlock struct {
	// Extension is the kind of an extension, and Frame says that it is a frame instead.
	Extension byte
	Frame     bool
	// X, Y, Width and Height are where a frame lies and Flags its last descriptor byte.
	X, Y, Width, Height int
	Flags               byte
	// Colours is where a frame's own colours are, of which there are 2 << (Flags & 7) if Flags
	// has the bit 80.
	Colours int64
	// At is where the block's data are: of a frame a byte, the bits of a code, and then pieces
	// of 1 to 255 bytes, each behind its length, up to one of 0.
	At int64
}

// GIFBlocks calls visit with each block until it says false:
//
//	"GIF89a" | width(2) height(2) flags(1) 2 more | colours | block … | 3b
//	block = 21 kind(1) pieces | 2c x(2) y(2) width(2) height(2) flags(1) colours code bits(1) pieces
func (r *Reader) GIFBlocks(visit func(GIFBlock) bool) {
	head := r.Exactly(0, 13)
	if head == nil {
		return
	}
	at := 13 + colourBytes(head[10])
	for {
		b := r.UpTo(at, 10)
		switch {
		case len(b) >= 2 && b[0] == 0x21:
			if !visit(GIFBlock{Extension: b[1], At: at + 2}) {
				return
			}
			at += 2
		case len(b) == 10 && b[0] == 0x2c:
			f := GIFBlock{
				Frame: true, Flags: b[9], Colours: at + 10,
				X: int(binary.LittleEndian.Uint16(b[1:])), Y: int(binary.LittleEndian.Uint16(b[3:])),
				Width: int(binary.LittleEndian.Uint16(b[5:])), Height: int(binary.LittleEndian.Uint16(b[7:])),
			}
			f.At = f.Colours + colourBytes(f.Flags)
			if !visit(f) {
				return
			}
			at = f.At + 1
		case len(b) >= 1 && b[0] == 0: // an empty piece too many
			at++
			continue
		default:
			return
		}
		for {
			n := r.Exactly(at, 1)
			if n == nil {
				return
			}
			at += 1 + int64(n[0])
			if n[0] == 0 {
				break
			}
		}
	}
}

// GIFPieces joins the pieces from an offset on, each of 1 to 255 bytes behind its length, up to one of 0.
// It returns nil if they are more than most bytes together or the file ends before.
func (r *Reader) GIFPieces(at, most int64) (all []byte) {
	for {
		n := r.Exactly(at, 1)
		if n == nil || int64(len(all))+int64(n[0]) > most {
			return nil
		}
		if n[0] == 0 {
			return all
		}
		piece := r.Exactly(at+1, int64(n[0]))
		if piece == nil {
			return nil
		}
		all = append(all, piece...)
		at += 1 + int64(n[0])
	}
}

// colourBytes is how long a table of colours is that flags tell of.
func colourBytes(flags byte) int64 {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}
