package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func TestRecordMakesRows(t *testing.T) {
	s := openStore(t)
	r := report(2)
	require.NoError(t, recordBatch(t.Context(), s, accepted(41, r)))

	row, err := get(s, r.ID)
	require.NoError(t, err)
	require.WithinRange(t, row.CreatedAt, received.AddDate(-9, 0, 0), received.AddDate(9, 0, 0))
	row.CreatedAt = received
	require.Equal(t, store.Row{
		Kind: caseReports, Header: r.Header(), Content: r, SHA256: r.Digest(), Sequence: 41, ReceivedAt: received, CreatedAt: received,
		Status: tasks.Accepted, Version: row.Version,
	}, row)

	for _, img := range r.Images {
		got, err := s.Image(t.Context(), r.Header().Subject(), img.ImageID)
		require.NoError(t, err)
		require.Equal(t, img, got)
		_, err = s.Image(t.Context(), tasks.Subject{PatientID: "P999"}, img.ImageID)
		require.ErrorIs(t, err, store.ErrNotFound)
	}
	_, err = get(s, "report-999999")
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestRecordIsIdempotent(t *testing.T) {
	s := openStore(t)
	batch := []tasks.Recorded{
		put(0, "P000", image(500)), accepted(1, report(1)), accepted(2, report(2)), accepted(3, report(3)),
	}
	// The recorder stopped after a part of the batch, and comes again with all of it.
	require.NoError(t, recordBatch(t.Context(), s, batch[:2]...))
	first, err := get(s, report(1).ID)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, recordBatch(t.Context(), s, batch...))
		again, err := get(s, report(1).ID)
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Len(t, listAll(t, s, store.Filter{}), 3)
	}

	// A report that has moved on does not move back.
	row, err := claim(t.Context(), s, report(1).ID)
	require.NoError(t, err)
	require.NoError(t, recordBatch(t.Context(), s, batch...))
	again, err := get(s, report(1).ID)
	require.NoError(t, err)
	require.Equal(t, row, again)
}

func TestRecordKeepsTheFirst(t *testing.T) {
	s := openStore(t)
	first, second := report(1), report(1)
	second.Notes = "other"
	require.NoError(t, recordBatch(t.Context(), s, accepted(1, first), accepted(2, second)))
	row, err := get(s, first.ID)
	require.NoError(t, err)
	require.Equal(t, first, reportOf(row))
	require.Equal(t, uint64(1), row.Sequence)

	other := image(10)
	other.SHA256 = "other"
	require.NoError(t, recordBatch(t.Context(), s, put(3, first.PatientID, other)))
	img, err := s.Image(t.Context(), first.Header().Subject(), "IMG10")
	require.NoError(t, err)
	require.Equal(t, first.Images[0], img)
}

func TestRecordIsAllOrNothing(t *testing.T) {
	s := openStore(t)
	record(t, s, 5, 1)
	// Two reports at one offset: the log cannot have given that out.
	err := recordBatch(t.Context(), s, accepted(6, report(6)), accepted(5, report(7)))
	require.ErrorContains(t, err, "offset 5")
	_, err = get(s, report(6).ID)
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, recordBatch(t.Context(), s, nil...))
}

func TestRetry(t *testing.T) {
	s := openStore(t)
	record(t, s, 1, 1)
	id := report(1).ID
	for range 2 {
		row, err := claim(t.Context(), s, id)
		require.NoError(t, err)
		require.NoError(t, s.Retry(t.Context(), held(id, row.Attempts), "busy", received))
	}
	row, err := claim(t.Context(), s, id)
	require.NoError(t, err)
	require.NoError(t, s.Fail(t.Context(), held(id, row.Attempts), "gave up", time.Time{}))
	failed, err := get(s, id)
	require.NoError(t, err)

	for name, stale := range map[string]tasks.Recorded{
		"earlier attempt": retry(2, id, 2), "later attempt": retry(2, id, 4), "unknown report": retry(2, "no", 3),
	} {
		require.NoError(t, recordBatch(t.Context(), s, stale), name)
		row, err := get(s, id)
		require.NoError(t, err, name)
		require.Equal(t, failed, row, name)
	}

	// Two clicks are one retry.
	require.NoError(t, recordBatch(t.Context(), s, retry(3, id, 3), retry(4, id, 3)))
	row, err = get(s, id)
	require.NoError(t, err)
	require.Equal(t, tasks.Accepted, row.Status)
	require.Equal(t, 3, row.Attempts)
	require.Equal(t, 3, row.BaseAttempts)
	require.Empty(t, row.Error)
	require.Zero(t, row.FinishedAt)
	require.Greater(t, row.Version, failed.Version)

	// Of several deliveries the work hangs on the latest, also where the records come again.
	for _, offset := range []int{4, 3, 9, 5} {
		require.NoError(t, recordBatch(t.Context(), s, retry(offset, id, 3)))
	}
	due, err := s.Unfinished(t.Context(), caseReports, store.FromStart, 2)
	require.NoError(t, err)
	require.Equal(t, []store.Due{{Ref: refOf(id), Sequence: 1, DueSequence: 9, Attempts: 3}}, due)
	again, err := get(s, id)
	require.NoError(t, err)
	require.Equal(t, row, again, "and nothing else changes")

	// The record comes again after the retried run has failed as well.
	row, err = claim(t.Context(), s, id)
	require.NoError(t, err)
	require.Equal(t, 4, row.Attempts)
	require.NoError(t, s.Fail(t.Context(), held(id, 4), "again", time.Time{}))
	require.NoError(t, recordBatch(t.Context(), s, retry(3, id, 3)))
	row, err = get(s, id)
	require.NoError(t, err)
	require.Equal(t, tasks.Failed, row.Status)
}

func TestAFailingWriteSpoilsNoOther(t *testing.T) {
	s := openStore(t)
	record(t, s, 0, 1)
	const n = 64
	errs := make(chan error, 2*n)
	for i := range n {
		go func() { errs <- recordBatch(t.Context(), s, accepted(1+i, report(1+i))) }()
		go func() {
			err := recordBatch(t.Context(), s, accepted(0, report(1000+i)))
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

func TestWatermark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	at := func(topic string) (store.Watermark, bool) {
		t.Helper()
		w, known, err := s.Watermark(t.Context(), topic)
		require.NoError(t, err)
		return w, known
	}
	_, known := at("a")
	require.False(t, known)
	five := store.Watermark{Next: 5, Check: "five"}
	require.NoError(t, s.Record(t.Context(), "a", []tasks.Recorded{accepted(4, report(4))}, five))
	for _, earlier := range []store.Watermark{{Next: 4, Check: "four"}, {Next: 5, Check: "another five"}, {}} {
		require.NoError(t, s.Record(t.Context(), "a", []tasks.Recorded{accepted(3, report(3))}, earlier))
		got, known := at("a")
		require.True(t, known)
		require.Equal(t, five, got)
	}
	nine := store.Watermark{Next: 9, Check: "nine"}
	require.NoError(t, s.Record(t.Context(), "a", nil, nine))
	require.NoError(t, s.Record(t.Context(), "b", nil, store.Watermark{}))
	got, known := at("b")
	require.True(t, known)
	require.Zero(t, got)

	// It says no more than the rows hold.
	twice := []tasks.Recorded{accepted(10, report(10)), accepted(4, report(11))}
	require.ErrorContains(t, s.Record(t.Context(), "a", twice, store.Watermark{Next: 12}), "offset 4")
	got, _ = at("a")
	require.Equal(t, nine, got)
	require.NoError(t, s.Close())
	s = openAt(t, path)
	got, _ = at("a")
	require.Equal(t, nine, got)
}

func TestFind(t *testing.T) {
	s := openStore(t)
	r := report(2)
	require.NoError(t, recordBatch(t.Context(), s, accepted(41, r), put(0, "P001", image(500))))
	other := r
	other.Notes = "other"
	for _, sub := range []tasks.Submission{accepted(0, r).Submission, accepted(0, other).Submission} {
		found, err := s.Find(t.Context(), sub)
		require.NoError(t, err)
		require.Equal(t, store.Found{SHA256: r.Digest(), Sequence: 41, ReceivedAt: received, Status: tasks.Accepted, Content: r}, found)
	}
	changed := image(500)
	changed.SHA256 = "other"
	found, err := s.Find(t.Context(), put(0, "P001", changed).Submission)
	require.NoError(t, err)
	require.Equal(t, store.Found{SHA256: image(500).SHA256}, found)
	for _, unknown := range []tasks.Recorded{accepted(0, report(3)), put(0, "P002", image(500)), put(0, "P001", image(501)), retry(0, r.ID, 1)} {
		_, err := s.Find(t.Context(), unknown.Submission)
		require.ErrorIs(t, err, store.ErrNotFound)
	}
}

// Records of a kind without a lane have no row.
func TestOnlySubmissionsHaveRows(t *testing.T) {
	s := openStore(t)
	ref := tasks.Ref{Kind: "image", ID: "IMG1"}
	require.NoError(t, recordBatch(t.Context(), s, put(0, "P001", image(1))))
	_, err := s.Get(t.Context(), ref)
	require.ErrorIs(t, err, store.ErrNotFound)
	claimed, err := s.Claim(t.Context(), []tasks.Ref{ref, {Kind: "no kind", ID: "1"}})
	require.NoError(t, err)
	require.ErrorIs(t, claimed[0].Err, store.ErrNotFound)
	require.ErrorContains(t, claimed[1].Err, `unknown kind "no kind"`)
	_, _, err = s.List(t.Context(), tasks.KindImage(), store.Filter{})
	require.ErrorIs(t, err, store.ErrNotFound)
}

// note is content of a kind that keeps itself as JSON.
type note struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

func (n note) Header() tasks.Header { return tasks.Header{ID: n.ID} }
func (n note) Digest() string       { return "" }
func (n note) Key() string          { return n.ID }

func TestJSONRows(t *testing.T) {
	s := openStore(t)
	rows := tasks.JSONRows[note, int]("notes")
	require.NoError(t, store.Transact(s, func(tx tasks.Tx) error {
		for range 2 { // as at every start
			for _, statement := range rows.Tables {
				_, err := tx.Exec(statement)
				require.NoError(t, err)
			}
		}
		for i := range 5 {
			n := note{ID: fmt.Sprint(i), Text: "<&\"体温"}
			require.NoError(t, rows.Insert(tx, tasks.Recorded{Submission: tasks.Submission{Content: n}}))
		}
		return rows.Complete(tx, "3", 42)
	}))
	loaded, err := rows.Load(store.ReadOnly(s), []tasks.Stored{{Header: tasks.Header{ID: "0"}}, {Header: tasks.Header{ID: "3"}}, {Header: tasks.Header{ID: "9"}}})
	require.NoError(t, err)
	require.Equal(t, map[string]tasks.Loaded{
		"0": {Content: note{"0", "<&\"体温"}}, "3": {Content: note{"3", "<&\"体温"}, Result: 42},
	}, loaded)
	_, err = store.ReadOnly(s).Exec("DELETE FROM notes")
	require.ErrorContains(t, err, "cannot change rows")
}
