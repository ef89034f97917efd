package commitlog

import (
	"hash/crc32"

	"casepress/disk"
)

// Blocks are what is written: a batch begins where in a block the one before it ended.
const (
	blockBytes  = disk.BlockBytes
	firstBuffer = 2 * blockBytes
)

// batch is what one commit writes. Its memory is laid out as the blocks of the file that it will fill, so that
// nothing has to be moved when it is written.
type batch struct {
	buf     []byte // aligned: what is in the first block already, room for the header, then records
	start   int    // of the header
	base    uint64
	count   uint32
	sum     uint32        // checksum of the records
	waiters int           // producers that wait for it
	taken   chan struct{} // closed when the batch is full no more but on its way; nil while nobody needs room
	done    chan struct{} // closed when it is on stable storage or failed
	err     error         // set before done is closed
}

// newBatch begins a batch in a buffer that has room for its header, at a place of the file that is start bytes into
// a block.
func newBatch(buf []byte, start int, base uint64) *batch {
	return &batch{buf: buf[:start+batchBytes], start: start, base: base, done: make(chan struct{})}
}

func (b *batch) end() uint64 { return b.base + uint64(b.count) }

// size is what the batch takes in the file.
func (b *batch) size() int { return len(b.buf) - b.start }

// room says whether n more bytes may join. The first always may.
func (b *batch) room(n, limit int) bool { return b.count == 0 || b.size()+n <= limit }

// add appends records that take n bytes. It sums them up at once: they are in the processor's cache, and the committer
// has the disk to keep busy.
func (b *batch) add(payloads [][]byte, n int) {
	b.reserve(n)
	from := len(b.buf)
	for _, p := range payloads {
		b.buf = appendRecord(b.buf, p)
	}
	b.sum = crc32.Update(b.sum, castagnoli, b.buf[from:])
	b.count += uint32(len(payloads))
}

// reserve makes room for n more bytes, in aligned memory: append would not see to that.
func (b *batch) reserve(n int) {
	need := roundUp(len(b.buf) + n)
	if need <= cap(b.buf) {
		return
	}
	grown := disk.Aligned(bufferBytes(max(need, cap(b.buf)+cap(b.buf)/4)))
	copy(grown[b.start:], b.buf[b.start:])
	b.buf = grown[:len(b.buf)]
}

// moveTo lays the batch out for another place of the file, as must be when it is the first of a segment.
func (b *batch) moveTo(start int) {
	b.reserve(max(0, start-b.start))
	moved := b.buf[:start+b.size()]
	copy(moved[start:], b.buf[b.start:])
	b.buf, b.start = moved, start
}

// blocks returns the batch as it is to be written: behind what the first block holds already, and before zeros, which
// are in the rest of the last block already.
func (b *batch) blocks(held []byte) []byte {
	copy(b.buf[:b.start], held)
	whole := b.buf[:roundUp(len(b.buf))]
	clear(whole[len(b.buf):])
	return whole
}

// letIn lets those go on who wait for room: the next batch fills now.
func (b *batch) letIn() {
	if b.taken != nil {
		close(b.taken)
		b.taken = nil
	}
}

// finish lets everybody go who waits for the batch.
func (b *batch) finish(err error) {
	b.letIn()
	b.err = err
	close(b.done)
}

// roundUp returns the next whole number of blocks.
func roundUp[T int | int64](n T) T { return (n + blockBytes - 1) / blockBytes * blockBytes }

func roundDown[T int | int64](n T) T { return n / blockBytes * blockBytes }
