package store_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"casepress/store"
	"casepress/tasks"
)

// reports is how many different reports the model knows.
const reports = 5

// model is what the store should be: a map of rows, without times and versions.
type model struct {
	path   string
	s      *store.Store
	rows   map[string]store.Row
	images map[[2]string]tasks.Image // patient and image id
	log    []store.Recorded
	held   map[string]int                 // attempt this process holds
	seen   map[string]map[int64]store.Row // by id and version
	last   map[string]int64
}

func TestStoreAgainstModel(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		sub, err := os.MkdirTemp(dir, "")
		require.NoError(t, err)
		m := &model{
			path: filepath.Join(sub, "store.db"), rows: make(map[string]store.Row),
			images: make(map[[2]string]tasks.Image), seen: make(map[string]map[int64]store.Row),
		}
		m.open(t)
		defer func() { _ = m.s.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"record":   m.record,
			"replay":   m.replay,
			"claim":    m.claim,
			"unclaim":  m.unclaim,
			"progress": m.progress,
			"complete": m.complete,
			"retrying": m.retrying,
			"fail":     m.fail,
			"reopen":   m.reopen,
			"one":      m.one,
			"list":     m.list,
		})
		requireSound(t, m.s)
	})
}

func (m *model) open(t *rapid.T) {
	s, err := store.Open(context.Background(), m.path)
	require.NoError(t, err)
	m.s, m.held, m.last = s, make(map[string]int), make(map[string]int64)
}

func (m *model) reopen(t *rapid.T) {
	require.NoError(t, m.s.Close())
	m.open(t)
	for id, row := range m.rows {
		if row.Status == tasks.Processing {
			row.Done, row.Total = 0, 0 // progress may be lost
			m.rows[id] = row
		}
	}
}

func (m *model) record(t *rapid.T) {
	var batch []store.Recorded
	for range rapid.IntRange(1, 4).Draw(t, "n") {
		offset := len(m.log)
		n := rapid.IntRange(0, reports-1).Draw(t, "report")
		var r store.Recorded
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			r = accepted(offset, report(n))
		case 1:
			r = put(offset, report(n).PatientID, image(n))
		case 2:
			r = retry(offset, report(n).ID, rapid.IntRange(0, 4).Draw(t, "attempt"))
		}
		m.log = append(m.log, r)
		batch = append(batch, r)
	}
	require.NoError(t, m.s.Record(context.Background(), batch))
	for _, r := range batch {
		m.apply(r)
	}
}

// replay gives the store the latest records once more, as a recorder does that
// was stopped before it could ack them.
func (m *model) replay(t *rapid.T) {
	if len(m.log) == 0 {
		t.Skip("nothing recorded")
	}
	from := rapid.IntRange(0, len(m.log)-1).Draw(t, "from")
	require.NoError(t, m.s.Record(context.Background(), m.log[from:]))
	for _, r := range m.log[from:] {
		m.apply(r)
	}
}

func (m *model) apply(r store.Recorded) {
	switch sub := r.Submission; sub.Kind {
	case tasks.KindCaseReport:
		if _, ok := m.rows[sub.CaseReport.ID]; ok {
			return
		}
		m.rows[sub.CaseReport.ID] = store.Row{
			CaseReport: *sub.CaseReport, SHA256: sub.SHA256, Sequence: r.Offset,
			ReceivedAt: sub.ReceivedAt, Status: tasks.Accepted,
		}
		for _, img := range sub.CaseReport.Images {
			m.addImage(sub.CaseReport.PatientID, img)
		}
	case tasks.KindImage:
		m.addImage(sub.Image.PatientID, sub.Image.Image)
	case tasks.KindRetry:
		row, ok := m.rows[sub.Retry.ID]
		if !ok || row.Status != tasks.Failed || row.Attempts != sub.Retry.Attempt {
			return
		}
		row.Status, row.BaseAttempts, row.Error, row.Done, row.Total = tasks.Accepted, row.Attempts, "", 0, 0
		m.rows[row.ID] = row
	}
}

func (m *model) addImage(patientID string, img tasks.Image) {
	key := [2]string{patientID, img.ImageID}
	if _, ok := m.images[key]; !ok {
		m.images[key] = img
	}
}

func drawID(t *rapid.T) string { return report(rapid.IntRange(0, reports-1).Draw(t, "report")).ID }

func (m *model) claim(t *rapid.T) {
	id := drawID(t)
	got, err := m.s.Claim(context.Background(), id)
	row, ok := m.rows[id]
	if !ok {
		require.ErrorIs(t, err, store.ErrNotFound)
		return
	}
	if row.Status.Final() {
		require.ErrorIs(t, err, store.ErrFinal)
	} else {
		require.NoError(t, err)
		row.Status, row.Attempts, row.Done, row.Total = tasks.Processing, row.Attempts+1, 0, 0
		m.rows[id], m.held[id] = row, row.Attempts
	}
	require.Equal(t, row, plain(got))
}

// end draws a report and an attempt, mostly the one that holds it, calls change
// and applies the same to the model, unless the attempt is stale.
func (m *model) end(t *rapid.T, call func(id string, attempt int) error, change func(*store.Row)) {
	id := drawID(t)
	row := m.rows[id]
	attempt := max(0, row.Attempts+rapid.SampledFrom([]int{0, 0, 0, 0, -1, 1}).Draw(t, "off by"))
	err := call(id, attempt)
	if row.Status != tasks.Processing || attempt != row.Attempts {
		require.ErrorIs(t, err, store.ErrStale)
		return
	}
	require.NoError(t, err)
	change(&row)
	m.rows[id] = row
	delete(m.held, id)
}

func (m *model) unclaim(t *rapid.T) {
	m.end(t, func(id string, attempt int) error {
		return m.s.Unclaim(context.Background(), id, attempt)
	}, func(row *store.Row) {
		row.Attempts--
		row.Status, row.Done, row.Total = tasks.Accepted, 0, 0
		if row.Attempts > row.BaseAttempts {
			row.Status = tasks.Retrying
		}
	})
}

func (m *model) complete(t *rapid.T) {
	var res tasks.Result
	m.end(t, func(id string, attempt int) error {
		res = result(m.rows[id].CaseReport)
		res.Report.Pages = rapid.IntRange(1, 9).Draw(t, "pages")
		return m.s.Complete(context.Background(), id, attempt, res)
	}, func(row *store.Row) {
		row.Status, row.Result, row.Error = tasks.Completed, res, ""
	})
}

func (m *model) retrying(t *rapid.T) {
	reason := rapid.StringN(1, 9, -1).Draw(t, "reason")
	m.end(t, func(id string, attempt int) error {
		return m.s.Retrying(context.Background(), id, attempt, reason, received)
	}, func(row *store.Row) {
		row.Status, row.Error = tasks.Retrying, reason
	})
}

func (m *model) fail(t *rapid.T) {
	m.end(t, func(id string, attempt int) error {
		return m.s.Fail(context.Background(), id, attempt, "broken")
	}, func(row *store.Row) {
		row.Status, row.Error = tasks.Failed, "broken"
	})
}

func (m *model) progress(t *rapid.T) {
	id := drawID(t)
	row := m.rows[id]
	attempt := max(1, row.Attempts+rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(t, "off by"))
	done, total := rapid.IntRange(0, 5).Draw(t, "done"), 5
	err := m.s.Progress(context.Background(), id, attempt, done, total)
	if m.held[id] != attempt {
		require.ErrorIs(t, err, store.ErrStale)
		return
	}
	require.NoError(t, err)
	row.Done, row.Total = done, total
	m.rows[id] = row
}

func (m *model) list(t *rapid.T) {
	f := store.Filter{
		PatientID: rapid.SampledFrom([]string{"", "P000", "P001"}).Draw(t, "patient"),
		Status:    rapid.SampledFrom([]string{"", "accepted", "processing", "completed"}).Draw(t, "status"),
		Limit:     rapid.IntRange(1, 4).Draw(t, "limit"),
	}
	var want []store.Row
	for _, row := range m.rows {
		if (f.PatientID == "" || row.PatientID == f.PatientID) && (f.Status == "" || string(row.Status) == f.Status) {
			want = append(want, row)
		}
	}
	slices.SortFunc(want, func(a, b store.Row) int { return cmp.Compare(b.Sequence, a.Sequence) })
	var got []store.Row
	for _, row := range listAll(t, m.s, f) {
		got = append(got, plain(row))
	}
	require.Equal(t, want, got)
	for key, want := range m.images {
		got, err := m.s.Image(context.Background(), key[0], key[1])
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// one reads a single report.
func (m *model) one(t *rapid.T) {
	id := drawID(t)
	got, err := m.s.CaseReport(context.Background(), id)
	want, ok := m.rows[id]
	if !ok {
		require.ErrorIs(t, err, store.ErrNotFound)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want, plain(got))
	m.checkVersion(t, got)
}

// check runs after every action.
func (m *model) check(t *rapid.T) {
	got := make(map[string]store.Row)
	for _, row := range listAll(t, m.s, store.Filter{}) {
		got[row.ID] = plain(row)
		m.checkVersion(t, row)
	}
	require.Equal(t, m.rows, got)
}

// checkVersion: the same version means the same row, also across restarts, and
// between restarts it never goes down.
func (m *model) checkVersion(t *rapid.T, row store.Row) {
	if m.seen[row.ID] == nil {
		m.seen[row.ID] = make(map[int64]store.Row)
	}
	if before, ok := m.seen[row.ID][row.Version]; ok {
		require.Equal(t, before, row, fmt.Sprintf("version %d", row.Version))
	}
	m.seen[row.ID][row.Version] = row
	require.GreaterOrEqual(t, row.Version, m.last[row.ID])
	m.last[row.ID] = row.Version
}

// plain is the row without what the model does not know.
func plain(row store.Row) store.Row {
	row.CreatedAt, row.StartedAt, row.FinishedAt, row.NextAttempt = zero, zero, zero, zero
	row.Version = 0
	return row
}

var zero = store.Row{}.CreatedAt
