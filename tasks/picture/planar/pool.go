package planar

import (
	"math/bits"
	"sync"
)

const (
	// steps is how many sizes there are between a power of two and the next, so that
	// at most an eighth of a buffer is wasted.
	steps = 8
	// largest is the biggest buffer that is kept for the next image. Pictures beyond
	// it are rare, and holding on to one would cost more than making it again.
	largest = 16 << 20
)

// buffer is the memory of one image. A pool holds pointers to it, so that giving it
// back allocates nothing.
type buffer struct {
	bytes []byte
	class int
}

// classes keeps buffers that are free, by size. The garbage collector empties them
// when they stay unused, so a quiet process holds nothing.
var classes [64 * steps]sync.Pool

// classOf is the class of the smallest buffers that hold size bytes, and their size.
func classOf(size int) (class, capacity int) {
	size = max(size, 4096)
	shift := bits.Len(uint(size-1)) - 4
	unit := 1 << shift
	capacity = (size + unit - 1) &^ (unit - 1)
	return shift*steps + capacity>>shift - steps, capacity
}

func obtain(size int) *buffer {
	class, capacity := classOf(size)
	if b, ok := classes[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{bytes: make([]byte, capacity), class: class}
}

func giveBack(b *buffer) {
	if len(b.bytes) <= largest {
		classes[b.class].Put(b)
	}
}
