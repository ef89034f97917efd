package store

import (
	"context"

	"casepress/tasks"
)

const allSuspectsQuery = `SELECT kind, id FROM submissions
	WHERE suspect = 1 AND finished_at < 1 ORDER BY kind, due_sequence`

// Suspects returns the unfinished submissions that were in work when a process died, and so must be worked on
// alone.
func (s *Store) Suspects(ctx context.Context) (suspects []tasks.Ref, err error) {
	rows, err := s.reading(ctx).Query(allSuspectsQuery)
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
