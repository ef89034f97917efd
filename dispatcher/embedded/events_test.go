package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/tasks"
)

// swapTopic puts one topic of a folder in place of another's; from "" only takes it away.
func swapTopic(t *testing.T, topic, from, to string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(filepath.Join(to, "topics", topic)))
	if from != "" {
		require.NoError(t, os.CopyFS(filepath.Join(to, "topics", topic), os.DirFS(filepath.Join(from, "topics", topic))))
	}
}

// eventIDs are those of the events that are in the topic, sorted.
func eventIDs(t *testing.T, b *broker.Broker) (ids []string) {
	t.Helper()
	for _, e := range events(t, b) {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// tried is a folder with reports that were completed, and one that failed and was completed after a restart. done are
// the ids of the events that must never be missing.
func tried(t *testing.T, dir string) (done []string) {
	t.Helper()
	filled(t, dir, "first", 3)
	fails := true
	h, shut := open(t, options{
		Dir: dir, Config: dispatcher.Config{Retry: dispatcher.RetryPolicy{MaxAttempts: 1}},
		Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			if w.Ref().ID == "fails" || fails && w.Ref().ID == "again" {
				return nil, errors.New("not today")
			}
			return dispatchertest.Done(ctx, w)
		},
	})
	for _, id := range []string{"fails", "again"} {
		h.Submit(t, report(id))
		require.Equal(t, tasks.Failed, h.Final(t, id).Status)
	}
	fails = false
	_, err := h.Restart(t.Context(), ref("again"))
	require.NoError(t, err)
	require.Equal(t, tasks.Completed, h.Final(t, "again").Status)
	shut(false)
	return []string{"again/2", "fails/1", "first-0/1", "first-1/1", "first-2/1"}
}

// The topic of the events is gone, or an older copy, or a copy of which the beginning is gone: every final submission is
// told of again, once, and then the folder is as sound as any.
func TestLostEventsArePublishedAgain(t *testing.T) {
	dir := t.TempDir()
	older := dispatchertest.Copy(t, filled(t, dir, "first", 1))
	all := tried(t, dir)
	begun := make(chan string, 1)
	h, shut := open(t, options{Dir: dir, Work: holding(begun)})
	h.Submit(t, report("waits"))
	<-begun
	killed := die(t, h, shut)
	for name, tc := range map[string]struct{ dir, topic string }{
		"gone after a stop": {dir, ""}, "older after a stop": {dir, older}, "gone after a kill": {killed, ""}, "older after a kill": {killed, older},
	} {
		t.Run(name, func(t *testing.T) {
			dir := dispatchertest.Copy(t, tc.dir)
			swapTopic(t, tasks.TopicUpdates, tc.topic, dir)
			h, shut := open(t, options{Dir: dir, Work: holding(begun)})
			require.Eventually(t, func() bool { return len(eventIDs(t, h.Broker)) >= len(all) }, dispatchertest.Patience, dispatchertest.Patience/1000)
			<-begun // in work, and not to be told of
			shut(true)
			for range 2 { // nothing is told twice, neither after a stop nor after a death
				h, shut = open(t, options{Dir: dir, Work: holding(begun)})
				<-begun
				dead := die(t, h, shut)
				h, shut = open(t, options{Dir: dead, Work: holding(begun)})
				<-begun
				require.Equal(t, all, eventIDs(t, h.Broker))
				shut(true)
			}
			h, _ = open(t, options{Dir: dir})
			require.Equal(t, tasks.Completed, h.Final(t, "waits").Status)
		})
	}
}

// The oldest segment of the events is gone: those that were in it are told of again.
func TestLostBeginningOfTheEvents(t *testing.T) {
	dir := filled(t, t.TempDir(), "first", 3)
	h, shut := open(t, options{Dir: dir, NoDedup: true})
	for len(segments(t, dir, tasks.TopicUpdates)) < 2 {
		_, err := h.Broker.Publish(t.Context(), tasks.TopicUpdates, broker.Message{Payload: make([]byte, 1<<20)})
		require.NoError(t, err)
	}
	shut(false)
	oldest := segments(t, dir, tasks.TopicUpdates)[0]
	require.NoError(t, os.Remove(oldest))
	_ = os.Remove(oldest[:len(oldest)-len("log")] + "index")
	h, _ = open(t, options{Dir: dir, NoDedup: true})
	require.Eventually(t, func() bool {
		found := map[string]bool{}
		info, err := h.Broker.Topic(tasks.TopicUpdates)
		require.NoError(t, err)
		for offset := info.Start; offset < info.End; offset++ {
			m, err := h.Broker.Read(tasks.TopicUpdates, offset)
			require.NoError(t, err)
			found[m.ID] = true
		}
		return found["first-0/1"] && found["first-1/1"] && found["first-2/1"]
	}, dispatchertest.Patience, dispatchertest.Patience/1000)
}

// Events of another data folder are refused, and the cure that is named helps.
func TestEventsOfAnotherFolder(t *testing.T) {
	dir := filled(t, t.TempDir(), "ours", 3)
	h, shut := open(t, options{Dir: dir})
	killed := die(t, h, shut)
	for _, dir := range []string{dir, killed} {
		swapTopic(t, tasks.TopicUpdates, filled(t, t.TempDir(), "theirs", 4), dir)
		for range 2 { // and it changes nothing
			mismatch := refused(t, dir)
			require.Equal(t, tasks.TopicUpdates, mismatch.Topic)
			require.Contains(t, mismatch.Reason, "record 2 of the log is not the one")
			require.Contains(t, mismatch.Cure, "move topics/patient-data-update away")
		}
		swapTopic(t, tasks.TopicUpdates, "", dir)
		h, _ := open(t, options{Dir: dir})
		require.Eventually(t, func() bool { return len(eventIDs(t, h.Broker)) == 3 }, dispatchertest.Patience, dispatchertest.Patience/1000)
	}
}

// A life in which an event could not be made is looked through again at the next start, when the program may be another.
func TestAnEventThatCanBeMadeLater(t *testing.T) {
	sound, _ := wildEvent(t, "panic")
	sound.Store(true)
	dir := filled(t, t.TempDir(), "CR", 3)
	swapTopic(t, tasks.TopicUpdates, "", dir)
	sound.Store(false)
	h, shut := open(t, options{Dir: dir})
	require.Eventually(t, func() bool { return len(eventIDs(t, h.Broker)) == 2 }, dispatchertest.Patience, dispatchertest.Patience/1000)
	shut(false)
	sound.Store(true)
	h, _ = open(t, options{Dir: dir})
	require.Eventually(t, func() bool { return len(eventIDs(t, h.Broker)) == 3 }, dispatchertest.Patience, dispatchertest.Patience/1000)
	require.Equal(t, []string{"CR-0/1", "CR-1/1", "CR-2/1"}, eventIDs(t, h.Broker))
}

// The completions are gone or older: they are written again from the rows, and then the rows may be lost as before.
func TestLostCompletionsAreWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	submitAll := func(d dropping, from, to int) {
		for i := from; i < to; i++ {
			d.submit(fmt.Sprintf("CR-%d", i), fmt.Sprintf("original %d", i), "shared")
			d.Final(t, fmt.Sprintf("CR-%d", i))
			d.requireDropped(fmt.Sprintf("original %d", i))
		}
	}
	d := openDropping(t, dir, nil)
	submitAll(d, 0, 2)
	d.shut(false)
	older := dispatchertest.Copy(t, dir)
	d = openDropping(t, dir, nil)
	submitAll(d, 2, 5)
	was := map[string]any{}
	for i := range 5 {
		was[fmt.Sprintf("CR-%d", i)] = d.Final(t, fmt.Sprintf("CR-%d", i)).Result
	}
	d.shut(false)
	whole := dispatchertest.Copy(t, dir)
	for name, from := range map[string]string{"gone": "", "older": older} {
		t.Run(name, func(t *testing.T) {
			dir := dispatchertest.Copy(t, whole)
			swapTopic(t, tasks.TopicCompletions, from, dir)
			for range 2 {
				d := openDropping(t, dir, nil)
				end, err := d.Broker.End(tasks.TopicCompletions)
				require.NoError(t, err)
				require.EqualValues(t, 5, end, "each once")
				require.NoError(t, d.CaughtUp(t.Context()))
				d.shut(false)
			}
			dispatchertest.RemoveRows(t, dir)
			d := openDropping(t, dir, func(_ context.Context, w tasks.Work) (tasks.Result, error) {
				t.Errorf("%s was done again", w.Ref().ID)
				return nil, nil
			})
			for id, result := range was {
				row := d.Final(t, id)
				require.Equal(t, tasks.Completed, row.Status, row.Error)
				require.Equal(t, result, row.Result)
				d.requireResults(row)
			}
		})
	}
	t.Run("a death in between", func(t *testing.T) {
		dir := dispatchertest.Copy(t, whole)
		swapTopic(t, tasks.TopicCompletions, older, dir)
		change(t, dir, `UPDATE watermarks SET next = 2, check_sum = 'restoring' WHERE topic = 'case-report-completions'`)
		s := dispatchertest.OpenStorage(t, dir, broker.Options{})
		m, err := s.Broker.Read(tasks.TopicCompletions, 1)
		require.NoError(t, err)
		for i := range 4 { // some were written, so that the log is longer than it was
			m.ID = fmt.Sprint(i)
			_, err = s.Broker.Publish(t.Context(), tasks.TopicCompletions, m)
			require.NoError(t, err)
		}
		require.NoError(t, s.Shut(t))
		d := openDropping(t, dir, nil)
		end, err := d.Broker.End(tasks.TopicCompletions)
		require.NoError(t, err)
		require.EqualValues(t, 9, end)
	})
	t.Run("another folder's", func(t *testing.T) {
		dir := dispatchertest.Copy(t, whole)
		theirs := t.TempDir()
		d := openDropping(t, theirs, nil)
		d.submit("theirs", "an original")
		d.Final(t, "theirs")
		d.requireDropped("an original")
		d.shut(false)
		swapTopic(t, tasks.TopicCompletions, theirs, dir)
		require.Contains(t, refused(t, dir).Reason, "record 0 of the log is of a report that they do not have")
	})
}

// A position in events that are not there any more, or not in this order, is refused: whoever held it would else miss some
// without a word, or take others for them.
func TestPositionsInLostEvents(t *testing.T) {
	dir := t.TempDir()
	older := dispatchertest.Copy(t, filled(t, dir, "first", 1))
	tried(t, dir)
	h, shut := open(t, options{Dir: dir})
	whole := readEvents(t, h, dispatcher.Position{})
	require.Len(t, whole, 6)
	shut(false)
	for name, tc := range map[string]struct {
		topic string
		same  int // how many of the first events are the same as before
	}{"gone": {"", 0}, "older": {older, 1}} {
		t.Run(name, func(t *testing.T) {
			dir := dispatchertest.Copy(t, dir)
			swapTopic(t, tasks.TopicUpdates, tc.topic, dir)
			h, _ := open(t, options{Dir: dir})
			require.Eventually(t, func() bool { return len(readEvents(t, h, dispatcher.Position{})) >= 5 }, dispatchertest.Patience, dispatchertest.Patience/1000)
			for i, e := range whole {
				err := refusal(t, h, e.Position)
				if i < tc.same {
					require.Nil(t, err)
					continue
				}
				require.NotNil(t, err, "position %d", i+1)
				require.Equal(t, dispatcher.Position{}, err.Begin)
			}
		})
	}
	t.Run("without their beginning", func(t *testing.T) {
		dir := dispatchertest.Copy(t, dir)
		h, shut := open(t, options{Dir: dir, NoDedup: true})
		for len(segments(t, dir, tasks.TopicUpdates)) < 2 {
			_, err := h.Broker.Publish(t.Context(), tasks.TopicUpdates, broker.Message{Payload: make([]byte, 1<<20)})
			require.NoError(t, err)
		}
		shut(false)
		oldest := segments(t, dir, tasks.TopicUpdates)[0]
		require.NoError(t, os.Remove(oldest))
		_ = os.Remove(oldest[:len(oldest)-len("log")] + "index")
		h, _ = open(t, options{Dir: dir, NoDedup: true})
		err := refusal(t, h, dispatcher.Position{})
		require.NotNil(t, err, "the beginning is gone, and so is what was before it")
		require.NotNil(t, refusal(t, h, whole[5].Position))
		require.NotZero(t, err.Begin.Sequence)
		require.Nil(t, refusal(t, h, err.Begin))
	})
}

func readEvents(t *testing.T, h dispatchertest.Fixture, after dispatcher.Position) (all []dispatcher.PublishedEvent) {
	for batch, err := range h.ReadEvents(t.Context(), after, 1<<20) {
		require.NoError(t, err)
		if len(batch) == 0 {
			break
		}
		all = append(all, batch...)
	}
	return all
}

// refusal is why there is nothing to read from the position on; nil if there is.
func refusal(t *testing.T, h dispatchertest.Fixture, after dispatcher.Position) *dispatcher.PositionError {
	for _, err := range h.ReadEvents(t.Context(), after, 1<<20) {
		if err == nil {
			return nil
		}
		lost, ok := errors.AsType[*dispatcher.PositionError](err)
		require.True(t, ok, "%v", err)
		return lost
	}
	return nil
}
