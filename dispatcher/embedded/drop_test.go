package embedded_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	blobdisk "casepress/blob/disk"
	"casepress/broker"
	"casepress/disk"
	"casepress/disk/disktest"
	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/dispatcher/embedded"
	"casepress/store"
	"casepress/tasks"
)

// dropping is a fixture that drops originals, with the store they lie in.
type dropping struct {
	dispatchertest.Fixture
	*testing.T
	blobs blob.Store
	shut  func(hard bool)
}

func openDropping(t *testing.T, dir string, work dispatchertest.Work) dropping {
	t.Helper()
	return openOriginals(t, dir, blob.Drop, work)
}

func openOriginals(t *testing.T, dir string, mode blob.Originals, work dispatchertest.Work) dropping {
	t.Helper()
	blobs, err := blobdisk.Open(filepath.Join(dir, "blobs"), disk.OS, blobdisk.Options{Originals: mode})
	require.NoError(t, err)
	o := options{Dir: dir, Config: dispatcher.Config{Retry: dispatcher.RetryPolicy{MaxAttempts: 1}}}
	if mode == blob.Drop {
		o.Ledger.Blobs, o.Ledger.Drop = blobs, true
	}
	o.Work = func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		if work != nil {
			if r, err := work(ctx, w); err != nil || r != nil {
				return r, err
			}
		}
		return makePictures(ctx, blobs, w)
	}
	h, shut := open(t, o)
	return dropping{h, t, blobs, shut}
}

// makePictures reads every original and makes something of it.
func makePictures(ctx context.Context, blobs blob.Store, w tasks.Work) (r tasks.CaseReportResult, err error) {
	keep := func(content string) (tasks.Output, error) {
		k, n, err := blobs.Put(ctx, bytes.NewReader([]byte(content)))
		return tasks.Output{SHA256: string(k), Bytes: n}, err
	}
	for _, img := range w.Content.(tasks.CaseReport).Images {
		b, err := blobs.Open(ctx, blob.Key(img.SHA256))
		if err != nil {
			return r, err
		}
		made := tasks.ImageResult{Width: 4, Height: 3}
		var errs [2]error
		made.Full, errs[0] = keep("full of " + img.SHA256)
		made.Thumb, errs[1] = keep("thumb of " + img.SHA256)
		if err := errors.Join(errs[0], errs[1], b.Close()); err != nil {
			return r, err
		}
		r.Images = append(r.Images, made)
	}
	r.PDF.Pages = 1 + len(r.Images)
	r.PDF.Output, err = keep("%PDF of " + w.Ref().ID)
	return r, err
}

// image stores an original and returns it with what lets it go.
func (d dropping) image(content string) (tasks.Image, func()) {
	d.Helper()
	g, err := d.blobs.Stage(d.Context(), bytes.NewReader([]byte(content)))
	require.NoError(d, err)
	require.NoError(d, g.Commit(d.Context()))
	img := tasks.Image{ImageID: "sha256-" + string(g.Key()[:32]), SHA256: string(g.Key()), Bytes: g.Size(), MediaType: "image/jpeg"}
	return img, func() { require.NoError(d, g.Discard()) }
}

func (d dropping) submit(id string, contents ...string) {
	d.Helper()
	r := tasks.CaseReport{ID: id, PatientID: "P001"}
	for _, content := range contents {
		img, release := d.image(content)
		defer release()
		r.Images = append(r.Images, img)
	}
	d.Submit(d, r)
}

func (d dropping) register(imageID, content string) (created bool) {
	d.Helper()
	img, release := d.image(content)
	defer release()
	img.ImageID = imageID
	receipt, err := d.Accept(d.Context(), dispatchertest.Submission(tasks.PatientImage{PatientID: "P001", Image: img}))
	require.NoError(d, err)
	require.NoError(d, d.CaughtUp(d.Context()))
	return !receipt.Replayed
}

// name submits a report with an image that was put ahead.
func (d dropping) name(id, imageID string) {
	d.Helper()
	img, err := d.Store.Image(d.Context(), tasks.Subject{PatientID: "P001"}, imageID)
	require.NoError(d, err)
	release, err := d.blobs.Hold(d.Context(), blob.Key(img.SHA256))
	require.NoError(d, err)
	defer release()
	d.Submit(d, tasks.CaseReport{ID: id, PatientID: "P001", Images: []tasks.Image{img}})
}

func (d dropping) there(content string) bool {
	d.Helper()
	b, err := d.blobs.Open(d.Context(), digestOf(content))
	if err == nil {
		require.NoError(d, b.Close())
		return true
	}
	require.ErrorIs(d, err, blob.ErrNotFound)
	return false
}

func (d dropping) requireDropped(content string) {
	d.Helper()
	require.Eventually(d, func() bool { return !d.there(content) }, dispatchertest.Patience, 10*time.Millisecond, content)
}

// requireKept proves that the original is still there once another, which nobody
// needs, is not.
func (d dropping) requireKept(content string) {
	d.Helper()
	other := "the latest after " + content
	d.submit("after-"+string(digestOf(content))[:8]+"-"+time.Now().Format("150405.000000"), other)
	d.requireDropped(other)
	require.True(d, d.there(content), content)
}

// A report is completed, its originals go, its results stay.
func TestOriginalsAreDropped(t *testing.T) {
	d := openDropping(t, t.TempDir(), nil)
	d.submit("CR-1", "one", "two")
	row := d.Final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)
	d.requireDropped("one")
	d.requireDropped("two")
	d.requireResults(row)

	d.submit("CR-2", "one") // the same bytes work like the first time
	require.Equal(t, tasks.Completed, d.Final(t, "CR-2").Status)
	d.requireDropped("one")

	d.submit("CR-2", "one") // handed in again: stored for nothing
	d.requireDropped("one")
}

func (d dropping) requireResults(row store.Row) {
	d.Helper()
	for _, made := range row.Result.(tasks.CaseReportResult).Images {
		for _, o := range []tasks.Output{made.Full, made.Thumb, row.Result.(tasks.CaseReportResult).PDF.Output} {
			there, err := d.blobs.Has(d.Context(), blob.Key(o.SHA256), o.Bytes)
			require.NoError(d, err)
			require.True(d, there)
		}
	}
}

// The rows are lost after a drop: reports are completed as they were, whatever
// becomes of originals now.
func TestRowsLostAfterADrop(t *testing.T) {
	for _, mode := range []blob.Originals{blob.Drop, blob.Keep} {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			d := openDropping(t, dir, nil)
			before := map[string]store.Row{}
			d.register("IMG007", "ahead")
			for _, id := range []string{"CR-1", "CR-2", "CR-3"} {
				d.submit(id, "of "+id, "of all")
				before[id] = d.Final(t, id)
			}
			d.requireDropped("of all")
			d.name("CR-4", "IMG007")
			before["CR-4"] = d.Final(t, "CR-4")
			d.requireDropped("ahead")
			d.register("IMG007", "ahead")
			d.shut(false)
			dispatchertest.RemoveRows(t, dir)

			for range 2 {
				d = openOriginals(t, dir, mode, func(_ context.Context, w tasks.Work) (tasks.Result, error) {
					if before[w.Ref().ID].ID != "" {
						t.Errorf("%s was done again", w.Ref().ID)
					}
					return nil, nil
				})
				for id, was := range before {
					row := d.Final(t, id)
					require.Equal(t, tasks.Completed, row.Status, row.Error)
					row.CreatedAt, row.Version = was.CreatedAt, was.Version
					row.Done, row.Total = was.Done, was.Total
					require.Equal(t, was, row)
					d.requireResults(row)
				}
				require.True(t, d.there("ahead"), "it was put again, for a report to come")
				if mode == blob.Drop {
					d.requireKept("ahead")
				}
				d.shut(false)
			}
		})
	}
}

func TestNeededOriginalsAreKept(t *testing.T) {
	failing := func(_ context.Context, w tasks.Work) (tasks.Result, error) {
		if w.Ref().ID == "CR-bad" {
			return nil, errors.New("will not do")
		}
		return nil, nil
	}
	t.Run("failed report", func(t *testing.T) {
		t.Parallel()
		d := openDropping(t, t.TempDir(), failing)
		d.submit("CR-bad", "shared", "own")
		require.Equal(t, tasks.Failed, d.Final(t, "CR-bad").Status)
		d.submit("CR-good", "shared")
		require.Equal(t, tasks.Completed, d.Final(t, "CR-good").Status)
		d.requireKept("shared")
		d.requireKept("own")
	})
	t.Run("unfinished report", func(t *testing.T) {
		t.Parallel()
		wait := make(chan struct{})
		d := openDropping(t, t.TempDir(), func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			if w.Ref().ID != "CR-slow" {
				return nil, nil
			}
			select {
			case <-wait:
			case <-ctx.Done():
			}
			return nil, ctx.Err()
		})
		require.NoError(t, d.SetWorkers(dispatchertest.Lane, 2))
		d.submit("CR-slow", "shared")
		d.submit("CR-quick", "shared", "own")
		d.Final(t, "CR-quick")
		d.requireDropped("own")
		d.requireKept("shared")
		close(wait)
		require.Equal(t, tasks.Completed, d.Final(t, "CR-slow").Status)
		d.requireDropped("shared")
	})
	t.Run("picture with a problem", func(t *testing.T) {
		t.Parallel()
		var d dropping
		d = openDropping(t, t.TempDir(), func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			if w.Ref().ID != "CR-1" {
				return nil, nil
			}
			r, err := makePictures(ctx, d.blobs, w)
			r.Images[0] = tasks.ImageResult{}
			r.Problems = []tasks.Problem{{Image: 1, Code: "image-undecodable"}, {Image: 2, Code: "image-damaged"}, {Code: "text-characters-unshowable"}}
			return r, err
		})
		d.submit("CR-1", "undecodable", "damaged", "fine")
		require.Equal(t, tasks.Completed, d.Final(t, "CR-1").Status)
		d.requireDropped("fine")
		d.requireKept("undecodable")
		d.requireKept("damaged")
	})
	t.Run("results that are not there", func(t *testing.T) {
		t.Parallel()
		d := openDropping(t, t.TempDir(), func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			if w.Ref().ID != "CR-1" {
				return nil, nil
			}
			lost := tasks.Output{SHA256: string(digestOf("never stored")), Bytes: 12}
			return tasks.CaseReportResult{Images: []tasks.ImageResult{{Full: lost, Thumb: lost}}, PDF: tasks.PDF{Output: lost}}, nil
		})
		d.submit("CR-1", "all there is")
		require.Equal(t, tasks.Completed, d.Final(t, "CR-1").Status)
		d.requireKept("all there is")
	})
	t.Run("put ahead", func(t *testing.T) {
		t.Parallel()
		d := openDropping(t, t.TempDir(), nil)
		require.True(t, d.register("IMG007", "ahead"))
		d.submit("CR-1", "ahead") // as a file of its own
		d.Final(t, "CR-1")
		d.requireKept("ahead")
		d.name("CR-2", "IMG007")
		d.Final(t, "CR-2")
		d.requireDropped("ahead")
		require.False(t, d.register("IMG007", "ahead"), "known, and it waits again")
		d.requireKept("ahead")
		d.name("CR-3", "IMG007")
		d.Final(t, "CR-3")
		d.requireDropped("ahead")
	})
	t.Run("put again while a report with it runs", func(t *testing.T) {
		t.Parallel()
		begun, wait := make(chan struct{}), make(chan struct{})
		d := openDropping(t, t.TempDir(), func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			if w.Ref().ID == "CR-1" {
				close(begun)
				<-wait
			}
			return nil, nil
		})
		d.register("IMG007", "ahead")
		d.name("CR-1", "IMG007")
		<-begun
		d.register("IMG007", "ahead")
		close(wait)
		d.Final(t, "CR-1")
		d.requireKept("ahead")
	})
	t.Run("of the time when originals were kept", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		d := openOriginals(t, dir, blob.Keep, nil)
		d.submit("CR-1", "kept")
		d.Final(t, "CR-1")
		d.shut(false)
		d = openDropping(t, dir, nil)
		d.submit("CR-2", "kept")
		d.Final(t, "CR-2")
		d.requireKept("kept")
	})
}

// An upload has stored its bytes and is not in the log yet.
func TestAnUploadInHandIsSpared(t *testing.T) {
	d := openDropping(t, t.TempDir(), nil)
	img, release := d.image("shared")
	d.submit("CR-1", "shared")
	d.Final(t, "CR-1")
	d.requireKept("shared")
	d.Submit(t, tasks.CaseReport{ID: "CR-2", PatientID: "P002", Images: []tasks.Image{img}})
	release()
	require.Equal(t, tasks.Completed, d.Final(t, "CR-2").Status)
	d.requireDropped("shared")

	_, release = d.image("shared") // and this one comes to nothing
	d.submit("CR-3", "shared")
	d.Final(t, "CR-3")
	d.requireKept("shared")
	release()
	d.requireDropped("shared")
}

// What a process leaves behind that ends after the result row and before all else.
func TestOriginalsOfFinishedWorkThatComesAgain(t *testing.T) {
	dir := t.TempDir()
	begun := make(chan struct{})
	var d dropping
	d = openDropping(t, dir, func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		result, err := makePictures(ctx, d.blobs, w)
		held := store.Held{Ref: w.Ref(), Attempt: w.Attempt}
		err = errors.Join(append(d.Store.Complete(ctx, []store.Completion{{Held: held, Result: result}}), err)...)
		close(begun)
		<-ctx.Done()
		return nil, errors.Join(err, ctx.Err())
	})
	d.submit("CR-1", "left behind")
	<-begun
	d.shut(true)

	d = openDropping(t, dir, nil)
	d.requireDropped("left behind")
	d.requireResults(d.Final(t, "CR-1"))
}

func digestOf(content string) blob.Key {
	sum := sha256.Sum256([]byte(content))
	return blob.Key(hex.EncodeToString(sum[:]))
}

// hungDisk lets writes to the log of case reports wait from hang on until heal.
type hungDisk struct {
	disk.FS
	hung        atomic.Bool
	begun, end  chan struct{} // begun is closed when the first waits
	begin, heal func()
}

func newHungDisk() *hungDisk {
	d := &hungDisk{FS: disk.OS, begun: make(chan struct{}), end: make(chan struct{})}
	d.begin = sync.OnceFunc(func() { close(d.begun) })
	d.heal = sync.OnceFunc(func() { close(d.end) })
	return d
}

func (d *hungDisk) hang() { d.hung.Store(true) }

func (d *hungDisk) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err == nil && strings.Contains(name, tasks.TopicCaseReports+"/log/") {
		f = &hungFile{f, d}
	}
	return f, err
}

type hungFile struct {
	disk.File
	disk *hungDisk
}

func (f *hungFile) WriteAt(p []byte, off int64) (int, error) {
	if f.disk.hung.Load() {
		f.disk.begin()
		<-f.disk.end
	}
	return f.File.WriteAt(p, off)
}

// A disk that hangs holds nobody for longer than asked. The outcome is unknown then; the write goes on, its original is
// needed meanwhile, and who hands in the same once more gets the receipt of the first.
func TestAHungDiskHoldsNoCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where time passes only once all are on their way
		dir := t.TempDir()
		blobs, err := blobdisk.Open(filepath.Join(dir, "blobs"), disk.OS, blobdisk.Options{Originals: blob.Drop})
		require.NoError(t, err)
		fsys := newHungDisk()
		finish := make(chan struct{})
		letFinish := sync.OnceFunc(func() { close(finish) })
		h, _ := open(t, options{
			Dir: dir, FS: fsys, Ledger: embedded.Config{Blobs: blobs, Drop: true},
			Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
				if w.Ref().ID == "CR-1" {
					<-finish
				}
				return makePictures(ctx, blobs, w)
			},
		})
		t.Cleanup(func() { fsys.heal(); letFinish() })
		d := dropping{h, t, blobs, nil}
		d.submit("CR-0", "an original") // for which the rows do not need it any more
		require.Eventually(t, func() bool { return !d.there("an original") }, dispatchertest.Patience, time.Millisecond)
		img, release := d.image("an original")
		r := report("CR-1")
		r.Images = []tasks.Image{img}
		fsys.hang()
		accept := func(c tasks.CaseReport) error {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := h.Accept(ctx, submission(c))
			return err
		}
		require.ErrorIs(t, accept(r), context.DeadlineExceeded)
		<-fsys.begun
		require.ErrorIs(t, accept(r), context.DeadlineExceeded, "the second waits for the first")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		together := []tasks.Submission{submission(report("CR-2")), submission(report("CR-3"))}
		for _, o := range h.AcceptAll(ctx, together) {
			require.ErrorIs(t, o.Err, context.DeadlineExceeded, "nor are those held who come together")
		}
		release()
		time.Sleep(time.Second)
		require.True(t, d.there("an original"))
		fsys.heal()
		require.True(t, h.Submit(t, r).Replayed)
		for _, o := range h.AcceptAll(t.Context(), together) {
			require.NoError(t, o.Err)
			require.True(t, o.Receipt.Replayed)
		}
		other := r
		other.Notes = "other"
		var conflict *dispatcher.ConflictError
		_, err = h.Accept(t.Context(), submission(other))
		require.ErrorAs(t, err, &conflict)
		letFinish()
		require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
	})
}

// A report whose write failed may be in the log when that is opened again: its originals are not deleted before.
func TestOriginalsOfAFailedWriteAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where a second passes only once the sweep has nothing to do
		dir := t.TempDir()
		blobs, err := blobdisk.Open(filepath.Join(dir, "blobs"), disk.OS, blobdisk.Options{Originals: blob.Drop})
		require.NoError(t, err)
		work := func(ctx context.Context, w tasks.Work) (tasks.Result, error) { return makePictures(ctx, blobs, w) }
		fsys := disktest.NewFault(disk.OS)
		o := options{Dir: dir, FS: fsys, Ledger: embedded.Config{Blobs: blobs, Drop: true}, Work: work}
		h, shut := open(t, o)
		d := dropping{h, t, blobs, shut}
		fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO, Match: func(name string) bool {
			return strings.Contains(name, tasks.TopicCaseReports+"/log/")
		}})
		img, release := d.image("an original")
		r := report("CR-1")
		r.Images = []tasks.Image{img}
		_, err = h.Accept(t.Context(), submission(r))
		require.ErrorIs(t, err, dispatcher.ErrOutcomeUnknown)
		release()
		time.Sleep(time.Second)
		require.True(t, d.there("an original"))
		shut(true)

		o.FS = disk.OS // where the write has come, although its sync failed
		h, _ = open(t, o)
		require.True(t, h.Submit(t, r).Replayed)
		require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
	})
}

// A disk that hangs does not hold up the end of the ledger for longer than asked, and what was accepted is there as ever.
func TestAHungDiskDoesNotHoldUpTheEnd(t *testing.T) {
	dir := t.TempDir()
	fsys := disktest.NewFault(disk.OS)
	b, err := broker.Open(filepath.Join(dir, "topics"), broker.Options{FS: fsys})
	require.NoError(t, err)
	st, err := store.Open(t.Context(), filepath.Join(dir, "casepress.db"))
	require.NoError(t, err)
	l, err := embedded.Open(t.Context(), embedded.Config{Broker: b, Store: st})
	require.NoError(t, err)
	begun, end := make(chan struct{}), make(chan struct{})
	heal := sync.OnceFunc(func() { close(end) })
	defer heal()
	hang := sync.OnceFunc(func() { close(begun); <-end })
	fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Match: func(name string) bool {
		if strings.Contains(name, tasks.TopicCaseReports+"/log/") {
			hang()
		}
		return false
	}})
	ctx, cancel := context.WithCancel(t.Context())
	accepted := make(chan error)
	go func() {
		_, err := l.Accept(ctx, submission(report("CR-1")))
		accepted <- err
	}()
	<-begun
	cancel()
	require.ErrorIs(t, <-accepted, context.Canceled)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := l.Close(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "a write to the log or the rows has not ended")
	}
	heal()
	require.NoError(t, l.Close(t.Context()))
	require.NoError(t, st.Close())
	require.NoError(t, b.Close())
	h, _ := open(t, options{Dir: dir})
	require.True(t, h.Submit(t, report("CR-1")).Replayed, "the write went on")
}

// A retry on a disk that hangs holds nobody either, and however often it is asked for, one write waits for the disk: it is
// one retry in the end.
func TestRetriesOnAHungDiskAreOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where time passes only once all are on their way
		fsys := newHungDisk()
		var mu sync.Mutex
		runs := map[string]int{}
		h, _ := open(t, options{
			Dir: t.TempDir(), FS: fsys, Ledger: embedded.Config{CaughtUpTimeout: 20 * time.Millisecond},
			Config: dispatcher.Config{Retry: dispatcher.RetryPolicy{MaxAttempts: 1}},
			Work: func(_ context.Context, w tasks.Work) (tasks.Result, error) {
				mu.Lock()
				defer mu.Unlock()
				if runs[w.Ref().ID]++; runs[w.Ref().ID] == 1 {
					return nil, errors.New("not today")
				}
				return dispatchertest.Pages(1), nil
			},
		})
		t.Cleanup(fsys.heal)
		for _, id := range []string{"CR-1", "CR-2"} {
			h.Submit(t, report(id))
			require.Equal(t, tasks.Failed, h.Final(t, id).Status)
		}
		fsys.hang()
		before := 0
		for i := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, err := h.Ledger.Restart(ctx, dispatchertest.Ref([]string{"CR-1", "CR-2"}[i%2]))
			cancel()
			require.Error(t, err)
			synctest.Wait()
			if i == 0 {
				before = runtime.NumGoroutine()
			}
		}
		require.Less(t, runtime.NumGoroutine(), before+10)
		_, err := h.Ledger.Restart(t.Context(), dispatchertest.Ref("CR-2"))
		require.ErrorIs(t, err, dispatcher.ErrBehind)
		fsys.heal()
		completed := func(row store.Row) bool { return row.Status == tasks.Completed }
		h.Until(t, "CR-1", completed)
		require.Equal(t, tasks.Failed, h.Final(t, "CR-2").Status, "its retry never began")
		require.Eventually(t, func() bool {
			_, err := h.Ledger.Restart(t.Context(), dispatchertest.Ref("CR-2"))
			return err == nil || errors.Is(err, dispatcher.ErrNotFailed)
		}, dispatchertest.Patience, time.Millisecond)
		h.Until(t, "CR-2", completed)
		require.Equal(t, map[string]int{"CR-1": 2, "CR-2": 2}, runs)
	})
}
