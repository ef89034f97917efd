package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// maxTogether bounds how many callers' writes share one transaction, and so how
// long the first of them waits.
const maxTogether = 512

// op is one caller's write on its way through the writer.
type op struct {
	ctx context.Context
	run func(*change) error // may run twice, see [writer.commit]
	change
	refused error // what run returned
	err     error // set before done is closed
	done    chan struct{}
}

// change is what a write does within its transaction and what follows from it
// once the transaction has committed.
type change struct {
	stmts  *statements
	rows   []string // ids whose watchers are to be woken
	follow []func() // run by the writer before the caller is answered
}

func (c *change) exec(query string, args ...any) (sql.Result, error) {
	return c.stmts.exec(context.Background(), query, args...)
}

// affects runs query and returns how many rows it changed.
func (c *change) affects(query string, args ...any) (int64, error) {
	res, err := c.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// writer is the one goroutine that writes. Those who come while it commits wait
// together, and the next transaction takes them all.
type writer struct {
	db      *sql.DB
	conn    *sql.Conn // the only one
	stmts   *statements
	signal  func(ids []string)
	failing atomic.Bool   // the last transaction failed
	commits atomic.Uint64 // transactions committed

	mu      sync.Mutex // guards queue and stopped
	queue   []*op
	stopped bool

	wake chan struct{} // holds one token: the queue or stopped has changed
	done chan struct{} // closed when the goroutine has ended
}

func startWriter(ctx context.Context, db *sql.DB, signal func(ids []string)) (*writer, error) {
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
	o := &op{ctx: ctx, run: run, done: make(chan struct{}), change: change{stmts: s.writer.stmts}}
	if err := s.writer.enqueue(o); err != nil {
		return err
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) enqueue(o *op) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return ErrClosed
	}
	w.queue = append(w.queue, o)
	w.nudge()
	return nil
}

func (w *writer) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) loop() {
	defer close(w.done)
	for range w.wake {
		ops, stopped := w.take()
		for together := range slices.Chunk(ops, maxTogether) {
			w.commit(together)
		}
		if stopped {
			return
		}
	}
}

// take empties the queue. It answers those for whom nobody waits any more: a
// claim without a claimant would only cost an attempt.
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

// commit puts ops into one transaction and answers them. If one of them fails,
// each gets a transaction of its own, so that it spoils none of the others; if
// the transaction as a whole fails, all of them fail.
func (w *writer) commit(ops []*op) {
	err := w.transact(ops)
	if _, one := errors.AsType[*spoiledError](err); one && len(ops) > 1 {
		for i := range ops {
			w.commit(ops[i : i+1])
		}
		return
	}
	w.failing.Store(err != nil)
	for _, o := range ops {
		if err != nil {
			o.answer(err)
			continue
		}
		for _, f := range o.follow {
			f()
		}
		w.signal(o.rows)
		o.answer(o.refused)
	}
}

// transact runs ops in one transaction. A refusal is the answer to one of them
// and has changed nothing, so the others go on; any other error rolls back.
func (w *writer) transact(ops []*op) error {
	tx, err := w.conn.BeginTx(context.Background(), nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	for _, o := range ops {
		o.rows, o.follow = nil, nil
		// The statements belong to the writer's only connection and so run
		// within the transaction that is open on it.
		o.refused = o.run(&o.change)
		if o.refused != nil && !refusal(o.refused) {
			_ = tx.Rollback() // the failed statement may have ended it already
			return &spoiledError{o.refused}
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.commits.Add(1)
	return nil
}

// spoiledError is the error of one write in a transaction, not of the transaction.
type spoiledError struct{ err error }

func (e *spoiledError) Error() string { return e.err.Error() }
func (e *spoiledError) Unwrap() error { return e.err }

func refusal(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrFinal) || errors.Is(err, ErrStale)
}

// stop ends the goroutine after the writes that wait.
func (w *writer) stop() {
	w.mu.Lock()
	w.stopped = true
	w.nudge()
	w.mu.Unlock()
	<-w.done
}

// close closes the connection; stop comes first.
func (w *writer) close() error {
	return errors.Join(w.stmts.close(), w.conn.Close(), w.db.Close())
}
