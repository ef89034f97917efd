package embedded_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/dispatcher/embedded"
	"casepress/store"
	"casepress/tasks"
)

// What fails at its last attempt is kept among the dead letters, once for each failure.
func TestFailedIsADeadLetter(t *testing.T) {
	h, _ := open(t, options{
		Dir: t.TempDir(), Config: dispatcher.Config{Retry: dispatcher.RetryPolicy{MaxAttempts: 2, Backoff: time.Millisecond}},
		Work: func(context.Context, tasks.Work) (tasks.Result, error) { return nil, errors.New("the font is broken") },
	})
	h.Submit(t, report("CR-1"))
	require.Equal(t, tasks.Failed, h.Final(t, "CR-1").Status)
	requireDead(t, h, 1)
	dead, err := h.Broker.Read(broker.DeadLetterTopic(tasks.TopicCaseReports), 0)
	require.NoError(t, err)
	require.Contains(t, dead.Header(broker.DeadReason), "the font is broken")
	_, err = h.Restart(t.Context(), ref("CR-1"))
	require.NoError(t, err)
	requireDead(t, h, 2)
}

// What else is due on a reserved lane passes by its suspects; these wait for each other, and for no other lane.
func TestReservedLanesDoNotWait(t *testing.T) {
	workers := []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: 4, Reserved: true}}
	ledger := embedded.Config{Reserved: []string{dispatchertest.Lane}}
	begun := make(chan string, 16)
	h, shut := open(t, options{Dir: t.TempDir(), Config: dispatcher.Config{Lanes: workers}, Ledger: ledger, Work: holding(begun)})
	for i := range 2 {
		h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
		<-begun
	}
	dir := die(t, h, shut)
	h, shut = open(t, options{Dir: dir, Config: dispatcher.Config{Lanes: workers}, Ledger: ledger, Work: holding(begun)})
	h.Submit(t, report("CR-new"))
	seen := map[string]bool{<-begun: true, <-begun: true} // although neither ends
	require.True(t, seen["CR-new"])
	require.Empty(t, begun, "of two suspects one")
	shut(true)

	// On a lane that is not reserved they come one after the other.
	workers[0].Reserved = false
	h, shut = open(t, options{Dir: dir, Config: dispatcher.Config{Lanes: workers}})
	for _, id := range []string{"CR-0", "CR-1", "CR-new"} {
		require.Equal(t, tasks.Completed, h.Final(t, id).Status)
	}
	shut(false)
}

// A claim that is given up while a suspect is in work keeps nothing: what it had received is due at once afterwards.
func TestGivenUpAtTheGate(t *testing.T) {
	begun := make(chan string, 1)
	h, shut := open(t, options{Dir: t.TempDir(), Work: holding(begun)})
	h.Submit(t, report("suspect"))
	<-begun
	dir := die(t, h, shut)

	s := dispatchertest.OpenStorage(t, dir, broker.Options{})
	defer func() { require.NoError(t, s.Shut(t)) }()
	l, err := embedded.Open(t.Context(), embedded.Config{Broker: s.Broker, Store: s.Store, Lease: time.Hour})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close(t.Context())) }()
	claim := func(patience time.Duration) ([]dispatcher.Claim, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return l.Claim(ctx, dispatchertest.Lane, 1, time.Second)
	}
	suspect, err := claim(dispatchertest.Patience)
	require.NoError(t, err)
	require.True(t, suspect[0].Row.Suspect)
	_, err = l.Accept(t.Context(), submission(report("CR-1")))
	require.NoError(t, err)
	_, err = claim(100 * time.Millisecond)
	require.ErrorIs(t, err, context.DeadlineExceeded, "nothing begins beside a suspect")
	errs := l.Complete(t.Context(), []dispatcher.Completion{{Claim: suspect[0], Result: pages(1)}})
	require.NoError(t, errs[0])
	next, err := claim(dispatchertest.Patience)
	require.NoError(t, err)
	require.Equal(t, "CR-1", next[0].Row.ID)
	require.Equal(t, 1, next[0].Attempt)
	require.NoError(t, l.GiveBack(t.Context(), next))
}

// A claim that waits at the gate for longer than a lease keeps what it has received: no second delivery comes, and the
// pause after a failed attempt is kept.
func TestAWaitAtTheGateKeepsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan string, 1)
		h, shut := open(t, options{Dir: t.TempDir(), Work: holding(begun)})
		h.Submit(t, report("suspect"))
		<-begun
		dir := die(t, h, shut)

		const lease = time.Second
		starts := make(chan time.Time, 8)
		h, shut = open(t, options{
			Dir: dir, Ledger: embedded.Config{Lease: lease},
			Config: dispatcher.Config{
				Lease: lease, Lanes: []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: 2}},
				Retry: dispatcher.RetryPolicy{MaxAttempts: 2, Backoff: time.Minute, MaxBackoff: time.Minute},
			},
			Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
				if w.Ref().ID == "suspect" {
					time.Sleep(10 * lease)
					return done(ctx, w)
				}
				starts <- time.Now()
				time.Sleep(3 * lease)
				return nil, errors.New("no")
			},
		})
		h.Submit(t, report("CR-1"))
		time.Sleep(2 * time.Minute)
		require.Equal(t, tasks.Failed, h.Final(t, "CR-1").Status)
		require.Equal(t, tasks.Completed, h.Final(t, "suspect").Status)
		shut(false)
		close(starts)
		first, second := <-starts, <-starts
		require.GreaterOrEqual(t, second.Sub(first), 30*time.Second, "the shortest pause")
	})
}

// A second delivery of a submission, such as after a lock that was lost, does not shorten the pause after a failed
// attempt.
func TestASecondDeliveryWaitsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := make(chan time.Time, 8)
		h, shut := open(t, options{
			Dir: t.TempDir(), Config: dispatcher.Config{Retry: dispatcher.RetryPolicy{MaxAttempts: 2, Backoff: time.Minute, MaxBackoff: time.Minute}},
			Work: func(context.Context, tasks.Work) (tasks.Result, error) {
				starts <- time.Now()
				return nil, errors.New("no")
			},
		})
		h.Submit(t, report("CR-1"))
		h.Until(t, "CR-1", func(r store.Row) bool { return r.Status == tasks.Retrying })
		record, err := tasks.NewSubmission(tasks.KindRetry(), tasks.NewRetry(ref("CR-1"), 1)).Encode()
		require.NoError(t, err)
		_, err = h.Broker.Publish(t.Context(), tasks.TopicCaseReports, broker.Message{Payload: record})
		require.NoError(t, err)
		time.Sleep(29 * time.Second)
		require.Len(t, starts, 1)
		time.Sleep(time.Minute)
		require.Equal(t, tasks.Failed, h.Final(t, "CR-1").Status)
		require.Len(t, starts, 2)
		shut(false)
	})
}

// A lost lease: somebody else has the submission, and the lock of the delivery is told as lost.
func TestRenewTellsWhatIsLost(t *testing.T) {
	s := dispatchertest.OpenStorage(t, t.TempDir(), broker.Options{})
	defer func() { require.NoError(t, s.Shut(t)) }()
	l, err := embedded.Open(t.Context(), embedded.Config{Broker: s.Broker, Store: s.Store, Lease: 20 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close(t.Context())) }()
	_, err = l.Accept(t.Context(), submission(report("CR-1")))
	require.NoError(t, err)
	claims, err := l.Claim(t.Context(), dispatchertest.Lane, 1, 20*time.Millisecond)
	require.NoError(t, err)
	require.Empty(t, l.Renew(t.Context(), 20*time.Millisecond, claims))
	// Another member of the group takes the delivery once its lock has run out.
	other, err := s.Broker.Subscribe(tasks.TopicCaseReports, "workers", broker.SubscribeOptions{LockTimeout: time.Minute})
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	taken, err := other.Receive(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, claims, l.Renew(t.Context(), 20*time.Millisecond, claims))
	newer, err := s.Store.Claim(t.Context(), []tasks.Ref{ref("CR-1")})
	require.NoError(t, err)
	require.Equal(t, 2, newer[0].Row.Attempts)
	errs := l.Complete(t.Context(), []dispatcher.Completion{{Claim: claims[0], Result: pages(99)}})
	require.ErrorIs(t, errs[0], dispatcher.ErrStale, "the newer attempt wins")
	require.NoError(t, taken[0].Renew(), "and its delivery is left alone")
	require.Empty(t, l.Renew(t.Context(), 20*time.Millisecond, claims), "what has ended is not lost")
}

// The largest batch is completed in one transaction of the rows.
func TestCompleteIsOneCommit(t *testing.T) {
	const size = 512
	dir := t.TempDir()
	s := dispatchertest.OpenStorage(t, dir, broker.Options{})
	defer func() { require.NoError(t, s.Shut(t)) }()
	l, err := embedded.Open(t.Context(), embedded.Config{Broker: s.Broker, Store: s.Store})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close(t.Context())) }()
	accepted := make(chan error, size)
	for i := range size {
		go func() {
			_, err := l.Accept(t.Context(), submission(report(fmt.Sprint(i))))
			accepted <- err
		}()
	}
	for range size {
		require.NoError(t, <-accepted)
	}
	var completions []dispatcher.Completion
	for len(completions) < size {
		claims, err := l.Claim(t.Context(), dispatchertest.Lane, size, time.Second)
		require.NoError(t, err)
		for _, c := range claims {
			completions = append(completions, dispatcher.Completion{Claim: c, Result: pages(1)})
		}
	}
	before := commits(t, dir)
	for _, err := range l.Complete(t.Context(), completions) {
		require.NoError(t, err)
	}
	require.Equal(t, before+1, commits(t, dir))
	require.Len(t, events(t, s.Broker), size)
}

// commits counts the transactions in SQLite's write-ahead log: the last frame of each has the size of the database.
// See https://www.sqlite.org/fileformat2.html#walformat.
func commits(t *testing.T, dir string) (n int) {
	t.Helper()
	wal, err := os.ReadFile(filepath.Join(dir, "casepress.db-wal"))
	require.NoError(t, err)
	const header, frameHeader = 32, 24
	page := int(binary.BigEndian.Uint32(wal[8:]))
	salts := string(wal[16:24])
	for frame := wal[header:]; len(frame) >= frameHeader+page; frame = frame[frameHeader+page:] {
		if string(frame[8:16]) != salts {
			break // of the time before the log began again
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 {
			n++
		}
	}
	return n
}
