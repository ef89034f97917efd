package embedded_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/store"
	"casepress/tasks"
)

// changeKind lets a test change the kind of case reports until its end.
func changeKind(t *testing.T, change func(*tasks.Kind)) {
	t.Helper()
	k := tasks.KindCaseReport()
	was := *k
	change(k)
	t.Cleanup(func() { *k = was })
}

// An event that panics ends neither the process nor the work beside it, and loses nothing: the result is kept, the event
// is made again later, also after a restart.
func TestAnEventThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sound atomic.Bool
		var panics atomic.Int32
		changeKind(t, func(k *tasks.Kind) {
			was := k.Event
			k.Event = func(f tasks.Finished) tasks.Update {
				if f.ID == "CR-0" && !sound.Load() {
					panics.Add(1)
					panic("an event went wild")
				}
				return was(f)
			}
		})
		dir := t.TempDir()
		h, shut := open(t, options{Dir: dir, Config: dispatcher.Config{Lanes: []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: 1, Batch: 8}}}})
		for i := range 4 {
			h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
		}
		for i := range 4 {
			require.Equal(t, tasks.Completed, h.Final(t, fmt.Sprintf("CR-%d", i)).Status)
		}
		time.Sleep(time.Minute) // the clock of the test's bubble: deliveries have come again meanwhile
		require.Greater(t, panics.Load(), int32(2))
		require.Less(t, panics.Load(), int32(10), "later each time")
		shut(false)
		before := panics.Load()
		h, shut = open(t, options{Dir: dir})
		time.Sleep(10 * time.Minute)
		require.Greater(t, panics.Load(), before)
		require.Len(t, events(t, h.Broker), 3, "the others are told of")

		sound.Store(true)
		time.Sleep(10 * time.Minute)
		require.Len(t, events(t, h.Broker), 4)
		row := h.Final(t, "CR-0")
		require.Equal(t, tasks.Completed, row.Status)
		require.Equal(t, 1, row.Attempts, "nothing was done twice")
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
