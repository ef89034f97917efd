package store

import (
	"context"

	"casepress/tasks"
)

// Digests returns for each of the headers the digests of everything that was accepted under it: none, one or, of a kind with
// revisions, one for each revision in their order. Of the headers only what makes the key is looked at: the ID, and
// for a kind without a lane study and patient, too. The kind must have receipts: see [tasks.Kind.HasReceipts].
func (s *Store) Digests(ctx context.Context, kind *tasks.Kind, of []tasks.Header) ([][]string, error) {
	digests := make([][]string, len(of))
	tx := s.reading(ctx)
	err := func() error {
		if !kind.IsSubmission() {
			for i, h := range of {
				sha256, found, err := kind.Rows.Receipt(tx, h)
				if err != nil {
					return err
				}
				if found {
					digests[i] = []string{sha256}
				}
			}
			return nil
		}
		for i, h := range of {
			var err error
			if digests[i], err = digestsOf(tx, kind, h.ID); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		return nil, s.explain(err, "digests of %s", kind.Name)
	}
	return digests, nil
}

// digestsOf looks for the id, and for the ids of its later revisions, which follow it: "QR-1~2" to "QR-1~999".
func digestsOf(tx tasks.Tx, kind *tasks.Kind, id string) (all []string, err error) {
	const one = `SELECT sha256 FROM submissions WHERE kind = $1 AND id = $2`
	const revisions = `SELECT sha256 FROM (SELECT sequence, sha256 FROM submissions WHERE kind = $1 AND id = $2 UNION ALL ` +
		`SELECT sequence, sha256 FROM submissions WHERE kind = $1 AND id > $3 AND id < $4) AS revisions ORDER BY sequence`
	query, args := one, []any{kind.Name, id}
	if kind.Revisions {
		query, args = revisions, append(args, id+"~", id+"~:") // ":" follows the digits
	}
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	err = tasks.EachRow(rows, func() error {
		var sha256 string
		err := rows.Scan(&sha256)
		all = append(all, sha256)
		return err
	})
	return all, err
}
