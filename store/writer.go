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

// maxOpsPerCommit bounds how many writes share one transaction, and so how long the first of them waits.
const maxOpsPerCommit = 512

// op is one caller's write on its way through the writer.
type op struct {
	ctx context.Context
	run func(*change) error // may run twice, see [writer.commit]
	// claim is the call of Claim that this is, if it is one.
	claim *claimWrite
	change
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
// transaction takes them all.
type writer struct {
	db      *sql.DB
	conn    *sql.Conn // the only one
	stmts   *statements
	signal  func(refs []tasks.Ref)
	failing atomic.Bool   // the last transaction or a part of it failed
	commits atomic.Uint64 // transactions committed

	mu      sync.Mutex // guards queue and stopped
	queue   []*op
	stopped bool

	wake chan struct{} // holds one token: the queue or stopped has changed
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
	return &op{ctx: ctx, run: run, done: make(chan struct{}), change: change{stmts: stmts}}
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
	w.queue = append(w.queue, ops...)
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
	for range w.wake {
		ops, stopped := w.take()
		for together := range slices.Chunk(ops, maxOpsPerCommit) {
			w.commit(together)
		}
		if stopped {
			return
		}
		w.gather(len(ops))
	}
}

// gatherDelay is how long writes that wait may wait for more, which is less than a commit takes.
const gatherDelay = 200 * time.Microsecond

// gather lets those whose writes have just been answered come back before the next transaction begins, if others wait for
// it already: all in one transaction write fewer pages than in two, and wait for the disk once.
func (w *writer) gather(answered int) {
	w.mu.Lock()
	expected := len(w.queue) + answered
	w.mu.Unlock()
	if answered < 2 || expected == answered {
		return
	}
	defer w.wakeUp() // whatever tokens are taken here
	timer := time.NewTimer(gatherDelay)
	defer timer.Stop()
	for {
		select {
		case <-w.wake:
		case <-timer.C:
			return
		}
		w.mu.Lock()
		enough := len(w.queue) >= expected || w.stopped
		w.mu.Unlock()
		if enough {
			return
		}
	}
}

// take empties the queue. A write whose caller has gone is answered and not done: a claim that nobody waits for
// would only use up an attempt.
func (w *writer) take() (ops []*op, stopped bool) {
	w.mu.Lock()
	queue, stopped := w.queue, w.stopped
	w.queue = nil
	w.mu.Unlock()
	for _, o := range queue {
		if err := o.ctx.Err(); err != nil {
			o.answer(err)
			continue
		}
		ops = append(ops, o)
	}
	return ops, stopped
}

func (o *op) answer(err error) {
	o.err = err
	close(o.done)
}

// commit puts ops into one transaction and answers them. If one of them fails, it is done again with a
// savepoint before each, so that one that fails spoils none of the others; if the transaction as a whole
// fails, all of them fail.
func (w *writer) commit(ops []*op) {
	err := w.transact(ops, false)
	if _, one := errors.AsType[*abortedError](err); one && len(ops) > 1 {
		err = w.transact(ops, true)
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
}

// transact runs ops in one transaction. A refusal is the answer to one of them and has changed nothing, so
// the others go on; so they do after any other error if savepoints undo it, else it rolls back.
func (w *writer) transact(ops []*op, savepoints bool) error {
	tx, err := w.conn.BeginTx(context.Background(), nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// The statements belong to the writer's only connection and so run within the transaction that is
	// open on it.
	for _, o := range ops {
		o.changed, o.refs, o.follow = 0, nil, nil
	}
	if !savepoints {
		if ops, err = claimTogether(ops); err != nil {
			_ = tx.Rollback() // the failed statement may have ended it already
			return &abortedError{err}
		}
	}
	for _, o := range ops {
		run := o.guarded
		if savepoints {
			run = o.runWithSavepoint
		}
		o.failed = run(&o.change)
		if _, all := errors.AsType[*abortedError](o.failed); all || o.failed != nil && !savepoints && !refusal(o.failed) {
			_ = tx.Rollback() // the failed statement may have ended it already
			return &abortedError{o.failed}
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.commits.Add(1)
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
