package store_test

import (
	"cmp"
	"context"
	"errors"
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
	due    map[string]uint64
	mark   store.Watermark
	log    []tasks.Recorded
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
			images: make(map[[2]string]tasks.Image), due: make(map[string]uint64), seen: make(map[string]map[int64]store.Row),
		}
		m.open(t)
		defer func() { _ = m.s.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"":          m.check,
			"record":    m.record,
			"replay":    m.replay,
			"claim":     m.claim,
			"give back": m.unclaim,
			"progress":  m.progress,
			"complete":  m.complete,
			"retrying":  m.retrying,
			"fail":      m.fail,
			"reopen":    m.reopen,
			"recover":   m.recover,
			"batch":     m.batch,
			"due":       m.unfinished,
			"one":       m.one,
			"list":      m.list,
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

// maxCrashes is how often the process may die of one report.
const maxCrashes = 2

// recover does as a process does that starts after another has died.
func (m *model) recover(t *rapid.T) {
	m.reopen(t)
	var interrupted, blamed []string
	for id, row := range m.rows {
		if row.Status == tasks.Processing {
			interrupted = append(interrupted, id)
			if row.Suspect {
				blamed = append(blamed, id)
			}
		}
	}
	if len(interrupted) == 1 {
		blamed = interrupted
	}
	var failed []string
	for _, id := range interrupted {
		row := m.rows[id]
		row.BaseAttempts++
		row.Suspect, row.Status = true, tasks.Accepted
		if row.Attempts > row.BaseAttempts {
			row.Status = tasks.Retrying
		}
		counted := len(blamed) == 1 && blamed[0] == id
		if counted {
			row.Crashes++
		}
		if row.Crashes >= maxCrashes && counted {
			row.Status, row.Error = tasks.Failed, "the process died 2 times while it worked on this alone"
			failed = append(failed, id)
		}
		m.rows[id] = row
	}
	suspects := 0
	for _, row := range m.rows {
		if row.Suspect && !row.Status.Final() {
			suspects++
		}
	}
	got, err := m.s.Recover(context.Background(), maxCrashes)
	require.NoError(t, err)
	require.Equal(t, len(interrupted), got.Interrupted)
	require.Equal(t, suspects, got.Suspects)
	require.Len(t, got.Failed, len(failed))
	for _, row := range got.Failed {
		require.Equal(t, failed[0], row.ID)
		require.Equal(t, tasks.Failed, row.Status)
	}
}

// batch claims several reports at once and completes some of them, stale ones among them.
func (m *model) batch(t *rapid.T) {
	ids := rapid.SliceOfN(rapid.IntRange(0, reports), 1, 6).Draw(t, "reports")
	refs := make([]tasks.Ref, len(ids))
	last := make(map[tasks.Ref]int)
	for i, n := range ids {
		refs[i] = refOf(report(n).ID)
		last[refs[i]] = i
	}
	claimed, err := m.s.Claim(context.Background(), refs)
	require.NoError(t, err)
	require.Len(t, claimed, len(refs))
	var done []store.Completion
	var want []error
	for i, ref := range refs {
		row, ok := m.rows[ref.ID]
		switch {
		case last[ref] != i:
			require.ErrorIs(t, claimed[i].Err, store.ErrStale)
			continue
		case !ok:
			require.ErrorIs(t, claimed[i].Err, store.ErrNotFound)
			continue
		case row.Status.Final():
			require.ErrorIs(t, claimed[i].Err, store.ErrFinal)
			require.Equal(t, row, plain(claimed[i].Row))
			continue
		}
		require.NoError(t, claimed[i].Err)
		row.Status, row.Attempts, row.Done, row.Total = tasks.Processing, row.Attempts+1, 0, 0
		require.Equal(t, row, plain(claimed[i].Row))
		m.rows[ref.ID], m.held[ref.ID] = row, row.Attempts
		switch rapid.SampledFrom([]string{"keep", "complete", "stale", "spoil"}).Draw(t, "then") {
		case "complete":
			res := result(reportOf(row))
			done = append(done, store.Completion{Held: store.Held{Ref: ref, Attempt: row.Attempts}, Result: res})
			want = append(want, nil)
			row.Status, row.Result, row.Error, row.Crashes, row.Suspect = tasks.Completed, res, "", 0, false
			m.rows[ref.ID] = row
			delete(m.held, ref.ID)
		case "stale":
			done = append(done, store.Completion{Held: store.Held{Ref: ref, Attempt: row.Attempts - 1}, Result: result(reportOf(row))})
			want = append(want, store.ErrStale)
		case "spoil":
			done = append(done, store.Completion{Held: store.Held{Ref: ref, Attempt: row.Attempts}, Result: "no result"})
			want = append(want, errSpoiled)
		}
	}
	for i, err := range m.s.Complete(context.Background(), done) {
		if errors.Is(want[i], errSpoiled) {
			require.ErrorContains(t, err, "is a string")
			continue
		}
		require.ErrorIs(t, err, want[i])
	}
}

var errSpoiled = errors.New("spoiled")

func (m *model) unfinished(t *rapid.T) {
	after := store.FromStart
	if rapid.Bool().Draw(t, "not from the start") {
		after = uint64(rapid.IntRange(0, len(m.log)).Draw(t, "after"))
	}
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	var want []store.Due
	for id, row := range m.rows {
		if !row.Status.Final() && (after == store.FromStart || row.Sequence > after) {
			want = append(want, store.Due{Ref: refOf(id), Sequence: row.Sequence, DueSequence: m.due[id], Attempts: row.Attempts})
		}
	}
	slices.SortFunc(want, func(a, b store.Due) int { return cmp.Compare(a.Sequence, b.Sequence) })
	got, err := m.s.Unfinished(context.Background(), caseReports, after, limit)
	require.NoError(t, err)
	require.Equal(t, want[:min(limit, len(want))], got)
}

// advance records records up to one's offset, with the watermark that belongs to them.
func (m *model) advance(t *rapid.T, batch []tasks.Recorded) {
	upTo := store.Watermark{Next: batch[len(batch)-1].Offset + 1, Check: fmt.Sprint("check ", batch[len(batch)-1].Offset)}
	require.NoError(t, m.s.Record(context.Background(), tasks.TopicCaseReports, batch, upTo))
	if upTo.Next > m.mark.Next {
		m.mark = upTo
	}
	got, known, err := m.s.Watermark(context.Background(), tasks.TopicCaseReports)
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, m.mark, got)
}

func (m *model) record(t *rapid.T) {
	var batch []tasks.Recorded
	for range rapid.IntRange(1, 4).Draw(t, "n") {
		offset := len(m.log)
		n := rapid.IntRange(0, reports-1).Draw(t, "report")
		var r tasks.Recorded
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
	m.advance(t, batch)
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
	to := rapid.IntRange(from+1, len(m.log)).Draw(t, "to")
	m.advance(t, m.log[from:to])
	for _, r := range m.log[from:to] {
		m.apply(r)
	}
}

func (m *model) apply(r tasks.Recorded) {
	switch c := r.Content.(type) {
	case tasks.CaseReport:
		if _, ok := m.rows[c.ID]; ok {
			return
		}
		m.rows[c.ID] = store.Row{
			Kind: r.Kind, Header: c.Header(), Content: c, SHA256: r.SHA256, Sequence: r.Offset,
			ReceivedAt: r.ReceivedAt, Status: tasks.Accepted,
		}
		m.due[c.ID] = r.Offset
		for _, img := range c.Images {
			m.addImage(c.PatientID, img)
		}
	case tasks.PatientImage:
		m.addImage(c.PatientID, c.Image)
	case tasks.Retry:
		row, ok := m.rows[c.ID]
		if ok && !row.Status.Final() {
			m.due[c.ID] = max(m.due[c.ID], r.Offset)
		}
		if !ok || row.Status != tasks.Failed || row.Attempts != c.Attempt {
			return
		}
		row.Status, row.BaseAttempts, row.Error, row.Done, row.Total, row.Crashes = tasks.Accepted, row.Attempts, "", 0, 0, 0
		m.rows[row.ID], m.due[c.ID] = row, r.Offset
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
	got, err := claim(context.Background(), m.s, id)
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
		return unclaim(context.Background(), m.s, id, attempt)
	}, func(row *store.Row) {
		row.Attempts--
		row.Status, row.Done, row.Total = tasks.Accepted, 0, 0
		if row.Attempts > row.BaseAttempts {
			row.Status = tasks.Retrying
		}
	})
}

func (m *model) complete(t *rapid.T) {
	var res tasks.CaseReportResult
	m.end(t, func(id string, attempt int) error {
		content, _ := m.rows[id].Content.(tasks.CaseReport) // none if there is no such report
		res = result(content)
		res.PDF.Pages = rapid.IntRange(1, 9).Draw(t, "pages")
		return complete(context.Background(), m.s, id, attempt, res)
	}, func(row *store.Row) {
		row.Status, row.Result, row.Error = tasks.Completed, res, ""
		row.Crashes, row.Suspect = 0, false
	})
}

func (m *model) retrying(t *rapid.T) {
	reason := rapid.StringN(1, 9, -1).Draw(t, "reason")
	m.end(t, func(id string, attempt int) error {
		return m.s.Retry(context.Background(), held(id, attempt), reason, received)
	}, func(row *store.Row) {
		row.Status, row.Error, row.Crashes, row.Suspect = tasks.Retrying, reason, 0, false
	})
}

func (m *model) fail(t *rapid.T) {
	m.end(t, func(id string, attempt int) error {
		return m.s.Fail(context.Background(), held(id, attempt), "broken", received)
	}, func(row *store.Row) {
		row.Status, row.Error, row.Crashes, row.Suspect = tasks.Failed, "broken", 0, false
	})
}

func (m *model) progress(t *rapid.T) {
	id := drawID(t)
	row := m.rows[id]
	attempt := max(1, row.Attempts+rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(t, "off by"))
	done, total := rapid.IntRange(0, 5).Draw(t, "done"), 5
	err := m.s.Progress(context.Background(), held(id, attempt), done, total)
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
		got, err := m.s.Image(context.Background(), tasks.Subject{PatientID: key[0]}, key[1])
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// one reads a single report.
func (m *model) one(t *rapid.T) {
	id := drawID(t)
	got, err := get(m.s, id)
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
		require.Equal(t, before, row, "version %d", row.Version)
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
