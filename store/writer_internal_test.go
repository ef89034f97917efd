package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// queued makes writes that note their names when they run, and hands them to the writer while that is busy with another one,
// so that it finds all of them at once.
type queued struct {
	*Store
	ran   []string // the writer's until all are answered
	ops   []*op
	busy  chan struct{} // ends the write that the writer is busy with
	after func()        // is done once that is committed; nil: nothing
}

func newQueued(t *testing.T) *queued {
	s, err := Open(t.Context(), t.TempDir()+"/store.db")
	require.NoError(t, err)
	q := &queued{Store: s, busy: make(chan struct{})}
	begun := make(chan struct{})
	q.add(t.Context(), "busy", 0, func() error { close(begun); <-q.busy; return nil })
	<-begun
	q.ops[0].follow = append(q.ops[0].follow, func() {
		if q.after != nil {
			q.after()
		}
	})
	return q
}

// add hands in a write that changes some rows.
func (q *queued) add(ctx context.Context, name string, rows int64, more func() error) {
	o := newOp(ctx, q.writer.stmts, func(c *change) error {
		q.ran = append(q.ran, name)
		c.changed += rows
		return more()
	})
	q.ops = append(q.ops, o)
	if err := q.writer.enqueue([]*op{o}); err != nil {
		panic(err) // the store is open
	}
}

// wait lets the writer go on and returns the errors of all writes but that which it was busy with.
func (q *queued) wait() (errs []error) {
	close(q.busy)
	for _, o := range q.ops[1:] {
		<-o.done
		errs = append(errs, o.err)
	}
	return errs
}

func nothing() error { return nil }

func TestUrgentWritesGoFirst(t *testing.T) {
	q := newQueued(t)
	defer func() { require.NoError(t, q.Close()) }()
	for i := range 3 {
		q.add(t.Context(), fmt.Sprint("other ", i), 1, nothing)
		q.add(Urgent(t.Context()), fmt.Sprint("urgent ", i), 1, nothing)
	}
	commits := q.writer.commits.Load()
	require.Equal(t, make([]error, 6), q.wait())
	require.Equal(t, []string{"busy", "urgent 0", "urgent 1", "urgent 2", "other 0", "other 1", "other 2"}, q.ran)
	require.Equal(t, commits+2, q.writer.commits.Load(), "all that waits shares a transaction")
}

// What is urgent and comes while others share a transaction is not kept waiting by all of them.
func TestUrgentWriteEndsTheTransactionOfOthers(t *testing.T) {
	q := newQueued(t)
	defer func() { require.NoError(t, q.Close()) }()
	urgent := make(chan *op, 1)
	for i := range 6 {
		q.add(t.Context(), fmt.Sprint("other ", i), othersShare/2, func() error {
			if i > 0 {
				return nil
			}
			o := newOp(Urgent(context.Background()), q.writer.stmts, func(*change) error {
				q.ran = append(q.ran, "urgent")
				return nil
			})
			urgent <- o
			return q.writer.enqueue([]*op{o})
		})
	}
	require.Equal(t, make([]error, 6), q.wait())
	<-(<-urgent).done
	require.Equal(t, []string{"busy", "other 0", "other 1", "urgent", "other 2", "other 3", "other 4", "other 5"}, q.ran)
}

// However many are urgent, others have their share of each transaction, and keep their order.
func TestUrgentWritesLeaveOthersTheirShare(t *testing.T) {
	for _, flood := range []int{urgentShare + 50, 2*maxOpsPerCommit + 100} {
		q := newQueued(t)
		want := []string{"busy"}
		others, urgents := 2*othersShare, flood
		for i := range flood {
			q.add(Urgent(t.Context()), "urgent", 1, nothing)
			if i < others {
				q.add(t.Context(), fmt.Sprint("other ", i), 1, nothing)
			}
		}
		for next := 0; urgents > 0 || next < others; {
			now := min(urgents, urgentShare)
			if next == others {
				now = urgents
			}
			want = append(want, slices.Repeat([]string{"urgent"}, now)...)
			urgents -= now
			until := others
			if urgents > 0 {
				until = min(others, next+othersShare)
			}
			for ; next < until; next++ {
				want = append(want, fmt.Sprint("other ", next))
			}
		}
		require.Equal(t, make([]error, flood+others), q.wait())
		require.Equal(t, want, q.ran)
		require.NoError(t, q.Close())
	}
}

// A transaction has an end although nothing is urgent, and what it did not take up is not lost.
func TestTransactionsAreBounded(t *testing.T) {
	const n = 2*maxOpsPerCommit + 1
	q := newQueued(t)
	commits := q.writer.commits.Load()
	want := []string{"busy"}
	for i := range n {
		want = append(want, fmt.Sprint("other ", i))
		q.add(t.Context(), want[i+1], 1, nothing)
	}
	q.writer.mu.Lock()
	q.writer.stopped = true // as Close does
	q.writer.mu.Unlock()
	require.Equal(t, make([]error, n), q.wait())
	require.NoError(t, q.Close())
	require.Equal(t, want, q.ran)
	require.Equal(t, commits+1+3, q.writer.commits.Load())
}

// A write that fails spoils neither those of its transaction nor those that it had not taken up.
func TestFailureInATransactionThatEndsEarly(t *testing.T) {
	q := newQueued(t)
	defer func() { require.NoError(t, q.Close()) }()
	bad := errors.New("bad")
	q.add(t.Context(), "first", 1, nothing)
	urgent := newOp(Urgent(t.Context()), q.writer.stmts, func(*change) error {
		q.ran = append(q.ran, "urgent")
		return nil
	})
	come := sync.OnceValue(func() error { return q.writer.enqueue([]*op{urgent}) })
	q.add(t.Context(), "bad", othersShare, func() error {
		require.NoError(t, come())
		return bad
	})
	q.add(t.Context(), "second", 1, nothing)
	q.add(t.Context(), "third", 1, nothing)
	errs := q.wait()
	<-urgent.done
	require.ErrorIs(t, errs[1], bad)
	errs[1] = nil
	require.Equal(t, make([]error, 4), errs)
	require.Equal(t, []string{"busy", "first", "bad", "first", "bad", "urgent", "second", "third"}, q.ran, "those that had been taken up are done again")
	require.False(t, q.writer.failing.Load())
}

// Where no transaction can begin, all who wait are told.
func TestNoTransactionCanBegin(t *testing.T) {
	q := newQueued(t)
	for i := range 3 {
		q.add(t.Context(), fmt.Sprint("other ", i), 1, nothing)
		q.add(Urgent(t.Context()), fmt.Sprint("urgent ", i), 1, nothing)
	}
	q.after = func() { _ = q.writer.conn.Close() } // it is open
	for _, err := range q.wait() {
		require.ErrorContains(t, err, "begin")
	}
	require.ErrorIs(t, q.Close(), sql.ErrConnDone, "the connection is closed already")
}
