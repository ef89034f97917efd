package store

import (
	"context"

	"casepress/tasks"
)

// Suspects returns the unfinished submissions that were in work when a process died, and so must be worked on
// alone.
func (s *Store) Suspects(ctx context.Context) (suspects []tasks.Ref, err error) {
	const query = `SELECT kind, id FROM submissions
		WHERE suspect = 1 AND status IN ('accepted', 'retrying', 'processing') ORDER BY kind, due_sequence`
	rows, err := s.reading(ctx).Query(query)
	if err != nil {
		return nil, s.explain(err, "suspects")
	}
	err = tasks.EachRow(rows, func() error {
		var ref tasks.Ref
		err := rows.Scan(&ref.Kind, &ref.ID)
		suspects = append(suspects, ref)
		return err
	})
	if err != nil {
		return nil, s.explain(err, "suspects")
	}
	return suspects, nil
}

// Empty reports whether no submission was ever recorded, or the database was lost.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	rows, err := s.reading(ctx).Query(`SELECT 1 FROM submissions LIMIT 1`)
	if err != nil {
		return false, s.explain(err, "empty")
	}
	empty := true
	if err := tasks.EachRow(rows, func() error { empty = false; return nil }); err != nil {
		return false, s.explain(err, "empty")
	}
	return empty, nil
}
