package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
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
	work    *dispatcher.Dispatcher
	free    cached[uint64]
	backlog map[string]*cached[dispatcher.Backlog] // by lane
	uploads uploads
	small   bodies // of at most smallBody bytes
	urgent  bodies // for reserved lanes
}

func newAdmission(cfg Config, work *dispatcher.Dispatcher) *admission {
	m := &admission{
		cfg: cfg, work: work,
		free:    cached[uint64]{load: func(context.Context) (uint64, error) { return disk.Free(cfg.DataDir) }},
		backlog: map[string]*cached[dispatcher.Backlog]{},
		small:   bodies{max: maxSmall, maxFrom: maxSmallFrom},
		urgent:  bodies{max: maxUrgent, maxFrom: maxUrgentFrom},
	}
	if cfg.MaxUploadsPerAddress < 0 {
		m.small.maxFrom, m.urgent.maxFrom = maxSmall, maxUrgent
	}
	for _, l := range work.Lanes() {
		m.backlog[l.Name] = &cached[dispatcher.Backlog]{
			load: func(ctx context.Context) (dispatcher.Backlog, error) { return work.Backlog(ctx, l.Name) },
		}
	}
	return m
}

// admit refuses a request that brings work for the lane before its body is read, or counts it among the uploads
// until it is answered.
func (a *API) admit(lane string, maxBytes int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		size := c.Request.ContentLength
		reserved := size
		if size < 0 {
			reserved = maxBytes
		}
		leave, err := a.admission.enter(lane, c, a.clientOf(c), min(reserved, maxBytes), maxBytes)
		if err == nil {
			defer leave()
			err = a.admission.check(c.Request.Context(), lane, size, maxBytes)
		}
		if err != nil {
			keepConnection(c, size)
			a.fail(c, err)
			c.Abort()
			return
		}
		c.Next()
	}
}

// enter counts the body of a request for the lane until leave is called, or returns a fault.
func (m *admission) enter(lane string, c *gin.Context, from netip.Prefix, size, maxBytes int64) (leave func(), err error) {
	giveWay := func() {}
	if body, ok := c.Value(keyBody).(*uploadBody); ok {
		giveWay = body.giveWay
	}
	if settings, _ := m.work.LaneOf(lane); settings.Reserved {
		return m.urgent.enter(from, c.Request, giveWay)
	}
	if maxBytes <= smallBody {
		return m.small.enter(from, c.Request, giveWay)
	}
	share, err := m.share(c.Request.Context())
	if err != nil {
		return nil, err
	}
	return m.uploads.enter(m.cfg, from, size, share)
}

// freeDisk measures the disk. One that cannot be measured, such as a volume that was taken away, cannot be written either.
func (m *admission) freeDisk(ctx context.Context) (uint64, error) {
	free, err := m.free.get(ctx)
	if err == nil || ctx.Err() != nil {
		return free, err
	}
	return 0, &fault{code: codeUnavailable, cause: fmt.Errorf("free disk: %w", err)}
}

// sharesOfDisk is into how many shares the free disk is divided, of which the uploads of one client may announce one.
// Otherwise one client that announces much and sends little would keep everybody else from a disk that is empty.
const sharesOfDisk = 8

// share is how many bytes the uploads under way from one client may have, if they are more than one.
func (m *admission) share(ctx context.Context) (int64, error) {
	floor := m.cfg.MinFreeDisk
	if floor < 0 {
		return math.MaxInt64, nil
	}
	free, err := m.freeDisk(ctx)
	if err != nil {
		return 0, err
	}
	if free <= uint64(floor) {
		return math.MaxInt64, nil // nobody has any, as check says
	}
	return int64(min(free-uint64(floor), math.MaxInt64)) / sharesOfDisk, nil
}

// smallBody is the largest body that counts as small: it is held in memory, and read where the request is refused. Thousands of
// phones send one of a few hundred bytes each at the same hour: so they do not count as uploads, of which there may be few.
const smallBody = 64 << 10

// keepConnection reads a small body that is not wanted, so that the client can try again on the same connection: in a burst
// of questionnaires new ones would cost more than the answers. An error needs no answer: the connection is closed then.
func keepConnection(c *gin.Context, size int64) {
	body, ok := c.Value(keyBody).(*uploadBody)
	if ok && size >= 0 && size <= smallBody && !body.expectsContinue {
		refusedOn(c.Request)
		_, _ = io.Copy(io.Discard, body)
	}
}

// check returns a fault if a body of size bytes, -1 if unknown, may not come in for the lane. What is for a
// reserved lane is refused by no backlog, and by a floor of its own of free disk: what lies between the two floors is kept for it.
func (m *admission) check(ctx context.Context, lane string, size, maxBytes int64) error {
	if size > maxBytes {
		return &fault{code: codeBodyTooLarge, args: []any{byteSize(maxBytes)}, extras: extras{Limit: maxBytes}}
	}
	settings, _ := m.work.LaneOf(lane)
	if settings.Reserved {
		if m.cfg.MinFreeDisk < 0 {
			return nil
		}
		return m.diskFloor(ctx, m.cfg.MinFreeDiskUrgent, 0) // the other uploads under way leave more free than that
	}
	if err := m.diskFloor(ctx, m.cfg.MinFreeDisk, m.uploads.reserved()); err != nil {
		return err
	}
	if settings.MaxBacklogAge <= 0 {
		return nil
	}
	backlog, err := m.backlog[lane].get(ctx)
	if err != nil {
		return &fault{code: codeUnavailable, cause: err}
	}
	if backlog.OldestAge > settings.MaxBacklogAge {
		return refuse(codeBacklog, period(settings.MaxBacklogAge))
	}
	return nil
}

// diskFloor returns a fault if less than the floor would be free once what is coming is stored. What an upload under way has
// already written counts twice, so for a moment the check is stricter than needed.
func (m *admission) diskFloor(ctx context.Context, floor, coming int64) error {
	if floor < 0 {
		return nil
	}
	free, err := m.freeDisk(ctx)
	if err != nil {
		return err
	}
	if free < uint64(floor)+uint64(coming) {
		return &fault{code: codeDiskFull, cause: fmt.Errorf("%d bytes free, floor %d, uploads under way %d", free, floor, coming)}
	}
	return nil
}

// measureEvery is how long a measured value is used again.
const measureEvery = time.Second

// cached keeps what load returned, error included, for measureEvery. Callers that come while one of them loads
// wait for it, no longer than their context.
type cached[T any] struct {
	load func(context.Context) (T, error)

	mu       sync.Mutex    // guards the rest
	loading  chan struct{} // closed when the load under way has ended; nil: none is
	loadedAt time.Time
	value    T
	err      error
}

func (c *cached[T]) get(ctx context.Context) (none T, err error) {
	for {
		c.mu.Lock()
		if !c.loadedAt.IsZero() && time.Since(c.loadedAt) < measureEvery {
			defer c.mu.Unlock()
			return c.value, c.err
		}
		if c.loading == nil {
			break
		}
		loading := c.loading
		c.mu.Unlock()
		select {
		case <-loading:
		case <-ctx.Done():
			return none, context.Cause(ctx)
		}
	}
	loading := make(chan struct{})
	c.loading = loading
	c.mu.Unlock()
	// The value is for everybody: the first client leaving must not spoil it.
	var value T
	err = errLoadPanicked
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.value, c.err, c.loadedAt, c.loading = value, err, time.Now(), nil
		close(loading)
	}()
	value, err = c.load(context.WithoutCancel(ctx))
	return value, err
}

var errLoadPanicked = errors.New("the measurement panicked")
