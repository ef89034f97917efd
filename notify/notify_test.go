package notify_test

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/notify"
	"casepress/store"
	"casepress/tasks"
)

// virtual runs a test whose time passes at once when nothing happens.
func virtual(t *testing.T, test func(t *testing.T, s *system)) {
	synctest.Test(t, func(t *testing.T) { test(t, openSystem(t, t.TempDir(), newReceiver(t))) })
}

// after lets time pass and then everything that it has set off.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var hour = time.Hour

// An event that always fails is tried as Standard Webhooks says, each time with the same id, and then parked; a replay sends it
// again.
func TestSchedule(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		s.register("e")
		s.answers(status(500))
		begun := time.Now()
		s.publish(1, "P1")
		after(75 * hour)
		require.Equal(t, store.Waiting, s.deliveries("e", "")[0].State)
		after(1000 * hour)
		var waited []time.Duration
		last := begun
		for _, m := range s.all() {
			waited = append(waited, m.At.Sub(last).Round(time.Second))
			last = m.At
			require.Equal(t, s.all()[0].ID, m.ID)
			require.Regexp(t, "^evt_[0-9a-f]{32}$", m.ID)
		}
		require.Equal(t, []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour}, waited)
		parked := s.deliveries("e", "")
		require.Len(t, parked, 1)
		require.Equal(t, store.Parked, parked[0].State)
		require.Equal(t, []any{10, 500, "the receiver answered 500", uint64(1), "r1/1"},
			[]any{parked[0].Attempts, parked[0].LastStatus, parked[0].LastError, parked[0].Sequence, parked[0].EventID})
		require.Equal(t, uint64(1), s.position("e").Sequence)

		s.answers(nil)
		s.act(tasks.WebhookChange{ID: "e", Act: tasks.WebhookReplayed, After: "0"})
		after(time.Second)
		require.Len(t, s.all(), 11)
		require.Equal(t, s.all()[0].ID, s.all()[10].ID)
		require.Equal(t, store.Delivered, s.deliveries("e", "")[0].State)
	})
}

// Events of one patient wait for each other, in any trouble; those of others do not wait.
func TestOrderOfASubject(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		s.register("e")
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Sequence == 1 {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		s.publish(1, "A", "B", "A", "B", "A")
		after(3 * time.Second)
		got := s.take()
		require.ElementsMatch(t, []int{1, 2, 4}, sequences(got), "3 and 5 wait for 1")
		require.Less(t, slices.Index(sequences(got), 2), slices.Index(sequences(got), 4))
		require.Len(t, s.deliveries("e", store.Waiting), 3)
		require.Equal(t, uint64(5), s.position("e").Sequence)
		after(30 * time.Minute)
		require.Equal(t, []int{1, 1}, sequences(s.take()), "what waits behind uses up no attempts")
		s.publish(6, "A")
		s.answers(nil)
		after(30 * time.Minute)
		require.Equal(t, []int{1, 3, 5, 6}, sequences(s.take()))
		require.Empty(t, s.deliveries("e", store.Waiting))

		// Parked is an end, too.
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Sequence == 7 {
				w.WriteHeader(http.StatusNotFound)
			}
		})
		s.publish(7, "A", "A")
		after(80 * hour)
		require.Equal(t, []int{7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8}, sequences(s.take()))
		require.Equal(t, uint64(7), s.deliveries("e", store.Parked)[0].Sequence)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		s.register("e")
		asked := []string{"3600", time.Now().Add(3 * hour).UTC().Format(http.TimeFormat), "1", "999999999999", "soon"}
		s.answers(func(_ message, w http.ResponseWriter, _ *http.Request) {
			if len(asked) > 0 {
				w.Header().Set("Retry-After", asked[0])
				asked = asked[1:]
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		s.publish(1, "A")
		after(100 * hour)
		var waited []time.Duration
		all := s.all()
		for i := range all[1:] {
			waited = append(waited, all[i+1].At.Sub(all[i].At).Round(time.Second))
		}
		require.Equal(t, []time.Duration{hour, 2 * hour, 30 * time.Minute, 24 * hour, 5 * hour}, waited)
	})
}

// 410 ends it, for all events and across a restart, until a person replays.
func TestGoneDisables(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		s.register("e")
		s.answers(status(http.StatusGone))
		s.publish(1, "A", "B", "C", "D", "E", "F")
		after(hour)
		require.LessOrEqual(t, len(s.take()), 4, "no more than were under way")
		require.Equal(t, tasks.WebhookDisabled, s.endpoint("e").State)
		require.Contains(t, s.endpoint("e").Reason, "410")
		s.shut()
		s = openSystem(t, s.dir, s.receiver)
		s.publish(7, "A")
		after(100 * hour)
		require.Empty(t, s.take())
		s.answers(nil)
		s.act(tasks.WebhookChange{ID: "e", Act: tasks.WebhookReplayed, After: "0"})
		after(time.Second)
		got := sequences(s.take())
		slices.Sort(got)
		require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7}, got)
		require.Equal(t, tasks.WebhookActive, s.endpoint("e").State)
		require.Empty(t, s.endpoint("e").Reason)
	})
}

// What was tried is known after a stop, and after a death of the process; without the rows everything is sent again.
func TestRestarts(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *system) string{
		"after a stop": func(_ *testing.T, s *system) string {
			s.shut()
			return s.dir
		},
		"after a death": func(t *testing.T, s *system) string {
			copied := dispatchertest.Copy(t, s.dir)
			s.shut()
			return copied
		},
		"without rows": func(t *testing.T, s *system) string {
			s.shut()
			dispatchertest.RemoveRows(t, s.dir)
			return s.dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, s *system) {
				s.register("e")
				s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
					if m.Patient == "A" {
						w.WriteHeader(500)
					}
				})
				s.publish(1, "A", "B", "A", "C")
				after(hour)
				before := s.take()
				require.Len(t, before, 6, "1 at 0, 5 s, 5 min, 35 min; 2; 4")
				again := openSystem(t, end(t, s), s.receiver)
				after(time.Minute)
				if name == "without rows" {
					got := again.take()
					require.Equal(t, []int{1, 1, 2, 4}, slices.Sorted(slices.Values(sequences(got))))
					for _, m := range got {
						require.True(t, slices.ContainsFunc(before, func(b message) bool { return b.ID == m.ID && b.Sequence == m.Sequence }))
					}
					return
				}
				require.Empty(t, again.take())
				after(2 * hour)
				require.Equal(t, []int{1}, sequences(again.take()))
				waiting := again.deliveries("e", store.Waiting)
				require.Len(t, waiting, 2)
				require.Equal(t, []any{uint64(1), 5}, []any{waiting[1].Sequence, waiting[1].Attempts})
			})
		})
	}
}

// The events were lost and told again in another order: all are sent once more, with the ids that they had.
func TestLostEventsAreSentAgain(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		s.register("e")
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Patient == "A" {
				w.WriteHeader(500)
			}
		})
		s.publish(1, "B", "A", "C")
		after(time.Minute)
		ids := map[string]string{}
		for _, m := range s.take() {
			ids[m.Event] = m.ID
		}
		s.shut()
		require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "topics", tasks.TopicUpdates)))
		s.answers(nil)
		s = openSystem(t, s.dir, s.receiver)
		after(time.Minute)
		require.Equal(t, "0", s.endpoint("e").Position)
		require.Empty(t, s.deliveries("e", ""))
		s.publish(3, "C")
		s.publish(2, "A")
		after(time.Minute)
		got := s.take()
		require.Len(t, got, 2)
		// They are of different patients, and so may arrive in any order.
		slices.SortFunc(got, func(a, b message) int { return cmp.Compare(a.Sequence, b.Sequence) })
		for i, m := range got {
			require.Equal(t, i+1, m.Sequence)
			require.Equal(t, "r"+strconv.Itoa(3-i)+"/1", m.Event)
			require.Equal(t, ids[m.Event], m.ID)
		}
	})
}

// An endpoint that hangs, one that is not there and one with a huge backlog hold up no other.
func TestOneEndpointHoldsUpNoOther(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		s.register("hangs")
		s.register("fails")
		s.register("works")
		const n = 1500
		s.answers(func(m message, w http.ResponseWriter, q *http.Request) {
			switch m.Path {
			case "/hangs":
				<-q.Context().Done()
			case "/fails":
				w.WriteHeader(500)
			}
		})
		var patients []string
		for i := range n {
			patients = append(patients, "P"+strconv.Itoa(i))
		}
		s.publish(1, patients...)
		begun := time.Now()
		of := func(path string) (all []int) {
			for _, m := range s.all() {
				if m.Path == path {
					all = append(all, m.Sequence)
				}
			}
			return all
		}
		after(10 * time.Second)
		require.Len(t, of("/works"), n)
		require.Len(t, of("/hangs"), 4, "as many as may be under way")
		for _, m := range s.all() {
			require.True(t, m.Path != "/works" || m.At.Sub(begun) < 5*time.Second)
		}
		after(20 * time.Second)
		waiting, err := s.Store.OpenDeliveries(t.Context(), "hangs", 1<<40)
		require.NoError(t, err)
		require.Equal(t, "no answer within 20s", waiting[0].LastError)
		s.answers(nil)
		after(100 * hour)
		for _, path := range []string{"/hangs", "/fails"} {
			got := of(path)
			slices.Sort(got)
			require.Len(t, slices.Compact(got), n)
		}
		require.Empty(t, s.deliveries("hangs", store.Waiting))
		require.Len(t, s.deliveries("works", store.Delivered), store.MaxLimit)
		rows, err := s.Store.Deliveries(t.Context(), "works", store.Delivered, n-1000+1, store.MaxLimit)
		require.NoError(t, err)
		require.Empty(t, rows, "the last 1000 are kept")
	})
}

// More waits than is kept in memory: the rest stays in the log, and nothing is lost.
func TestBacklogIsBounded(t *testing.T) {
	before := notify.SetMaxWaiting(1000)
	defer notify.SetMaxWaiting(before)
	virtual(t, func(t *testing.T, s *system) {
		s.register("e")
		s.answers(status(500))
		const n = 2000
		var patients []string
		for i := range n {
			patients = append(patients, "P"+strconv.Itoa(i))
		}
		s.publish(1, patients...)
		after(time.Minute)
		at := s.position("e").Sequence
		require.GreaterOrEqual(t, at, uint64(1000))
		require.Less(t, at, uint64(1600))
		s.answers(nil)
		after(10 * hour)
		require.Equal(t, uint64(n), s.position("e").Sequence)
		require.Empty(t, s.deliveries("e", store.Waiting))
		got := map[int]bool{}
		for _, m := range s.all() {
			got[m.Sequence] = true
		}
		require.Len(t, got, n)
	})
}

func TestRotation(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		s.register("e")
		s.act(tasks.WebhookChange{ID: "e", Act: tasks.WebhookRotated, Secret: "whsec_" + strings.Repeat("QUFB", 8)})
		after(time.Second) // until the sender knows
		s.publish(1, "A")
		after(time.Second)
		require.Len(t, strings.Fields(s.all()[0].Signature), 2)
		after(23 * hour)
		s.publish(2, "A")
		after(time.Second)
		require.Len(t, strings.Fields(s.all()[1].Signature), 2)
		after(hour)
		s.publish(3, "A")
		after(time.Second)
		require.Len(t, strings.Fields(s.all()[2].Signature), 1)
		require.NotEqual(t, s.all()[1].Signature, s.all()[2].Signature)
	})
}

func TestWhatIsSent(t *testing.T) {
	virtual(t, func(t *testing.T, s *system) {
		s.register("all")
		s.register("other", func(c *tasks.WebhookChange) { c.Study = "S2" })
		s.register("S1", func(c *tasks.WebhookChange) { c.Study = "S1" })
		s.register("deleted")
		s.act(tasks.WebhookChange{ID: "deleted", Act: tasks.WebhookDeleted})
		s.act(tasks.WebhookChange{ID: "deleted", Act: tasks.WebhookReplayed, After: "0"}) // too late
		s.publish(1, "A")
		s.register("later", func(c *tasks.WebhookChange) { c.After, c.AfterSequence = "1", 1 })
		s.publish(2, "A")
		after(time.Second)
		got := map[string]int{}
		for _, m := range s.all() {
			got[m.Path]++
			require.JSONEq(t, `{"type":"patient-data-update","timestamp":"`+m.At.UTC().Format("2006-01-02")+`T00:00:00Z","data":{"sequence":`+strconv.Itoa(m.Sequence)+
				`,"id":"`+m.Event+`","type":"patient-data-update","time":"2000-01-01T00:00:00Z","kind":"case-report","study":"S1","patientId":"A","data":{"reportId":"r`+strconv.Itoa(m.Sequence)+
				`","submissionId":"r`+strconv.Itoa(m.Sequence)+`","status":"completed","attempt":1,"sequence":0,"url":"/case-reports/r`+strconv.Itoa(m.Sequence)+`"}}}`, normal(string(m.body)))
		}
		require.Equal(t, map[string]int{"/all": 2, "/S1": 2, "/later": 1}, got)
		require.Equal(t, uint64(2), s.position("other").Sequence, "what is passed over needs not be read again")
	})
}

// stuckLedger reads events from a disk that does not answer until it is closed.
type stuckLedger struct {
	dispatcher.Ledger
	answers chan struct{}
}

func (l stuckLedger) ReadEvents(context.Context, dispatcher.Position, int) dispatcher.Events {
	return func(func([]dispatcher.PublishedEvent, error) bool) { <-l.answers }
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan struct{})
		h, _ := dispatchertest.Open(t, dispatchertest.Options{Dir: t.TempDir(), Wrap: func(l dispatcher.Ledger) dispatcher.Ledger { return stuckLedger{l, answers} }})
		s := &system{T: t, Fixture: h, receiver: newReceiver(t)}
		w := notify.Start(t.Context(), notify.Config{Work: h.Dispatcher, Rows: h.Store, Allow: loopback, Dial: s.dial})
		s.register("e")
		after(time.Second)
		begun := time.Now()
		require.ErrorContains(t, w.Close(t.Context()), "senders have not ended")
		require.Less(t, time.Since(begun), 10*time.Second)
		close(answers)
		require.NoError(t, w.Close(t.Context()), "after all")
	})
}

// normal puts the whole second in place of times.
func normal(body string) string {
	var out strings.Builder
	for i := 0; i < len(body); i++ {
		if strings.HasPrefix(body[i:], "T00:00:00.") {
			end := strings.IndexByte(body[i:], 'Z')
			out.WriteString("T00:00:00")
			i += end - 1
			continue
		}
		out.WriteByte(body[i])
	}
	return out.String()
}
