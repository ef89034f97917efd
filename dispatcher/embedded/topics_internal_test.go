package embedded

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

// A lane whose kinds have several topics gets the work of all, no more at once than it asks for, and what is
// received and not handed out counts as waiting and is not lost.
func TestALaneOfSeveralTopics(t *testing.T) {
	dir := t.TempDir()
	b, err := broker.Open(filepath.Join(dir, "topics"), broker.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	st, err := store.Open(t.Context(), filepath.Join(dir, "casepress.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	l, err := Open(t.Context(), Config{Broker: b, Store: st})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close(t.Context())) }()

	const each, limit = 50, 3
	q := newQueue("several", false)
	for _, topic := range []string{tasks.TopicImages, tasks.TopicCompletions, tasks.TopicUpdates} {
		sub, err := b.Subscribe(topic, "test", broker.SubscribeOptions{Window: 1000, LockTimeout: 200 * time.Millisecond})
		require.NoError(t, err)
		defer func() { require.NoError(t, sub.Close()) }()
		q.topics, q.subs = append(q.topics, topic), append(q.subs, sub)
		for range each {
			_, err := b.Publish(t.Context(), topic, broker.Message{Payload: []byte("x")})
			require.NoError(t, err)
		}
	}
	type key struct {
		topic  string
		offset uint64
	}
	seen := map[key]int{}
	surplus := false
	for len(seen) < 3*each {
		batch, err := l.take(t.Context(), q, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(batch), limit)
		q.setUnclaimed(nil)
		first := 0
		for _, d := range q.surplus {
			if d.Count == 1 {
				first++
			}
		}
		n, oldest := q.waiting()
		require.Equal(t, first, n)
		require.Equal(t, n == 0, oldest.IsZero())
		surplus = surplus || n > 0
		for _, d := range batch {
			seen[key{d.Topic, d.Offset}]++
			require.NoError(t, d.Ack())
		}
	}
	for k, n := range seen {
		require.Equal(t, 1, n, "%v", k)
	}
	require.Empty(t, q.surplus)
	t.Logf("several topics answered at once: %v", surplus)
}

// Only the lane of case reports waits for their completions.
func TestOtherLanesDoNotWaitForCompletions(t *testing.T) {
	l := &Ledger{recorders: map[string]*recorder{
		tasks.TopicCompletions: {recorded: newWatermark(0), endAtStart: 1},
		tasks.TopicCaseReports: {recorded: newWatermark(1), endAtStart: 1},
		"urgent":               {recorded: newWatermark(1), endAtStart: 1},
	}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for topic, want := range map[string]error{"urgent": nil, tasks.TopicCaseReports: context.Canceled} {
		q := newQueue(topic, false)
		q.topics = []string{topic}
		require.ErrorIs(t, l.waitForRows(ended, q, []item{{delivery: broker.Delivery{Message: broker.Message{Topic: topic}}}}, 1), want)
	}
}
