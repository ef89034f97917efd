package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
)

func TestEveryGroupGetsEveryMessageAndMembersShare(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	a1 := subscribe(t, b, "a", broker.SubscribeOptions{})
	a2 := subscribe(t, b, "a", broker.SubscribeOptions{})
	other := subscribe(t, b, "b", broker.SubscribeOptions{})
	publishN(t, b, 4)
	first, second := receive(t, a1, 2), receive(t, a2, 2)
	require.Equal(t, []string{"0", "1", "2", "3"}, slices.Concat(payloads(first), payloads(second)))
	require.Equal(t, []string{"0", "1", "2", "3"}, payloads(receive(t, other, 4)))
}

func TestNewGroupStartsWhereAsked(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	publish(t, b, "a", "b", "c")
	before := time.Now()
	publish(t, b, "d")
	for name, c := range map[string]struct {
		from broker.Position
		want string
	}{
		"earliest":    {broker.Earliest, "abcd!"},
		"default":     {broker.Position{}, "abcd!"},
		"latest":      {broker.Latest, "!"},
		"offset":      {broker.FromOffset(2), "cd!"},
		"end":         {broker.FromOffset(4), "!"},
		"time":        {broker.FromTime(before), "d!"},
		"early-time":  {broker.FromTime(before.Add(-time.Hour)), "abcd!"},
		"future-time": {broker.FromTime(before.Add(time.Hour)), "!"},
	} {
		subscribe(t, b, name, broker.SubscribeOptions{From: c.from})
	}
	publish(t, b, "!")
	for name, want := range map[string]string{
		"earliest": "abcd!", "default": "abcd!", "latest": "!", "offset": "cd!", "end": "!", "time": "d!",
		"early-time": "abcd!", "future-time": "!",
	} {
		t.Run(name, func(t *testing.T) {
			s := subscribe(t, b, name, broker.SubscribeOptions{From: broker.Latest}) // it is no longer new
			require.Equal(t, want, strings.Join(payloads(receive(t, s, len(want))), ""))
		})
	}
	_, err := b.Subscribe("cases", "beyond", broker.SubscribeOptions{From: broker.FromOffset(6)})
	require.ErrorIs(t, err, broker.ErrBadPosition)
}

func TestWindowBoundsWhatIsInFlight(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	s := subscribe(t, b, "g", broker.SubscribeOptions{Window: 2})
	other := subscribe(t, b, "g", broker.SubscribeOptions{Window: 1})
	publishN(t, b, 10)
	ds := receive(t, s, 2)
	nothing(t, s)
	require.Equal(t, []string{"2"}, payloads(receive(t, other, 1)))
	require.NoError(t, ds[1].Ack())
	require.Equal(t, []string{"3"}, payloads(receive(t, s, 1)))
	require.NoError(t, ds[0].Release(0))
	require.Equal(t, []string{"0"}, payloads(receive(t, s, 1)))
}

// TestFullWindowDoesNotBlockOthers: a waiter that may get nothing stands before one that may.
func TestFullWindowDoesNotBlockOthers(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	full := subscribe(t, b, "g", broker.SubscribeOptions{Window: 1})
	other := subscribe(t, b, "g", broker.SubscribeOptions{})
	publish(t, b, "a")
	held := receive(t, full, 1)
	got := make(chan []broker.Delivery)
	for _, s := range []*broker.Subscription{full, other} {
		go func() {
			ds, _ := s.Receive(t.Context(), 1)
			got <- ds
		}()
	}
	publish(t, b, "b")
	require.Equal(t, []string{"b"}, payloads(<-got))
	publish(t, b, "c")
	require.NoError(t, held[0].Ack())
	require.Equal(t, []string{"c"}, payloads(<-got))
}

func TestUnackedMessagesAreBounded(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{MaxUnacked: 10})
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	publishN(t, b, 20)
	ds := receive(t, s, 10)
	nothing(t, s)
	for _, d := range ds[2:5] {
		require.NoError(t, d.Ack())
	}
	receive(t, s, 3)
	nothing(t, s)
}

// TestOneMessageHoldsUpNoOther: one that is due far ahead, the rest of a key behind it, and one in hand for long. All that
// comes after is delivered, before and after a restart, however much it is.
func TestOneMessageHoldsUpNoOther(t *testing.T) {
	dir := t.TempDir()
	o := broker.Options{MaxUnacked: 10, LockTimeout: time.Hour}
	b := openTopic(t, dir, o)
	ordered := broker.SubscribeOptions{Ordered: true}
	s := subscribe(t, b, "g", ordered)
	far := broker.Message{Key: "k", DeliverAt: time.Now().AddDate(0, 6, 0), Payload: []byte("far")}
	for _, m := range []broker.Message{far, {Payload: []byte("in hand")}, {Key: "k", Payload: []byte("behind far")}} {
		_, err := b.Publish(t.Context(), "cases", m)
		require.NoError(t, err)
	}
	held := receive(t, s, 1)
	require.Equal(t, []string{"in hand"}, payloads(held))
	pass := func(s *broker.Subscription) {
		for range 20 {
			for i := range 10 {
				_, err := b.Publish(t.Context(), "cases", broker.Message{Key: fmt.Sprint("other", i), Payload: []byte("x")})
				require.NoError(t, err)
			}
			for n := 0; n < 10; {
				for _, d := range receive(t, s, 1) {
					require.Equal(t, "x", string(d.Payload))
					require.NoError(t, d.Ack())
					n++
				}
			}
		}
	}
	pass(s)
	info, err := b.Group("cases", "g")
	require.NoError(t, err)
	require.Equal(t, []int{3, 3, 1, 1}, []int{info.Unacked, info.Lag, info.InFlight, info.Delayed})
	require.Zero(t, info.Start)
	require.False(t, info.Full)
	require.NoError(t, b.Close())
	b = open(t, dir, o)
	s = subscribe(t, b, "g", ordered)
	again := receive(t, s, 1)
	require.Equal(t, []string{"in hand"}, payloads(again))
	pass(s)
	require.NoError(t, again[0].Ack())
	info, err = b.Group("cases", "g")
	require.NoError(t, err)
	require.Equal(t, 2, info.Unacked)
}

func TestSubscriptionCloseGivesBackUncounted(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	leaving := subscribe(t, b, "g", broker.SubscribeOptions{})
	staying := subscribe(t, b, "g", broker.SubscribeOptions{})
	publish(t, b, "a", "b")
	ds := receive(t, leaving, 2)
	waiting := make(chan error)
	go func() {
		_, err := leaving.Receive(t.Context(), 1)
		waiting <- err
	}()
	require.NoError(t, leaving.Close())
	require.NoError(t, leaving.Close())
	require.ErrorIs(t, <-waiting, broker.ErrClosed)
	require.NoError(t, ds[1].Ack(), "nobody else has it yet")
	again := receive(t, staying, 1)
	require.Equal(t, []string{"a"}, payloads(again))
	require.Equal(t, 1, again[0].Count)
	require.ErrorIs(t, ds[0].Ack(), broker.ErrLockLost)
	nothing(t, staying)
	_, err := leaving.Receive(t.Context(), 1)
	require.ErrorIs(t, err, broker.ErrClosed)
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() {
		_, err := s.Receive(ctx, 1)
		got <- err
	}()
	cancel()
	require.ErrorIs(t, <-got, context.Canceled)
	publish(t, b, "a")
	require.Equal(t, 1, receive(t, s, 1)[0].Count)
}

func TestReject(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	publish(t, b, "bad")
	d := receive(t, s, 1)[0]
	require.NoError(t, d.Reject(strings.Repeat("é", 600)))
	require.ErrorIs(t, d.Reject("again"), broker.ErrLockLost)
	info, err := b.Group("cases", "g")
	require.NoError(t, err)
	require.Equal(t, uint64(1), info.Start)
	dead, err := b.Subscribe("cases.dead", "g", broker.SubscribeOptions{})
	require.NoError(t, err)
	letter := receive(t, dead, 1)[0]
	require.Equal(t, "bad", string(letter.Payload))
	require.Equal(t, strings.Repeat("é", 500), letter.Header(broker.DeadReason))
	require.Equal(t, "1", letter.Header(broker.DeadCount))
	require.NoError(t, letter.Reject("still bad"))
	require.Equal(t, []string{"cases", "cases.dead", "cases.dead.dead"}, b.Topics())
}

func TestInvalid(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{MaxMessageBytes: 10})
	for _, name := range []string{"", ".", "..", "...", "a/b", "../x", "a b", "é", strings.Repeat("x", 129)} {
		require.ErrorIs(t, b.CreateTopic(t.Context(), name), broker.ErrInvalid, "topic %q", name)
		_, err := b.Subscribe("cases", name, broker.SubscribeOptions{})
		require.ErrorIs(t, err, broker.ErrInvalid, "group %q", name)
	}
	require.NoError(t, b.CreateTopic(t.Context(), strings.Repeat("x", 128)))
	for name, m := range map[string]broker.Message{
		"payload":    {Payload: make([]byte, 11)},
		"id":         {ID: strings.Repeat("x", broker.MaxID+1)},
		"key":        {Key: strings.Repeat("x", broker.MaxKey+1)},
		"headers":    {Headers: make([]broker.Header, broker.MaxHeaders+1)},
		"header":     {Headers: []broker.Header{{Value: strings.Repeat("x", broker.MaxHeaderBytes+1)}}},
		"not utf-8":  {Key: "\xff"},
		"bad header": {Headers: []broker.Header{{Name: "\xff"}}},
	} {
		_, err := b.Publish(t.Context(), "cases", broker.Message{}, m)
		require.ErrorIs(t, err, broker.ErrInvalid, name)
	}
	_, err := b.Publish(t.Context(), "cases")
	require.ErrorIs(t, err, broker.ErrInvalid)
	huge := broker.Message{Headers: []broker.Header{{Value: strings.Repeat("x", 8000)}}}
	_, err = b.Publish(t.Context(), "cases", slices.Repeat([]broker.Message{huge}, 1000)...)
	require.ErrorIs(t, err, broker.ErrInvalid)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Publish(ended, "cases", broker.Message{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = b.Publish(t.Context(), "nowhere", broker.Message{})
	require.ErrorIs(t, err, broker.ErrNoTopic)
	_, err = b.Subscribe("nowhere", "g", broker.SubscribeOptions{})
	require.ErrorIs(t, err, broker.ErrNoTopic)
	_, err = b.Group("cases", "nobody")
	require.ErrorIs(t, err, broker.ErrNoGroup)
	_, err = b.Subscribe("cases", "g", broker.SubscribeOptions{Window: -1})
	require.ErrorIs(t, err, broker.ErrInvalid)
	_, err = broker.Open(t.TempDir(), broker.Options{MaxUnacked: 1 << 30})
	require.ErrorIs(t, err, broker.ErrInvalid)
	end, err := b.End("cases")
	require.NoError(t, err)
	require.Zero(t, end)
}

func TestDeduplication(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{DedupMessages: 3})
	send := func(want uint64, ids ...string) {
		t.Helper()
		var msgs []broker.Message
		for _, id := range ids {
			msgs = append(msgs, broker.Message{ID: id})
		}
		first, err := b.Publish(t.Context(), "cases", msgs...)
		require.NoError(t, err)
		require.Equal(t, want, first)
	}
	end := func(want uint64) {
		t.Helper()
		got, err := b.End("cases")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	send(0, "a")
	send(0, "a")
	send(1, "b", "a", "b", "c") // two of them are known
	end(3)
	send(3, "", "")
	end(5)
	require.NoError(t, b.Close())
	b = open(t, dir, broker.Options{DedupMessages: 3})
	send(2, "c") // the tail of the log tells
	send(5, "a") // more than three messages ago
	end(6)
}

// TestDuplicateOfOneInFlight: many send the same at once, one is stored, all get its offset.
func TestDuplicateOfOneInFlight(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	type answer struct {
		id     string
		offset uint64
		err    error
	}
	answers := make(chan answer)
	for i := range 200 {
		go func() {
			id := fmt.Sprint(i % 10)
			offset, err := b.Publish(t.Context(), "cases", broker.Message{ID: id})
			answers <- answer{id, offset, err}
		}()
	}
	offsets := make(map[string]uint64)
	for range 200 {
		a := <-answers
		require.NoError(t, a.err)
		if at, ok := offsets[a.id]; ok {
			require.Equal(t, at, a.offset)
		}
		offsets[a.id] = a.offset
	}
	end, err := b.End("cases")
	require.NoError(t, err)
	require.Equal(t, uint64(10), end)
}
