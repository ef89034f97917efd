package notify_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher/dispatchertest"
	"casepress/notify"
	"casepress/store"
	"casepress/study"
	"casepress/tasks"
)

// studies are studies with ladders, by their id; rungs are members of JSON.
func studies(t testing.TB, ladders map[string]string) func(*notify.LadderConfig) {
	t.Helper()
	dir := t.TempDir()
	for id, rungs := range ladders {
		content := fmt.Sprintf(`{"schema":1,"id":%q,"version":1,"title":"A","languages":["en"],"adverseEvents":{"limitHours":24,"ladder":{"rungs":[%s],"repeatMinutes":30}}}`, id, rungs)
		require.NoError(t, os.WriteFile(filepath.Join(dir, id+".json"), []byte(content), 0o600))
	}
	all, err := study.Load(dir)
	require.NoError(t, err)
	return func(c *notify.LadderConfig) { c.Studies = all }
}

const nurseThenDoctor = `{"who":"nurse","webhook":"e1"},{"who":"doctor","webhook":"e2","afterMinutes":15}`

// forAlerts lets an endpoint take no events.
func forAlerts(c *tasks.WebhookChange) {
	c.Types = []string{"none"}
}

// virtualLadder is virtual with these ladders, and endpoints for their alerts alone.
func virtualLadder(t *testing.T, ladders map[string]string, test func(t *testing.T, s *system, with func(*notify.LadderConfig))) {
	synctest.Test(t, func(t *testing.T) {
		with := studies(t, ladders)
		s := openSystem(t, t.TempDir(), newReceiver(t), with)
		for _, id := range []string{"e1", "e2"} {
			s.register(id, forAlerts)
		}
		test(t, s, with)
	})
}

func (s *system) reportCase(id, study string, change ...func(*tasks.AdverseEvent)) {
	s.Helper()
	e := tasks.AdverseEvent{ID: id, Study: study, PatientID: "P-" + id, Report: &tasks.Report{
		Description: "a rash", KnownAt: time.Now().Format(time.RFC3339), Original: id,
	}}
	for _, f := range change {
		f(&e)
	}
	_, err := s.Fixture.Accept(context.Background(), tasks.NewSubmission(tasks.KindAdverseEvent(), e))
	require.NoError(s, err)
}

func (s *system) step(step tasks.AdverseEventStep) {
	s.Helper()
	require.NoError(s, s.Ledger.Record(context.Background(), tasks.NewSubmission(tasks.KindAdverseEventStep(), step)))
}

func (s *system) acknowledge(id string) {
	s.Helper()
	s.step(tasks.AdverseEventStep{ID: id, Step: tasks.StepAcknowledgement, Name: "Ann", Decision: tasks.DecisionSAE})
}

// timeline is what was done with a case: "notified e1 nurse".
func (s *system) timeline(id string) (all []string) {
	s.Helper()
	steps, err := s.Store.Steps(context.Background(), id)
	require.NoError(s, err)
	for _, step := range steps {
		all = append(all, strings.TrimSpace(fmt.Sprint(step.Outcome, " ", step.Channel, " ", step.Name, " ", step.Reason)))
	}
	require.NoError(s, s.Store.Check(context.Background()), "the steps come to where the case stands")
	return all
}

func (s *system) state(id string) tasks.AdverseEventState {
	s.Helper()
	row, err := s.Store.Get(context.Background(), tasks.Ref{Kind: tasks.KindAdverseEvent().Name, ID: id})
	require.NoError(s, err)
	return row.Content.(tasks.AdverseEvent).Standing().State
}

// alerts are what has come since the last call: "AE-1 nurse 1".
func (s *system) alerts() (all []string) {
	for _, m := range s.take() {
		all = append(all, fmt.Sprint(m.Case, " ", m.Who, " ", m.Attempt))
	}
	return all
}

// One after the other is told, in the times of the ladder, until somebody acknowledges; then nobody is.
func TestLadderTells(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor, "S2": `{"who":"other","webhook":"e2"}`}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		s.reportCase("AE-1", "S1", func(e *tasks.AdverseEvent) { e.Exercise = true })
		after(time.Second)
		got := s.take()
		require.Len(t, got, 1)
		require.Equal(t, []any{"/e1", "AE-1", "nurse", 1, 1, "P-AE-1", true}, []any{got[0].Path, got[0].Case, got[0].Who, got[0].Rung, got[0].Attempt, got[0].Patient, got[0].Exercise})
		require.Contains(t, string(got[0].body), `"type":"adverse-event-alert"`)
		require.NotContains(t, string(got[0].body), "rash", "it is thin")
		require.Equal(t, tasks.StateNotified, s.state("AE-1"))
		after(5 * time.Minute)
		s.reportCase("AE-2", "S2")
		s.reportCase("AE-3", "without a ladder")
		after(time.Second)
		require.Equal(t, []string{"AE-2 other 1"}, s.alerts(), "two cases at once; nobody is told of the third")
		after(10 * time.Minute)
		require.Equal(t, []string{"AE-1 doctor 1"}, s.alerts())
		after(21 * time.Minute)
		require.Equal(t, []string{"AE-2 other 2"}, s.alerts())
		after(10 * time.Minute)
		require.Equal(t, []string{"AE-1 doctor 2"}, s.alerts())
		s.acknowledge("AE-1")
		after(40 * time.Minute)
		require.Equal(t, []string{"AE-2 other 3"}, s.alerts())
		s.acknowledge("AE-2")
		after(24 * hour)
		require.Empty(t, s.alerts())
		require.Equal(t, []string{"received", "notified e1 nurse", "notified e2 doctor", "notified e2 doctor", "acknowledged  Ann"}, s.timeline("AE-1"))
		require.Equal(t, []string{"received"}, s.timeline("AE-3"))
		require.Equal(t, tasks.StateAcknowledged, s.state("AE-1"))
		require.Equal(t, tasks.StateOpen, s.state("AE-3"))
	})
}

// A restart goes on where it was, also without the rows.
func TestLadderAcrossRestarts(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor}, func(t *testing.T, s *system, with func(*notify.LadderConfig)) {
		s.reportCase("AE-1", "S1")
		s.reportCase("AE-2", "S1")
		after(time.Second)
		require.ElementsMatch(t, []string{"AE-1 nurse 1", "AE-2 nurse 1"}, s.alerts())
		s.shut()
		after(10 * time.Minute)
		s = openSystem(t, s.dir, s.receiver, with)
		s.acknowledge("AE-2")
		after(4 * time.Minute)
		require.Empty(t, s.alerts())
		after(2 * time.Minute)
		require.Equal(t, []string{"AE-1 doctor 1"}, s.alerts())
		s.shut()
		dispatchertest.RemoveRows(t, s.dir)
		after(10 * hour)
		s = openSystem(t, s.dir, s.receiver, with)
		after(time.Second)
		require.Equal(t, []string{"AE-1 doctor 2"}, s.alerts(), "once, however long it was away")
		require.Equal(t, []string{"received", "notified e1 nurse", "notified e2 doctor", "notified e2 doctor"}, s.timeline("AE-1"))
	})
}

// A channel that fails is on the timeline with its reason, is told by the next one at once, and is shown until it works.
func TestLadderWithAChannelThatFails(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		begun := time.Now()
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Path == "/e1" {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		s.reportCase("AE-1", "S1")
		after(time.Second)
		got := s.take()
		require.Len(t, got, 2)
		require.Equal(t, []string{"/e1", "/e2"}, []string{got[0].Path, got[1].Path})
		require.Equal(t, []string{"e1"}, got[1].Failing)
		require.Equal(t, []string{"received", "notification-failed e1 nurse the receiver answered 502", "notified e2 doctor"}, s.timeline("AE-1"))
		require.Equal(t, tasks.StateNotified, s.state("AE-1"))
		channels, err := s.Store.AlertChannels(t.Context())
		require.NoError(t, err)
		require.Len(t, channels, 2)
		require.Equal(t, "the receiver answered 502", channels[0].LastError)
		require.WithinDuration(t, begun, channels[0].FailingSince, time.Second)
		require.Zero(t, channels[1].FailingSince)

		s.answers(nil)
		after(time.Minute)
		s.reportCase("AE-2", "S1")
		after(time.Second)
		require.Equal(t, []string{"AE-2 nurse 1"}, s.alerts())
		channels, err = s.Store.AlertChannels(t.Context())
		require.NoError(t, err)
		require.Zero(t, channels[0].FailingSince)
	})
}

// An endpoint that is not there, or disabled, is a channel that fails.
func TestLadderWithoutItsEndpoint(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": `{"who":"nobody","webhook":"unknown"},` + nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		s.reportCase("AE-1", "S1")
		after(time.Second)
		require.Equal(t, []string{"received", "notification-failed unknown nobody there is no such webhook endpoint", "notified e1 nurse"}, s.timeline("AE-1"))
	})
}

// An endpoint that is for another study is told of no case, and that is known without one.
func TestLadderWithTheEndpointOfAnotherStudy(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": `{"who":"stranger","webhook":"e3"},` + nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		s.register("e3", func(c *tasks.WebhookChange) { c.Study = "S2" })
		after(17 * time.Minute)
		require.Equal(t, []string{"nurse hears of e3: the endpoint is for another study"}, s.channelAlerts())
		s.reportCase("AE-1", "S1")
		after(time.Second)
		require.Equal(t, []string{"received", "notification-failed e3 stranger the endpoint is for another study", "notified e1 nurse"}, s.timeline("AE-1"))
		for _, m := range s.take() {
			require.NotEqual(t, "/e3", m.Path)
		}
	})
}

// A channel that hangs holds up no other, and none of its cases for longer than an attempt takes, however many there are.
func TestLadderWithAChannelThatHangs(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor, "S2": `{"who":"other","webhook":"e2"}`}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		var hanging, most atomic.Int64
		s.answers(func(m message, _ http.ResponseWriter, q *http.Request) {
			if m.Path == "/e1" {
				most.Store(max(most.Load(), hanging.Add(1)))
				<-q.Context().Done()
				hanging.Add(-1)
			}
		})
		const n = 40
		for i := range n {
			s.reportCase(fmt.Sprintf("AE-%d", i), "S1")
		}
		s.reportCase("other", "S2")
		after(time.Second)
		require.LessOrEqual(t, most.Load(), int64(4))
		require.Contains(t, s.alerts(), "other other 1", "at once")
		after(30 * time.Second) // an attempt, and a record that is tried again
		told := map[string]int{}
		for _, m := range s.take() {
			if m.Path == "/e2" {
				told[m.Case]++
				require.Equal(t, []string{"e1"}, m.Failing)
			}
		}
		require.Len(t, told, n)
		heldUp := 0
		for i := range n {
			steps := s.timeline(fmt.Sprintf("AE-%d", i))
			require.Len(t, steps, 3)
			require.Equal(t, "notified e2 doctor", steps[2])
			if strings.Contains(steps[1], "held up") {
				heldUp++
			} else {
				require.Equal(t, "notification-failed e1 nurse no answer within 20s", steps[1])
			}
		}
		require.Equal(t, n-4, heldUp)
		for i := range n {
			s.acknowledge(fmt.Sprintf("AE-%d", i))
		}
	})
}

// Whoever acknowledges while an alert is on its way, or waits for its channel, ends it.
func TestAcknowledgedWhileAnAlertIsOnItsWay(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		s.answers(func(_ message, _ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
		for i := range 6 {
			s.reportCase(fmt.Sprintf("AE-%d", i), "S1")
		}
		after(5 * time.Second)
		require.Len(t, s.take(), 4)
		for i := range 6 {
			s.acknowledge(fmt.Sprintf("AE-%d", i))
		}
		after(time.Second)
		require.LessOrEqual(t, len(s.take()), 2, "those that waited, until they were acknowledged, too")
		after(hour)
		require.Empty(t, s.take())
		for i := range 6 {
			require.Equal(t, []string{"received", "acknowledged  Ann"}, s.timeline(fmt.Sprintf("AE-%d", i)))
		}
	})
}

// A death between the answer of the receiver and the record costs one repeat, with the same id, and makes one step. So does a
// log that cannot be written for a while, without a repeat.
func TestDeathBeforeANotificationIsRecorded(t *testing.T) {
	for _, ladder := range []string{nurseThenDoctor, ""} {
		synctest.Test(t, func(t *testing.T) {
			with := func(*notify.LadderConfig) {}
			if ladder != "" {
				with = studies(t, map[string]string{"S1": ladder})
			}
			dies := func(c *notify.LadderConfig) {
				with(c)
				c.Record = func(context.Context, tasks.Submission) error { return errors.New("the disk does not answer") }
			}
			s := openSystem(t, t.TempDir(), newReceiver(t), dies)
			s.register("e1", func(c *tasks.WebhookChange) {
				if c.Types = []string{tasks.TypeAdverseEvent}; ladder != "" {
					forAlerts(c)
				}
			})
			s.reportCase("AE-1", "S1")
			after(10 * time.Minute)
			first := s.take()
			require.NotEmpty(t, first)
			require.Len(t, idsOf(first), len(first), "nothing is sent again for want of its record")
			require.Equal(t, []string{"received"}, s.timeline("AE-1"))
			s.shut()

			var broken sync.Once
			s = openSystem(t, s.dir, s.receiver, func(c *notify.LadderConfig) {
				with(c)
				record := c.Record
				c.Record = func(ctx context.Context, step tasks.Submission) (err error) {
					err = record(ctx, step)
					broken.Do(func() { err = errors.New("the outcome is not known") })
					return err
				}
			})
			after(5 * time.Minute)
			again := s.take()
			require.Equal(t, idsOf(first), idsOf(again)[:len(first)])
			require.Equal(t, tasks.StateNotified, s.state("AE-1"))
			require.Equal(t, "notified e1", strings.TrimSpace(strings.TrimSuffix(s.timeline("AE-1")[1], "nurse")))
			require.Len(t, s.timeline("AE-1"), 2)
		})
	}
}

func idsOf(messages []message) (ids []string) {
	known := map[string]bool{}
	for _, m := range messages {
		if !known[m.ID] {
			ids, known[m.ID] = append(ids, m.ID), true
		}
	}
	return ids
}

// Without a ladder each endpoint that is registered for adverse events is notified when it has the event, once; what fails is on
// the timeline, and the other endpoints are sent that it did.
func TestWithoutALadder(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		for _, id := range []string{"e1", "e2", "e3"} {
			s.register(id, func(c *tasks.WebhookChange) {
				c.Types = []string{tasks.TypeAdverseEvent} // others of the patient would come first
				if id == "e3" {
					c.Types = []string{tasks.TopicUpdates}
				}
			})
		}
		s.shut()
		s = openSystem(t, s.dir, s.receiver)
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Path == "/e1" {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		s.reportCase("AE-1", "S1")
		after(time.Second)
		require.ElementsMatch(t, []string{"received", "notification-failed e1  the receiver answered 502", "notified e2"}, s.timeline("AE-1"))
		require.Equal(t, tasks.StateNotified, s.state("AE-1"))
		failed := false
		for _, m := range s.all() {
			failed = failed || m.Path == "/e2" && strings.Contains(string(m.body), `"step":"notification-failed"`) && strings.Contains(string(m.body), `"channel":"e1"`)
		}
		require.True(t, failed)
		s.answers(nil)
		after(10 * time.Second)
		require.ElementsMatch(t, []string{"received", "notification-failed e1  the receiver answered 502", "notified e2", "notified e1"}, s.timeline("AE-1"))

		was := s.timeline("AE-1")
		s.act(tasks.WebhookChange{ID: "e1", Act: tasks.WebhookReplayed, After: "0"})
		after(time.Minute)
		require.Equal(t, was, s.timeline("AE-1"), "it was notified")
		s.acknowledge("AE-1")
		s.step(tasks.AdverseEventStep{ID: "AE-1", Step: tasks.StepClosing, Name: "Ann", Reason: "x"})
		s.register("e4")
		after(time.Minute)
		require.NotContains(t, strings.Join(s.timeline("AE-1"), "\n"), "e4", "who is sent old events is notified of nothing")
		require.Equal(t, tasks.StateClosed, s.state("AE-1"))
	})
}

// Mail is a channel as any other, and a ladder that needs it is refused where it is not set up.
func TestLadderByMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with := studies(t, map[string]string{"S1": `{"who":"Li","mail":"li@example.org","label":"Li's mail","language":"zh-CN"}`})
		h, _ := dispatchertest.Open(t, dispatchertest.Options{Dir: t.TempDir(), Work: work})
		c := notify.LadderConfig{Work: h.Dispatcher, Rows: h.Store, Record: h.Ledger.Record}
		with(&c)
		_, err := notify.StartLadders(t.Context(), c)
		require.EqualError(t, err, "study S1: adverseEvents.ladder.rungs[0].mail: mail is not set up here; give the rung a webhook, or set mail up")

		mails := make(chan study.Rung, 10)
		c.Mail = func(_ context.Context, to study.Rung, a notify.Alert) error {
			mails <- to
			if a.Attempt == 1 {
				panic("mail")
			}
			return nil
		}
		l, err := notify.StartLadders(t.Context(), c)
		require.NoError(t, err)
		s := &system{t, h, nil, "", nil}
		s.reportCase("AE-1", "S1")
		after(2 * time.Minute)
		require.Len(t, mails, 2)
		require.Equal(t, "li@example.org", (<-mails).Mail)
		timeline := s.timeline("AE-1")
		require.Len(t, timeline, 3)
		require.Contains(t, timeline[1], "notification-failed Li's mail Li")
		require.Equal(t, "notified Li's mail Li", timeline[2])
		require.NotContains(t, strings.Join(timeline, " "), "example.org", "an address is shown by its label")
		require.NoError(t, l.Close(context.Background()))
	})
}

// Many cases that are open need few goroutines, and each is told.
func TestManyOpenCases(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": `{"who":"nurse","webhook":"e1"}`}, func(t *testing.T, s *system, with func(*notify.LadderConfig)) {
		const n = 300
		s.shut()
		quiet := openSystem(t, s.dir, s.receiver)
		for i := range n {
			quiet.reportCase(fmt.Sprintf("AE-%d", i), "S1")
		}
		after(time.Second)
		quiet.shut()
		quiet.take()
		s = openSystem(t, s.dir, s.receiver, with)
		after(10 * time.Second)
		told := map[string]int{}
		for _, m := range s.take() {
			told[m.Case]++
		}
		require.Len(t, told, n)
		for id, times := range told {
			require.Equal(t, 1, times, id)
		}
		rows, _, err := s.Store.ListAdverseEvents(t.Context(), store.AdverseEventFilter{States: []tasks.AdverseEventState{tasks.StateOpen}})
		require.NoError(t, err)
		require.Empty(t, rows)
	})
}

// A channel that is slow and takes one alert after the other is no channel that hangs, however many wait for it.
func TestLadderWithAChannelThatIsSlow(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		s.answers(func(message, http.ResponseWriter, *http.Request) { time.Sleep(15 * time.Second) })
		const n = 40
		for i := range n {
			s.reportCase(fmt.Sprintf("AE-%d", i), "S1")
		}
		after(n / 4 * 16 * time.Second)
		for i := range n {
			require.Equal(t, []string{"received", "notified e1 nurse"}, s.timeline(fmt.Sprintf("AE-%d", i)))
			s.acknowledge(fmt.Sprintf("AE-%d", i))
		}
	})
}

// A log that takes no records, and cases that cannot be read, hold up neither the other events of an endpoint nor its end.
func TestNotificationsThatCannotBeRecorded(t *testing.T) {
	const n = 6
	for name, damaged := range map[string]bool{"no records": false, "damaged": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openSystem(t, t.TempDir(), newReceiver(t), func(c *notify.LadderConfig) {
					if !damaged {
						c.Record = func(context.Context, tasks.Submission) error { return errors.New("the disk is full") }
					}
				})
				s.register("e1", func(c *tasks.WebhookChange) { c.Types = append(c.Types, tasks.TypeAdverseEvent) })
				s.answers(func(message, http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Second) })
				for i := range n {
					s.reportCase(fmt.Sprintf("AE-%d", i), "S1")
				}
				after(time.Second)
				if damaged {
					s.damage(`UPDATE adverse_events SET content_check_sum = content_check_sum + 1`)
				}
				after(30 * time.Second)
				s.take()
				s.publish(1, "P1")
				after(time.Minute)
				require.Equal(t, []string{"P1"}, patientsOf(s.take()))
				if !damaged {
					s.answers(status(http.StatusGone))
					s.publish(2, "P2")
					after(time.Minute)
					require.Equal(t, tasks.WebhookDisabled, s.endpoint("e1").State)
				}
			})
		})
	}
}

// A log that takes no records for a while holds up neither channels nor ladders; what was sent becomes a step when it does again, once
// and in its order.
func TestLadderWithoutALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 6
		with := studies(t, map[string]string{"S1": nurseThenDoctor})
		var full atomic.Bool
		s := openSystem(t, t.TempDir(), newReceiver(t), func(c *notify.LadderConfig) {
			with(c)
			record := c.Record
			c.Record = func(ctx context.Context, step tasks.Submission) error {
				if full.Load() {
					return errors.New("the disk is full")
				}
				return record(ctx, step)
			}
		})
		for _, id := range []string{"e1", "e2"} {
			s.register(id, forAlerts)
		}
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Path == "/e1" && m.Case == "AE-0" {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		full.Store(true)
		s.reportCase("AE-0", "S1")
		after(time.Second) // so that its failure is not the last word of e1, which would count as failing from then on
		for i := 1; i < n; i++ {
			s.reportCase(fmt.Sprintf("AE-%d", i), "S1")
		}
		after(time.Second)
		require.Len(t, s.take(), n, "a channel is free when it has answered")
		after(25 * time.Second)
		require.Equal(t, []string{"AE-0 doctor 1"}, s.alerts())
		after(16 * time.Minute)
		require.Len(t, s.take(), n-1, "the ladder goes on")
		require.Equal(t, []string{"received"}, s.timeline("AE-0"))
		full.Store(false)
		after(time.Minute)
		require.Empty(t, s.take(), "nothing is sent again for want of its record")
		require.Equal(t, []string{"received", "notification-failed e1 nurse the receiver answered 502", "notified e2 doctor"}, s.timeline("AE-0"))
		for i := 1; i < n; i++ {
			require.Equal(t, []string{"received", "notified e1 nurse", "notified e2 doctor"}, s.timeline(fmt.Sprintf("AE-%d", i)))
		}
	})
}

// A case that cannot be read, or whose steps cannot, has people told of it, as if it was new, and no more often than others.
func TestLadderOfACaseThatCannotBeRead(t *testing.T) {
	for name, statement := range map[string]string{
		"row":  `UPDATE adverse_events SET content_check_sum = content_check_sum + 1`,
		"step": `UPDATE adverse_event_steps SET at = at + 1 WHERE case_id = 'AE-1'`,
	} {
		t.Run(name, func(t *testing.T) {
			virtualLadder(t, map[string]string{"S1": nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
				s.reportCase("AE-1", "S1")
				after(time.Second)
				first := s.take()
				require.Len(t, first, 1)
				s.damage(statement)
				after(15 * time.Minute)
				again := s.take()
				require.Len(t, again, 1)
				require.Equal(t, []any{"AE-1", "nurse"}, []any{again[0].Case, again[0].Who})
				require.NotEqual(t, first[0].ID, again[0].ID, "a receiver that knows the first one would drop it")
				after(15 * time.Minute)
				require.Equal(t, []string{"AE-1 doctor 1"}, s.alerts())
				after(29 * time.Minute)
				require.Empty(t, s.alerts())
				after(time.Minute)
				require.Equal(t, []string{"AE-1 doctor 2"}, s.alerts())
			})
		})
	}
}

// The end does not wait for what becomes due meanwhile.
func TestLadderEndsWhileACaseIsDue(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		s.reportCase("AE-1", "S1")
		after(15*time.Minute - 2*time.Second)
		s.answers(func(_ message, _ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
		s.reportCase("AE-2", "S1")
		after(time.Second)
		begun := time.Now()
		s.shut() // the doctor's turn comes
		require.Less(t, time.Since(begun), 10*time.Second)
	})
}

// Steps that cannot be read for a while interrupt no alert, and are read when they can be.
func TestLadderWithoutStepsForAWhile(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		s.reportCase("AE-0", "without a ladder")
		s.answers(func(message, http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Second) })
		s.reportCase("AE-1", "S1")
		after(time.Second)
		s.damage(`UPDATE adverse_event_steps SET sequence = 'x' || sequence WHERE case_id = 'AE-0'`)
		s.reportCase("AE-2", "S1")
		after(5 * time.Second)
		s.damage(`UPDATE adverse_event_steps SET sequence = CAST(SUBSTR(sequence, 2) AS INTEGER) WHERE case_id = 'AE-0'`)
		after(20 * time.Second)
		require.ElementsMatch(t, []string{"AE-1 nurse 1", "AE-2 nurse 1"}, s.alerts())
	})
}

// patientsOf are those of reports.
func patientsOf(messages []message) (all []string) {
	for _, m := range messages {
		if m.Case == "" {
			all = append(all, m.Patient)
		}
	}
	return all
}

// damage changes rows behind the back of the store.
func (s *system) damage(statement string) {
	s.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "casepress.db")+"?_pragma=busy_timeout(5000)")
	require.NoError(s, err)
	_, err = db.Exec(statement)
	require.NoError(s, err)
	require.NoError(s, db.Close())
}
