package embedded_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/dispatcher/embedded"
	"casepress/store"
	"casepress/tasks"
)

// changeKind lets a test change the kind of case reports until its end.
func changeKind(t *testing.T, change func(*tasks.Kind)) {
	t.Helper()
	changeAKind(t, tasks.KindCaseReport(), change)
}

// changeAKind lets a test change a kind until its end.
func changeAKind(t *testing.T, k *tasks.Kind, change func(*tasks.Kind)) {
	t.Helper()
	was := *k
	change(k)
	t.Cleanup(func() { *k = was })
}

// wildEvent makes the event of CR-0 fail, in two ways, until it is sound.
func wildEvent(t *testing.T, how string) (sound *atomic.Bool, made *atomic.Int32) {
	sound, made = new(atomic.Bool), new(atomic.Int32)
	changeKind(t, func(k *tasks.Kind) {
		was := k.Event
		k.Event = func(f tasks.Finished) tasks.Update {
			u := was(f)
			if f.ID != "CR-0" || sound.Load() {
				return u
			}
			made.Add(1)
			if how == "panic" {
				panic("an event went wild")
			}
			u.URL = strings.Repeat("x", 2<<20)
			return u
		}
	})
	return sound, made
}

// An event that can never be made, or is larger than a message may be, ends neither the process nor the work beside it:
// the attempts count, the submission fails with that reason, and in the end nothing of it holds its topic up.
func TestAnEventThatCannotBeMade(t *testing.T) {
	for how, says := range map[string]string{"panic": "panicked with a value of type string; the server's log says where", "size": "payload of 2097"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sound, made := wildEvent(t, how)
				metrics := prometheus.NewRegistry()
				dir := t.TempDir()
				h, shut := open(t, options{
					Dir: dir, Ledger: embedded.Config{Metrics: metrics},
					Config: dispatcher.Config{Lanes: []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: 1, Batch: 8}}, Retry: dispatcher.RetryPolicy{MaxAttempts: 3}},
				})
				for i := range 4 {
					h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
				}
				for i := 1; i < 4; i++ {
					require.Equal(t, tasks.Completed, h.Final(t, fmt.Sprintf("CR-%d", i)).Status)
				}
				row := h.Final(t, "CR-0")
				require.Equal(t, tasks.Failed, row.Status)
				require.Equal(t, 3, row.Attempts)
				require.Contains(t, row.Error, says)

				time.Sleep(time.Hour) // the clock of the test's bubble
				require.Less(t, made.Load(), int32(20), "later each time, and not for ever")
				requireDead(t, h, 1)
				group, err := h.Broker.Group(tasks.TopicCaseReports, "workers")
				require.NoError(t, err)
				require.Zero(t, group.Lag)
				require.Equal(t, group.End, group.Start, "nothing holds the group up")
				require.NoError(t, testutil.GatherAndCompare(metrics, strings.NewReader(
					"# HELP casepress_undeliverable_total Deliveries that went to the dead letters because the program can make nothing of them, such as no event of a finished submission.\n"+
						"# TYPE casepress_undeliverable_total counter\ncasepress_undeliverable_total 1\n"), "casepress_undeliverable_total"))
				require.Len(t, events(t, h.Broker), 3, "the others are told of")

				sound.Store(true)
				_, err = h.Restart(t.Context(), ref("CR-0"))
				require.NoError(t, err)
				row = h.Final(t, "CR-0")
				require.Equal(t, tasks.Completed, row.Status)
				require.Equal(t, 4, row.Attempts)
				require.Eventually(t, func() bool { return len(events(t, h.Broker)) == 4 }, dispatchertest.Patience, time.Millisecond)
				shut(false)
			})
		})
	}
}

// A submission that the code of its kind cannot read holds up its topic for a while only. Once it can be read, after a
// restart as with another version of the program, it is worked on.
func TestAPanicThatKeepsASubmissionFromBeingClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sound atomic.Bool
		changeKind(t, func(k *tasks.Kind) {
			was := k.Rows.Load
			k.Rows.Load = func(tx tasks.Tx, of []tasks.Stored) (map[string]tasks.Loaded, error) {
				if !sound.Load() && slices.ContainsFunc(of, func(s tasks.Stored) bool { return s.ID == "CR-0" }) {
					panic("load went wild")
				}
				return was(tx, of)
			}
		})
		dir := t.TempDir()
		h, shut := open(t, options{Dir: dir})
		h.Submit(t, report("CR-0"))
		h.Submit(t, report("CR-1"))
		require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
		time.Sleep(time.Minute) // the clock of the test's bubble
		group, err := h.Broker.Group(tasks.TopicCaseReports, "workers")
		require.NoError(t, err)
		require.Equal(t, 1, group.Lag, "it comes again")
		time.Sleep(time.Hour)
		requireDead(t, h, 1)
		group, err = h.Broker.Group(tasks.TopicCaseReports, "workers")
		require.NoError(t, err)
		require.Equal(t, group.End, group.Start, "nothing holds the group up")
		shut(false)
		sound.Store(true)
		h, shut = open(t, options{Dir: dir})
		require.Equal(t, tasks.Completed, h.Final(t, "CR-0").Status)
		shut(false)
	})
}

// A record that cannot be decoded without a panic is a record that cannot be read.
func TestADecoderThatPanics(t *testing.T) {
	changeKind(t, func(k *tasks.Kind) {
		was := k.Decode
		k.Decode = func(content json.RawMessage) (tasks.Content, error) {
			c, err := was(content)
			if err == nil && c.Header().ID == "bad" {
				panic("a decoder went wild")
			}
			return c, err
		}
	})
	h, _ := open(t, options{Dir: t.TempDir()})
	h.Submit(t, report("bad"))
	h.Submit(t, report("CR-1"))
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
	requireDead(t, h, 1)
	_, err := h.Store.Get(t.Context(), ref("bad"))
	require.ErrorIs(t, err, store.ErrNotFound)
}

// A submission stays known by its row when this version of the program cannot read its record, as an earlier one could.
func TestRecordThatIsUnreadableNow(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir})
	first := h.Submit(t, report("CR-1"))
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
	shut(false)
	changeKind(t, func(k *tasks.Kind) {
		was := k.Decode
		k.Decode = func(content json.RawMessage) (tasks.Content, error) {
			c, err := was(content)
			if err == nil && c.Header().ID == "CR-1" {
				return nil, errors.New("this version refuses it")
			}
			return c, err
		}
	})
	h, _ = open(t, options{Dir: dir})
	h.Submit(t, report("CR-2"))
	require.NoError(t, h.CaughtUp(t.Context())) // and so rows and log were compared
	other := report("CR-1")
	other.Notes = "something else"
	_, err := h.Accept(t.Context(), submission(other))
	var conflict *dispatcher.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, first.SHA256, conflict.Stored)
}
