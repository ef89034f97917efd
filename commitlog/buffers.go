package commitlog

import (
	"math/bits"

	"casepress/disk"
)

const (
	maxFree  = 1  // buffers that wait for a batch
	needFade = 64 // a burst is forgotten by that part with each commit
)

// buffers keeps the memory of batches between them. It gives back what a burst had taken.
type buffers struct {
	free [][]byte
	need int // what batches took lately
}

// bufferBytes rounds up so that a buffer that is somewhat too small is rare, and at most a quarter is wasted.
func bufferBytes(n int) int {
	n = max(n, firstBuffer)
	step := max(blockBytes, 1<<bits.Len(uint(n-1))/8)
	return (n + step - 1) / step * step
}

// get returns an empty buffer in which the next batch will probably fit.
func (p *buffers) get() []byte {
	size := bufferBytes(p.need)
	for len(p.free) > 0 {
		last := len(p.free) - 1
		b := p.free[last]
		p.free[last], p.free = nil, p.free[:last]
		if cap(b) >= size && cap(b) <= 4*size {
			return b[:0]
		}
	}
	return disk.Aligned(size)[:0]
}

func (p *buffers) put(b []byte) {
	if len(p.free) < maxFree {
		p.free = append(p.free, b)
	}
}

// used takes into account how much of its buffer a batch needed.
func (p *buffers) used(n int) { p.need = max(n, p.need-p.need/needFade) }
