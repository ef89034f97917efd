// Package memory implements a pool of large buffers, for the next picture to use: files
// and planes of photos are much alike in size. It never keeps more than 48 MiB, and
// nothing once no picture has come for a while.
package memory

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
	// largest is the biggest buffer that is kept. Pictures beyond it are rare, and
	// holding on to one would cost more than making it again.
	largest = 16 << 20
	// most is how many bytes are kept in all.
	most = 48 << 20
	// maxIdleCollections is how many garbage collections a free buffer outlives.
	maxIdleCollections = 4
)

// Buffer is memory with one owner at a time.
type Buffer struct {
	// Bytes are of any content, an earlier picture's for instance, and at least as
	// many as were asked for.
	Bytes    []byte
	class    int
	lastUsed uint64 // in collections
}

// free keeps buffers by class. It is no sync.Pool, for that forgets them at every second
// collection: with one every few photos nearly all were made anew, and two workers
// took 80 MB in place of 50. A quiet process still ends up holding nothing.
var free struct {
	sync.Mutex
	classes     [64 * steps][]*Buffer
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

// Get returns a buffer of at least size bytes, at most an eighth more.
func Get(size int) *Buffer {
	class, capacity := classOf(size)
	free.Lock()
	defer free.Unlock()
	kept := free.classes[class]
	if len(kept) == 0 {
		return &Buffer{Bytes: make([]byte, capacity), class: class}
	}
	b := kept[len(kept)-1]
	kept[len(kept)-1] = nil
	free.classes[class] = kept[:len(kept)-1]
	free.bytes -= len(b.Bytes)
	return b
}

// Free gives the buffer back. Neither it nor its bytes may be used again.
func (b *Buffer) Free() {
	free.Lock()
	defer free.Unlock()
	if len(b.Bytes) > largest || free.bytes+len(b.Bytes) > most {
		return
	}
	b.lastUsed = free.collections
	free.classes[b.class] = append(free.classes[b.class], b)
	free.bytes += len(b.Bytes)
	if !free.watching {
		free.watching = true
		awaitCollection()
	}
}

// awaitCollection lets evict run after the next garbage collection, which finds the
// canary unused.
func awaitCollection() {
	canary := new([32]byte)
	runtime.AddCleanup(canary, func(struct{}) { evict() }, struct{}{})
}

// evict drops what was not used for a while. When nothing is left it stops watching.
func evict() {
	free.Lock()
	defer free.Unlock()
	free.collections++
	for class, kept := range free.classes {
		free.classes[class] = slices.DeleteFunc(kept, func(b *Buffer) bool {
			old := b.lastUsed+maxIdleCollections < free.collections
			if old {
				free.bytes -= len(b.Bytes)
			}
			return old
		})
	}
	if free.watching = free.bytes > 0; free.watching {
		awaitCollection()
	}
}
