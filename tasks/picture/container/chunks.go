package container

import "encoding/binary"

// Chunk is a piece of a PNG or RIFF file.
type Chunk struct {
	Kind string // four bytes
	// At and Size are where its data are, as far as the file has them.
	At, Size int64
	// Cut says that the file ends within the chunk.
	Cut bool
}

// Bytes reads a chunk's data, nil if they are more than most or the file ends within them.
func (r *Reader) Bytes(c Chunk, most int64) []byte {
	if c.Cut || c.Size > most {
		return nil
	}
	return r.Exactly(c.At, c.Size)
}

// PNGChunks calls visit with each chunk of a PNG until it says false, up to and with IEND:
//
//	8 signature | length(4) | kind(4) | data | CRC(4) | …
func (r *Reader) PNGChunks(visit func(Chunk) bool) {
	for at := int64(FirstPNGChunk); ; {
		c, ok := r.PNGChunk(at)
		if !ok || !visit(c) || c.Cut || c.Kind == "IEND" {
			return
		}
		at = c.At + c.Size + 4
	}
}

// FirstPNGChunk is the offset of a PNG's first chunk; the next begins 4 bytes behind the data of
// the one before.
const FirstPNGChunk = 8

// PNGChunk returns the chunk at an offset, for those who walk the file in steps. ok is false if
// there is none.
func (r *Reader) PNGChunk(at int64) (c Chunk, ok bool) {
	head := r.Exactly(at, 8)
	if head == nil {
		return c, false
	}
	n := int64(binary.BigEndian.Uint32(head))
	c = Chunk{Kind: string(head[4:]), At: at + 8, Size: min(n, r.size-at-8)}
	c.Cut = c.Size < n
	return c, true
}

// RIFFChunks calls visit with each chunk of a RIFF file, within the length that the file
// gives itself, until it says false:
//
//	"RIFF" length(4) form(4) | kind(4) length(4) data, padded to even | …
func (r *Reader) RIFFChunks(visit func(Chunk) bool) {
	head := r.Exactly(0, 12)
	if head == nil {
		return
	}
	end := min(r.size, 8+int64(binary.LittleEndian.Uint32(head[4:])))
	r.riffChunks(12, end, visit)
}

// ChunksWithin walks the chunks in the data of another, from offset at to end, as those of
// an animation's frame.
func (r *Reader) ChunksWithin(at, end int64, visit func(Chunk) bool) { r.riffChunks(at, end, visit) }

func (r *Reader) riffChunks(at, end int64, visit func(Chunk) bool) {
	for end-at >= 8 {
		head := r.Exactly(at, 8)
		if head == nil {
			return
		}
		n := int64(binary.LittleEndian.Uint32(head[4:]))
		c := Chunk{Kind: string(head[:4]), At: at + 8, Size: min(n, end-at-8)}
		c.Cut = c.Size < n
		if !visit(c) || c.Cut {
			return
		}
		at += 8 + n + n&1
	}
}
