package container

import (
	"encoding/binary"
	"math"
)

// Box is a box of an ISO base media file (ISO/IEC 14496-12).
type Box struct {
	Kind string // four bytes
	// At and Size are where its contents are, as far as the file has them.
	At, Size int64
	// Cut says that the file ends within the box.
	Cut bool
}

// End is the offset behind the box.
func (b Box) End() int64 { return b.At + b.Size }

// Boxes calls visit with each box from offset at to end until it says false:
//
//	size(4) kind(4) contents; size 1: 8 bytes of size follow the kind; size 0: to the end
func (r *Reader) Boxes(at, end int64, visit func(Box) bool) {
	end = min(end, r.size)
	for end-at >= 8 {
		head := r.Exactly(at, 8)
		if head == nil {
			return
		}
		n, start := uint64(binary.BigEndian.Uint32(head)), int64(8)
		switch n {
		case 0:
			n = uint64(end - at)
		case 1:
			long := r.Exactly(at+8, 8)
			if long == nil {
				return
			}
			n, start = binary.BigEndian.Uint64(long), 16
		}
		if n < uint64(start) || n > math.MaxInt64 {
			return
		}
		b := Box{Kind: string(head[4:]), At: at + start, Size: min(int64(n), end-at) - start}
		b.Cut = int64(n) > end-at
		if b.Size < 0 || !visit(b) || b.Cut {
			return
		}
		at += int64(n)
	}
}

// Find returns the first box of a kind from offset at to end. ok is false if there is none.
func (r *Reader) Find(at, end int64, kind string) (found Box, ok bool) {
	r.Boxes(at, end, func(b Box) bool {
		if b.Kind == kind {
			found, ok = b, true
		}
		return !ok
	})
	return found, ok
}
