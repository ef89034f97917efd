package handlers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/disk"
	"casepress/dispatcher"
)

// admission decides whether a submission is accepted at all, before a byte of it is written. It measures
// at most once a second, so that measuring costs nothing in a burst.
type admission struct {
	cfg     Config
	free    cached[uint64]
	backlog cached[dispatcher.Backlog]
	uploads uploads
}

func newAdmission(cfg Config, work *dispatcher.Dispatcher) *admission {
	return &admission{
		cfg:     cfg,
		free:    cached[uint64]{load: func(context.Context) (uint64, error) { return disk.Free(cfg.DataDir) }},
		backlog: cached[dispatcher.Backlog]{load: work.Backlog},
	}
}

// admit refuses a request before its body is read, or counts it among the uploads until it is answered.
func (a *API) admit(c *gin.Context) {
	size := c.Request.ContentLength
	reserved := size
	if size < 0 {
		reserved = a.cfg.MaxBodyBytes
	}
	leave, err := a.admission.uploads.enter(a.cfg.MaxUploads, min(reserved, a.cfg.MaxBodyBytes))
	if err == nil {
		defer leave()
		err = a.admission.check(c.Request.Context(), size)
	}
	if err != nil {
		a.fail(c, err)
		c.Abort()
		return
	}
	c.Next()
}

// check returns a fault if a body of size bytes, -1 if unknown, may not come in.
func (m *admission) check(ctx context.Context, size int64) error {
	if size > m.cfg.MaxBodyBytes {
		return &fault{code: codeBodyTooLarge, args: []any{byteSize(m.cfg.MaxBodyBytes)}, extras: extras{Limit: m.cfg.MaxBodyBytes}}
	}
	if err := m.diskFloor(ctx); err != nil {
		return err
	}
	if m.cfg.MaxBacklogAge < 0 {
		return nil
	}
	backlog, err := m.backlog.get(ctx)
	if err != nil {
		return &fault{code: codeUnavailable, cause: err}
	}
	if backlog.OldestAge > m.cfg.MaxBacklogAge {
		return refuse(codeBacklog, period(m.cfg.MaxBacklogAge))
	}
	return nil
}

// diskFloor returns a fault if less than the floor would be free once every upload under way is stored.
// What such an upload has already written counts twice, so for a moment the check is stricter than needed.
func (m *admission) diskFloor(ctx context.Context) error {
	if m.cfg.MinFreeDisk < 0 {
		return nil
	}
	free, err := m.free.get(ctx)
	if err != nil {
		return fmt.Errorf("free disk: %w", err)
	}
	if floor, coming := m.cfg.MinFreeDisk, m.uploads.reserved(); free < uint64(floor)+uint64(coming) {
		return &fault{code: codeDiskFull, cause: fmt.Errorf("%d bytes free, floor %d, uploads under way %d", free, floor, coming)}
	}
	return nil
}

// measureEvery is how long a measured value is used again.
const measureEvery = time.Second

// cached keeps what load returned, error included, for measureEvery. Callers
// that come while it loads wait for that load.
type cached[T any] struct {
	load func(context.Context) (T, error)

	mu       sync.Mutex // guards the rest
	loadedAt time.Time
	value    T
	err      error
}

func (c *cached[T]) get(ctx context.Context) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loadedAt.IsZero() || time.Since(c.loadedAt) >= measureEvery {
		// The value is for everybody: the first client leaving must not spoil it.
		c.value, c.err = c.load(context.WithoutCancel(ctx))
		c.loadedAt = time.Now()
	}
	return c.value, c.err
}
