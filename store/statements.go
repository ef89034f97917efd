package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
)

// preparer is a pool or a single connection.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// statements prepares each text once and keeps it. It is meant for texts that are fixed in the program: it
// never forgets one.
type statements struct {
	on preparer

	mu    sync.RWMutex
	ready map[string]*statement
}

// statement is a text whose parameters have lost their numbers, see [unnumbered].
type statement struct {
	*sql.Stmt
	places []int // which argument stands at each place; nil if they stand in order, each once
}

func newStatements(on preparer) *statements {
	return &statements{on: on, ready: make(map[string]*statement)}
}

func (s *statements) get(query string) (*statement, error) {
	s.mu.RLock()
	stmt := s.ready[query]
	s.mu.RUnlock()
	if stmt != nil {
		return stmt, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt := s.ready[query]; stmt != nil {
		return stmt, nil
	}
	text, places := unnumbered(query)
	// Not the caller's context: the statement outlives the call.
	prepared, err := s.on.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	stmt = &statement{prepared, places}
	s.ready[query] = stmt
	return stmt, nil
}

func (s *statements) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, args, err := s.with(query, args)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

func (s *statements) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, args, err := s.with(query, args)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// with returns the statement and its arguments, one for each place.
func (s *statements) with(query string, args []any) (*statement, []any, error) {
	stmt, err := s.get(query)
	if err != nil || stmt.places == nil {
		return stmt, args, err
	}
	placed := make([]any, len(stmt.places))
	for i, n := range stmt.places {
		if n < 1 || n > len(args) {
			return nil, nil, fmt.Errorf("parameter $%d of a statement with %d arguments", n, len(args))
		}
		placed[i] = args[n-1]
	}
	return stmt, placed, nil
}

// parameter matches numbered parameters, and the quoted texts and comments in which there are none.
var parameter = regexp.MustCompile(`'[^']*'|--[^\n]*|\$[0-9]+`)

// unnumbered replaces the parameters $1, $2 … of a text by question marks, and returns the number that stood at each
// place; nil for 1, 2, 3 and so on. The driver of SQLite finds each numbered parameter by comparing its name with the
// numbers of all arguments, which for wide statements costs more than running them. Of a question mark it knows the place.
func unnumbered(query string) (text string, places []int) {
	ordered := true
	text = parameter.ReplaceAllStringFunc(query, func(found string) string {
		n, err := strconv.Atoi(found[1:])
		if found[0] != '$' || err != nil {
			return found
		}
		places = append(places, n)
		ordered = ordered && n == len(places)
		return "?"
	})
	if ordered {
		places = nil
	}
	return text, places
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.ready {
		errs = append(errs, stmt.Close())
	}
	clear(s.ready)
	return errors.Join(errs...)
}
