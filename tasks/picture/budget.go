package picture

import (
	"context"
	"errors"
	"fmt"
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

// Budget is the memory that all decodes together may use: room that ordinary pictures share,
// and one turn for those that need more than all of it, or whose decoder is heavy (HEIC).
// The turn's memory, up to [MaxPictureMemory], is apart from the room, so that a large picture
// never holds up the others. Whoever waits for either is served in the order of arrival, so
// that none is starved. It counts reservations; it never measures what is really in use.
type Budget struct {
	size int64
	room *semaphore.Weighted
	turn *semaphore.Weighted
}

// NewBudget returns a budget whose shared room is so many bytes, at least one.
func NewBudget(bytes int64) *Budget {
	bytes = max(bytes, 1)
	return &Budget{size: bytes, room: semaphore.NewWeighted(bytes), turn: semaphore.NewWeighted(1)}
}

// Acquire waits until n bytes are free and reserves them; if n is more than the whole room, it
// waits for the turn of large pictures instead. release gives the reservation back and may be
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
	of, n := b.room, max(n, 0)
	if turn || n > b.size {
		of, n = b.turn, 1
	}
	if err := of.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("wait for memory for a picture: %w", context.Cause(ctx))
	}
	return sync.OnceFunc(func() { of.Release(n) }), nil
}
