package picture

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

// DefaultBudget is room for two 12-megapixel photos, or one of 24, in work at a
// time: 128 MiB.
const DefaultBudget = 128 << 20

// Budget is the memory that all decodes together may use. Whoever waits is served
// in the order of arrival, so a large picture is not starved by small ones. It
// counts reservations; it never measures what is really in use.
type Budget struct {
	size int64
	room *semaphore.Weighted
}

// NewBudget returns a budget of so many bytes, at least one.
func NewBudget(bytes int64) *Budget {
	bytes = max(bytes, 1)
	return &Budget{size: bytes, room: semaphore.NewWeighted(bytes)}
}

// Acquire waits until n bytes are free and reserves them. A picture that needs
// more than the whole budget waits until nothing else is in work and then runs
// alone. release gives the reservation back and may be called more than once. The
// error is the context's.
func (b *Budget) Acquire(ctx context.Context, n int64) (release func(), err error) {
	if b == nil {
		return func() {}, nil
	}
	n = min(max(n, 0), b.size)
	if err := b.room.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("reserve %d bytes for a picture: %w", n, context.Cause(ctx))
	}
	return sync.OnceFunc(func() { b.room.Release(n) }), nil
}
