package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

const (
	// readBytes is how much of the log is read at once for one endpoint.
	readBytes = 64 << 10
	// saveDelay is how long what was found out waits for more, to be saved with it.
	saveDelay = 50 * time.Millisecond
	// failurePause follows a failure of our own.
	failurePause = time.Second
	// saveTimeout bounds the last save of a sender.
	saveTimeout = 5 * time.Second
	// recordTimeout bounds how long it is tried to record what an endpoint was sent, and failedRecordTimeout how long that it
	// took nothing, which the next attempt tells again. What is not recorded by then is missing on the timeline.
	recordTimeout       = 15 * time.Minute
	failedRecordTimeout = 5 * time.Second
	// maxRecording bounds how many notifications by one endpoint are being recorded.
	maxRecording = 256
	// maxError is how much is kept of why an attempt failed, in bytes.
	maxError = 300
)

// sender sends events to one endpoint. Its goroutine owns all but secrets.
type sender struct {
	w        *Webhooks
	endpoint tasks.WebhookEndpoint
	secrets  atomic.Pointer[tasks.WebhookEndpoint] // the same with the secrets of now
	waiting  atomic.Int64                          // events, for the figures
	failing  failing
	// failingSince is that of failing, for the figures, in microseconds; 0: it does not fail.
	failingSince atomic.Int64

	stop context.CancelFunc // no further attempts
	kill context.CancelFunc // and interrupts those under way
	done chan struct{}
}

// errDisabled ends a sender whose receiver wants nothing more.
var errDisabled = errors.New("the endpoint is disabled")

// run sends until ctx ends, or a person or the receiver has said that this is to end. Attempts under way are
// interrupted when attempts ends.
func (s *sender) run(ctx, attempts context.Context) {
	defer close(s.done)
	defer s.kill()
	for ctx.Err() == nil {
		err := tasks.Guard(func() error { return s.round(ctx, attempts) })
		var lost *dispatcher.PositionError
		switch {
		case ctx.Err() != nil, errors.Is(err, errDisabled), errors.Is(err, store.ErrStale), errors.Is(err, dispatcher.ErrClosed):
			return
		case errors.As(err, &lost):
			s.w.log.Warn("events were lost and told again in another order: all of them are sent once more", "endpoint", s.endpoint.ID, "err", err)
			err = s.w.cfg.Rows.SaveWebhookProgress(ctx, store.WebhookProgress{
				Endpoint: s.endpoint.ID, Generation: s.endpoint.Generation, Position: lost.Begin.String(), Anew: true,
			})
			if err == nil || errors.Is(err, store.ErrStale) {
				continue
			}
		}
		s.w.log.Error("sending to an endpoint has stopped and will be tried again", "endpoint", s.endpoint.ID, "err", err)
		pause(ctx, failurePause)
	}
}

// result is an attempt that has ended.
type result struct {
	event *event
	left  bool // it had no place among the attempts any more
	answer
	lost error // a *dispatcher.PositionError: the event is another one now
	ours error // of the log, and not of the receiver
}

// batch is what was read of the log.
type batch struct {
	events []dispatcher.PublishedEvent
	err    error
}

// round sends from where the rows stand. It returns why it has ended: with ctx, nil.
func (s *sender) round(ctx, attempts context.Context) error {
	endpoint, err := s.w.cfg.Rows.WebhookEndpoint(ctx, s.endpoint.ID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && endpoint.Generation != s.endpoint.Generation:
		return store.ErrStale
	case err != nil:
		return err
	case endpoint.State != tasks.WebhookActive:
		return errDisabled
	}
	at, err := dispatcher.ParsePosition(endpoint.Position)
	if err != nil {
		return &dispatcher.PositionError{Reason: err.Error()}
	}
	saved, err := s.w.cfg.Rows.OpenDeliveries(ctx, endpoint.ID, at.Sequence)
	if err != nil {
		return err
	}
	attempts, kill := context.WithCancel(attempts)
	defer kill()
	r := &round{
		sender: s, attempts: attempts, interrupt: kill, queue: newQueue(at),
		// Nobody must wait for a loop that has ended.
		batches: make(chan batch), results: make(chan result), left: make(chan struct{}), over: make(chan struct{}), saved: make(chan error, 1),
	}
	var cancelRecords context.CancelFunc
	r.records, cancelRecords = context.WithCancel(attempts)
	r.stopRecords = cancelRecords
	defer cancelRecords()
	r.queue.load(saved, time.Now())
	r.failing.load(r.queue)
	reading, cancel := context.WithCancel(ctx)
	defer r.wg.Wait()
	defer cancel()
	r.wg.Go(func() { r.read(reading, at) })
	return r.run(ctx)
}

// round is the work of a sender until something makes it begin again.
type round struct {
	*sender
	attempts context.Context
	// interrupt ends the attempts of this round alone: another one may follow.
	interrupt context.CancelFunc
	queue     *queue
	batches   chan batch
	results   chan result
	left      chan struct{} // an attempt has left its place, and is being recorded
	over      chan struct{} // closed when nobody reads the other channels any more
	saved     chan error
	wg        sync.WaitGroup
	// records is where notifications are recorded; stopRecords ends it.
	records     context.Context
	stopRecords context.CancelFunc

	inFlight  int                       // attempts that have a place
	recording int                       // those that have left it
	saving    map[uint64]store.Delivery // being saved; nil: nothing is
	saveAt    time.Time                 // zero: there is nothing to save
	disable   string                    // why the endpoint is to be disabled
	ending    error                     // why nothing is begun any more
}

var errStopped = errors.New("stopped")

// read hands the events over as they come.
func (r *round) read(ctx context.Context, from dispatcher.Position) {
	for events, err := range r.w.cfg.Work.ReadEvents(ctx, from, readBytes) {
		if len(events) == 0 && err == nil {
			continue
		}
		select {
		case r.batches <- batch{events, err}:
		case <-ctx.Done():
			return
		}
	}
}

// run is the loop. Whatever it begins has ended when it returns.
func (r *round) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	defer close(r.over)
	defer r.stopRecords()
	stopped := ctx.Done()
	for {
		r.begin()
		r.waiting.Store(int64(r.queue.waiting))
		r.failingSince.Store(microsOf(r.failing.since()))
		if r.ending != nil && r.inFlight == 0 && r.recording == 0 && r.saving == nil {
			if r.queue.changed() || r.disable != "" {
				if err := r.saveLast(); err != nil {
					return err
				}
			}
			if errors.Is(r.ending, errStopped) {
				return nil
			}
			return r.ending
		}
		batches := r.batches
		if r.ending != nil || !r.queue.hasRoom() {
			batches = nil
		}
		timer.Reset(r.untilNext())
		select {
		case b := <-batches:
			r.take(b)
		case <-r.left:
			r.inFlight--
			r.recording++
		case result := <-r.results:
			if result.left {
				r.recording--
			} else {
				r.inFlight--
			}
			r.ended(result)
		case err := <-r.saved:
			r.afterSave(err)
		case <-timer.C:
		case <-stopped:
			stopped = nil
			r.end(errStopped)
		}
	}
}

// end lets nothing more begin; the first reason counts. A log that takes no records does not hold it up for long.
func (r *round) end(reason error) {
	if r.ending == nil {
		r.ending = reason
		time.AfterFunc(saveTimeout, r.stopRecords)
	}
}

// hasPlace reports whether another attempt may begin.
func (r *round) hasPlace() bool {
	return r.inFlight < r.w.cfg.PerEndpoint && r.recording < maxRecording
}

// begin starts what is due: attempts, as many as may be at once, and a save.
func (r *round) begin() {
	now := time.Now()
	for r.ending == nil && r.hasPlace() {
		e, due := r.queue.next(now)
		if !due {
			break
		}
		r.inFlight++
		tried := *e // the goroutine must not share what the loop changes
		r.wg.Go(func() {
			result := result{event: e}
			if err := tasks.Guard(func() error { r.attempt(&tried, &result); return nil }); err != nil {
				result.err = err
			}
			select {
			case r.results <- result:
			case <-r.over:
			}
		})
	}
	if r.saveAt.IsZero() && r.queue.changed() {
		r.saveAt = now.Add(saveDelay)
	}
	if r.saving == nil && r.ending == nil && !r.saveAt.IsZero() && !now.Before(r.saveAt) {
		p := r.progress()
		r.wg.Go(func() { r.saved <- r.w.cfg.Rows.SaveWebhookProgress(r.attempts, p) })
	}
}

// untilNext is how long the loop has nothing to begin.
func (r *round) untilNext() time.Duration {
	next := time.Hour
	if due, some := r.queue.nextDue(); some && r.ending == nil && r.hasPlace() {
		next = min(next, time.Until(due))
	}
	if r.saving == nil && !r.saveAt.IsZero() && r.ending == nil {
		next = min(next, time.Until(r.saveAt))
	}
	return max(next, 0)
}

// progress takes what is to be saved.
func (r *round) progress() store.WebhookProgress {
	position, unsaved := r.queue.take()
	r.saving, r.saveAt = unsaved, time.Time{}
	p := store.WebhookProgress{
		Endpoint: r.endpoint.ID, Generation: r.endpoint.Generation, Position: position.String(), Sequence: position.Sequence, Disable: r.disable,
		Deliveries: make([]store.Delivery, 0, len(unsaved)),
	}
	for _, d := range unsaved {
		p.Deliveries = append(p.Deliveries, d)
	}
	slices.SortFunc(p.Deliveries, func(a, b store.Delivery) int { return int(int64(a.Sequence) - int64(b.Sequence)) })
	return p
}

func (r *round) afterSave(err error) {
	unsaved := r.saving
	r.saving = nil
	if err == nil {
		return
	}
	r.queue.putBack(unsaved)
	r.saveAt = time.Now().Add(failurePause)
	if errors.Is(err, store.ErrStale) {
		r.end(store.ErrStale)
		return
	}
	r.w.log.Error("what was sent to an endpoint could not be saved and will be tried again", "endpoint", r.endpoint.ID, "err", err)
}

// saveLast saves at the end of a round. What it cannot save is sent again.
func (r *round) saveLast() error {
	if errors.Is(r.ending, store.ErrStale) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.attempts), saveTimeout)
	defer cancel()
	err := r.w.cfg.Rows.SaveWebhookProgress(ctx, r.progress())
	r.saving, r.disable = nil, ""
	if err != nil && !errors.Is(err, store.ErrStale) {
		return fmt.Errorf("save what was sent: %w", err)
	}
	return err
}

// take puts what was read into the queue.
func (r *round) take(b batch) {
	if b.err != nil {
		r.end(b.err)
		return
	}
	now := time.Now()
	for _, one := range b.events {
		told, err := tasks.ReadEvent(one.Position.Sequence, one.Payload)
		if err != nil {
			r.w.log.Error("an event cannot be read and was not sent", "endpoint", r.endpoint.ID, "err", err)
		}
		if err != nil || !r.endpoint.Wants(told) {
			r.queue.pass(one.Position)
			continue
		}
		r.queue.add(one.Position, store.Delivery{Sequence: one.Position.Sequence, EventID: one.ID, Type: told.Type, Subject: one.Key}, one.Payload, now)
	}
}

// attempt makes one attempt, and tells in result what came of it. It must not change the event. Its place is free when the receiver
// has answered: a log or rows that cannot be used hold up no other event but those of the same subject.
func (r *round) attempt(e *event, result *result) {
	payload := e.payload
	if payload == nil {
		var err error
		if payload, err = r.payloadOf(e); err != nil {
			var lost *dispatcher.PositionError
			if errors.As(err, &lost) {
				result.lost = err
			} else {
				result.ours = err
			}
			return
		}
	}
	text, err := messageBody(e.Sequence, payload)
	if err != nil {
		result.err = err
		return
	}
	result.answer = r.w.client.send(r.attempts, r.endpoint.URL, r.secrets.Load().SecretsAt(time.Now()), e.EventID, text)
	if result.err != nil && result.status == 0 && r.attempts.Err() != nil {
		return // it was interrupted
	}
	id, is := r.notifies(e, payload)
	if !is {
		return
	}
	select {
	case r.left <- struct{}{}:
		result.left = true
	case <-r.over:
		return
	}
	if !r.recordNotification(id, e.Attempts+1, result.err) {
		result.ours = cmp.Or(r.records.Err(), dispatcher.ErrClosed) // and so it is sent again
	}
}

// notifies reports whether an event notifies people of a case, which has no other ladder, and of which.
func (r *round) notifies(e *event, payload []byte) (id string, is bool) {
	if e.Type != tasks.TypeAdverseEvent || r.w.cfg.Record == nil {
		return "", false
	}
	var c tasks.CaseEvent
	err := json.Unmarshal(payload, &c)
	return c.SubmissionID, err == nil && c.Step == tasks.Received && !r.w.hasLadder(c.Study)
}

// recordNotification makes it a step of a case that the endpoint was sent that it was received, or was to be. Of a case that is closed
// nothing is recorded: an endpoint that is sent all events once more notifies nobody. Nor is of one that cannot be read, which
// readiness tells of. It reports false if it was interrupted before what was delivered was recorded.
func (r *round) recordNotification(id string, attempt int, failed error) bool {
	step := tasks.AdverseEventStep{ID: id, Step: tasks.StepNotification, Channel: r.endpoint.ID, Attempt: attempt, Failed: failed != nil}
	timeout := failedRecordTimeout
	if failed == nil {
		step.Attempt = 0 // however many it took: it is one step
		timeout = recordTimeout
	} else {
		step.Reason = OneLine(reasonOf(failed), maxError)
	}
	ctx, cancel := context.WithTimeout(r.records, timeout)
	defer cancel()
	is, err := r.w.isClosed(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound), is:
		return true
	case errors.Is(err, store.ErrDamaged):
		r.w.log.Error("a notification is not recorded, since its case cannot be read", "case", id, "endpoint", r.endpoint.ID, "err", err)
		return true
	case err == nil && record(ctx, r.w.cfg.Record, step, r.w.log):
		return true
	case r.records.Err() != nil || errors.Is(err, dispatcher.ErrClosed):
		return failed != nil
	}
	r.w.log.Error("a notification could not be recorded for too long and is not", "case", id, "endpoint", r.endpoint.ID, "timeout", timeout)
	return true
}

// isClosed reports whether a case is closed, as the log says: rows that are made again may be behind it. It tries until it knows,
// the case cannot be read, or ctx ends.
func (w *Webhooks) isClosed(ctx context.Context, id string) (bool, error) {
	for {
		err := w.cfg.Work.CaughtUp(ctx, tasks.TopicAdverseEvents)
		if err == nil {
			var row store.Row
			row, err = w.cfg.Rows.Get(ctx, tasks.Ref{Kind: tasks.KindAdverseEvent().Name, ID: id})
			if err == nil {
				return row.Content.(tasks.AdverseEvent).Standing().State == tasks.StateClosed, nil
			}
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) || errors.Is(err, dispatcher.ErrClosed) {
			return false, err
		}
		w.log.Error("a case could not be read and will be read again", "case", id, "err", err)
		pause(ctx, failurePause)
	}
}

func (w *Webhooks) hasLadder(id string) bool {
	return len(w.cfg.Studies.Get(id).AdverseEvents.Ladder.Rungs) > 0
}

// messageBody is what is sent of an event.
func messageBody(sequence uint64, payload []byte) ([]byte, error) {
	told, err := tasks.ReadEvent(sequence, payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(body{Type: told.Type, Timestamp: told.Time, Data: told})
}

// payloadOf reads an event again. The error is a *dispatcher.PositionError if another one has its sequence now.
func (r *round) payloadOf(e *event) ([]byte, error) {
	for events, err := range r.w.cfg.Work.ReadEvents(r.attempts, dispatcher.Position{Sequence: e.Sequence - 1}, 1) {
		switch {
		case err != nil:
			return nil, err
		case len(events) == 0 || events[0].ID != e.EventID:
			return nil, &dispatcher.PositionError{At: dispatcher.Position{Sequence: e.Sequence}, Reason: "it was event " + e.EventID + " and is not any more"}
		}
		return events[0].Payload, nil
	}
	return nil, r.attempts.Err()
}

// ended deals with an attempt that has ended.
func (r *round) ended(a result) {
	now := time.Now()
	switch {
	case a.err != nil && r.attempts.Err() != nil && a.status == 0:
		r.queue.giveBack(a.event, now) // it was interrupted
	case a.lost != nil:
		r.queue.giveBack(a.event, now)
		r.end(a.lost)
	case a.ours != nil:
		r.queue.giveBack(a.event, now)
		r.end(a.ours)
	case a.err == nil:
		r.w.metrics.attempts.WithLabelValues("delivered").Inc()
		r.queue.deliver(a.event, now, a.status)
		r.noteSuccess()
	default:
		outcome := "failed"
		if r.queue.fail(a.event, now, a.status, reasonOf(a.err), a.retryAfter) {
			outcome = "parked"
			r.w.log.Warn("every attempt has failed, and the event is parked", "endpoint", r.endpoint.ID, "sequence", a.event.Sequence, "status", a.status)
		}
		if a.gone() && r.ending == nil {
			outcome = "disabled"
			r.disable = "the receiver answered 410 (Gone)"
			r.w.log.Warn("an endpoint is disabled, since its receiver answered 410 (Gone)", "endpoint", r.endpoint.ID)
			r.end(errDisabled)
			r.interrupt()
		} else if !a.gone() {
			r.noteFailure(a.event, a.err, now)
		}
		r.w.metrics.attempts.WithLabelValues(outcome).Inc()
	}
}

// reasonOf is what is kept of an error, in UTF-8. It may quote what the receiver has sent instead of an answer.
func reasonOf(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "")
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
