package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"casepress/commitlog"
)

// SubscribeOptions are the settings of a subscription. The zero value is good.
type SubscribeOptions struct {
	Window      int           // most deliveries in flight, default 64
	LockTimeout time.Duration // how long a delivery is held unless renewed, default Options.LockTimeout

	// MaxDeliveries sends a message that was delivered so often without an Ack to the dead-letter topic. It is a
	// setting of the whole group: the newest subscription's holds. 0 leaves it as it is, which is never in a new
	// group; negative: never.
	MaxDeliveries int

	// Ordered hands out a message only when all earlier ones with its key are acknowledged or dead letters. Messages without a key are
	// free. It is a setting of the whole group, from when a member asks for it until the first member of a group
	// without members says Unordered. What waits counts towards Options.MaxUnacked.
	Ordered, Unordered bool

	// From is where the group starts if it is new, default Earliest. An old group goes on where it was.
	From Position
}

// A Position is where a new group starts.
type Position struct {
	kind   byte
	offset uint64
	time   time.Time
}

// Earliest and Latest start at the oldest message that is kept, and after the newest.
var (
	Earliest = Position{}
	Latest   = Position{kind: 'l'}
)

// FromOffset starts at an offset, or at the oldest message if that one is no longer kept.
func FromOffset(offset uint64) Position { return Position{kind: 'o', offset: offset} }

// FromTime starts at the first message that the broker took at or after t.
func FromTime(t time.Time) Position { return Position{kind: 't', time: t} }

func (p Position) resolve(l *commitlog.Log) (uint64, error) {
	switch p.kind {
	case 'l':
		return l.End(), nil
	case 't':
		return l.OffsetAt(p.time)
	case 'o':
		if end := l.End(); p.offset > end {
			return 0, fmt.Errorf("%w: offset %d, end %d", ErrBadPosition, p.offset, end)
		}
		return max(p.offset, l.Start()), nil
	}
	return l.Start(), nil
}

// A Subscription is one member of a group. Its methods may be called from many goroutines.
type Subscription struct {
	group       *group
	id          uint32
	window      int
	lockTimeout int64 // microseconds
	closed      bool  // guarded by group.mu
}

// Subscribe makes a member of the group, creating the group durably if it is new. Close it.
func (b *Broker) Subscribe(topic, group string, o SubscribeOptions) (*Subscription, error) {
	t, err := b.topic(topic)
	if err != nil {
		return nil, err
	}
	def(&o.Window, defaultWindow)
	def(&o.LockTimeout, b.opts.LockTimeout)
	if err := checkName(group, maxName); err != nil {
		return nil, err
	}
	if o.Ordered && o.Unordered || o.Window < 1 || o.LockTimeout < time.Microsecond || o.MaxDeliveries > math.MaxInt32 {
		return nil, fmt.Errorf("%w: window %d, lock timeout %v or max deliveries %d", ErrInvalid, o.Window, o.LockTimeout, o.MaxDeliveries)
	}
	for {
		g, err := t.ensureGroup(group, o.From)
		if err != nil {
			return nil, fmt.Errorf("subscribe %s to %s: %w", group, topic, err)
		}
		s, err := g.join(o)
		if errors.Is(err, errDeleted) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("subscribe %s to %s: %w", group, topic, err)
		}
		return s, nil
	}
}

// errDeleted says that the group was deleted after it was found: look again.
var errDeleted = errors.New("group was deleted")

func (g *group) join(o SubscribeOptions) (*Subscription, error) {
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	switch {
	case g.deleted:
		return nil, errDeleted
	case g.closed:
		return nil, ErrClosed
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		return nil, g.failed
	}
	if err := g.applySettings(o); err != nil {
		return nil, err
	}
	g.lastMember++
	s := &Subscription{group: g, id: g.lastMember, window: o.Window, lockTimeout: o.LockTimeout.Microseconds()}
	g.members = append(g.members, s)
	if g.cancel == nil {
		g.start()
	}
	if g.state.changed() {
		g.topic.journal.scheduleFlush()
	}
	g.schedule()
	return s, nil
}

// applySettings takes over the settings of a member that hold for the whole group. The caller holds lifecycle and mu.
func (g *group) applySettings(o SubscribeOptions) error {
	switch {
	case o.Unordered && len(g.members) == 0:
		g.state.dropOrder()
	case (o.Ordered || g.state.ordered) && g.state.order == nil:
		if err := g.startOrder(); err != nil {
			return err
		}
	}
	switch {
	case o.MaxDeliveries != 0:
		g.state.setMaxDeliveries(max(o.MaxDeliveries, 0))
	case len(g.members) == 0: // it may be that of before a restart
		g.state.setMaxDeliveries(int(g.state.maxDeliveries))
	}
	return nil
}

// startOrder begins to keep the order of keys: those of the messages not acknowledged are read again, without mu, for they
// can be many. The caller holds lifecycle, so that the group is not moved meanwhile, and mu.
func (g *group) startOrder() error {
	var known []keyed
	for from, round := g.state.start, 0; from < g.state.next; round++ {
		offsets, to := g.state.unackedFrom(from), g.state.next
		var keys []keyed
		var err error
		if round < ordersBehind {
			g.mu.Unlock()
			keys, err = g.readKeys(offsets)
			g.mu.Lock()
		} else { // what is handed out is faster: what is left is little
			keys, err = g.readKeys(offsets)
		}
		if _, gone := errors.AsType[*commitlog.OutOfRangeError](err); gone && g.state.start > from {
			from, known = g.state.start, nil // retention has removed what is acknowledged
			continue
		}
		if err != nil {
			return err
		}
		from, known = to, append(known, keys...)
	}
	known = slices.DeleteFunc(known, func(k keyed) bool { return g.state.isDone(k.offset) })
	g.state.startOrder(known)
	return nil
}

// ordersBehind is how often startOrder reads on without the lock after what was handed out meanwhile.
const ordersBehind = 8

// readTogether is how near to the next one a message must be for both to be read at once.
const readTogether = 256

// readKeys returns the hashes of the keys of those of the messages that have one. It reads what lies between them only where
// that is little.
func (g *group) readKeys(offsets []uint64) (keys []keyed, err error) {
	for i := 0; i < len(offsets); {
		bytes := 1
		if i+1 < len(offsets) && offsets[i+1]-offsets[i] < readTogether {
			bytes = 1 << 20
		}
		records, err := g.topic.log.Read(offsets[i], bytes)
		if err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		if len(records) == 0 || records[0].Offset != offsets[i] {
			return nil, &DamageError{Topic: g.topic.name, Offset: offsets[i], Err: errMissing}
		}
		for _, r := range records {
			if i == len(offsets) {
				break
			}
			if r.Offset < offsets[i] {
				continue
			}
			i++
			key, err := decodeKey(r.Payload)
			if err != nil {
				return nil, &DamageError{Topic: g.topic.name, Offset: r.Offset, Err: err}
			}
			if key != "" {
				keys = append(keys, keyed{r.Offset, hashKey(key)})
			}
		}
	}
	return keys, nil
}

// Receive returns the next deliveries, at least one and no more than most, in the order of the log except for
// redeliveries. While there is none, or Window are in flight, it waits. When ctx ends nothing stays delivered.
// The error is ctx's, ErrClosed, or why the group cannot go on: that one lasts until the broker is reopened.
func (s *Subscription) Receive(ctx context.Context, most int) ([]Delivery, error) {
	return s.ReceiveWith(ctx, ReceiveOptions{Max: most})
}

// ReceiveOptions are the settings of one call of ReceiveWith. Max must be set.
type ReceiveOptions struct {
	Max         int           // most deliveries
	MaxBytes    int           // deliveries are added up to this size, the first always; 0: no limit
	LockTimeout time.Duration // of these deliveries, default the subscription's
	NoWait      bool          // returns none, and no error, while there is none
}

// ReceiveWith is Receive with settings for this call alone. The size of a delivery is that of its payload, ID, key and
// headers. What does not fit stays undelivered and is not read.
func (s *Subscription) ReceiveWith(ctx context.Context, o ReceiveOptions) ([]Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Max < 1 || o.MaxBytes < 0 || o.LockTimeout < 0 {
		return nil, fmt.Errorf("%w: receive at most %d deliveries of %d bytes for %v", ErrInvalid, o.Max, o.MaxBytes, o.LockTimeout)
	}
	lockTimeout := cmp.Or(o.LockTimeout.Microseconds(), s.lockTimeout)
	maxBytes := cmp.Or(o.MaxBytes, math.MaxInt)
	ds, w, err := s.takeOrWait(o.Max, maxBytes, lockTimeout, o.NoWait)
	if err != nil {
		return nil, err
	}
	if w != nil {
		if ds, err = s.await(ctx, w); err != nil {
			return nil, err
		}
	}
	return s.load(ctx, ds, maxBytes)
}

func (s *Subscription) takeOrWait(most, maxBytes int, lockTimeout int64, noWait bool) ([]Delivery, *waiter, error) {
	g := s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := s.endedErr(); err != nil {
		return nil, nil, err
	}
	now := g.now()
	g.state.expire(now)
	if ds := g.take(s, most, maxBytes, lockTimeout, now); len(ds) > 0 || noWait {
		return ds, nil, nil
	}
	w := &waiter{sub: s, max: most, maxBytes: maxBytes, lockTimeout: lockTimeout, ch: make(chan []Delivery, 1)}
	g.waiters = append(g.waiters, w)
	g.noteStuck()
	return nil, w, nil
}

// endedErr returns why the subscription gets nothing any more, or nil. The caller holds group.mu.
func (s *Subscription) endedErr() error {
	if s.group.failed != nil {
		return s.group.failed
	}
	if s.closed {
		return ErrClosed
	}
	return nil
}

func (s *Subscription) await(ctx context.Context, w *waiter) ([]Delivery, error) {
	g := s.group
	select {
	case ds, ok := <-w.ch:
		if ok {
			return ds, nil
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		return nil, s.endedErr()
	case <-ctx.Done():
	}
	g.mu.Lock()
	g.waiters = slices.DeleteFunc(g.waiters, func(o *waiter) bool { return o == w })
	g.mu.Unlock()
	select {
	case ds := <-w.ch: // was served in the same moment
		s.GiveBack(ds)
	default:
	}
	return nil, ctx.Err()
}

// load reads the messages of redeliveries: nobody keeps them in memory while they are in flight. It gives back what
// would make the deliveries larger than maxBytes.
func (s *Subscription) load(ctx context.Context, ds []Delivery, maxBytes int) ([]Delivery, error) {
	size := 0
	for i := range ds {
		if i > 0 && size >= maxBytes {
			s.GiveBack(ds[i:])
			return ds[:i], nil
		}
		if !ds[i].loaded {
			m, err := s.group.topic.read(ctx, ds[i].Offset)
			if err != nil {
				s.GiveBack(ds)
				return nil, err
			}
			ds[i].Message, ds[i].loaded = m, true
		}
		if size += ds[i].Size(); i > 0 && size > maxBytes {
			s.GiveBack(ds[i:])
			return ds[:i], nil
		}
	}
	return ds, nil
}

// InFlight returns how many deliveries the subscription holds.
func (s *Subscription) InFlight() int {
	g := s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state.expire(g.now())
	g.afterChange()
	return g.state.held[s.id]
}

// Update changes those settings of a subscription that hold for the whole group: MaxDeliveries and Ordered. It
// returns ErrClosed when the subscription was closed.
func (s *Subscription) Update(o SubscribeOptions) error {
	g := s.group
	g.mu.Lock()
	err := s.endedErr()
	same := (!o.Ordered || g.state.order != nil) &&
		(o.MaxDeliveries == 0 || g.state.maxDeliveries == uint32(max(o.MaxDeliveries, 0)))
	g.mu.Unlock()
	if err != nil || same {
		return err
	}
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := s.endedErr(); err != nil {
		return err
	}
	if err := g.applySettings(o); err != nil {
		return err
	}
	g.afterChange()
	return nil
}

// GiveBack gives up deliveries of this subscription at once, as if they had never been made: they count for nothing, and
// any member may get them. Those whose lock is lost are left as they are.
func (s *Subscription) GiveBack(ds []Delivery) {
	g := s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range ds {
		_ = g.state.giveBack(d.Offset, d.lock)
	}
	g.afterChange()
}

// Close ends the membership: waiting calls of Receive return ErrClosed, and what was in flight goes to other
// members at once and costs no delivery count. An Ack that comes late still counts while nobody else has the
// message. A second Close does nothing.
func (s *Subscription) Close() error {
	return s.leave(func(g *group) { g.leave(s, g.state.giveBackAll) })
}

// Break is Close for a consumer that may have died of what it had in hand: that stays counted, and goes to other members after a
// pause of 100 ms, twice as long with each delivery and at most 5 s, or to the dead letters when its deliveries are used up.
// Meanwhile the locks hold on: an Ack, Release, Reject or Renew of a delivery works. What the consumer cannot have seen is to be
// given back before.
func (s *Subscription) Break() error {
	return s.leave(func(g *group) {
		g.leave(s, func(holder uint32) { g.state.breakOff(holder, g.now().steady) })
	})
}

func (s *Subscription) leave(leave func(g *group)) error {
	g := s.group
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	g.mu.Lock()
	if s.closed {
		g.mu.Unlock()
		return nil
	}
	leave(g)
	last := len(g.members) == 0
	g.mu.Unlock()
	if last {
		g.stop()
	}
	return nil
}
