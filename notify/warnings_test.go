package notify_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher/dispatchertest"
	"casepress/notify"
	"casepress/study"
	"casepress/tasks"
)

// logLines is a [slog.Handler] that keeps what is logged, as "WARN message study=S1 …".
type logLines struct {
	slog.Handler
	mu  sync.Mutex
	got []string
}

func (l *logLines) Enabled(context.Context, slog.Level) bool { return true }

func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, line)
	return nil
}

// take returns the lines since the last call.
func (l *logLines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.got
	l.got = nil
	return got
}

// loggedLadder is a system with this ladder in the study S1, whose endpoints nobody has registered, and the log of its alerts.
func loggedLadder(t *testing.T, rungs string, test func(t *testing.T, s *system, with func(*notify.LadderConfig), log *logLines)) {
	synctest.Test(t, func(t *testing.T) {
		log, inStudies := &logLines{}, studies(t, map[string]string{"S1": rungs})
		with := func(c *notify.LadderConfig) {
			inStudies(c)
			c.Logger = slog.New(log)
		}
		test(t, openSystem(t, t.TempDir(), newReceiver(t), with), with, log)
	})
}

const (
	unusable = "WARN a channel of a ladder cannot be used: nobody is told of a case by it study=S1 "
	register = " cure=POST /webhook-endpoints registers one and answers with its id: write that into the study's file as the rung's webhook, and start again"
	nobody   = "WARN nobody could be told of a case: it waits on the desk, and GET /alert-channels says how the channels stand study=S1 "
)

// A channel that cannot be used is in the log at the start, without any case, once, with what is to be done; so it is when that changes
// while the server runs, and that it can be used.
func TestChannelThatCannotBeUsedIsInTheLog(t *testing.T) {
	loggedLadder(t, nurseThenDoctor+`,{"who":"nurse at night","webhook":"e1"}`, func(t *testing.T, s *system, with func(*notify.LadderConfig), log *logLines) {
		after(time.Second)
		missing := []string{
			unusable + "rung=1 channel=e1 reason=there is no such webhook endpoint" + register,
			unusable + "rung=2 channel=e2 reason=there is no such webhook endpoint" + register,
		}
		require.Equal(t, missing, log.take())
		after(5 * hour)
		require.Empty(t, log.take())

		s.register("e1") // for events, too
		s.register("e2", func(c *tasks.WebhookChange) { c.Study = "S2" })
		after(2 * time.Minute)
		require.Equal(t, []string{
			"INFO a channel of a ladder can be used again study=S1 channel=e1",
			unusable + "rung=2 channel=e2 reason=the endpoint is for another study" + register + "; register it for this study, or for all by leaving study out",
		}, log.take())

		s.answers(status(http.StatusGone))
		s.publish(1, "P1")
		after(2 * time.Minute)
		require.Equal(t, []string{
			unusable + "rung=1 channel=e1 reason=the endpoint is disabled: the receiver answered 410 (Gone) cure=POST /webhook-endpoints/{id}/replay enables it when its receiver takes messages again",
		}, log.take())
		s.answers(nil)
		s.act(tasks.WebhookChange{ID: "e1", Act: tasks.WebhookReplayed, After: "0"})
		s.act(tasks.WebhookChange{ID: "e2", Act: tasks.WebhookDeleted})
		after(2 * time.Minute)
		require.Equal(t, []string{"INFO a channel of a ladder can be used again study=S1 channel=e1", missing[1]}, log.take())

		s.shut()
		dispatchertest.RemoveRows(t, s.dir)
		openSystem(t, s.dir, s.receiver, with)
		after(2 * time.Minute)
		require.Equal(t, missing[1:], log.take(), "rows that are made again lack an endpoint for a moment, and that is not told")
	})
}

// A mail server that takes no mails is in the log with the rungs that need it, once, whatever else it says meanwhile.
func TestMailServerThatFailsIsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unready atomic.Value
		log := &logLines{}
		with := studies(t, map[string]string{"S1": `{"who":"Li","mail":"li@example.org","label":"Li's mail"}`})
		unready.Store("")
		openSystem(t, t.TempDir(), newReceiver(t), func(c *notify.LadderConfig) {
			with(c)
			c.Logger = slog.New(log)
			c.Mail = func(context.Context, study.Rung, notify.Alert) error { return nil }
			c.MailUnready = func() string { return unready.Load().(string) }
		})
		after(2 * time.Minute)
		require.Empty(t, log.take())
		for _, reason := range []string{"AUTH: the server answered 535", "connect: no answer"} {
			unready.Store(reason)
			after(2 * time.Minute)
		}
		require.Equal(t, []string{
			unusable + "rung=1 channel=Li's mail reason=the mail server takes no mails: AUTH: the server answered 535 cure=look at the mail server, and at the settings of --smtp: docs/mail.md says what there is",
		}, log.take())
	})
}

// A case that nobody could be told of is in the log, once for each rung however often it is tried again, without the patient.
func TestNobodyCouldBeToldIsInTheLog(t *testing.T) {
	loggedLadder(t, nurseThenDoctor, func(t *testing.T, s *system, with func(*notify.LadderConfig), log *logLines) {
		after(time.Second)
		require.Len(t, log.take(), 2, "of the channels")
		s.reportCase("AE-1", "S1", func(e *tasks.AdverseEvent) { e.PatientID = "P001" })
		after(time.Second)
		want := []string{
			nobody + "case=AE-1 rung=1 channel=e1 reason=there is no such webhook endpoint",
			nobody + "case=AE-1 rung=2 channel=e2 reason=there is no such webhook endpoint",
		}
		require.Equal(t, want, log.take())
		after(5 * hour)
		require.Greater(t, len(s.timeline("AE-1")), 20, "it was tried again")
		require.Empty(t, log.take())

		s.shut()
		s = openSystem(t, s.dir, s.receiver, with)
		after(time.Second)
		again := log.take()
		require.ElementsMatch(t, want, again[len(again)-2:], "a start says it anew")
		require.Len(t, again, 4)
		s.register("e2", forAlerts)
		after(hour)
		require.NotEmpty(t, s.alerts())
		require.Equal(t, []string{"INFO a channel of a ladder can be used again study=S1 channel=e2"}, log.take())
	})
}

// Where somebody has been told the log does not say that nobody could be; nor as long as the next person is still to be tried.
func TestSomebodyWasTold(t *testing.T) {
	loggedLadder(t, nurseThenDoctor, func(t *testing.T, s *system, _ func(*notify.LadderConfig), log *logLines) {
		s.register("e1", forAlerts)
		s.register("e2", forAlerts)
		var down atomic.Bool
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Path == "/e1" || down.Load() {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		after(2 * time.Minute)
		log.take()
		s.reportCase("AE-1", "S1")
		after(5 * hour)
		require.Equal(t, []string{"notification-failed e1 nurse the receiver answered 502", "notified e2 doctor"}, s.timeline("AE-1")[1:3])
		require.Equal(t, []string{"WARN a channel has not taken an alert study=S1 channel=e1 reason=the receiver answered 502"}, log.take())

		// The one who was told cannot be reached any more, and nobody else can.
		down.Store(true)
		after(hour)
		require.Equal(t, []string{
			"WARN a channel has not taken an alert study=S1 channel=e2 reason=the receiver answered 502",
			nobody + "case=AE-1 rung=1 channel=e1 reason=the receiver answered 502",
			nobody + "case=AE-1 rung=2 channel=e2 reason=the receiver answered 502",
		}, log.take())
	})
}

// However many cases nobody could be told of, the log has few lines of them a minute, and how many more there are.
func TestNobodyCouldBeToldOfManyCases(t *testing.T) {
	loggedLadder(t, `{"who":"nurse","webhook":"e1"}`, func(t *testing.T, s *system, _ func(*notify.LadderConfig), log *logLines) {
		after(time.Second)
		require.Len(t, log.take(), 1)
		const n = 50
		for i := range n {
			s.reportCase(fmt.Sprintf("AE-%d", i), "S1")
		}
		after(30 * time.Second)
		lines := log.take()
		require.Len(t, lines, 20)
		for _, line := range lines {
			require.True(t, strings.HasPrefix(line, nobody), line)
		}
		after(5 * hour)
		require.Equal(t, []string{
			"WARN nobody could be told of further cases: they wait on the desk, and GET /alert-channels says how the channels stand alerts=30",
		}, log.take())
		s.reportCase("another", "S1")
		after(time.Second)
		require.Equal(t, []string{nobody + "case=another rung=1 channel=e1 reason=there is no such webhook endpoint"}, log.take())
	})
}
