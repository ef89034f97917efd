// Package dispatchertest implements a dispatcher on the real ledger, log and rows in a folder of a test, for the
// tests of package dispatcher and of its ledgers. It has no part that only pretends.
package dispatchertest

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk"
	"casepress/dispatcher"
	"casepress/dispatcher/embedded"
	"casepress/store"
	"casepress/tasks"
)

// Patience is how long a test waits for what must come.
const Patience = time.Minute

// Work is the task of a test.
type Work func(ctx context.Context, w tasks.Work) (tasks.Result, error)

// NewTask is for [dispatcher.Config].
func (f Work) NewTask(w tasks.Work) (tasks.Task, error) { return task{f, w}, nil }

type task struct {
	run  Work
	work tasks.Work
}

func (t task) Execute(ctx context.Context) (tasks.Result, error) { return t.run(ctx, t.work) }

// Done completes at once with a document of one page.
func Done(context.Context, tasks.Work) (tasks.Result, error) { return Pages(1), nil }

// Pages is a result for [Report] with a document of n pages.
func Pages(n int) tasks.CaseReportResult {
	return tasks.CaseReportResult{Images: make([]tasks.ImageResult, 1), PDF: tasks.PDF{Pages: n}}
}

// Report is a small case report.
func Report(id string) tasks.CaseReport {
	return tasks.CaseReport{ID: id, PatientID: "P001", Images: []tasks.Image{{ImageID: "A", SHA256: "00ff", Bytes: 3, MediaType: "image/jpeg"}}}
}

// Submission is content as it is handed in.
func Submission(c tasks.Content) tasks.Submission {
	k := tasks.KindCaseReport()
	if _, ok := c.(tasks.PatientImage); ok {
		k = tasks.KindImage()
	}
	return tasks.NewSubmission(k, c)
}

// Ref names a case report.
func Ref(id string) tasks.Ref { return tasks.Ref{Kind: tasks.KindCaseReport().Name, ID: id} }

// Lane is the lane of case reports.
var Lane = tasks.KindCaseReport().Lane

// Storage is the log and the rows of a folder.
type Storage struct {
	Broker *broker.Broker
	Store  *store.Store
	Dir    string
}

// OpenStorage opens them. They are to be closed.
func OpenStorage(t testing.TB, dir string, o broker.Options) Storage {
	t.Helper()
	b, err := broker.Open(filepath.Join(dir, "topics"), o)
	require.NoError(t, err)
	st, err := store.Open(context.Background(), filepath.Join(dir, "casepress.db"))
	require.NoError(t, err)
	return Storage{b, st, dir}
}

// Shut closes both. The log's error is returned.
func (s Storage) Shut(t testing.TB) error {
	t.Helper()
	require.NoError(t, s.Store.Close())
	return s.Broker.Close()
}

// Fixture is a dispatcher with everything below it.
type Fixture struct {
	*dispatcher.Dispatcher
	Storage
	Ledger *embedded.Ledger
}

// Options say what a fixture is made of. The zero value of a field means what the service does, with short pauses
// between attempts and one worker.
type Options struct {
	Dir     string
	FS      disk.FS
	NoDedup bool // opening the log does not read back what is recent
	Config  dispatcher.Config
	Ledger  embedded.Config
	Work    Work // default Done
	// Wrap puts something between the dispatcher and the ledger.
	Wrap func(dispatcher.Ledger) dispatcher.Ledger
}

// Open makes a fixture and returns it with its close, which the test's end calls too; hard interrupts running
// tasks.
func Open(t testing.TB, o Options) (h Fixture, shut func(hard bool)) {
	t.Helper()
	log := broker.Options{FS: o.FS}
	if o.NoDedup {
		log.DedupWindow = -1
	}
	h.Storage = OpenStorage(t, o.Dir, log)
	o.Ledger.Broker, o.Ledger.Store = h.Broker, h.Store
	ledger, err := embedded.Open(context.Background(), o.Ledger)
	require.NoError(t, err)
	h.Ledger = ledger
	if o.Work == nil {
		o.Work = Done
	}
	if o.Config.NewTask == nil {
		o.Config.NewTask = o.Work.NewTask
	}
	if o.Config.Lanes == nil {
		o.Config.Lanes = []dispatcher.Lane{{Name: Lane, Workers: 1}}
	}
	o.Config.Lanes = withAllLanes(o.Config.Lanes)
	if o.Config.Retry.Backoff == 0 {
		o.Config.Retry.Backoff, o.Config.Retry.MaxBackoff = time.Millisecond, 2*time.Millisecond
	}
	var below dispatcher.Ledger = ledger
	if o.Wrap != nil {
		below = o.Wrap(below)
	}
	d, err := dispatcher.Start(context.Background(), o.Config, below)
	require.NoError(t, err)
	h.Dispatcher = d
	var once sync.Once
	shut = func(hard bool) {
		once.Do(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if hard {
				cancel()
			}
			require.NoError(t, d.Close(ctx))
			if err := h.Shut(t); o.FS == nil {
				require.NoError(t, err)
			}
		})
	}
	t.Cleanup(func() { shut(true) })
	return h, shut
}

// withAllLanes adds the lanes that kinds need and that the test has nothing to say about.
func withAllLanes(lanes []dispatcher.Lane) []dispatcher.Lane {
	for _, k := range tasks.Kinds() {
		there := slices.ContainsFunc(lanes, func(l dispatcher.Lane) bool { return l.Name == k.Lane })
		if k.IsSubmission() && !there {
			lanes = append(lanes[:len(lanes):len(lanes)], dispatcher.Lane{Name: k.Lane, Workers: 1})
		}
	}
	return lanes
}

// Submit hands a report in.
func (h Fixture) Submit(t testing.TB, r tasks.CaseReport) dispatcher.Receipt {
	t.Helper()
	receipt, err := h.Accept(t.Context(), Submission(r))
	require.NoError(t, err)
	return receipt
}

// Until waits until the report is as told.
func (h Fixture) Until(t testing.TB, id string, as func(store.Row) bool) store.Row {
	t.Helper()
	require.NoError(t, h.Ledger.CaughtUp(t.Context()))
	changed, stop := h.Store.Watch(Ref(id))
	defer stop()
	for {
		row, err := h.Store.Get(t.Context(), Ref(id))
		require.NoError(t, err)
		if as(row) {
			return row
		}
		select {
		case <-changed:
		case <-time.After(Patience):
			t.Fatalf("%s is still %s after attempt %d: %s", id, row.Status, row.Attempts, row.Error)
		}
	}
}

// Final waits until the report is completed or failed.
func (h Fixture) Final(t testing.TB, id string) store.Row {
	t.Helper()
	return h.Until(t, id, func(r store.Row) bool { return r.Status.Final() })
}

// Copy copies the data folder as it is at this moment, as a death of the process would leave it.
func Copy(t testing.TB, dir string) string {
	t.Helper()
	var err error
	for range 100 {
		before, _ := namesIn(dir) // an error is one of the copy's, too
		to := filepath.Join(t.TempDir(), "copy")
		if err = os.CopyFS(to, os.DirFS(dir)); err == nil {
			var after []string
			if after, err = namesIn(dir); err == nil && slices.Equal(before, after) {
				return to
			}
		}
		// A file was renamed or removed meanwhile: a copy with neither the old nor the new one is of no moment.
	}
	t.Fatalf("the files of %s come and go: %v", dir, err)
	return ""
}

// namesIn are the files and folders below a folder.
func namesIn(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	return names, err
}

// CopyRows puts the database of one folder in place of another's, as a copy of the rows of another time.
func CopyRows(t testing.TB, from, to string) {
	t.Helper()
	RemoveRows(t, to)
	files, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "casepress.db") {
			bytes, err := os.ReadFile(filepath.Join(from, f.Name()))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(to, f.Name()), bytes, 0o600))
		}
	}
}

// RemoveRows deletes the database.
func RemoveRows(t testing.TB, dir string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "casepress.db"+suffix)))
	}
}
