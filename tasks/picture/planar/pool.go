package planar

import (
	"math/bits"
	"runtime"
	"slices"
	"sync"
)

const (
	// steps is how many sizes there are between a power of two and the next, so that
	// at most an eighth of a buffer is wasted.
	steps = 8
	// largest is the biggest buffer that is kept for the next image. Pictures beyond
	// it are rare, and holding on to one would cost more than making it again.
	largest = 16 << 20
	// most is how many bytes are kept in all.
	most = 48 << 20
	// patience is how many garbage collections a free buffer outlives.
	patience = 4
)

// buffer is the memory of one image.
type buffer struct {
	bytes    []byte
	class    int
	lastUsed uint64 // in collections
}

// free keeps buffers by class. It is no sync.Pool, for that forgets them at every second
// collection: with one every few photos nearly all were made anew, and two workers
// took 80 MB in place of 50. A quiet process still ends up holding nothing.
var free struct {
	sync.Mutex
	classes     [64 * steps][]*buffer
	bytes       int
	collections uint64
	watching    bool
}

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
	free.Lock()
	defer free.Unlock()
	kept := free.classes[class]
	if len(kept) == 0 {
		return &buffer{bytes: make([]byte, capacity), class: class}
	}
	b := kept[len(kept)-1]
	kept[len(kept)-1] = nil
	free.classes[class] = kept[:len(kept)-1]
	free.bytes -= len(b.bytes)
	return b
}

func giveBack(b *buffer) {
	free.Lock()
	defer free.Unlock()
	if len(b.bytes) > largest || free.bytes+len(b.bytes) > most {
		return
	}
	b.lastUsed = free.collections
	free.classes[b.class] = append(free.classes[b.class], b)
	free.bytes += len(b.bytes)
	if !free.watching {
		free.watching = true
		awaitCollection()
	}
}

// awaitCollection lets forget run after the next garbage collection, which finds the
// canary unused.
func awaitCollection() {
	canary := new([32]byte)
	runtime.AddCleanup(canary, func(struct{}) { forget() }, struct{}{})
}

// forget drops what was not used for a while. When nothing is left it stops watching.
func forget() {
	free.Lock()
	defer free.Unlock()
	free.collections++
	for class, kept := range free.classes {
		free.classes[class] = slices.DeleteFunc(kept, func(b *buffer) bool {
			old := b.lastUsed+patience < free.collections
			if old {
				free.bytes -= len(b.bytes)
			}
			return old
		})
	}
	if free.watching = free.bytes > 0; free.watching {
		awaitCollection()
	}
}
