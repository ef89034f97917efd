package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/notify"
	"casepress/store"
	"casepress/tasks"
)

// message is what came at a receiver.
type message struct {
	ID        string // webhook-id
	Signature string
	At        time.Time
	Path      string
	Sequence  int
	Event     string
	Patient   string
	Case      string // of an alert
	Who       string
	Rung      int
	Attempt   int
	Exercise  bool
	Failing   []string // channels
	body      []byte
	timestamp string
}

// receiver is a server without a network, so that time can pass at once.
type receiver struct {
	connections chan net.Conn
	closed      chan struct{}
	server      *http.Server

	mu     sync.Mutex // guards the rest
	got    []message
	answer func(m message, w http.ResponseWriter, r *http.Request) // nil: 200
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{connections: make(chan net.Conn), closed: make(chan struct{})}
	r.server = &http.Server{Handler: r}
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.server.Serve(r) })
	t.Cleanup(func() {
		require.NoError(t, r.server.Close())
		wg.Wait()
	})
	return r
}

func (r *receiver) Accept() (net.Conn, error) {
	select {
	case c := <-r.connections:
		return c, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

func (r *receiver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.closed:
	default:
		close(r.closed)
	}
	return nil
}

func (r *receiver) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (r *receiver) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case r.connections <- there:
		return here, nil
	case <-r.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	m, err := readMessage(q)
	if err != nil {
		panic(err) // which the client sees as a cut connection
	}
	r.mu.Lock()
	r.got = append(r.got, m)
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		answer(m, w, q)
	}
}

func readMessage(q *http.Request) (m message, err error) {
	m = message{ID: q.Header.Get("Webhook-Id"), Signature: q.Header.Get("Webhook-Signature"), timestamp: q.Header.Get("Webhook-Timestamp"), At: time.Now(), Path: q.URL.Path}
	if m.body, err = io.ReadAll(q.Body); err != nil {
		return m, err
	}
	var b struct {
		Type, Timestamp string
		Data            struct {
			Sequence      int
			ID, PatientID string
			SubmissionID  string
			Who           string
			Rung, Attempt int
			Exercise      bool
			Failing       []struct{ Channel string }
		}
	}
	err = json.Unmarshal(m.body, &b)
	m.Sequence, m.Event, m.Patient = b.Data.Sequence, b.Data.ID, b.Data.PatientID
	m.Case, m.Who, m.Rung, m.Attempt, m.Exercise = b.Data.SubmissionID, b.Data.Who, b.Data.Rung, b.Data.Attempt, b.Data.Exercise
	for _, f := range b.Data.Failing {
		m.Failing = append(m.Failing, f.Channel)
	}
	return m, err
}

// answers sets what the receiver does with a message.
func (r *receiver) answers(f func(m message, w http.ResponseWriter, q *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func status(code int) func(message, http.ResponseWriter, *http.Request) {
	return func(_ message, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (r *receiver) all() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]message{}, r.got...)
}

// take returns what has come since the last call.
func (r *receiver) take() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// system is a ledger with webhooks.
type system struct {
	*testing.T
	dispatchertest.Fixture
	*receiver
	dir  string
	shut func()
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func openSystem(t *testing.T, dir string, r *receiver, change ...func(*notify.LadderConfig)) *system {
	h, shutBelow := dispatchertest.Open(t, dispatchertest.Options{Dir: dir, Work: work})
	c := notify.LadderConfig{Work: h.Dispatcher, Rows: h.Store, Record: h.Ledger.Record}
	for _, f := range change {
		f(&c)
	}
	w := notify.Start(t.Context(), notify.Config{Work: h.Dispatcher, Rows: h.Store, Allow: loopback, Dial: r.dial, Record: c.Record, Studies: c.Studies})
	c.Webhook = w.Alert
	l, err := notify.StartLadders(t.Context(), c)
	require.NoError(t, err)
	var once sync.Once
	shut := func() {
		once.Do(func() {
			require.NoError(t, l.Close(context.Background()))
			require.NoError(t, w.Close(context.Background()))
			shutBelow(true)
		})
	}
	t.Cleanup(shut)
	return &system{t, h, r, dir, shut}
}

// work ends what is accepted.
func work(_ context.Context, w tasks.Work) (tasks.Result, error) {
	if w.Kind == tasks.KindAdverseEvent() {
		return tasks.AdverseEventResult{State: tasks.StateOpen}, nil
	}
	return dispatchertest.Pages(1), nil
}

var changes atomic.Int64

func (s *system) act(c tasks.WebhookChange) {
	s.Helper()
	c.ChangeID = strconv.FormatInt(changes.Add(1), 10) // times repeat where none passes
	submission := tasks.NewSubmission(tasks.KindWebhookEndpoint(), c)
	submission.Fresh = true
	_, err := s.Fixture.Accept(context.Background(), submission)
	require.NoError(s, err)
	require.NoError(s, s.CaughtUp(context.Background(), tasks.TopicWebhookEndpoints))
}

// register makes an endpoint that is sent all events.
func (s *system) register(id string, change ...func(*tasks.WebhookChange)) (secret string) {
	s.Helper()
	c := tasks.WebhookChange{ID: id, Act: tasks.WebhookRegistered, URL: "http://127.0.0.1/" + id, Types: tasks.EventTypes(), Secret: notify.NewSecret(), After: "0"}
	for _, f := range change {
		f(&c)
	}
	s.act(c)
	return c.Secret
}

// publish publishes events of reports of these patients, ids counting from first.
func (s *system) publish(first int, patients ...string) {
	s.Helper()
	for at := 0; at < len(patients); at += 500 {
		var batch []broker.Message
		for i := at; i < min(len(patients), at+500); i++ {
			f := tasks.Finished{
				Kind: tasks.KindCaseReport(), Status: tasks.Completed, Attempt: 1, Time: time.Now().UTC(),
				Header: tasks.Header{ID: fmt.Sprintf("r%d", first+i), Study: "S1", PatientID: patients[i]},
			}
			e, err := f.Event()
			require.NoError(s, err)
			batch = append(batch, broker.Message{ID: e.ID, Key: e.Key, Payload: e.Payload})
		}
		_, err := s.Broker.Publish(context.Background(), tasks.TopicUpdates, batch...)
		require.NoError(s, err)
	}
}

func (s *system) deliveries(id string, state store.DeliveryState) []store.Delivery {
	s.Helper()
	all, err := s.Store.Deliveries(context.Background(), id, state, 1<<62, store.MaxLimit)
	require.NoError(s, err)
	return all
}

func (s *system) endpoint(id string) tasks.WebhookEndpoint {
	s.Helper()
	e, err := s.Store.WebhookEndpoint(context.Background(), id)
	require.NoError(s, err)
	return e
}

func (s *system) position(id string) dispatcher.Position {
	s.Helper()
	p, err := dispatcher.ParsePosition(s.endpoint(id).Position)
	require.NoError(s, err)
	return p
}

func sequences(messages []message) (all []int) {
	for _, m := range messages {
		all = append(all, m.Sequence)
	}
	return all
}
