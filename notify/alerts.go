package notify

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/study"
	"casepress/tasks"
)

const (
	// defaultAlertTimeout is that of [LadderConfig].
	defaultAlertTimeout = 20 * time.Second
	// perChannel is how many alerts are on their way by one channel at once. A channel that hangs holds up no other.
	perChannel = 4
	// lookAgain is how long the runner waits at most before it looks at the clock, which somebody may have changed meanwhile.
	lookAgain = time.Minute
	// stepsAtOnce is how many steps are read at once.
	stepsAtOnce = 256
	// maxRecorders is how many cases at once have another try at what could not be recorded.
	maxRecorders = 16
)

// LadderConfig is what telling people of cases works with. The zero value of a field means its default.
type LadderConfig struct {
	Work *dispatcher.Dispatcher // required; not closed
	Rows *store.Store           // required; not closed
	// Studies have the ladders. One without is left to [Webhooks].
	Studies *study.Studies
	// Record makes a step of a case durable and returns when its row is there. Required.
	Record func(context.Context, tasks.Submission) error
	// Webhook and Mail are the channels. The first is required; without the other a study with a mail address is refused.
	Webhook, Mail Channel
	// MailUnready says why no mail would be taken at the moment; "" if one would, or that is not known. Nil: it is never known.
	MailUnready func() string
	// Timeout bounds one attempt. Default 20 seconds. An alert that waits for its channel while that has taken nothing for so long has
	// failed, too.
	Timeout time.Duration
	// Metrics is where the figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// Logger hears of failures: of channels that cannot be used and of cases that nobody could be told of, too; nil discards.
	Logger *slog.Logger
}

// Ladders tells people of cases that nobody has acknowledged, as the ladder of their study says. Use [StartLadders].
//
// One goroutine decides. It keeps the cases that are open in studies with a ladder, in the order of when they are due, and no more of
// each than that: what is due it asks [nextAlert], with the steps as the rows have them. A goroutine for each alert sends it,
// records what came of it, and reports back. What the log does not take is kept in memory and tried again, while the ladder goes on. So an alert that was taken and not recorded, as when the process dies in between, is
// sent once more, with the same id, and is one step.
type Ladders struct {
	cfg      LadderConfig
	alerts   *prometheus.CounterVec
	log      *slog.Logger
	warnings warnings // belongs to the goroutine of run

	stop context.CancelFunc // begins nothing more
	kill context.CancelFunc // interrupts attempts
	done chan struct{}      // closed when all has ended
}

// StartLadders begins to tell people and returns. It refuses studies whose ladders have a channel that is not set up.
func StartLadders(ctx context.Context, c LadderConfig) (*Ladders, error) {
	c.Timeout = cmp.Or(c.Timeout, defaultAlertTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	for _, s := range c.Studies.All() {
		for i, r := range s.AdverseEvents.Ladder.Rungs {
			if r.Mail != "" && c.Mail == nil {
				errs = append(errs, fmt.Errorf("study %s: adverseEvents.ladder.rungs[%d].mail: mail is not set up here; give the rung a webhook, or set mail up", s.ID, i))
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	l := &Ladders{cfg: c, log: c.Logger, warnings: warnings{cures: map[channelID]string{}}, done: make(chan struct{}), alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "casepress_alerts_total", Help: "Alerts to the rungs of ladders: taken by the channel, failed.",
	}, []string{"outcome"})}
	if c.Metrics != nil {
		c.Metrics.MustRegister(l.alerts)
	}
	base := context.WithoutCancel(ctx)
	running, stop := context.WithCancel(base)
	attempts, kill := context.WithCancel(base)
	l.stop, l.kill = stop, kill
	go l.run(running, attempts)
	return l, nil
}

// Close begins no further alerts, and returns when those under way have ended or were interrupted: what was interrupted is sent at
// the next start. When ctx ends they are interrupted at once.
func (l *Ladders) Close(ctx context.Context) error {
	l.stop()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-l.done:
	case <-grace.C:
	case <-ctx.Done():
	}
	l.kill()
	grace.Reset(killGrace)
	select {
	case <-l.done:
		return nil
	case <-grace.C:
		return errors.New("ladders: alerts have not ended; what is not recorded is sent again")
	}
}

// run tells until ctx ends.
func (l *Ladders) run(ctx, attempts context.Context) {
	defer close(l.done)
	defer l.kill()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { l.warnOfCasesWithoutLadder(ctx) })
	hasLadder := func(s study.Study) bool { return len(s.AdverseEvents.Ladder.Rungs) > 0 }
	if !slices.ContainsFunc(l.cfg.Studies.All(), hasLadder) {
		return // files are read at the start alone
	}
	for ctx.Err() == nil {
		err := tasks.Guard(func() error { return l.round(ctx, attempts) })
		if ctx.Err() != nil || errors.Is(err, dispatcher.ErrClosed) {
			return
		}
		l.log.Error("telling people of cases has stopped and will be tried again", "err", err)
		pause(ctx, failurePause)
	}
}

// round loads the cases that are open and follows them, until ctx ends or the rows cannot be read.
func (l *Ladders) round(ctx, attempts context.Context) error {
	changed, unwatch := l.cfg.Rows.Watch(tasks.Ref{Kind: tasks.KindAdverseEvent().Name})
	defer unwatch()
	// Rows of before the last acknowledgements would wake people for nothing.
	if err := l.cfg.Work.CaughtUp(ctx, tasks.TopicAdverseEvents); err != nil {
		return err
	}
	attempts, interrupt := context.WithCancel(attempts)
	r := &ladderRound{
		Ladders: l, attempts: attempts, cases: map[string]*openCase{}, channels: map[string]*channelQueue{},
		health: map[channelID]store.AlertChannel{}, telling: map[channelID]bool{}, unsaved: map[channelID]bool{},
		// Nobody must wait for a loop that has ended.
		sent: make(chan sentAlert, maxInFlight), ended: make(chan alertResult, maxInFlight), recorded: make(chan recordResult, maxRecorders),
		saved: make(chan struct{}, 1),
	}
	defer r.sumNobody()
	defer r.wg.Wait()
	defer interrupt()
	if err := r.load(ctx); err != nil {
		return err
	}
	return r.follow(ctx, changed)
}

// maxInFlight bounds how many alerts are on their way, or on record, at once.
const maxInFlight = 512

// ladderRound is what the runner knows. It belongs to the goroutine of [Ladders.run].
type ladderRound struct {
	*Ladders
	attempts context.Context
	cases    map[string]*openCase
	due      caseHeap // those that wait for their time
	channels map[string]*channelQueue
	health   map[channelID]store.AlertChannel
	last     int64 // offset of the last step that was seen

	checkAt time.Time          // when channels are looked at next
	telling map[channelID]bool // of which others are being told

	inFlight int
	sent     chan sentAlert   // those that have left their channel
	ended    chan alertResult // those that were recorded as well, or are to be later
	wg       sync.WaitGroup

	unrecorded []*openCase // cases that have steps to be recorded, and none that is being
	recording  int         // cases that have one
	recorded   chan recordResult

	unsaved map[channelID]bool // channels that stand in another way than the rows say
	saving  bool
	saved   chan struct{}
}

// openCase is a case that nobody has acknowledged, as far as is known.
type openCase struct {
	store.OpenCase
	due   time.Time
	place int // in the heap; -1: it is not there, for an alert of it is on its way
	// interrupt ends the attempt that is on its way; nil: none is.
	interrupt context.CancelFunc
	// waiting is an alert whose channel is held up by others; due is then when it has failed.
	waiting *alert
	// unrecorded are steps that the log has not taken yet: the ladder goes on without it.
	unrecorded []tasks.Step
	// unreadable is since when its rows are known to be damaged; zero: they are not. told are the alerts since then, which are no
	// steps: none can be made of what cannot be read.
	unreadable time.Time
	told       []tasks.Step
	// warned are the places of rungs of which the log has that nobody could be told.
	warned map[int]bool
}

// alert is one that is to be sent.
type alert struct {
	Alert
	to study.Rung
}

// channelID names a channel in its study.
type channelID struct{ study, channel string }

// channelQueue is what is sent by one channel, of all studies.
type channelQueue struct {
	inFlight int
	waiting  []*openCase
	takenAt  time.Time // when it took an alert last
}

// sentAlert is an alert that its channel has taken, or has not.
type sentAlert struct {
	channel channelID
	address string    // in whose queue it had a place; "": none
	at      time.Time // zero: it was interrupted
	err     error
}

// alertResult is an attempt that has ended.
type alertResult struct {
	of          *openCase   // nil: it was of a channel that fails
	interrupted bool        // nothing came of it
	unrecorded  *tasks.Step // that could not be recorded; nil: none
	unreadable  *tasks.Step // that is not to be recorded, since the case cannot be read; nil: none
	// told is the channel that fails of which somebody was told, or was to be, and at when that was; zero: it was not.
	told channelID
	at   time.Time
}

// recordResult is whether the first of the steps of a case that wait for it was recorded.
type recordResult struct {
	of *openCase
	is bool
}

// load reads which cases are open. All of them are looked at.
func (r *ladderRound) load(ctx context.Context) error {
	channels, err := r.cfg.Rows.AlertChannels(ctx)
	if err != nil {
		return err
	}
	for _, c := range channels {
		r.health[channelID{c.Study, c.Channel}] = c
	}
	open, last, err := r.cfg.Rows.OpenCases(ctx)
	if err != nil {
		return err
	}
	r.last = last
	for _, c := range open {
		r.touch(ctx, c)
	}
	return nil
}

// follow is the loop. What it has begun has ended when it returns without an error.
func (r *ladderRound) follow(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stopped := ctx.Done()
	var again <-chan time.Time // when steps are to be read
	for {
		wait := lookAgain
		if ctx.Err() == nil {
			r.checkChannels(ctx)
			more := r.begin(ctx)
			if len(r.due) > 0 && r.inFlight < maxInFlight {
				wait = min(wait, max(0, time.Until(r.due[0].due)))
			}
			if more {
				wait = 0
			}
		}
		if r.attempts.Err() == nil {
			r.beginRecords()
			r.beginSave()
		}
		if ctx.Err() != nil && r.inFlight == 0 && r.recording == 0 && !r.saving {
			return nil
		}
		timer.Reset(wait)
		select {
		case _, open := <-changed:
			if !open {
				return dispatcher.ErrClosed
			}
			again = time.After(0)
		case <-again:
			again = nil
			// Alerts that are on their way are not to be interrupted for this.
			if err := r.readSteps(ctx); errors.Is(err, dispatcher.ErrClosed) || errors.Is(err, store.ErrClosed) {
				return err
			} else if err != nil && ctx.Err() == nil {
				r.log.Error("steps of cases could not be read and will be read again", "err", err)
				again = time.After(failurePause)
			}
		case one := <-r.sent:
			r.leaveChannel(ctx, one)
		case one := <-r.ended:
			for len(r.sent) > 0 { // its own among them: what follows of it may need to know
				r.leaveChannel(ctx, <-r.sent)
			}
			r.end(one)
		case one := <-r.recorded:
			r.endRecord(one)
		case <-r.saved:
			r.saving = false
		case <-timer.C:
		case <-stopped:
			stopped = nil
		}
	}
}

// readSteps looks at the cases with which steps were taken.
func (r *ladderRound) readSteps(ctx context.Context) error {
	for {
		steps, err := r.cfg.Rows.StepsAfter(ctx, r.last, stepsAtOnce)
		if err != nil {
			return err
		}
		for _, s := range steps {
			r.last = s.Offset
			r.touch(ctx, s.OpenCase)
		}
		if len(steps) < stepsAtOnce {
			return nil
		}
	}
}

// touch lets a case be looked at, which may be new. What is on its way for one that was acknowledged is interrupted.
func (r *ladderRound) touch(ctx context.Context, c store.OpenCase) {
	if len(r.ladderOf(c.Study).Rungs) == 0 {
		return
	}
	of := r.cases[c.ID]
	if of == nil {
		of = &openCase{OpenCase: c, place: -1}
		r.cases[c.ID] = of
	}
	switch {
	case of.interrupt == nil && of.waiting == nil:
		r.schedule(of, time.Now())
	case r.isOver(ctx, of):
		if of.interrupt != nil {
			of.interrupt()
			return
		}
		r.stopWaiting(of)
		r.schedule(of, time.Now())
	}
}

func (r *ladderRound) ladderOf(id string) study.Ladder {
	return r.cfg.Studies.Get(id).AdverseEvents.Ladder
}

// isOver reports whether the case is known to be acknowledged.
func (r *ladderRound) isOver(ctx context.Context, of *openCase) bool {
	row, err := r.cfg.Rows.Get(ctx, of.ref())
	return err == nil && !waitsForSomebody(row)
}

func (c *openCase) ref() tasks.Ref { return tasks.Ref{Kind: tasks.KindAdverseEvent().Name, ID: c.ID} }

// waitsForSomebody reports whether nobody has acknowledged the case.
func waitsForSomebody(row store.Row) bool {
	state := row.Content.(tasks.AdverseEvent).Standing().State
	return state == tasks.StateOpen || state == tasks.StateNotified
}

func (r *ladderRound) schedule(of *openCase, due time.Time) {
	of.due = due
	if of.place < 0 {
		heap.Push(&r.due, of)
		return
	}
	heap.Fix(&r.due, of.place)
}

// begin looks at the cases that are due, some of them at a time so that nothing else waits for long, and reports whether there are
// more.
func (r *ladderRound) begin(ctx context.Context) (more bool) {
	for range stepsAtOnce {
		if len(r.due) == 0 || r.due[0].due.After(time.Now()) || r.inFlight >= maxInFlight {
			return false
		}
		of := heap.Pop(&r.due).(*openCase)
		if a := of.waiting; a != nil {
			if patience := r.patience(r.channels[addressOf(a.to)]); patience.After(time.Now()) {
				r.schedule(of, patience) // there are many, and they get on
				continue
			}
			r.stopWaiting(of)
			r.start(of, *a, "", func(context.Context, alert) error {
				return fmt.Errorf("the channel is held up: others wait for it as well, and it has taken nothing within %v", r.cfg.Timeout)
			})
			continue
		}
		if err := r.look(ctx, of); err != nil && ctx.Err() == nil {
			// One case that cannot be read must not hold up the others.
			r.log.Error("a case could not be looked at and will be again", "case", of.ID, "err", err)
			r.schedule(of, time.Now().Add(lookAgain))
		}
	}
	return true
}

// look asks what is due of a case, and sends it or waits for it. Of a case that cannot be read people are told as if it was
// new, with what is known of it: rather once too often than never.
func (r *ladderRound) look(ctx context.Context, of *openCase) error {
	row, err := r.cfg.Rows.Get(ctx, of.ref())
	if errors.Is(err, store.ErrNotFound) || err == nil && !waitsForSomebody(row) {
		delete(r.cases, of.ID)
		return nil
	}
	var steps []tasks.Step
	if err == nil {
		steps, err = r.cfg.Rows.Steps(ctx, of.ID)
	}
	now := time.Now().Round(0) // by the clock on the wall, as the steps are
	switch {
	case errors.Is(err, store.ErrDamaged):
		if of.unreadable.IsZero() {
			of.unreadable = now
			r.log.Error("a case cannot be read, and people are told of it until it can", "case", of.ID, "err", err)
		}
		if row.Content == nil { // its receipt was long ago
			row = store.Row{Kind: tasks.KindAdverseEvent(), Header: tasks.Header{ID: of.ID, Study: of.Study}}
		}
		steps = of.told
	case err != nil:
		return err
	default:
		of.unreadable, of.told = time.Time{}, nil
		steps = append(steps, of.unrecorded...)
	}
	ladder := r.ladderOf(of.Study)
	r.warnOfNobody(of, ladder, steps, now)
	next := nextAlert(ladder, row.ReceivedAt, steps, now)
	if next.rung == 0 {
		r.schedule(of, next.at)
		return nil
	}
	a := r.alertOf(row, ladder, next, of.unreadable)
	q := r.queueOf(addressOf(a.to))
	if q.inFlight >= perChannel {
		of.waiting = &a
		q.waiting = append(q.waiting, of)
		r.schedule(of, time.Now().Add(r.cfg.Timeout))
		return nil
	}
	r.startIn(q, of, a)
	return nil
}

func (r *ladderRound) queueOf(address string) *channelQueue {
	q := r.channels[address]
	if q == nil {
		q = &channelQueue{}
		r.channels[address] = q
	}
	return q
}

// addressOf names a channel among those of all studies.
func addressOf(to study.Rung) string {
	if to.Webhook != "" {
		return "webhook:" + to.Webhook
	}
	return "mail:" + to.Mail
}

// alertOf is the alert of a rung. unreadable is since when the case cannot be read; zero: it can.
func (r *ladderRound) alertOf(row store.Row, ladder study.Ladder, next dueAlert, unreadable time.Time) alert {
	to := ladder.Rungs[next.rung-1]
	a := alert{to: to, Alert: Alert{
		Header: row.Header, State: tasks.StateOpen, Clock: tasks.Clock{From: unreadable}, Path: row.Kind.Path + "/" + row.ID,
		Who: to.Who, Rung: next.rung, Attempt: next.attempt,
	}}
	if e, is := row.Content.(tasks.AdverseEvent); is {
		a.State, a.Clock, a.Exercise = e.Standing().State, e.Clock(row.ReceivedAt), e.Exercise
	}
	number := strconv.Itoa(next.rung) + "/" + strconv.Itoa(next.attempt)
	if !unreadable.IsZero() { // those of before had the same numbers
		number = "unreadable/" + strconv.FormatInt(unreadable.UnixMicro(), 10) + "/" + number
	}
	a.ID = row.Kind.Name + "/" + row.ID + "/alert/" + number
	var named []string
	for _, other := range ladder.Rungs {
		channel := other.Channel()
		health := r.health[channelID{row.Study, channel}]
		if health.FailingSince.IsZero() || channel == to.Channel() || slices.Contains(named, channel) {
			continue
		}
		named = append(named, channel)
		a.Failing = append(a.Failing, FailingChannel{channel, health.FailingSince, health.LastError})
	}
	return a
}

// startIn sends an alert by its channel, which has a place for it.
func (r *ladderRound) startIn(q *channelQueue, of *openCase, a alert) {
	q.inFlight++
	r.start(of, a, addressOf(a.to), r.send)
}

// send sends an alert by its channel, within the time of an attempt.
func (r *ladderRound) send(ctx context.Context, a alert) error {
	limited, cancel := context.WithTimeoutCause(ctx, r.cfg.Timeout, fmt.Errorf("no answer within %v", r.cfg.Timeout))
	defer cancel()
	channel := r.cfg.Webhook
	if a.to.Mail != "" {
		channel = r.cfg.Mail
	}
	err := tasks.Guard(func() error { return channel(limited, a.to, a.Alert) })
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = context.Cause(limited)
	}
	return err
}

// start begins an attempt. address is the one in whose queue it has a place, which is free again when the channel has answered: a log
// that takes no records holds up no channel.
func (r *ladderRound) start(of *openCase, a alert, address string, send func(context.Context, alert) error) {
	r.inFlight++
	var ctx context.Context
	ctx, of.interrupt = context.WithCancel(r.attempts)
	inOrder, unreadable := len(of.unrecorded) == 0, !of.unreadable.IsZero()
	r.wg.Go(func() {
		sent := sentAlert{channel: channelID{a.Study, a.to.Channel()}, address: address, err: send(ctx, a)}
		if sent.err == nil || ctx.Err() == nil { // else it is not known whether it would have been taken
			sent.at = time.Now().UTC()
		}
		r.sent <- sent
		result := alertResult{of: of, interrupted: sent.at.IsZero()}
		if !result.interrupted {
			switch step := stepOf(a, sent); {
			case unreadable:
				result.unreadable = &step
			case !inOrder || !r.record(step):
				result.unrecorded = &step
			}
		}
		r.ended <- result
	})
}

// stepOf is what came of an alert.
func stepOf(a alert, sent sentAlert) tasks.Step {
	step := tasks.Step{At: sent.at, AdverseEventStep: tasks.AdverseEventStep{
		ID: a.Header.ID, Step: tasks.StepNotification, Name: a.Who, Channel: a.to.Channel(), Rung: a.Rung, Attempt: a.Attempt,
	}}
	if sent.err != nil {
		step.Failed, step.Reason = true, OneLine(reasonOf(sent.err), maxError)
	}
	return step
}

// record tries for the time of an attempt to record a step, and reports whether it was.
func (r *ladderRound) record(step tasks.Step) bool {
	ctx, cancel := context.WithTimeout(r.attempts, r.cfg.Timeout)
	defer cancel()
	return record(ctx, r.cfg.Record, step.AdverseEventStep, r.log)
}

// beginRecords lets cases have another try at what could not be recorded, one step of a case at a time, in their order.
func (r *ladderRound) beginRecords() {
	for r.recording < maxRecorders && len(r.unrecorded) > 0 {
		of := r.unrecorded[0]
		r.unrecorded = r.unrecorded[1:]
		r.recording++
		step := of.unrecorded[0]
		r.wg.Go(func() { r.recorded <- recordResult{of, r.record(step)} })
	}
}

func (r *ladderRound) endRecord(one recordResult) {
	r.recording--
	if one.is {
		one.of.unrecorded = one.of.unrecorded[1:]
	}
	if len(one.of.unrecorded) > 0 {
		r.unrecorded = append(r.unrecorded, one.of) // behind the others
	}
}

// stand notes how a channel stands after an attempt.
func (r *ladderRound) stand(sent sentAlert) {
	c := r.health[sent.channel]
	c.Study, c.Channel, c.LastAt = sent.channel.study, sent.channel.channel, sent.at
	outcome := "taken"
	if sent.err == nil {
		c.FailingSince, c.LastError = time.Time{}, ""
	} else {
		outcome, c.LastError = "failed", OneLine(reasonOf(sent.err), maxError)
		if c.FailingSince.IsZero() {
			c.FailingSince = sent.at
			r.log.Warn("a channel has not taken an alert", "study", c.Study, "channel", c.Channel, "reason", c.LastError)
		}
	}
	r.alerts.WithLabelValues(outcome).Inc()
	r.save(c)
}

// save notes how a channel stands, and keeps it soon.
func (r *ladderRound) save(c store.AlertChannel) {
	id := channelID{c.Study, c.Channel}
	r.health[id], r.unsaved[id] = c, true
}

// beginSave keeps how channels stand, beside the goroutine that decides, and one after the other: the rows have the newest last.
func (r *ladderRound) beginSave() {
	if r.saving || len(r.unsaved) == 0 {
		return
	}
	var all []store.AlertChannel
	for id := range r.unsaved {
		all = append(all, r.health[id])
	}
	clear(r.unsaved)
	r.saving = true
	r.wg.Go(func() {
		ctx, cancel := context.WithTimeout(store.Urgent(r.attempts), saveTimeout)
		defer cancel()
		for _, c := range all {
			if err := r.cfg.Rows.SaveAlertChannel(ctx, c); err != nil && r.attempts.Err() == nil {
				r.log.Error("how a channel stands could not be saved", "channel", c.Channel, "err", err)
			}
		}
		r.saved <- struct{}{}
	})
}

// record makes a notification a step of its case, and tries until it is one or ctx ends: what was sent must not be sent again
// for want of it.
func record(ctx context.Context, to func(context.Context, tasks.Submission) error, step tasks.AdverseEventStep, log *slog.Logger) bool {
	for {
		err := tasks.Guard(func() error { return to(ctx, tasks.NewSubmission(tasks.KindAdverseEventStep(), step)) })
		if _, known := errors.AsType[*dispatcher.ConflictError](err); err == nil || known { // an earlier process has recorded it
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		log.Error("a notification could not be recorded and will be tried again", "case", step.ID, "err", err)
		pause(ctx, failurePause)
	}
}

// leaveChannel deals with an alert that its channel has answered.
func (r *ladderRound) leaveChannel(ctx context.Context, one sentAlert) {
	if !one.at.IsZero() {
		r.stand(one)
	}
	if q := r.channels[one.address]; q != nil {
		if one.err == nil {
			q.takenAt = time.Now()
		}
		r.leave(ctx, one.address, q)
	}
}

// end deals with an attempt that has ended.
func (r *ladderRound) end(one alertResult) {
	r.inFlight--
	of := one.of
	if of == nil {
		r.endTelling(one)
		return
	}
	of.interrupt()
	of.interrupt = nil
	if one.unrecorded != nil {
		if of.unrecorded = append(of.unrecorded, *one.unrecorded); len(of.unrecorded) == 1 {
			r.unrecorded = append(r.unrecorded, of)
		}
	}
	if one.unreadable != nil {
		of.told = append(of.told, *one.unreadable)
	}
	due := time.Now()
	if one.interrupted { // nothing was recorded, and it is looked at again, but not in circles
		due = due.Add(failurePause)
	}
	r.schedule(of, due)
}

// leave gives a place in the queue of a channel to the next. One that has waited for as long as it may gets none: the channel may
// hang once more, and the case would be held up for another attempt. It has failed, as begin finds.
func (r *ladderRound) leave(ctx context.Context, address string, q *channelQueue) {
	q.inFlight--
	for ctx.Err() == nil && q.inFlight < perChannel {
		now := time.Now()
		next := slices.IndexFunc(q.waiting, func(of *openCase) bool { return of.due.After(now) || r.patience(q).After(now) })
		if next < 0 {
			break
		}
		of := q.waiting[next]
		a := *of.waiting
		r.stopWaiting(of)
		heap.Remove(&r.due, of.place)
		r.startIn(q, of, a)
	}
	if q.inFlight == 0 && len(q.waiting) == 0 {
		delete(r.channels, address)
	}
}

// patience is until when an alert waits for a channel, however long it has waited: the channel has taken another one.
func (r *ladderRound) patience(q *channelQueue) time.Time { return q.takenAt.Add(r.cfg.Timeout) }

// stopWaiting takes a case out of the queue of a channel.
func (r *ladderRound) stopWaiting(of *openCase) {
	q := r.channels[addressOf(of.waiting.to)]
	of.waiting = nil
	q.waiting = slices.DeleteFunc(q.waiting, func(other *openCase) bool { return other == of })
}

// caseHeap has the case first that has been due for the longest.
type caseHeap []*openCase

func (h caseHeap) Len() int           { return len(h) }
func (h caseHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h caseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *caseHeap) Push(c any) {
	of := c.(*openCase)
	of.place = len(*h)
	*h = append(*h, of)
}
func (h *caseHeap) Pop() any {
	last := len(*h) - 1
	of := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	of.place = -1
	return of
}
