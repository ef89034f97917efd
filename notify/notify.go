// Package notify implements the telling of others: events that are sent to endpoints which people have registered, webhooks after
// Standard Webhooks 1.0.0 (https://www.standardwebhooks.com); and alerts of adverse events, which go to one person after the other
// until somebody acknowledges.
//
//	topic patient-data-update ──> a sender for each endpoint ──POST──> receiver
//	                                   └──> rows: how far it has come, and what waits
//
//	cases that are open, the study's ladder ──> Ladders ──> webhook or mail
//	                                              └──> a step of the case, in the log: who was told, or why that failed
//
// # Events
//
// It promises that an event is sent at least once, with the same webhook-id each time: until the receiver answers 2xx, or
// every attempt of the schedule has failed and the event is parked, which is visible and can be replayed. Nothing is ever
// dropped. Events of one subject come in their order: the next one when the one before is delivered or parked. An endpoint that
// fails or hangs holds up no other, for each has connections and memory of its own.
//
// How far sending has come stands in the rows, a moment late. Rows that are lost are made again from what people did, and then
// events are sent again.
//
// # Alerts
//
// Of a case in a study without a ladder each endpoint that is registered for the type adverse-event is sent that it was received:
// when it has answered 2xx, that is a step of the case. In a study with a ladder [Ladders] sends alerts instead. Either way a step is
// durable before the next thing follows from it, and there is one for each case, rung and attempt, whatever dies in between; the
// message itself may come twice then, with one id.
//
// # Limits
//
// It does not promise that an event or an alert comes once only, and it keeps nothing of what receivers answer but the status; what is no
// HTTP at all may be quoted in the error that is kept of an attempt.
package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/study"
	"casepress/tasks"
)

// Defaults of [Config]. The command line has them from here.
const (
	DefaultTimeout     = 20 * time.Second
	DefaultPerEndpoint = 4
)

// Config is what sending works with. The zero value of a field means its default.
type Config struct {
	Work *dispatcher.Dispatcher // required; not closed
	Rows *store.Store           // required; not closed
	// Allow are networks that events are sent to although they are not public, and over http.
	Allow []netip.Prefix
	// Record makes a step of a case durable and returns when its row is there: an endpoint that was sent that a case of a study
	// without a ladder was received is somebody who was notified. Nil: no such step is recorded.
	Record func(context.Context, tasks.Submission) error
	// Studies have the ladders; nil: none has one.
	Studies *study.Studies
	// Timeout bounds one attempt, from the look-up of the name to the answer. Default 20 seconds.
	Timeout time.Duration
	// PerEndpoint is how many attempts for one endpoint are under way at once. Default 4.
	PerEndpoint int
	// Dial replaces the network, for tests; TLS says whom to trust there. Nil: the real one, and whom the system trusts.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TLS  *tls.Config
	// Metrics is where the figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// Logger hears of failures; nil discards.
	Logger *slog.Logger
}

// Webhooks sends events to endpoints. Use [Start].
type Webhooks struct {
	cfg     Config
	client  *client
	log     *slog.Logger
	metrics *metrics

	stop context.CancelFunc
	kill context.CancelFunc // interrupts attempts
	done chan struct{}      // closed when all senders have ended

	mu      sync.Mutex // guards senders
	senders map[string]*sender
}

type metrics struct{ attempts *prometheus.CounterVec }

// Start begins to send and returns.
func Start(ctx context.Context, c Config) *Webhooks {
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.PerEndpoint = cmp.Or(c.PerEndpoint, DefaultPerEndpoint)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Webhooks{cfg: c, client: newClient(c), log: c.Logger, senders: map[string]*sender{}, done: make(chan struct{})}
	w.metrics = &metrics{attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "casepress_webhook_attempts_total", Help: "Attempts to send an event to an endpoint: delivered, failed, parked (failed for the last time), disabled (answered 410).",
	}, []string{"outcome"})}
	if c.Metrics != nil {
		c.Metrics.MustRegister(w.metrics.attempts, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casepress_webhook_waiting_events", Help: "Events that have failed at an endpoint and will be tried again, and those behind them.",
		}, w.waiting), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casepress_webhook_failing_seconds", Help: "How long the oldest event waits, since its first attempt, that has failed at an endpoint and will be tried again; 0: none does.",
		}, w.failingSeconds))
	}
	base := context.WithoutCancel(ctx)
	attempts, kill := context.WithCancel(base)
	following, stop := context.WithCancel(base)
	w.stop, w.kill = stop, kill
	go w.run(following, attempts)
	return w
}

func (w *Webhooks) waiting() (n float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.senders {
		n += float64(s.waiting.Load())
	}
	return n
}

// run keeps a sender for each active endpoint until ctx ends.
func (w *Webhooks) run(ctx, attempts context.Context) {
	defer close(w.done)
	changed, unwatch := w.cfg.Rows.Watch(tasks.WebhookEndpoints())
	defer unwatch()
	for ctx.Err() == nil {
		// Rows of before the last acts would send to an endpoint that somebody has deleted.
		err := w.cfg.Work.CaughtUp(ctx, tasks.TopicWebhookEndpoints)
		if err == nil {
			err = w.refresh(ctx, attempts)
		}
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, dispatcher.ErrClosed) {
				w.log.Error("endpoints could not be read and will be read again", "err", err)
			}
			pause(ctx, failurePause)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	for _, s := range w.all() {
		<-s.done
	}
}

func (w *Webhooks) all() (all []*sender) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.senders {
		all = append(all, s)
	}
	return all
}

// refresh ends senders that are not to be any more, and begins those that are.
func (w *Webhooks) refresh(ctx, attempts context.Context) error {
	endpoints, err := w.cfg.Rows.WebhookEndpoints(ctx)
	if err != nil {
		return err
	}
	active := map[string]tasks.WebhookEndpoint{}
	for _, e := range endpoints {
		if e.State == tasks.WebhookActive {
			active[e.ID] = e
		}
	}
	ending := map[string]*sender{}
	w.mu.Lock()
	for id, s := range w.senders {
		if e, stays := active[id]; stays && e.Generation == s.endpoint.Generation {
			s.secrets.Store(&e)
			continue
		}
		s.stop()
		s.kill()
		ending[id] = s
	}
	w.mu.Unlock()
	// One that takes long to end holds up none but the next one of its id.
	for id, e := range active {
		if ending[id] == nil {
			w.begin(ctx, attempts, e, failing{})
		}
	}
	for id, s := range ending {
		select {
		case <-s.done:
		case <-ctx.Done():
			return ctx.Err() // it stays among those that Close waits for
		}
		w.mu.Lock()
		delete(w.senders, id)
		w.mu.Unlock()
		if e, again := active[id]; again {
			w.begin(ctx, attempts, e, s.failing) // its goroutine has ended
		}
	}
	return nil
}

// begin begins to send to an endpoint, unless that is done already. known is what the log was told of it by the sender before.
func (w *Webhooks) begin(ctx, attempts context.Context, e tasks.WebhookEndpoint, known failing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.senders[e.ID] != nil {
		return
	}
	s := &sender{w: w, endpoint: e, failing: known, done: make(chan struct{})}
	s.secrets.Store(&e)
	var sending, trying context.Context
	sending, s.stop = context.WithCancel(ctx)
	trying, s.kill = context.WithCancel(attempts)
	w.senders[e.ID] = s
	go s.run(sending, trying)
}

const (
	// closeGrace is how long attempts under way may take to end at the end: what is interrupted is sent again.
	closeGrace = 3 * time.Second
	// killGrace is how long senders may take to end once they are interrupted: they save, and no longer than saveTimeout.
	killGrace = saveTimeout + time.Second
)

// Close begins no further attempts, and returns when those under way have ended or were interrupted and what was found out
// is saved. When ctx ends they are interrupted at once. Senders that have not ended 6 seconds after they were interrupted are
// an error; what they have not saved is sent again.
func (w *Webhooks) Close(ctx context.Context) error {
	w.stop()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-w.done:
	case <-grace.C:
	case <-ctx.Done():
	}
	w.kill()
	defer w.client.close()
	grace.Reset(killGrace)
	select {
	case <-w.done:
		return nil
	case <-grace.C:
		return errors.New("webhooks: senders have not ended; what they have not saved is sent again")
	}
}
