package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

const (
	// busyDelay is when a delivery comes back whose submission is being worked on here.
	busyDelay = time.Second
	// failureDelay is when a delivery comes back that could not be dealt with.
	failureDelay = 2 * time.Second
	// maxFailureDelay is the longest such delay where it grows.
	maxFailureDelay = 5 * time.Minute
	// aBatch is from how many that are claimed at once they need not have their rows at once.
	aBatch = 64
	// maxHeld is the most deliveries of one topic that this process holds: a full batch for many workers.
	maxHeld = 32 * 1024
)

// queue is the due work of one lane: deliveries of the topics of its kinds.
type queue struct {
	lane     string
	topics   []string
	subs     []*broker.Subscription
	reserved bool

	turn chan struct{} // holds a token while a Claim is under way: one at a time, and only it uses the next two
	// surplus was received and not asked for: where a lane has several topics, more than one may answer at once.
	surplus  []broker.Delivery
	suspects []item // to be worked on alone

	mu        sync.Mutex        // guards unclaimed
	unclaimed []broker.Delivery // received for the first time, and not claimed yet
}

func newQueue(lane string, reserved bool) *queue {
	return &queue{lane: lane, reserved: reserved, turn: make(chan struct{}, 1)}
}

// setUnclaimed remembers what was received and is not claimed, beside the surplus and the suspects. Whoever has the turn calls
// it whenever these change and before each wait: what it still names counts as waiting, and work may be refused for its age.
func (q *queue) setUnclaimed(received []broker.Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unclaimed = q.unclaimed[:0]
	add := func(d broker.Delivery) {
		if d.Count == 1 {
			q.unclaimed = append(q.unclaimed, d)
		}
	}
	for _, d := range slices.Concat(received, q.surplus) {
		add(d)
	}
	for _, it := range q.suspects {
		add(it.delivery)
	}
}

// waiting returns how many deliveries were received and are not claimed, and when the oldest was published.
func (q *queue) waiting() (n int, oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.unclaimed {
		if oldest.IsZero() || d.Time.Before(oldest) {
			oldest = d.Time
		}
	}
	return len(q.unclaimed), oldest
}

// item is a delivery and the submission that it is about.
type item struct {
	ref      tasks.Ref
	delivery broker.Delivery
}

// held is a claim that has not ended.
type held struct {
	delivery broker.Delivery
	leave    func() // through the gate
}

// receive returns the next deliveries. Its error is ctx's: after any other it tries again.
func (l *Ledger) receive(ctx context.Context, topic string, sub *broker.Subscription, limit int) ([]broker.Delivery, error) {
	for {
		batch, err := sub.Receive(ctx, limit)
		if err == nil {
			return batch, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		l.cfg.Logger.Error("receiving work has failed and will be tried again", "topic", topic, "err", err)
		if !sleep(ctx, time.Second) {
			return nil, ctx.Err()
		}
	}
}

// Claim takes up what is due on the lane. It refuses a limit below 1 and a lease longer than [Config.Lease], which
// is for how long it holds in any case.
func (l *Ledger) Claim(ctx context.Context, lane string, limit int, lease time.Duration) ([]dispatcher.Claim, error) {
	if limit < 1 || lease > l.cfg.Lease {
		return nil, fmt.Errorf("a claim of up to %d for %v: it must be of at least 1 and for at most %v", limit, lease, l.cfg.Lease)
	}
	waiting, cancel := l.untilClosed(ctx)
	defer cancel()
	claims, err := l.claimLane(waiting, lane, limit)
	if err != nil && waiting.Err() != nil {
		err = l.closedError(ctx)
	}
	return claims, err
}

func (l *Ledger) claimLane(ctx context.Context, lane string, limit int) ([]dispatcher.Claim, error) {
	q, ok := l.queues[lane]
	if !ok { // no kind has this lane: nothing is ever due
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() {
		q.setUnclaimed(nil)
		<-q.turn
	}()
	for {
		if len(q.suspects) > 0 {
			q.setUnclaimed(nil)
			claims, err := l.claimAlone(ctx, q)
			if len(claims) > 0 || err != nil {
				return claims, err
			}
			continue
		}
		deliveries, err := l.take(ctx, q, limit)
		if err != nil {
			return nil, err
		}
		q.setUnclaimed(deliveries)
		if claims := l.claim(ctx, q, l.decode(ctx, q, deliveries), limit); len(claims) > 0 {
			return claims, nil
		}
	}
}

// take returns up to limit deliveries, waiting for the first.
func (l *Ledger) take(ctx context.Context, q *queue, limit int) (batch []broker.Delivery, err error) {
	for {
		for len(q.surplus) > 0 && len(batch) < limit {
			d := q.surplus[0]
			q.surplus = q.surplus[1:]
			if d.Renew() == nil { // else its lock ran out, and it comes again
				batch = append(batch, d)
			}
		}
		if len(batch) > 0 {
			return batch, nil
		}
		// All that was received before is ended: finished work gives no claim, and a surplus may have lost its lock.
		q.setUnclaimed(nil)
		if len(q.subs) == 1 {
			return l.receive(ctx, q.topics[0], q.subs[0], limit)
		}
		if q.surplus, err = l.receiveAny(ctx, q, limit); err != nil {
			return nil, err
		}
	}
}

// receiveAny returns what the topics of a lane that has several give first: up to limit of one, and seldom, where
// another answers in the same moment, of more.
func (l *Ledger) receiveAny(ctx context.Context, q *queue, limit int) (received []broker.Delivery, err error) {
	until, stop := context.WithCancel(ctx)
	defer stop()
	var members sync.WaitGroup
	batches := make([][]broker.Delivery, len(q.subs))
	for i, sub := range q.subs {
		members.Go(func() {
			if batches[i], _ = l.receive(until, q.topics[i], sub, limit); len(batches[i]) > 0 {
				stop()
			}
		})
	}
	members.Wait()
	if received = slices.Concat(batches...); len(received) == 0 {
		return nil, ctx.Err()
	}
	return received, nil
}

// decode returns what the deliveries are about, without those that no work can be done on: what cannot be read
// is rejected, what is in work here comes back later, and suspects are kept for a turn of their own.
func (l *Ledger) decode(ctx context.Context, q *queue, deliveries []broker.Delivery) []item {
	items := make([]item, 0, len(deliveries))
	for _, d := range deliveries {
		ref, err := refOf(d.Message)
		switch {
		case errors.Is(err, errNoWork):
			l.logEnd(d, "ack", d.Ack())
		case err != nil:
			l.logEnd(d, "reject", d.Reject(err.Error()))
		case !l.startWork(ref):
			l.logEnd(d, "release", d.Release(busyDelay))
		case l.untilDue(ref) > 0: // more than one delivery of it is under way
			l.endWork(ref)
			l.logEnd(d, "release", d.Release(l.untilDue(ref)))
		case l.isSuspect(ref):
			l.endWork(ref)
			q.suspects = append(q.suspects, item{ref, d})
		default:
			items = append(items, item{ref, d})
		}
	}
	return items
}

// errNoWork says that a record is in its topic for the order of the log alone, as a step that was taken with an adverse event.
var errNoWork = errors.New("this record is no work")

// refOf is the submission that a record is about. It reads what the recorder reads, so that the two never
// disagree about what a record is; the message's key only keeps order.
func refOf(m broker.Message) (tasks.Ref, error) {
	s, err := decodeRecord(m)
	if err != nil {
		return tasks.Ref{}, err
	}
	if !s.Kind.IsSubmission() && s.Kind.Topic == m.Topic {
		return tasks.Ref{}, errNoWork
	}
	var ref tasks.Ref
	err = tasks.Guard(func() error {
		ref, err = s.About()
		return err
	})
	if err != nil {
		return tasks.Ref{}, err
	}
	k, err := tasks.KindOf(ref.Kind)
	if err == nil && !k.IsSubmission() {
		err = fmt.Errorf("a %s is no work", k.Name)
	}
	return ref, err
}

// claim claims the items that share the gate.
func (l *Ledger) claim(ctx context.Context, q *queue, items []item, limit int) []dispatcher.Claim {
	if len(items) == 0 {
		return nil
	}
	if q.reserved {
		return l.claimItems(ctx, q, items, limit, func() {})
	}
	if l.gate.enter(ctx, len(items)) != nil {
		l.releaseItems(items)
		return nil
	}
	return l.claimItems(ctx, q, items, limit, func() { l.gate.leave(1) })
}

// claimAlone claims the first suspect, when nothing else is in work that shares the gate. On a reserved lane it does not
// wait, so that what is no suspect passes by: the suspect comes back later.
func (l *Ledger) claimAlone(ctx context.Context, q *queue) ([]dispatcher.Claim, error) {
	first := q.suspects[0]
	leave := l.gate.leaveAlone
	if q.reserved {
		leave = l.gate.leaveReserved
		if !l.gate.tryReserved(first.ref) {
			q.suspects = q.suspects[1:]
			l.logEnd(first.delivery, "release", first.delivery.Release(busyDelay))
			return nil, nil
		}
	} else if err := l.gate.enterAlone(ctx); err != nil {
		return nil, err
	}
	q.suspects = q.suspects[1:]
	if !l.startWork(first.ref) {
		leave()
		l.logEnd(first.delivery, "release", first.delivery.Release(busyDelay))
		return nil, nil
	}
	return l.claimItems(ctx, q, []item{first}, 1, leave), nil
}

// claimItems claims in one commit. leave is called once for each item when its claim has ended.
func (l *Ledger) claimItems(ctx context.Context, q *queue, items []item, limit int, leave func()) []dispatcher.Claim {
	if err := l.waitForRows(ctx, q, items, limit); err != nil {
		l.releaseItems(items)
		for range items {
			leave()
		}
		return nil
	}
	if items = l.renewItems(items, leave); len(items) == 0 {
		return nil
	}
	refs := make([]tasks.Ref, len(items))
	for i, it := range items {
		refs[i] = it.ref
	}
	// Not given up when ctx ends: a claim whose outcome nobody knows would use up an attempt, and look as if the
	// process had died of it.
	claimed, err := l.store.Claim(l.writing(context.WithoutCancel(ctx), items[0].delivery.Topic), refs)
	if err != nil {
		l.cfg.Logger.Error("work could not be claimed and will be tried again", "lane", q.lane, "err", err)
		for _, it := range items {
			l.endWork(it.ref)
			l.logEnd(it.delivery, "release", it.delivery.Release(failureDelay))
			leave()
		}
		return nil
	}
	var claims []dispatcher.Claim
	for i, c := range claimed {
		it := items[i]
		if c.Err == nil {
			claim := dispatcher.Claim{Row: c.Row, Attempt: c.Row.Attempts}
			l.addClaim(claim, held{it.delivery, leave})
			claims = append(claims, claim)
			continue
		}
		l.endUnclaimed(context.WithoutCancel(ctx), it, c)
		l.endWork(it.ref)
		leave()
	}
	return claims
}

// renewItems renews the locks of items that are about to be claimed, since they may have waited for longer than these
// hold. What was lost comes again and is not claimed.
func (l *Ledger) renewItems(items []item, leave func()) (kept []item) {
	for _, it := range items {
		if errors.Is(it.delivery.Renew(), broker.ErrLockLost) {
			l.endWork(it.ref)
			leave()
			continue
		}
		kept = append(kept, it)
	}
	return kept
}

// waitForRows waits until the rows show what the items are about, and which case reports are completed already: those may
// have no originals any more. Lanes of other kinds do not wait for these. Whoever claims one at a time wants the row at once;
// who claims many takes them as they come, so that work on a burst leaves it the processors.
func (l *Ledger) waitForRows(ctx context.Context, q *queue, items []item, limit int) error {
	for _, topic := range q.topics {
		var next uint64
		for _, it := range items {
			if it.delivery.Topic == topic {
				next = max(next, it.delivery.Offset+1)
			}
		}
		wait := l.recorders[topic].recorded.wait
		if limit >= aBatch {
			wait = l.recorders[topic].recorded.waitInTime
		}
		if err := wait(ctx, next); err != nil {
			return err
		}
	}
	if !slices.Contains(q.topics, tasks.TopicCaseReports) {
		return nil
	}
	return l.caughtUpToStart(ctx, tasks.TopicCompletions)
}

// endUnclaimed ends a delivery whose submission needs no work. One that is finished already means that the
// process ended between the result and the acknowledgement, and perhaps before the event. The event's id is the
// same, so that a consumer drops the repeat.
func (l *Ledger) endUnclaimed(ctx context.Context, it item, c store.Claimed) {
	d := it.delivery
	switch {
	case errors.Is(c.Err, store.ErrFinal):
		if err := l.announceRow(ctx, c.Row); err != nil {
			l.cfg.Logger.Error("a finished submission could not be announced", "kind", it.ref.Kind, "id", it.ref.ID, "err", err)
			l.endFailure(it, err)
			return
		}
		l.forgetFailures(it.ref)
		if c.Row.Status == tasks.Failed {
			l.logEnd(d, "reject", d.Reject(c.Row.Error))
			return
		}
		l.logEnd(d, "ack", d.Ack())
	case errors.Is(c.Err, store.ErrNotFound):
		l.forgetFailures(it.ref)
		l.logEnd(d, "reject", d.Reject("the record never became a row"))
	default:
		l.cfg.Logger.Error("a submission could not be claimed", "kind", it.ref.Kind, "id", it.ref.ID, "err", c.Err)
		l.logPanic(c.Err)
		l.endFailure(it, c.Err)
	}
}

// maxFailures is how often a delivery comes again of which only another version of the program can make something: for
// 16 minutes. Then it goes to the dead letters, since it would keep its topic's group from moving on.
const maxFailures = 10

// endFailure lets a delivery that could not be dealt with come again later. If the fault is in the code of a kind, it
// does so maxFailures times. What is unfinished then is queued again at the next start (requeueLost), and the event of
// what is final is tried again at the next start that looks for missing events.
func (l *Ledger) endFailure(it item, err error) {
	_, panicked := errors.AsType[*tasks.PanicError](err)
	pause, failures := l.failurePause(it.ref)
	if failures <= maxFailures || !panicked && !errors.Is(err, errNoEvent) {
		l.logEnd(it.delivery, "release", it.delivery.Release(pause))
		return
	}
	l.forgetFailures(it.ref)
	if errors.Is(err, errNoEvent) {
		l.events.impossible.Store(true)
	}
	l.metrics.givenUp.Inc()
	l.cfg.Logger.Error("a delivery is put among the dead letters, since nothing can be made of it", "kind", it.ref.Kind, "id", it.ref.ID,
		"topic", it.delivery.Topic, "offset", it.delivery.Offset, "err", err)
	l.logEnd(it.delivery, "reject", it.delivery.Reject(err.Error()))
}

// failurePause is when a submission comes back that could not be dealt with once more: later each time, because it may
// take another version of the program; and how often it has been so. Deliveries that only waited do not count, and a restart
// begins anew.
func (l *Ledger) failurePause(ref tasks.Ref) (pause time.Duration, failures int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[ref]++
	failures = l.failures[ref]
	return min(failureDelay<<min(failures-1, 16), maxFailureDelay), failures
}

func (l *Ledger) forgetFailures(ref tasks.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failures, ref)
}

// releaseItems releases deliveries that were not claimed, because the wait for the claim was given up.
func (l *Ledger) releaseItems(items []item) {
	for _, it := range items {
		l.endWork(it.ref)
		l.logEnd(it.delivery, "release", it.delivery.Release(0))
	}
}

// logEnd logs what came of ending a delivery. Where even that fails, its lock runs out and it comes again.
func (l *Ledger) logEnd(d broker.Delivery, how string, err error) {
	if err != nil && !errors.Is(err, broker.ErrLockLost) {
		l.cfg.Logger.Error("a delivery could not be ended", "how", how, "topic", d.Topic, "offset", d.Offset, "err", err)
	}
}

// startWork remembers that a submission is in work here, unless it is already.
func (l *Ledger) startWork(ref tasks.Ref) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inWork[ref] {
		return false
	}
	l.inWork[ref] = true
	return true
}

// setDue says when the next attempt may begin. The time is of the process's own clock, which is never put back.
func (l *Ledger) setDue(ref tasks.Ref, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due[ref] = at
}

func (l *Ledger) forgetDue(ref tasks.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.due, ref)
}

// untilDue returns how long the next attempt must still wait, 0 if it may begin.
func (l *Ledger) untilDue(ref tasks.Ref) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, waits := l.due[ref]
	if !waits {
		return 0
	}
	wait := time.Until(at)
	if wait < time.Millisecond { // the broker counts in whole microseconds, so its own delay may end a moment earlier
		delete(l.due, ref)
		return 0
	}
	return wait
}

func (l *Ledger) endWork(ref tasks.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.inWork, ref)
}

func (l *Ledger) isSuspect(ref tasks.Ref) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.suspects[ref]
}

// suspect notes that a submission must be worked on alone.
func (l *Ledger) suspect(ref tasks.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspects[ref] = true
}

func (l *Ledger) addClaim(c dispatcher.Claim, h held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claims[c.Held()] = h
	delete(l.failures, c.Row.Ref())
}

// removeClaim ends the claim's hold on its submission. An attempt that came to an end of its own clears a suspect.
func (l *Ledger) removeClaim(c dispatcher.Claim, cleared bool) (broker.Delivery, bool) {
	l.mu.Lock()
	h, ok := l.claims[c.Held()]
	delete(l.claims, c.Held())
	if ok {
		delete(l.inWork, c.Row.Ref())
	}
	if cleared {
		delete(l.suspects, c.Row.Ref())
	}
	l.mu.Unlock()
	if ok {
		h.leave()
	}
	return h.delivery, ok
}

func (l *Ledger) deliveryOf(c dispatcher.Claim) (broker.Delivery, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.claims[c.Held()]
	return h.delivery, ok
}

// Renew renews the locks of the deliveries.
func (l *Ledger) Renew(_ context.Context, _ time.Duration, claims []dispatcher.Claim) (lost []dispatcher.Claim) {
	for _, c := range claims {
		d, ok := l.deliveryOf(c)
		if !ok {
			continue // it has ended meanwhile
		}
		switch err := d.Renew(); {
		case errors.Is(err, broker.ErrLockLost):
			lost = append(lost, c)
		case err != nil:
			l.logEnd(d, "renew", err)
		}
	}
	return lost
}

// Progress shows how far the work has come.
func (l *Ledger) Progress(c dispatcher.Claim, done, total int) {
	if err := l.store.Progress(context.Background(), c.Held(), done, total); err != nil {
		l.cfg.Logger.Debug("progress was not shown", "kind", c.Row.Kind.Name, "id", c.Row.ID, "err", err)
	}
}

// Complete follows the order that makes a crash harmless at any point: result rows, events, completions in the
// log if originals are dropped, acknowledgements. An event that can never be published makes a result one that cannot be
// kept: so it is found before there is a final row that nobody could be told of.
func (l *Ledger) Complete(ctx context.Context, done []dispatcher.Completion) []error {
	at := now()
	errs := make([]error, len(done))
	announcements := make([]announcement, 0, len(done))
	results := make([]store.Completion, 0, len(done))
	var of []int // the places in done of those that can be told of
	for i, c := range done {
		row := c.Row
		row.Status, row.Result, row.FinishedAt, row.Error = tasks.Completed, c.Result, at, ""
		event, err := l.eventOf(row)
		if err != nil {
			errs[i] = fmt.Errorf("%w: %w", dispatcher.ErrBadResult, err)
			continue
		}
		of = append(of, i)
		announcements = append(announcements, announcement{row, event})
		results = append(results, store.Completion{Held: c.Held(), Result: c.Result, FinishedAt: at})
	}
	var kept []announcement
	if len(done) > 0 { // all of one lane
		ctx = l.writing(ctx, done[0].Row.Kind.Topic)
	}
	for j, err := range l.store.Complete(ctx, results) {
		if errs[of[j]] = err; err == nil {
			kept = append(kept, announcements[j])
		}
	}
	announced := l.announce(ctx, kept)
	for _, i := range of {
		if errs[i] == nil {
			errs[i], announced = announced[0], announced[1:]
		}
	}
	for i, c := range done {
		if errors.Is(errs[i], dispatcher.ErrBadResult) {
			continue // still held: the caller ends it by Retry or Fail
		}
		errs[i] = l.endClaim(c.Claim, errs[i], broker.Delivery.Ack)
	}
	return errs
}

// Fail stores the failure, tells of it, and puts the record among the dead letters.
func (l *Ledger) Fail(ctx context.Context, c dispatcher.Claim, reason string) error {
	at := now()
	err := l.store.Fail(l.writing(ctx, c.Row.Kind.Topic), c.Held(), reason, at)
	if err == nil {
		row := c.Row
		row.Status, row.Error, row.FinishedAt = tasks.Failed, reason, at
		err = l.announceRow(ctx, row)
	}
	return l.endClaim(c, err, func(d broker.Delivery) error { return d.Reject(reason) })
}

// Retry stores why the attempt failed and when the next is due.
func (l *Ledger) Retry(ctx context.Context, c dispatcher.Claim, reason string, after time.Duration) error {
	// A delivery whose lock was lost comes again by itself, and must wait as well.
	l.setDue(c.Row.Ref(), time.Now().Add(after))
	err := l.store.Retry(l.writing(ctx, c.Row.Kind.Topic), c.Held(), reason, now().Add(after))
	if err != nil {
		l.forgetDue(c.Row.Ref())
	}
	return l.endClaim(c, err, func(d broker.Delivery) error { return d.Release(after) })
}

// endClaim ends the delivery of a claim: as end does if err is nil. After any error it comes again soon; after
// ErrStale too, because what somebody else has made of the submission may not be announced yet.
func (l *Ledger) endClaim(c dispatcher.Claim, err error, end func(broker.Delivery) error) error {
	d, ok := l.removeClaim(c, err == nil)
	switch {
	case !ok:
		return err
	case err != nil:
		l.logEnd(d, "release", d.Release(failureDelay))
		return err
	}
	if err := end(d); err != nil && !errors.Is(err, broker.ErrLockLost) {
		l.logEnd(d, "release", d.Release(failureDelay))
		return fmt.Errorf("end delivery: %w", err)
	}
	return nil
}

// GiveBack gives the attempts back in one commit.
func (l *Ledger) GiveBack(ctx context.Context, claims []dispatcher.Claim) error {
	attempts := make([]store.Held, len(claims))
	for i, c := range claims {
		attempts[i] = c.Held()
	}
	var failed []error
	for i, err := range l.store.GiveBack(ctx, attempts) {
		if errors.Is(err, store.ErrStale) {
			err = nil
		}
		if err != nil {
			failed = append(failed, err)
		}
		if d, ok := l.removeClaim(claims[i], false); ok {
			l.logEnd(d, "release", d.Release(0))
		}
	}
	return errors.Join(failed...)
}

// announcement is a submission that is completed or failed, and the event that tells of it.
type announcement struct {
	row   store.Row
	event broker.Message
}

// announce publishes the events, and lets originals go. It may be repeated. The errors are in the order of the
// announcements.
func (l *Ledger) announce(ctx context.Context, announcements []announcement) []error {
	if len(announcements) == 0 {
		return nil
	}
	events := make([]broker.Message, len(announcements))
	for i, a := range announcements {
		events[i] = a.event
	}
	errs := l.publishEvents(ctx, events)
	for i, a := range announcements {
		if errs[i] == nil {
			errs[i] = l.originals.release(ctx, a.row)
		}
	}
	return errs
}

// publishEvents publishes all at once, or one by one where all at once are too many. The errors are in their order.
func (l *Ledger) publishEvents(ctx context.Context, events []broker.Message) []error {
	errs := make([]error, len(events))
	_, err := l.broker.Publish(ctx, tasks.TopicUpdates, events...)
	for i, event := range events {
		if errors.Is(err, broker.ErrInvalid) && len(events) > 1 {
			_, errs[i] = l.broker.Publish(ctx, tasks.TopicUpdates, event)
		} else {
			errs[i] = err
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("publish event: %w", errs[i])
		}
	}
	return errs
}

// announceRow makes and publishes the event of one submission. The error Is errNoEvent if there can be none.
func (l *Ledger) announceRow(ctx context.Context, row store.Row) error {
	event, err := l.eventOf(row)
	if err != nil {
		return err
	}
	return l.announce(ctx, []announcement{{row, event}})[0]
}

// errNoEvent says that the event of a submission cannot be made, or not published, however often it is tried.
var errNoEvent = errors.New("nobody can be told of it")

// eventOf makes the event of a final submission. Its error Is errNoEvent.
func (l *Ledger) eventOf(row store.Row) (broker.Message, error) {
	var event tasks.Event
	err := tasks.Guard(func() (err error) {
		event, err = tasks.Finished{
			Header: row.Header, Kind: row.Kind, Status: row.Status, Attempt: row.Attempts, Sequence: row.Sequence,
			ReceivedAt: row.ReceivedAt, Time: row.FinishedAt, Content: row.Content, Result: row.Result,
		}.Event()
		return err
	})
	l.logPanic(err)
	m := broker.Message{ID: event.ID, Key: event.Key, Payload: event.Payload}
	if err == nil {
		err = l.broker.Check(m)
	}
	if err != nil {
		return broker.Message{}, fmt.Errorf("%w: event: %w", errNoEvent, err)
	}
	return m, nil
}

// logPanic logs where the code of a kind panicked, if err tells of a panic.
func (l *Ledger) logPanic(err error) {
	if p, ok := errors.AsType[*tasks.PanicError](err); ok {
		l.cfg.Logger.Error("the code of a kind panicked", "panic", tasks.PanicText(p.Value), "stack", string(p.Stack))
	}
}

// Backlog returns the present backlog. What is received and not claimed waits, too. It reads no disk but for the
// time of the oldest, once.
func (l *Ledger) Backlog(_ context.Context, lane string) (dispatcher.Backlog, error) {
	q, ok := l.queues[lane]
	if !ok {
		return dispatcher.Backlog{}, nil // no kind has this lane: nothing waits
	}
	var b dispatcher.Backlog
	received, oldest := q.waiting()
	b.Waiting = received
	if received > 0 {
		b.OldestAge = time.Since(oldest)
	}
	for _, topic := range q.topics {
		g, err := l.broker.Group(topic, groupWorkers)
		if err != nil {
			return dispatcher.Backlog{}, fmt.Errorf("backlog: %w", err)
		}
		b.Waiting += g.Waiting
		b.Unfinished += g.Lag
		if !g.OldestWaiting.IsZero() {
			b.OldestAge = max(b.OldestAge, time.Since(g.OldestWaiting))
		}
	}
	return b, nil
}
