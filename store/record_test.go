package store_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func TestRecordMakesRows(t *testing.T) {
	s := openStore(t)
	r := report(2)
	require.NoError(t, s.Record(t.Context(), []store.Recorded{accepted(41, r)}))

	row, err := s.CaseReport(t.Context(), r.ID)
	require.NoError(t, err)
	require.WithinRange(t, row.CreatedAt, received.AddDate(-9, 0, 0), received.AddDate(9, 0, 0))
	row.CreatedAt = received
	require.Equal(t, store.Row{
		CaseReport: r, SHA256: r.Digest(), Sequence: 41, ReceivedAt: received, CreatedAt: received,
		Status: tasks.Accepted, Version: row.Version,
	}, row)

	for _, img := range r.Images {
		got, err := s.Image(t.Context(), r.PatientID, img.ImageID)
		require.NoError(t, err)
		require.Equal(t, img, got)
		_, err = s.Image(t.Context(), "P999", img.ImageID)
		require.ErrorIs(t, err, store.ErrNotFound)
	}
	_, err = s.CaseReport(t.Context(), "report-999999")
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestRecordIsIdempotent(t *testing.T) {
	s := openStore(t)
	batch := []store.Recorded{
		put(0, "P000", image(500)), accepted(1, report(1)), accepted(2, report(2)), accepted(3, report(3)),
	}
	// The recorder stopped after a part of the batch, and comes again with all of it.
	require.NoError(t, s.Record(t.Context(), batch[:2]))
	first, err := s.CaseReport(t.Context(), report(1).ID)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, s.Record(t.Context(), batch))
		again, err := s.CaseReport(t.Context(), report(1).ID)
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Len(t, listAll(t, s, store.Filter{}), 3)
	}

	// A report that has moved on does not move back.
	row, err := s.Claim(t.Context(), report(1).ID)
	require.NoError(t, err)
	require.NoError(t, s.Record(t.Context(), batch))
	again, err := s.CaseReport(t.Context(), report(1).ID)
	require.NoError(t, err)
	require.Equal(t, row, again)
}

func TestRecordKeepsTheFirst(t *testing.T) {
	s := openStore(t)
	first, second := report(1), report(1)
	second.Notes = "other"
	require.NoError(t, s.Record(t.Context(), []store.Recorded{accepted(1, first), accepted(2, second)}))
	row, err := s.CaseReport(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, first, row.CaseReport)
	require.Equal(t, uint64(1), row.Sequence)

	other := image(10)
	other.SHA256 = "other"
	require.NoError(t, s.Record(t.Context(), []store.Recorded{put(3, first.PatientID, other)}))
	img, err := s.Image(t.Context(), first.PatientID, "IMG10")
	require.NoError(t, err)
	require.Equal(t, first.Images[0], img)
}

func TestRecordIsAllOrNothing(t *testing.T) {
	s := openStore(t)
	record(t, s, 5, 1)
	// Two reports at one offset: the log cannot have given that out.
	err := s.Record(t.Context(), []store.Recorded{accepted(6, report(6)), accepted(5, report(7))})
	require.ErrorContains(t, err, "offset 5")
	_, err = s.CaseReport(t.Context(), report(6).ID)
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, s.Record(t.Context(), nil))
}

func TestRetry(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	for range 2 {
		row, err := s.Claim(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, s.Retrying(t.Context(), id, row.Attempts, "busy", received))
	}
	row, err := s.Claim(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.Fail(t.Context(), id, row.Attempts, "gave up"))
	failed, err := s.CaseReport(t.Context(), id)
	require.NoError(t, err)

	for name, stale := range map[string]store.Recorded{
		"earlier attempt": retry(2, id, 2), "later attempt": retry(2, id, 4), "unknown report": retry(2, "no", 3),
	} {
		require.NoError(t, s.Record(t.Context(), []store.Recorded{stale}), name)
		row, err := s.CaseReport(t.Context(), id)
		require.NoError(t, err, name)
		require.Equal(t, failed, row, name)
	}

	// Two clicks are one retry.
	require.NoError(t, s.Record(t.Context(), []store.Recorded{retry(3, id, 3), retry(4, id, 3)}))
	row, err = s.CaseReport(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, tasks.Accepted, row.Status)
	require.Equal(t, 3, row.Attempts)
	require.Equal(t, 3, row.BaseAttempts)
	require.Empty(t, row.Error)
	require.Zero(t, row.FinishedAt)
	require.Greater(t, row.Version, failed.Version)

	// The record comes again after the retried run has failed as well.
	row, err = s.Claim(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 4, row.Attempts)
	require.NoError(t, s.Fail(t.Context(), id, 4, "again"))
	require.NoError(t, s.Record(t.Context(), []store.Recorded{retry(3, id, 3)}))
	row, err = s.CaseReport(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, tasks.Failed, row.Status)
}

func TestAFailingWriteSpoilsNoOther(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 1)
	const n = 64
	errs := make(chan error, 2*n)
	for i := range n {
		go func() { errs <- s.Record(t.Context(), []store.Recorded{accepted(1+i, report(1+i))}) }()
		go func() {
			err := s.Record(t.Context(), []store.Recorded{accepted(0, report(1000+i))})
			if err == nil {
				errs <- errors.New("offset 0 was given out twice")
				return
			}
			errs <- nil
		}()
	}
	for range 2 * n {
		require.NoError(t, <-errs)
	}
	require.Len(t, listAll(t, s, store.Filter{}), 1+n)
	require.NoError(t, s.Ping(t.Context()))
}
