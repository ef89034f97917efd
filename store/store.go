// Package store implements the rows that people ask about: where each submission stands, what came of it,
// and which images a subject has. It never keeps bytes of images or documents, and it never decides what is
// accepted: the log does, and the rows of accepted work can be made again from it.
//
// The rows lie in one SQLite database. All writes go through one goroutine with one connection, which puts
// the writes of everybody who waits into one transaction; reads have connections of their own and never wait
// for a write. The SQL keeps to what PostgreSQL understands too. What only one kind of submission has is
// kept as that kind says, see [tasks.Rows].
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"casepress/tasks"
)

// Store is an open database. Its methods may be called by many goroutines at once. A context given to a
// method that writes ends the wait, not the write: the outcome is then unknown.
//
// Any method may return [ErrDamaged], syscall.ENOSPC where the disk is full, and [ErrReadOnly].
type Store struct {
	path    string
	writer  *writer
	reads   *sql.DB
	queries *statements // on reads
	// ready is read for readiness and for what is urgent, by which lists and exports, however many there are, cannot be held up.
	ready    *sql.DB
	urgent   *statements // on ready
	claims   claims
	watchers watchers
	// pictures says that finished pictures may have been kept since they were none. Few reports are in work for so long that any are,
	// and to look for them at each completion costs a tenth of it.
	pictures atomic.Bool
	damage   atomic.Pointer[error] // set once a damage was met
	close    func() error
}

// Open opens the database file at path, makes it if it is not there, and brings its schema up to date. One
// process at a time may have it open for writing. It reads only what it needs; [Store.Check] reads all.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", explain(path, err))
	}
	return s, nil
}

func open(ctx context.Context, path string) (*Store, error) {
	writes, reads, err := openDatabase(ctx, path, migrations)
	if err != nil {
		return nil, err
	}
	if err := makeTables(ctx, writes); err != nil {
		return nil, errors.Join(err, reads.Close(), writes.Close())
	}
	pictures, err := hasPictures(ctx, reads)
	if err != nil {
		return nil, errors.Join(err, reads.Close(), writes.Close())
	}
	ready, err := openReads(path, readyConnections)
	if err != nil {
		return nil, errors.Join(err, reads.Close(), writes.Close())
	}
	s := &Store{path: path, reads: reads, queries: newStatements(reads), ready: ready, urgent: newStatements(ready)}
	s.pictures.Store(pictures)
	if s.writer, err = startWriter(ctx, writes, s.watchers.signal); err != nil {
		return nil, errors.Join(err, ready.Close(), reads.Close(), writes.Close())
	}
	s.close = sync.OnceValue(s.closeAll)
	return s, nil
}

// Ping reports whether the database can be read, whether a damage was met since Open, and, if the last
// write failed, whether one can be made by now.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.ready.QueryRowContext(ctx, "SELECT 1 FROM schema_migrations LIMIT 1").Scan(&one); err != nil {
		return s.explain(err, "ping: read")
	}
	if damage := s.damage.Load(); damage != nil {
		return fmt.Errorf("ping: %w", *damage)
	}
	if !s.writer.failing.Load() {
		return nil
	}
	err := s.write(ctx, func(c *change) error {
		// A new value, because SQLite does not write what has not changed.
		_, err := c.Exec("UPDATE schema_migrations SET probed_at = $1", micros(time.Now()))
		return err
	})
	if err != nil {
		return s.explain(err, "ping: write")
	}
	return nil
}

// Check reads the whole database and returns [ErrDamaged] if it is not sound, as does every later Ping: if a table or an index
// is not as this program makes it, or a value of another type than its column.
// It takes seconds for a large one and does not hold up writes. Of a changed letter or number that has no index it
// notices those in what kinds verify ([tasks.Rows]); [Store.Compare] notices those in contents and results.
func (s *Store) Check(ctx context.Context) error {
	own, err := ownSchema(ctx)
	if err != nil {
		return fmt.Errorf("check: schema of this program: %w", err)
	}
	err = s.checkSchema(ctx, own) // first, because it takes no time, and until it is told new rows may be made wrong
	if err == nil {
		err = s.checkIntegrity(ctx)
	}
	if err == nil {
		err = s.checkTypes(ctx, own)
	}
	for _, kind := range tasks.Kinds() {
		if err == nil && kind.Rows.Verify != nil {
			err = tasks.Guard(func() error { return kind.Rows.Verify(s.reading(ctx)) })
		}
	}
	if err == nil {
		err = s.eachDelivery(ctx, func(Delivery) {}, `1 = 1`)
	}
	if err != nil {
		return s.explain(err, "check")
	}
	return nil
}

func (s *Store) checkIntegrity(ctx context.Context) error {
	var verdict string
	err := s.reads.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = damaged(s.path, errors.New(verdict))
	}
	return err
}

// Close may be called more than once. It finishes the writes that wait, closes the channels of all watchers and
// the database.
func (s *Store) Close() error {
	if err := s.close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

func (s *Store) closeAll() error {
	s.writer.stop()
	s.watchers.close()
	// The writer goes last: the last connection folds the write-ahead log into the database, which a read
	// connection may not.
	return errors.Join(s.queries.close(), s.reads.Close(), s.urgent.close(), s.ready.Close(), s.writer.close())
}
