package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"casepress/tasks"
)

const (
	// maxOpsPerCommit bounds how many writes, urgent and others apart, share one transaction.
	maxOpsPerCommit = 512
	// urgentShare and othersShare are how many rows either may change in one transaction while the other waits.
	urgentShare = 384
	othersShare = 128
)

// urgentKey is the key of [Urgent].
type urgentKey struct{}

// Urgent returns a context whose writes go before all others that wait, and end a transaction of others that is under way
// early. However many urgent ones there are, a quarter of the rows that are written is left to others.
func Urgent(ctx context.Context) context.Context { return context.WithValue(ctx, urgentKey{}, true) }

// op is one caller's write on its way through the writer.
type op struct {
	ctx    context.Context
	urgent bool
	run    func(*change) error // may run twice, see [writer.commit]
	// claim is the call of Claim that this is, if it is one.
	claim *claimWrite
	change
	ran    bool  // in the transaction that was begun last
	failed error // what run returned
	err    error // set before done is closed
	done   chan struct{}
}

// change is what a write does within its transaction and what follows from it once the transaction has
// committed. It is the [tasks.Tx] of that transaction.
type change struct {
	stmts   *statements
	changed int64       // rows so far
	refs    []tasks.Ref // whose watchers are to be woken
	follow  []func()    // run by the writer before the caller is answered
}

// Exec runs a statement and returns how many rows it changed.
func (c *change) Exec(query string, args ...any) (int64, error) {
	res, err := c.stmts.exec(context.Background(), query, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	c.changed += n
	return n, err
}

func (c *change) Query(query string, args ...any) (*sql.Rows, error) {
	return c.stmts.query(context.Background(), query, args...)
}

// writer is the one goroutine that writes. Those who come while it commits wait together, and the next
// transaction takes as many of them as it may, urgent ones first:
//
//	urgent ──┐ up to 384 rows if others wait
//	         ├──> transaction ──> commit ──> answers
//	others ──┘ beyond 128 rows only until an urgent one waits
type writer struct {
	db      *sql.DB
	conn    *sql.Conn // the only one
	stmts   *statements
	signal  func(refs []tasks.Ref)
	failing atomic.Bool   // the last transaction or a part of it failed
	commits atomic.Uint64 // transactions committed

	mu      sync.Mutex // guards urgent, others and stopped
	urgent  []*op
	others  []*op
	stopped bool

	wake chan struct{} // holds one token: a queue or stopped has changed
	done chan struct{} // closed when the goroutine has ended
}

func startWriter(ctx context.Context, db *sql.DB, signal func(refs []tasks.Ref)) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{
		db: db, conn: conn, stmts: newStatements(conn), signal: signal,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go w.loop()
	return w, nil
}

// write hands run to the writer and waits until it is durable.
func (s *Store) write(ctx context.Context, run func(*change) error) error {
	return s.writeAll(ctx, []func(*change) error{run})[0]
}

// writeAll hands several writes to the writer, which puts them into one transaction as far as maxOpsPerCommit
// allows, and waits until they are durable. Each has an error of its own and spoils none of the others.
func (s *Store) writeAll(ctx context.Context, runs []func(*change) error) []error {
	ops := make([]*op, len(runs))
	for i, run := range runs {
		ops[i] = newOp(ctx, s.writer.stmts, run)
	}
	return s.writeOps(ctx, ops)
}

func newOp(ctx context.Context, stmts *statements, run func(*change) error) *op {
	return &op{ctx: ctx, urgent: ctx.Value(urgentKey{}) != nil, run: run, done: make(chan struct{}), change: change{stmts: stmts}}
}

func (s *Store) writeOps(ctx context.Context, ops []*op) []error {
	errs := make([]error, len(ops))
	if err := s.writer.enqueue(ops); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i, o := range ops {
		select {
		case <-o.done:
			errs[i] = o.err
		case <-ctx.Done():
			select {
			case <-o.done: // known after all
				errs[i] = o.err
			default:
				errs[i] = ctx.Err()
			}
		}
	}
	return errs
}

func (w *writer) enqueue(ops []*op) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return ErrClosed
	}
	for _, o := range ops {
		if o.urgent {
			w.urgent = append(w.urgent, o)
		} else {
			w.others = append(w.others, o)
		}
	}
	w.wakeUp()
	return nil
}

func (w *writer) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		urgent, others, stopped := w.take()
		if len(urgent)+len(others) > 0 {
			w.gather(w.commit(urgent, others))
			continue
		}
		if stopped {
			return
		}
		<-w.wake
	}
}

// gatherDelay is how long writes that wait may wait for more, which is less than a commit takes.
const gatherDelay = 200 * time.Microsecond

// gather lets those whose writes have just been answered come back before the next transaction begins, if others wait for
// it already: all in one transaction write fewer pages than in two, and wait for the disk once.
func (w *writer) gather(answered int) {
	w.mu.Lock()
	waiting, urgent := len(w.others), len(w.urgent)
	w.mu.Unlock()
	if answered < 2 || waiting == 0 || urgent > 0 {
		return
	}
	timer := time.NewTimer(gatherDelay)
	defer timer.Stop()
	for {
		select {
		case <-w.wake:
		case <-timer.C:
			return
		}
		w.mu.Lock()
		enough := len(w.others) >= waiting+answered || len(w.urgent) > 0 || w.stopped
		w.mu.Unlock()
		if enough {
			return
		}
	}
}

// take returns the writes for the next transaction, and whether there will be none any more.
func (w *writer) take() (urgent, others []*op, stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	urgent, w.urgent = cut(w.urgent)
	others, w.others = cut(w.others)
	return urgent, others, w.stopped
}

// cut cuts off what one transaction takes of a queue at most. A write whose caller has gone is answered and not done: a claim
// that nobody waits for would only use up an attempt.
func cut(queue []*op) (first, rest []*op) {
	for i, o := range queue {
		if len(first) == maxOpsPerCommit {
			return first, queue[i:]
		}
		if err := o.ctx.Err(); err != nil {
			o.answer(err)
			continue
		}
		first = append(first, o)
	}
	return first, nil
}

// putBack puts what no transaction took up before all that came meanwhile.
func (w *writer) putBack(urgent, others []*op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.urgent = slices.Concat(urgent, w.urgent)
	w.others = slices.Concat(others, w.others)
}

func (w *writer) urgentWaits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.urgent) > 0
}

func (o *op) answer(err error) {
	o.err = err
	close(o.done)
}

// commit puts as many of the writes into one transaction as it may, answers them, and puts the others back. If one of them
// fails, it is done again with a savepoint before each, so that one that fails spoils none of the others; if the transaction as
// a whole fails, all that it took up fail. It returns how many it has answered, 0 if some were put back.
func (w *writer) commit(urgent, others []*op) (answered int) {
	all := slices.Concat(urgent, others)
	err := w.transact(urgent, others, false)
	if _, one := errors.AsType[*abortedError](err); one && len(all) > 1 {
		err = w.transact(urgent, others, true)
	}
	ops := onlyRan(all, true)
	if len(ops) == 0 { // no transaction could begin
		ops = all
	}
	if len(ops) < len(all) {
		w.putBack(onlyRan(urgent, false), onlyRan(others, false))
	}
	failing := func(err error) bool { return err != nil && !refusal(err) && !errors.Is(err, ErrBadResult) }
	w.failing.Store(failing(err) || slices.ContainsFunc(ops, func(o *op) bool { return failing(o.failed) }))
	for _, o := range ops {
		if err != nil {
			o.answer(err)
			continue
		}
		if o.failed == nil {
			for _, f := range o.follow {
				f()
			}
			w.signal(o.refs)
		}
		o.answer(o.failed)
	}
	if len(ops) < len(all) {
		return 0
	}
	return len(ops)
}

// onlyRan returns those of the ops that the last transaction has, or has not, taken up.
func onlyRan(ops []*op, ran bool) (some []*op) {
	for _, o := range ops {
		if o.ran == ran {
			some = append(some, o)
		}
	}
	return some
}

// transact runs as many of the writes as may share a transaction: at least one of each queue. After an error it is rolled
// back; with savepoints only an error ends it that no savepoint undoes.
func (w *writer) transact(urgent, others []*op, savepoints bool) error {
	for _, o := range slices.Concat(urgent, others) {
		o.ran = false
	}
	tx, err := w.conn.BeginTx(context.Background(), nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// The statements belong to the writer's only connection and so run within the transaction that is
	// open on it.
	err = runWhile(urgent, savepoints, func(changed int64) bool { return changed < urgentShare || len(others) == 0 })
	if err == nil {
		someLeft := len(onlyRan(urgent, false)) > 0
		err = runWhile(others, savepoints, func(changed int64) bool { return changed < othersShare || !someLeft && !w.urgentWaits() })
	}
	if err != nil {
		_ = tx.Rollback() // the failed statement may have ended it already
		return &abortedError{err}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.commits.Add(1)
	return nil
}

// runWhile runs ops one after the other: the first in any case, and the next one if more says so of how many rows those
// before have changed. Without savepoints calls of Claim are run together.
func runWhile(ops []*op, savepoints bool, more func(changed int64) bool) (err error) {
	left, changed := ops, int64(0)
	if !savepoints {
		if left, changed, err = claimTogether(ops); err != nil {
			return err
		}
	}
	for i, o := range left {
		if (i > 0 || changed > 0) && !more(changed) {
			break
		}
		if err := o.do(savepoints); err != nil {
			return err
		}
		changed += o.changed
	}
	return nil
}

// begin forgets what an earlier transaction was to change.
func (o *op) begin() { o.ran, o.changed, o.refs, o.follow = true, 0, nil, nil }

// do runs the write. It returns an error if that spoils the whole transaction: a refusal is the answer to this one and has
// changed nothing, and neither has what a savepoint has undone.
func (o *op) do(savepoint bool) error {
	o.begin()
	if !savepoint {
		if o.failed = o.guarded(&o.change); o.failed != nil && !refusal(o.failed) {
			return o.failed
		}
		return nil
	}
	o.failed = o.runWithSavepoint(&o.change)
	if _, aborted := errors.AsType[*abortedError](o.failed); aborted {
		return o.failed
	}
	return nil
}

// guarded runs the write. A panic, which the code of a kind may raise in it, is an error of this write alone.
func (o *op) guarded(c *change) error {
	return tasks.Guard(func() error { return o.run(c) })
}

// runWithSavepoint runs the write and undoes what it did if it fails. Some errors end the transaction: then there is
// no savepoint to go back to any more, and the error is an abortedError.
func (o *op) runWithSavepoint(c *change) error {
	if _, err := c.Exec(`SAVEPOINT one`); err != nil {
		return &abortedError{err}
	}
	failed := o.guarded(c)
	if failed != nil {
		if _, err := c.Exec(`ROLLBACK TO SAVEPOINT one`); err != nil {
			return &abortedError{failed}
		}
	}
	if _, err := c.Exec(`RELEASE SAVEPOINT one`); err != nil {
		return &abortedError{err}
	}
	return failed
}

// abortedError is the error of one write that ended its transaction.
type abortedError struct{ err error }

func (e *abortedError) Error() string { return e.err.Error() }
func (e *abortedError) Unwrap() error { return e.err }

func refusal(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrFinal) || errors.Is(err, ErrStale)
}

// stop ends the goroutine after the writes that wait.
func (w *writer) stop() {
	w.mu.Lock()
	w.stopped = true
	w.wakeUp()
	w.mu.Unlock()
	<-w.done
}

// close closes the connection; stop comes first.
func (w *writer) close() error {
	return errors.Join(w.stmts.close(), w.conn.Close(), w.db.Close())
}
