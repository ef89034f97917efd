package picture

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"
)

// DefaultBudget is room for two 12-megapixel photos, or one of 24, in work at a
// time: 128 MiB.
const DefaultBudget = 128 << 20

// MaxPictureMemory is the most memory that one picture may need, 320 MiB. One that needs more
// is a [Problem]: it is not decoded, whatever the budget.
const MaxPictureMemory = 320 << 20

// errMemory says that a picture needs more than [MaxPictureMemory].
var errMemory = errors.New("needs more memory than one picture may")

// Budget is the memory and the processors that all decodes together may use. There are room and
// processors that ordinary pictures share, and one turn for pictures that need more than all of
// the room, or whose decoder is heavy (HEIC). The turn's memory, up to [MaxPictureMemory], and
// its processor are apart from the others', so that a large picture never holds up small ones.
//
// Whoever waits is served in the order of arrival, picture by picture, so that none is starved:
// a report of one photo passes one of fifty. It counts reservations; it never measures what is
// really in use.
type Budget struct {
	size       int64
	inspecting *semaphore.Weighted // one for each picture whose header is read
	processors *semaphore.Weighted // one for each ordinary decode
	room       *semaphore.Weighted // only waited for by who has a processor
	turn       *semaphore.Weighted
	decoders   int // how many decodes there are at once at most, the one that has the turn too

	mu       sync.Mutex // guards the rest, and calls of onChange
	inUse    int64
	onChange func(reserved int64)
}

// NewBudget returns a budget whose shared room is so many bytes, at least one, and that lets one
// ordinary picture a processor ([runtime.GOMAXPROCS]) be in work at once.
func NewBudget(bytes int64) *Budget {
	bytes = max(bytes, 1)
	b := &Budget{size: bytes, room: semaphore.NewWeighted(bytes), turn: semaphore.NewWeighted(1)}
	b.LimitProcessors(runtime.GOMAXPROCS(0))
	return b
}

// LimitProcessors lets n ordinary pictures, at least one, be in work at once. Call it before the budget is used.
func (b *Budget) LimitProcessors(n int) {
	n = max(n, 1)
	b.inspecting, b.processors = semaphore.NewWeighted(int64(n)), semaphore.NewWeighted(int64(n))
	b.decoders = n + 1
}

// leavesRoom reports whether Go has two processors more than there are decodes. A decode of low priority keeps one of Go's also while
// the system lets it not run; where all may be kept so, everything else would have a low priority too.
func (b *Budget) leavesRoom() bool { return b != nil && runtime.GOMAXPROCS(0) >= b.decoders+2 }

// OnChange lets f hear how many bytes of Go's memory are reserved in all, each time that changes; f must not wait. Call it
// before the budget is used. HEIC does not count: its decoder's memory lies outside, and the rest of it is small.
func (b *Budget) OnChange(f func(reserved int64)) { b.onChange = f }

// count says that n more bytes are reserved, or fewer.
func (b *Budget) count(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inUse += n; b.onChange != nil {
		b.onChange(b.inUse)
	}
}

// Acquire waits for a processor and until n bytes are free, and reserves both; if n is more than
// the whole room, it waits for the turn of large pictures instead. release gives the reservation back and may be
// called more than once. The error is the context's, or that n is more than
// [MaxPictureMemory].
func (b *Budget) Acquire(ctx context.Context, n int64) (release func(), err error) {
	return b.acquire(ctx, n, false)
}

// acquire is Acquire. turn asks for the turn whatever n is.
func (b *Budget) acquire(ctx context.Context, n int64, turn bool) (release func(), err error) {
	if n > MaxPictureMemory {
		return nil, fmt.Errorf("reserve %d bytes: %w", n, errMemory)
	}
	if b == nil {
		return func() {}, nil
	}
	n = max(n, 0)
	if turn {
		return reserve(ctx, b.turn, 1)
	}
	if n > b.size {
		free, err := reserve(ctx, b.turn, 1)
		if err != nil {
			return nil, err
		}
		return b.counted(n, free), nil
	}
	done, err := reserve(ctx, b.processors, 1)
	if err != nil {
		return nil, err
	}
	free, err := reserve(ctx, b.room, n)
	if err != nil {
		done()
		return nil, err
	}
	return b.counted(n, func() {
		free()
		done()
	}), nil
}

// counted counts n bytes as reserved until the returned release, which may be called more than once.
func (b *Budget) counted(n int64, release func()) func() {
	b.count(n)
	return sync.OnceFunc(func() {
		b.count(-n)
		release()
	})
}

// enterInspection waits until a picture may be inspected, which takes a moment and up to 24 MiB that the budget does not
// count: as many are at once as there are processors. done ends it.
func (b *Budget) enterInspection(ctx context.Context) (done func(), err error) {
	if b == nil {
		return func() {}, nil
	}
	return reserve(ctx, b.inspecting, 1)
}

// reserve waits for n of what there is. release may be called more than once.
func reserve(ctx context.Context, of *semaphore.Weighted, n int64) (release func(), err error) {
	if err := of.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("wait for memory for a picture: %w", context.Cause(ctx))
	}
	return sync.OnceFunc(func() { of.Release(n) }), nil
}
