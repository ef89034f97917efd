package notify_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"casepress/dispatcher/dispatchertest"
	"casepress/notify"
	"casepress/store"
	"casepress/tasks"
)

// loggedWebhooks is a system without ladders, the log of its webhooks, and for how long an endpoint has failed by its figure.
type loggedWebhooks struct {
	*system
	log     *logLines
	metrics *prometheus.Registry
}

func openLoggedWebhooks(t *testing.T, dir string) *loggedWebhooks {
	h, shutBelow := dispatchertest.Open(t, dispatchertest.Options{Dir: dir, Work: work})
	r, log, metrics := newReceiver(t), &logLines{}, prometheus.NewRegistry()
	w := notify.Start(t.Context(), notify.Config{Work: h.Dispatcher, Rows: h.Store, Allow: loopback, Dial: r.dial, Metrics: metrics, Logger: slog.New(log)})
	var once sync.Once
	shut := func() {
		once.Do(func() {
			require.NoError(t, w.Close(context.Background()))
			shutBelow(true)
		})
	}
	t.Cleanup(shut)
	return &loggedWebhooks{&system{t, h, r, dir, shut}, log, metrics}
}

func (s *loggedWebhooks) failingFor() time.Duration {
	s.Helper()
	all, err := s.metrics.Gather()
	require.NoError(s, err)
	for _, f := range all {
		if f.GetName() == "casepress_webhook_failing_seconds" {
			return time.Duration(f.GetMetric()[0].GetGauge().GetValue()) * time.Second
		}
	}
	require.Fail(s, "there is no such figure")
	return 0
}

const (
	beginsToFail = "WARN a webhook endpoint begins to fail: events wait, and are tried again endpoint=e host=127.0.0.1 types=patient-data-update,adverse-event "
	worksAgain   = "INFO a webhook endpoint works again endpoint=e host=127.0.0.1 "
)

func withSecretPath(c *tasks.WebhookChange) {
	c.URL = "http://127.0.0.1/token-of-the-receiver?key=value"
}

// An endpoint that fails is in the log once, however often what waits is tried again, and once that it works again; a restart says
// that it still fails. The figure has for how long.
func TestEndpointThatFailsIsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLoggedWebhooks(t, t.TempDir())
		s.register("e", withSecretPath)
		s.publish(1, "P1")
		after(time.Second)
		require.Empty(t, s.log.take())
		require.Zero(t, s.failingFor())

		s.answers(status(http.StatusBadGateway))
		s.publish(2, "P1", "P2")
		after(time.Second)
		lines := s.log.take()
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], beginsToFail+"reason=the receiver answered 502 waiting=")
		after(hour)
		s.publish(4, "P3")
		after(time.Second)
		require.Empty(t, s.log.take())
		require.InDelta(t, hour, s.failingFor(), float64(5*time.Second))

		s.shut()
		s = openLoggedWebhooks(t, s.dir)
		s.answers(status(http.StatusBadGateway))
		after(time.Second)
		require.InDelta(t, hour, s.failingFor(), float64(5*time.Second), "a start forgets nothing")
		after(3 * hour)
		lines = s.log.take()
		require.Len(t, lines, 1, "a start says it anew")
		require.Contains(t, lines[0], beginsToFail)

		s.answers(nil)
		after(30 * hour)
		lines = s.log.take()
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], worksAgain)
		require.Zero(t, s.failingFor())
	})
}

// A replay forgets nothing of what the log was told.
func TestEndpointThatWorksAgainByAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLoggedWebhooks(t, t.TempDir())
		s.register("e", withSecretPath)
		s.answers(status(http.StatusBadGateway))
		s.publish(1, "P1")
		after(10 * time.Minute)
		require.Equal(t, []string{beginsToFail + "reason=the receiver answered 502 waiting=1"}, s.log.take())
		s.act(tasks.WebhookChange{ID: "e", Act: tasks.WebhookReplayed, After: "0"})
		after(10 * time.Minute)
		require.Empty(t, s.log.take(), "it fails as before")

		s.answers(nil)
		s.act(tasks.WebhookChange{ID: "e", Act: tasks.WebhookReplayed, After: "0"})
		after(time.Second)
		require.Equal(t, []string{worksAgain + "waiting=0"}, s.log.take())
		require.Zero(t, s.failingFor())
	})
}

// An endpoint that refuses one event and takes the others works, as far as the log is concerned; the figure has the event that waits.
func TestEndpointThatRefusesOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLoggedWebhooks(t, t.TempDir())
		s.register("e", withSecretPath)
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Sequence == 1 {
				w.WriteHeader(http.StatusBadRequest)
			}
		})
		s.publish(1, "P1")
		after(time.Second)
		require.Equal(t, []string{beginsToFail + "reason=the receiver answered 400 waiting=1"}, s.log.take())
		s.publish(2, "P2")
		after(time.Second)
		require.Equal(t, []string{worksAgain + "waiting=1"}, s.log.take())
		for i := range 50 {
			s.publish(3+i, "P2")
			after(hour)
		}
		require.Empty(t, s.log.take())
		require.InDelta(t, 50*hour, s.failingFor(), float64(time.Minute))
		require.Len(t, s.deliveries("e", store.Waiting), 1)
	})
}

// An endpoint that fails at every other event has one pair of lines a minute at most.
func TestEndpointThatFlapsHasFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLoggedWebhooks(t, t.TempDir())
		s.register("e", withSecretPath)
		var down atomic.Bool
		s.answers(func(_ message, w http.ResponseWriter, _ *http.Request) {
			if down.Load() {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		const minutes = 10
		patient := 0
		for i := range minutes * 30 {
			down.Store(i%2 == 0)
			patient++
			s.publish(patient, "P"+string(rune('A'+i)))
			after(2 * time.Second)
		}
		lines := s.log.take()
		require.GreaterOrEqual(t, len(lines), minutes, "it is told")
		require.LessOrEqual(t, len(lines), 2*(minutes+1))
	})
}

// That an endpoint fails again within a minute is told once the minute has passed, if it still does.
func TestEndpointThatFailsAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLoggedWebhooks(t, t.TempDir())
		s.register("e", withSecretPath)
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Sequence != 2 {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		s.publish(1, "A")
		after(time.Second)
		s.publish(2, "B")
		after(time.Second)
		require.Equal(t, []string{beginsToFail + "reason=the receiver answered 502 waiting=1", worksAgain + "waiting=1"}, s.log.take())
		s.publish(3, "C")
		after(50 * time.Second)
		require.Empty(t, s.log.take())
		after(6 * time.Minute)
		require.Equal(t, []string{beginsToFail + "reason=the receiver answered 502 waiting=2"}, s.log.take())
	})
}

// What a receiver answers instead of HTTP may be what it was sent: the log has none of it.
func TestLogHasNothingOfWhatTheReceiverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLoggedWebhooks(t, t.TempDir())
		s.register("e", withSecretPath)
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = c.Write(append(m.body, "\r\n\r\n"...))
				_ = c.Close()
			}
		})
		s.publish(1, "P-SECRET")
		after(time.Second)
		require.Contains(t, s.deliveries("e", store.Waiting)[0].LastError, "malformed", "the answer is quoted there")
		require.Equal(t, []string{beginsToFail + "reason=what the receiver answered is no HTTP waiting=1"}, s.log.take())
	})
}

// A 410 is told as such, and as nothing else.
func TestGoneIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLoggedWebhooks(t, t.TempDir())
		s.register("e", withSecretPath)
		s.answers(status(http.StatusGone))
		s.publish(1, "P1")
		after(5 * time.Minute)
		require.Equal(t, []string{"WARN an endpoint is disabled, since its receiver answered 410 (Gone) endpoint=e"}, s.log.take())
		require.Zero(t, s.failingFor())
	})
}
