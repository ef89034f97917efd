package embedded_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/dispatcher/embedded"
	"casepress/store"
	"casepress/tasks"
)

// A process that is killed right after a 202 leaves a record that no row tells of.
func TestRecordOfAnEarlierProcess(t *testing.T) {
	dir := t.TempDir()
	b, err := broker.Open(filepath.Join(dir, "topics"), broker.Options{})
	require.NoError(t, err)
	require.NoError(t, b.CreateTopic(t.Context(), tasks.TopicCaseReports))
	payload, err := submission(report("CR-1")).Encode()
	require.NoError(t, err)
	_, err = b.Publish(t.Context(), tasks.TopicCaseReports, broker.Message{Payload: payload})
	require.NoError(t, err)
	require.NoError(t, b.Close())

	h, _ := open(t, options{Dir: dir})
	require.True(t, h.Submit(t, report("CR-1")).Replayed, "the id is taken although no row told so at the start")
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
}

// Rows are a view of the log: without the database they are made again.
func TestLostRowsAreMadeAgain(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir})
	var receipts []dispatcher.Receipt
	for i := range 5 {
		receipts = append(receipts, h.Submit(t, report(fmt.Sprintf("CR-%d", i))))
		h.Final(t, receipts[i].ID)
	}
	img := tasks.Image{ImageID: "IMG007", SHA256: "aa", Bytes: 1, MediaType: "image/png"}
	_, err := h.Accept(t.Context(), submission(tasks.PatientImage{PatientID: "P001", Image: img}))
	require.NoError(t, err)
	shut(false)
	dispatchertest.RemoveRows(t, dir)

	for range 2 { // the second start finds rows and leaves them alone
		h, shut = open(t, options{Dir: dir})
		for _, first := range receipts {
			row := h.Final(t, first.ID)
			require.Equal(t, tasks.Completed, row.Status)
			require.Equal(t, 1, row.Attempts)
			require.Equal(t, first.Sequence, row.Sequence)
			require.True(t, h.Submit(t, report(first.ID)).Replayed)
		}
		require.NoError(t, h.CaughtUp(t.Context()))
		stored, err := h.Store.Image(t.Context(), tasks.Subject{PatientID: "P001"}, "IMG007")
		require.NoError(t, err)
		require.Equal(t, img, stored)
		shut(false)
	}
}

// An older copy of the rows under a newer log: every id that was acknowledged stays taken, and results are made again.
func TestRowsThatWentBack(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir})
	submitAll := func(from, to int) {
		for i := from; i < to; i++ {
			h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
			h.Final(t, fmt.Sprintf("CR-%d", i))
		}
	}
	submitAll(0, 3)
	shut(false)
	older := dispatchertest.Copy(t, dir)
	h, shut = open(t, options{Dir: dir})
	submitAll(3, 8)
	shut(false)
	dispatchertest.CopyRows(t, older, dir)

	for range 2 {
		h, shut = open(t, options{Dir: dir, Work: func(context.Context, tasks.Work) (tasks.Result, error) { return pages(2), nil }})
		for i := range 8 {
			id := fmt.Sprintf("CR-%d", i)
			other := report(id)
			other.PatientID = "P999"
			_, err := h.Accept(t.Context(), submission(other))
			var conflict *dispatcher.ConflictError
			require.ErrorAs(t, err, &conflict, "an acknowledged id was taken for other content")
			require.True(t, h.Submit(t, report(id)).Replayed)
		}
		for i := range 8 {
			row := h.Final(t, fmt.Sprintf("CR-%d", i))
			require.Equal(t, tasks.Completed, row.Status)
			require.Equal(t, report(row.ID), row.Content)
			if i < 3 {
				require.Equal(t, 1, pagesOf(row), "it was not done again")
			} else {
				require.Equal(t, 2, pagesOf(row))
			}
		}
		shut(false)
	}
}

// What was queued again because its delivery was lost is not queued again at every later start.
func TestLostWorkIsRequeuedOnce(t *testing.T) {
	dir := t.TempDir()
	begun := make(chan string, 1)
	h, shut := open(t, options{Dir: dir, Work: holding(begun)})
	h.Submit(t, report("CR-1"))
	<-begun
	shut(true)
	older := dispatchertest.Copy(t, dir)
	h, shut = open(t, options{Dir: dir})
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
	shut(false)
	dispatchertest.CopyRows(t, older, dir)
	for range 4 {
		h, shut = open(t, options{Dir: dir, Work: holding(begun)})
		<-begun
		end, err := h.Broker.End(tasks.TopicCaseReports)
		require.NoError(t, err)
		require.EqualValues(t, 2, end, "the record and one request to run it again")
		shut(true)
	}
	h, _ = open(t, options{Dir: dir})
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
}

// A folder of the version that kept no watermark in the rows, with an older copy of the rows: the group that moved with
// the rows had come further than these. Every id that was acknowledged stays taken, and the group does not hold back
// retention for ever.
func TestRowsWithoutAWatermark(t *testing.T) {
	dir := filled(t, t.TempDir(), "before", 3)
	older := dispatchertest.Copy(t, dir)
	filled(t, dir, "after", 3)
	s := dispatchertest.OpenStorage(t, dir, broker.Options{})
	sub, err := s.Broker.Subscribe(tasks.TopicCaseReports, "records", broker.SubscribeOptions{})
	require.NoError(t, err)
	for n := 0; n < 6; {
		batch, err := sub.Receive(t.Context(), 6)
		require.NoError(t, err)
		for _, d := range batch {
			require.NoError(t, d.Ack())
			n++
		}
	}
	require.NoError(t, sub.Close())
	require.NoError(t, s.Shut(t))
	dispatchertest.CopyRows(t, older, dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "casepress.db"))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "DELETE FROM watermarks")
	require.NoError(t, err)
	require.NoError(t, db.Close())

	for range 2 {
		h, shut := open(t, options{Dir: dir, Work: func(context.Context, tasks.Work) (tasks.Result, error) { return pages(2), nil }})
		require.NoError(t, h.CaughtUp(t.Context()))
		for name, made := range map[string]int{"before": 1, "after": 2} {
			for i := range 3 {
				id := fmt.Sprintf("%s-%d", name, i)
				other := report(id)
				other.PatientID = "P999"
				_, err := h.Accept(t.Context(), submission(other))
				var conflict *dispatcher.ConflictError
				require.ErrorAs(t, err, &conflict, "an acknowledged id was taken for other content")
				row := h.Final(t, id)
				require.Equal(t, 1, row.Attempts)
				require.Equal(t, made, pagesOf(row))
			}
		}
		_, err := h.Broker.Group(tasks.TopicCaseReports, "records")
		require.ErrorIs(t, err, broker.ErrNoGroup)
		shut(false)
	}
}

// refused opens the folder, which must be refused.
func refused(t *testing.T, dir string) *embedded.MismatchError {
	t.Helper()
	s := dispatchertest.OpenStorage(t, dir, broker.Options{})
	defer func() { require.NoError(t, s.Shut(t)) }()
	_, err := embedded.Open(t.Context(), embedded.Config{Broker: s.Broker, Store: s.Store})
	var mismatch *embedded.MismatchError
	require.ErrorAs(t, err, &mismatch)
	require.ErrorContains(t, err, "topics/"+mismatch.Topic)
	return mismatch
}

func swapTopics(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(filepath.Join(to, "topics")))
	require.NoError(t, os.CopyFS(filepath.Join(to, "topics"), os.DirFS(filepath.Join(from, "topics"))))
}

// filled is a data folder with completed reports of that name.
func filled(t *testing.T, dir, name string, n int) string {
	t.Helper()
	h, shut := open(t, options{Dir: dir})
	for i := range n {
		h.Submit(t, report(fmt.Sprintf("%s-%d", name, i)))
		h.Final(t, fmt.Sprintf("%s-%d", name, i))
	}
	shut(false)
	return dir
}

func TestLogOlderThanTheRows(t *testing.T) {
	dir := filled(t, t.TempDir(), "first", 3)
	older := dispatchertest.Copy(t, dir)
	filled(t, dir, "second", 3)
	whole := dispatchertest.Copy(t, dir)
	swapTopics(t, older, dir)
	for range 2 { // and it changes nothing
		mismatch := refused(t, dir)
		require.Equal(t, tasks.TopicCaseReports, mismatch.Topic)
		require.Contains(t, mismatch.Reason, "come to record 6, the log ends at 3")
		require.Contains(t, mismatch.Cure, "older")
		require.Contains(t, mismatch.Cure, "casepress.db")
	}
	// The first cure, then the second.
	swapTopics(t, whole, dir)
	h, shut := open(t, options{Dir: dir})
	require.Equal(t, tasks.Completed, h.Final(t, "second-2").Status)
	shut(false)
	swapTopics(t, older, dir)
	dispatchertest.RemoveRows(t, dir)
	h, _ = open(t, options{Dir: dir})
	require.Equal(t, tasks.Completed, h.Final(t, "first-2").Status)
}

func TestAnotherLogUnderTheSameName(t *testing.T) {
	dir := filled(t, t.TempDir(), "ours", 3)
	swapTopics(t, filled(t, t.TempDir(), "theirs", 4), dir)
	mismatch := refused(t, dir)
	require.Equal(t, tasks.TopicCaseReports, mismatch.Topic)
	require.Contains(t, mismatch.Reason, "record 2 of the log is not the one")
	require.Contains(t, mismatch.Cure, "pair that belongs together")
}

// The oldest segment of a log is gone: rows that have what was in it go on, rows that would need it are refused.
func TestOldestSegmentGone(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir, NoDedup: true})
	filler := broker.Message{Payload: make([]byte, 1<<20)}
	for len(segments(t, dir, tasks.TopicImages)) < 3 {
		_, err := h.Broker.Publish(t.Context(), tasks.TopicImages, filler)
		require.NoError(t, err)
	}
	require.NoError(t, h.CaughtUp(t.Context()))
	shut(false)
	oldest := segments(t, dir, tasks.TopicImages)[0]
	require.NoError(t, os.Remove(oldest))
	_ = os.Remove(oldest[:len(oldest)-len("log")] + "index")

	h, shut = open(t, options{Dir: dir, NoDedup: true})
	h.Submit(t, report("CR-1"))
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
	shut(false)
	dispatchertest.RemoveRows(t, dir)
	mismatch := refused(t, dir)
	require.Equal(t, tasks.TopicImages, mismatch.Topic)
	require.Contains(t, mismatch.Reason, "come to record 0, the log begins at")
	require.Contains(t, mismatch.Cure, "segments")
}

func segments(t *testing.T, dir, topic string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "topics", topic, "log", "*.log"))
	require.NoError(t, err)
	return files
}

// Damage in an old segment, which opening does not read, is found and told.
func TestDamagedLogIsNotReady(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir, NoDedup: true})
	filler := broker.Message{Payload: make([]byte, 1<<20)}
	for len(segments(t, dir, tasks.TopicUpdates)) < 8 { // further back than opening looks
		_, err := h.Broker.Publish(t.Context(), tasks.TopicUpdates, filler)
		require.NoError(t, err)
	}
	require.NoError(t, h.Ready())
	shut(false)

	first, err := os.OpenFile(segments(t, dir, tasks.TopicUpdates)[0], os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = first.WriteAt([]byte("damage"), 500_000)
	require.NoError(t, err)
	require.NoError(t, first.Close())

	h, _ = open(t, options{Dir: dir, NoDedup: true})
	for err = h.Ready(); err == nil; err = h.Ready() {
		runtime.Gosched()
	}
	var corruption *commitlog.CorruptionError
	require.ErrorAs(t, err, &corruption)
	require.Equal(t, first.Name(), corruption.File)
}

// A process that ends between the result and the acknowledgement leaves a delivery of finished work behind: it is
// ended without work, and the event is not missing.
func TestFinishedWorkComesAgain(t *testing.T) {
	dir := t.TempDir()
	begun := make(chan struct{})
	var st *store.Store
	ready := make(chan struct{})
	h, shut := open(t, options{Dir: dir, Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		<-ready
		result, _ := done(ctx, w)
		held := store.Held{Ref: w.Ref(), Attempt: w.Attempt} // as if the process died right after
		errs := st.Complete(ctx, []store.Completion{{Held: held, Result: result}})
		close(begun)
		<-ctx.Done()
		return nil, errors.Join(append(errs, ctx.Err())...)
	}})
	st = h.Store
	close(ready)
	h.Submit(t, report("CR-1"))
	<-begun
	shut(true)

	h, _ = open(t, options{Dir: dir, Work: func(context.Context, tasks.Work) (tasks.Result, error) {
		t.Error("finished work was done again")
		return nil, nil
	}})
	require.Eventually(t, func() bool { return len(events(t, h.Broker)) == 1 }, dispatchertest.Patience, time.Millisecond)
	require.Equal(t, "CR-1/1", events(t, h.Broker)[0].ID)
	require.Equal(t, 1, h.Final(t, "CR-1").Attempts)
}

// Deliveries of finished work alone, as they come when a group was moved away and begins anew, leave nothing waiting: else the
// age of what nobody waits for would refuse all new work.
func TestFinishedWorkDoesNotWait(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir})
	for _, id := range []string{"CR-1", "CR-2", "CR-3"} {
		h.Submit(t, report(id))
		h.Final(t, id)
	}
	shut(false)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "topics", tasks.TopicCaseReports, "groups")))

	h, _ = open(t, options{Dir: dir, Work: func(context.Context, tasks.Work) (tasks.Result, error) {
		t.Error("finished work was done again")
		return nil, nil
	}})
	require.Eventually(t, func() bool {
		b, err := h.Ledger.Backlog(t.Context(), dispatchertest.Lane)
		require.NoError(t, err)
		return b == dispatcher.Backlog{}
	}, dispatchertest.Patience, time.Millisecond)
}

// die returns the folder as a death at this moment leaves it, and ends the process that was.
func die(t *testing.T, h dispatchertest.Fixture, shut func(bool)) string {
	t.Helper()
	require.NoError(t, h.CaughtUp(t.Context()))
	dir := dispatchertest.Copy(t, h.Dir)
	shut(true)
	return dir
}

// holding is work that only ends with the process.
func holding(begun chan string) dispatchertest.Work {
	return func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
		begun <- w.Ref().ID
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

// A submission that the process dies of fails after three deaths alone, says so, is told of and is kept among the
// dead letters. Those beside it complete. When it is tried again, it is alone again.
func TestThreeDeathsAlone(t *testing.T) {
	const neighbours = 3
	workers := []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: neighbours + 1}}
	begun := make(chan string, 16)
	h, shut := open(t, options{Dir: t.TempDir(), Config: dispatcher.Config{Lanes: workers}, Work: holding(begun)})
	h.Submit(t, report("deadly"))
	for i := range neighbours {
		h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
	}
	for range neighbours + 1 {
		<-begun
	}
	dir := die(t, h, shut)

	deaths := 0
	for ; deaths < 10; deaths++ {
		var together, inside atomic.Int32
		deadly := make(chan struct{}, 1)
		h, shut = open(t, options{Dir: dir, Config: dispatcher.Config{Lanes: workers}, Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			together.Store(max(together.Load(), inside.Add(1)))
			defer inside.Add(-1)
			if w.Ref().ID == "deadly" {
				deadly <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return done(ctx, w)
		}})
		row, err := h.Store.Get(t.Context(), ref("deadly"))
		require.NoError(t, err)
		require.Equal(t, deaths, row.Crashes)
		if row.Status == tasks.Failed {
			require.Contains(t, row.Error, "died 3 times")
			break
		}
		require.True(t, row.Suspect)
		<-deadly
		require.EqualValues(t, 1, together.Load(), "a suspect runs alone")
		dir = die(t, h, shut)
	}
	require.Equal(t, 3, deaths)
	for i := range neighbours {
		row := h.Final(t, fmt.Sprintf("CR-%d", i))
		require.Equal(t, tasks.Completed, row.Status)
		require.Zero(t, row.Crashes)
	}
	requireDead(t, h, 1)
	require.Eventually(t, func() bool { return len(events(t, h.Broker)) == neighbours+1 }, dispatchertest.Patience, time.Millisecond)
	shut(false)

	// Tried again it is alone, although it has failed meanwhile and the process was started again.
	h, _ = open(t, options{Dir: dir})
	_, err := h.Restart(t.Context(), ref("deadly"))
	require.NoError(t, err)
	require.Equal(t, tasks.Completed, h.Final(t, "deadly").Status)
}

// On a reserved lane too a submission that the process dies of fails after three deaths, although others were in work
// beside it each time. These complete.
func TestThreeDeathsOnAReservedLane(t *testing.T) {
	workers := []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: 4, Reserved: true}}
	ledger := embedded.Config{Reserved: []string{dispatchertest.Lane}}
	begun := make(chan string, 16)
	h, shut := open(t, options{Dir: t.TempDir(), Config: dispatcher.Config{Lanes: workers}, Ledger: ledger, Work: holding(begun)})
	ids := []string{"deadly", "neighbour"}
	for _, id := range ids {
		h.Submit(t, report(id))
		<-begun
	}
	dir := die(t, h, shut)
	for deaths := range 3 {
		h, shut = open(t, options{Dir: dir, Config: dispatcher.Config{Lanes: workers}, Ledger: ledger, Work: holding(begun)})
		require.Equal(t, "deadly", <-begun)
		row, err := h.Store.Get(t.Context(), ref("deadly"))
		require.NoError(t, err)
		require.Equal(t, deaths, row.Crashes)
		newcomer := fmt.Sprintf("new-%d", deaths)
		h.Submit(t, report(newcomer))
		require.Equal(t, newcomer, <-begun)
		ids = append(ids, newcomer)
		dir = die(t, h, shut)
	}
	h, _ = open(t, options{Dir: dir, Config: dispatcher.Config{Lanes: workers}, Ledger: ledger})
	require.Contains(t, h.Final(t, "deadly").Error, "died 3 times")
	for _, id := range ids[1:] {
		row := h.Final(t, id)
		require.Equal(t, tasks.Completed, row.Status)
		require.Zero(t, row.Crashes)
	}
}

// A submission that failed because the process died of it does not run beside others when it is restarted.
func TestARestartedSuspectRunsAlone(t *testing.T) {
	begun := make(chan string, 16)
	h, shut := open(t, options{Dir: t.TempDir(), Ledger: embedded.Config{MaxCrashes: 1}, Work: holding(begun)})
	h.Submit(t, report("deadly"))
	<-begun
	dir := die(t, h, shut)
	var inside atomic.Int32
	first, finish := make(chan struct{}), make(chan struct{})
	h, _ = open(t, options{
		Dir: dir, Ledger: embedded.Config{MaxCrashes: 1}, Config: dispatcher.Config{Lanes: []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: 4}}},
		Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			n := inside.Add(1)
			defer inside.Add(-1)
			if w.Ref().ID == "neighbour" {
				close(first)
				<-finish
			} else if n != 1 {
				return nil, errors.New("not alone")
			}
			return done(ctx, w)
		},
	})
	require.Equal(t, tasks.Failed, h.Final(t, "deadly").Status)
	h.Submit(t, report("neighbour"))
	<-first
	_, err := h.Restart(t.Context(), ref("deadly"))
	require.NoError(t, err)
	require.Never(t, func() bool { // while another is in work
		row, err := h.Store.Get(t.Context(), ref("deadly"))
		return err != nil || row.Status != tasks.Accepted
	}, 100*time.Millisecond, time.Millisecond)
	close(finish)
	row := h.Final(t, "deadly")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, 2, row.Attempts, row.Error)
}

// Deaths of a service whose submissions are all sound fail none of them. CASEPRESS_DEATHS says how many, 20 by
// default.
func TestManyDeathsOfAHealthyService(t *testing.T) {
	deaths := 20
	if n, err := strconv.Atoi(os.Getenv("CASEPRESS_DEATHS")); err == nil {
		deaths = n
	}
	const atOnce = 3
	dir := t.TempDir()
	workers := []dispatcher.Lane{{Name: dispatchertest.Lane, Workers: atOnce}}
	submitted := 0
	for range deaths {
		begun := make(chan string, atOnce)
		newest := submitted
		h, shut := open(t, options{Dir: dir, Config: dispatcher.Config{Lanes: workers}, Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) {
			var n int
			if _, err := fmt.Sscanf(w.Ref().ID, "CR-%d", &n); err != nil || n < newest {
				return pages(1), err // of an earlier process
			}
			begun <- w.Ref().ID
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		for range atOnce {
			h.Submit(t, report(fmt.Sprintf("CR-%d", submitted)))
			submitted++
		}
		for range atOnce {
			<-begun // the suspects before them have gone their way
		}
		next := die(t, h, shut)
		require.NoError(t, os.RemoveAll(dir))
		dir = next
	}
	h, _ := open(t, options{Dir: dir, Config: dispatcher.Config{Lanes: workers}})
	for i := range submitted {
		row := h.Final(t, fmt.Sprintf("CR-%d", i))
		require.Equal(t, tasks.Completed, row.Status, row.Error)
		require.Zero(t, row.Crashes)
	}
}
