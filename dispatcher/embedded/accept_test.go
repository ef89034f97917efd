package embedded_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk"
	"casepress/disk/disktest"
	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/dispatcher/embedded"
	"casepress/tasks"
)

func TestAcceptedReportCompletes(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir()})
	receipt := h.Submit(t, report("CR-1"))
	require.Equal(t, "CR-1", receipt.ID)
	require.Equal(t, report("CR-1").Digest(), receipt.SHA256)
	require.False(t, receipt.Replayed)

	row := h.Final(t, "CR-1")
	require.Equal(t, tasks.Completed, row.Status)
	require.Equal(t, 1, row.Attempts)
	require.Equal(t, receipt.Sequence, row.Sequence)
	require.True(t, receipt.ReceivedAt.Equal(row.ReceivedAt))

	var all []tasks.Event
	require.Eventually(t, func() bool { all = events(t, h.Broker); return len(all) == 1 }, dispatchertest.Patience, time.Millisecond)
	var event tasks.Update
	require.NoError(t, json.Unmarshal(all[0].Payload, &event))
	require.Equal(t, tasks.Update{
		ID: "CR-1/1", Type: "patient-data-update", Time: row.FinishedAt, Kind: "case-report", SubmissionID: "CR-1", ReportID: "CR-1",
		OccurredAt: receipt.ReceivedAt, PatientID: "P001", Status: "completed", Attempt: 1, Sequence: receipt.Sequence, URL: "/case-reports/CR-1",
	}, event)
	require.Equal(t, "P001", all[0].Key)
}

// An id that was made a moment ago is not looked up: rows that cannot tell do not matter.
func TestFreshID(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir()})
	accept := func(id string, fresh bool) error {
		s := submission(report(id))
		s.Fresh = fresh
		_, err := h.Accept(t.Context(), s)
		return err
	}
	require.NoError(t, accept("made-0", true))
	require.Equal(t, tasks.Completed, h.Final(t, "made-0").Status)
	require.NoError(t, h.Store.Close()) // now the rows cannot tell
	require.NoError(t, accept("made-1", true))
	require.Error(t, accept("made-0", false), "an id that a client made is looked up")
}

// An id that is in no record of the log is not looked up once the whole log was read; one that is in it always is.
func TestNewIDIsNotLookedUp(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir})
	for i := range 20 {
		h.Submit(t, report(fmt.Sprintf("CR-%d", i)))
	}
	h.Final(t, "CR-19")
	shut(false)

	h, _ = open(t, options{Dir: dir})
	h.Submit(t, report("CR-20"))
	require.NoError(t, h.CaughtUp(t.Context())) // and so the log is read
	require.NoError(t, h.Store.Close())         // now the rows cannot tell
	for i := range 21 {
		_, err := h.Accept(t.Context(), submission(report(fmt.Sprintf("CR-%d", i))))
		require.Error(t, err)
	}
	accepted := 0
	for i := 21; i < 121; i++ {
		if receipt, err := h.Accept(t.Context(), submission(report(fmt.Sprintf("CR-%d", i)))); err == nil {
			require.False(t, receipt.Replayed)
			accepted++
		}
	}
	require.Greater(t, accepted, 80, "but for some that the filter mistakes")
}

func TestSameIDAgain(t *testing.T) {
	dir := t.TempDir()
	other := report("CR-1")
	other.Notes = "something else"
	renamed := report("CR-1")
	renamed.Images[0].Name = "IMG_0001 (1).jpg"

	check := func(h dispatchertest.Fixture, first dispatcher.Receipt) {
		again := h.Submit(t, renamed)
		require.True(t, again.Replayed)
		require.Equal(t, first.Sequence, again.Sequence)
		require.Equal(t, first.SHA256, again.SHA256)
		require.True(t, first.ReceivedAt.Equal(again.ReceivedAt))

		_, err := h.Accept(t.Context(), submission(other))
		var conflict *dispatcher.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, dispatcher.ConflictError{ID: "CR-1", Stored: first.SHA256, Offered: other.Digest()}, *conflict)
		end, err := h.Broker.End(tasks.TopicCaseReports)
		require.NoError(t, err)
		require.EqualValues(t, 1, end)
	}
	h, shut := open(t, options{Dir: dir})
	first := h.Submit(t, report("CR-1"))
	check(h, first) // from memory or from the rows, whichever is first
	h.Final(t, "CR-1")
	check(h, first) // from the rows
	shut(false)
	h, _ = open(t, options{Dir: dir})
	check(h, first) // after a restart
}

func TestSameIDAtOnceIsOneReport(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir()})
	var clients sync.WaitGroup
	var fresh, conflicts, replays atomic.Int32
	for i := range 64 {
		clients.Go(func() {
			r := report("CR-1")
			r.Notes = fmt.Sprint(i % 2)
			receipt, err := h.Accept(t.Context(), submission(r))
			var conflict *dispatcher.ConflictError
			switch {
			case errors.As(err, &conflict):
				conflicts.Add(1)
			case err != nil:
				t.Error(err)
			case receipt.Replayed:
				replays.Add(1)
			default:
				fresh.Add(1)
			}
		})
	}
	clients.Wait()
	require.EqualValues(t, 1, fresh.Load())
	require.EqualValues(t, 31, replays.Load())
	require.EqualValues(t, 32, conflicts.Load())
}

// An image put ahead again is a replay, and is recorded again: it waits for a report again.
func TestPutImageAhead(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir()})
	img := tasks.PatientImage{PatientID: "P001", Image: tasks.Image{ImageID: "IMG007", SHA256: "aa", Bytes: 1, MediaType: "image/png"}}
	put := func(img tasks.PatientImage) (dispatcher.Receipt, error) {
		return h.Accept(t.Context(), submission(img))
	}
	recorded := func() uint64 {
		end, err := h.Broker.End(tasks.TopicImages)
		require.NoError(t, err)
		return end
	}
	r, err := put(img)
	require.NoError(t, err)
	require.False(t, r.Replayed)
	require.NoError(t, h.CaughtUp(t.Context()))
	stored, err := h.Store.Image(t.Context(), tasks.Subject{PatientID: "P001"}, "IMG007")
	require.NoError(t, err)
	require.Equal(t, img.Image, stored)
	require.EqualValues(t, 1, recorded())

	const again = 8
	var clients sync.WaitGroup
	for range again {
		clients.Go(func() {
			if r, err := put(img); err != nil || !r.Replayed {
				t.Errorf("replayed %v, %v", r.Replayed, err)
			}
		})
	}
	clients.Wait()
	require.EqualValues(t, 1+again, recorded(), "however soon after the one before")

	elsewhere := img
	elsewhere.PatientID = "P002"
	r, err = put(elsewhere)
	require.NoError(t, err)
	require.False(t, r.Replayed, "ids are a patient's own")

	img.SHA256 = "bb"
	_, err = put(img)
	var conflict *dispatcher.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, dispatcher.ConflictError{ID: "IMG007", Stored: "aa", Offered: "bb"}, *conflict)
}

// A log that can no longer be written accepts nothing, says so, and forgets nothing that it had accepted.
func TestPoisonedLog(t *testing.T) {
	crash := disktest.NewCrash(1)
	fsys := disktest.NewFault(crash)
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir, FS: fsys})
	h.Submit(t, report("CR-1"))
	require.NoError(t, h.CaughtUp(t.Context()))

	fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO, Sticky: true, Match: func(name string) bool {
		return strings.Contains(name, tasks.TopicCaseReports+"/log/")
	}})
	for range 2 {
		_, err := h.Accept(t.Context(), submission(report("CR-2")))
		require.ErrorIs(t, err, dispatcher.ErrOutcomeUnknown, "it lies on the disk or not, however often it is asked")
		require.ErrorContains(t, h.Ready(), tasks.TopicCaseReports)
		fsys.Heal()
	}
	other := report("CR-2")
	other.Notes = "other"
	for _, r := range []tasks.CaseReport{report("CR-3"), other} {
		_, err := h.Accept(t.Context(), submission(r))
		require.ErrorIs(t, err, dispatcher.ErrUnavailable, "poison stays until a restart")
		require.NotErrorIs(t, err, dispatcher.ErrOutcomeUnknown, "its write never began")
	}
	together := h.AcceptAll(t.Context(), []tasks.Submission{submission(report("CR-2")), submission(report("CR-4"))})
	require.ErrorIs(t, together[0].Err, dispatcher.ErrOutcomeUnknown)
	require.ErrorIs(t, together[1].Err, dispatcher.ErrUnavailable)
	require.NotErrorIs(t, together[1].Err, dispatcher.ErrOutcomeUnknown)
	require.True(t, h.Submit(t, report("CR-1")).Replayed, "what was accepted is still known")
	shut(true)

	h, _ = open(t, options{Dir: dir, FS: crash})
	require.NoError(t, h.Ready())
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
	require.False(t, h.Submit(t, report("CR-3")).Replayed)
}

// Those that are handed in together are written together, and of none is it known whether it is there.
func TestPoisonedLogOfThoseTogether(t *testing.T) {
	fsys := disktest.NewFault(disk.OS)
	h, _ := open(t, options{Dir: t.TempDir(), FS: fsys})
	fsys.Inject(disktest.Fault{Op: disktest.OpSync, N: 1, Err: syscall.EIO, Sticky: true, Match: func(name string) bool {
		return strings.Contains(name, tasks.TopicCaseReports+"/log/")
	}})
	for _, o := range h.AcceptAll(t.Context(), []tasks.Submission{submission(report("CR-1")), submission(report("CR-2"))}) {
		require.ErrorIs(t, o.Err, dispatcher.ErrOutcomeUnknown)
	}
}

// What is in the log and not in the rows is bounded in bytes.
func TestTooFarBehind(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir(), Ledger: embedded.Config{MaxPendingBytes: 40_000, CaughtUpTimeout: 50 * time.Millisecond}})
	require.NoError(t, h.Store.Close()) // rows can no longer be written
	accept := func(id string, notes int) error {
		r := report(id)
		r.Notes = strings.Repeat("n", notes)
		s := submission(r)
		s.Fresh = true
		_, err := h.Accept(t.Context(), s)
		return err
	}
	for i := range 3 {
		require.NoError(t, accept(fmt.Sprint("large-", i), 10_000), "the log alone is enough to accept")
	}
	require.ErrorIs(t, accept("one too many", 10_000), dispatcher.ErrOverloaded)
	require.NoError(t, accept("small", 10), "for which there is room")

	// Whether an id is taken only the rows can tell: the answer is not waited for without end.
	start := time.Now()
	_, err := h.Accept(t.Context(), submission(tasks.PatientImage{PatientID: "P", Image: tasks.Image{ImageID: "I", SHA256: "aa"}}))
	require.ErrorIs(t, err, dispatcher.ErrBehind)
	require.Less(t, time.Since(start), dispatchertest.Patience)
	_, err = h.Restart(t.Context(), ref("small"))
	require.ErrorIs(t, err, dispatcher.ErrBehind)
	require.ErrorContains(t, h.Ready(), "recording")
}

// acceptFresh hands in what comes for the first time.
func acceptFresh(t *testing.T, h dispatchertest.Fixture, k *tasks.Kind, c tasks.Content) error {
	t.Helper()
	s := tasks.NewSubmission(k, c)
	s.Fresh = true
	_, err := h.Accept(t.Context(), s)
	return err
}

// A burst of anything else leaves room for the kinds of reserved lanes.
func TestTooFarBehindForAllButReservedLanes(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir(), Ledger: embedded.Config{MaxPendingBytes: 40_000, Reserved: []string{dispatchertest.Lane}}})
	require.NoError(t, h.Store.Close()) // rows can no longer be written
	reserved := func(id string, notes int) error {
		r := report(id)
		r.Notes = strings.Repeat("n", notes)
		s := submission(r)
		s.Fresh = true
		_, err := h.Accept(t.Context(), s)
		return err
	}
	other := func(id string) error {
		s := submission(tasks.PatientImage{PatientID: "P001", Image: tasks.Image{ImageID: id, SHA256: "aa", Name: strings.Repeat("n", 3_000)}})
		s.Fresh = true
		_, err := h.Accept(t.Context(), s)
		return err
	}
	require.NoError(t, other("first"))
	require.NoError(t, reserved("large", 28_000))
	require.ErrorIs(t, other("second"), dispatcher.ErrOverloaded)
	require.NoError(t, reserved("small", 3_000))
	require.ErrorIs(t, reserved("one too many", 3_000), dispatcher.ErrOverloaded)
}

// A burst of what is worked on in batches leaves room for everything else.
func TestTooFarBehindForBatchedLanes(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir(), Ledger: embedded.Config{
		MaxPendingBytes: 80_000, Reserved: []string{tasks.KindAdverseEvent().Lane}, Batched: []string{tasks.KindQuestionnaireResponse().Lane},
	}})
	require.NoError(t, h.Store.Close()) // rows can no longer be written
	accept := func(k *tasks.Kind, c tasks.Content) error { return acceptFresh(t, h, k, c) }
	batched := func(id string, bytes int) error {
		return accept(tasks.KindQuestionnaireResponse(), tasks.QuestionnaireResponse{ID: id, Revision: 1, PatientID: "P001", Original: strings.Repeat("n", bytes)})
	}
	other := func(id string) error {
		r := report(id)
		r.Notes = strings.Repeat("n", 8_000)
		return accept(tasks.KindCaseReport(), r)
	}
	require.NoError(t, batched("large", 54_000))
	require.ErrorIs(t, batched("second", 8_000), dispatcher.ErrOverloaded)
	require.NoError(t, other("first"))
	require.ErrorIs(t, other("one too many"), dispatcher.ErrOverloaded)
	require.NoError(t, accept(tasks.KindAdverseEventStep(), tasks.AdverseEventStep{
		ID: "AE-1", Step: tasks.StepAcknowledgement, Name: "Ann", Decision: tasks.DecisionSAE, Note: strings.Repeat("n", 3_000),
	}))
}

// So do what is recorded about work of such lanes, such as the acknowledgement of an adverse event.
func TestTooFarBehindForAllButStepsOfReservedLanes(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir(), Ledger: embedded.Config{MaxPendingBytes: 40_000, Reserved: []string{tasks.KindAdverseEvent().Lane}}})
	require.NoError(t, h.Store.Close()) // rows can no longer be written
	accept := func(k *tasks.Kind, c tasks.Content) error { return acceptFresh(t, h, k, c) }
	other := func(id string, notes int) error {
		r := report(id)
		r.Notes = strings.Repeat("n", notes)
		return accept(tasks.KindCaseReport(), r)
	}
	step := func(name string, note int) error {
		return accept(tasks.KindAdverseEventStep(), tasks.AdverseEventStep{
			ID: "AE-1", Step: tasks.StepAcknowledgement, Name: name, Decision: tasks.DecisionSAE, Note: strings.Repeat("n", note),
		})
	}
	require.NoError(t, other("large", 32_000))
	require.ErrorIs(t, other("second", 3_000), dispatcher.ErrOverloaded)
	require.NoError(t, step("Ann", 3_000))
	require.ErrorIs(t, step("one too many", 4_000), dispatcher.ErrOverloaded)
}

// The timeline of a case is in the order of the log: times must not go backwards there, whoever waited for rows before.
func TestStepsHaveTimesInTheOrderOfTheLog(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir()})
	const steps = 500
	receipts, errs := make([]dispatcher.Receipt, steps), make([]error, steps)
	var wg sync.WaitGroup
	for i := range steps {
		s := tasks.NewSubmission(tasks.KindAdverseEventStep(), tasks.AdverseEventStep{ID: "AE-1", Step: tasks.StepFollowUp, FollowUpID: strconv.Itoa(i)})
		wg.Go(func() {
			receipts[i], errs[i] = h.Accept(t.Context(), s)
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	slices.SortFunc(receipts, func(a, b dispatcher.Receipt) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for i, r := range receipts[1:] {
		require.False(t, r.ReceivedAt.Before(receipts[i].ReceivedAt), "%d came %v before the one that stands before it", r.Sequence, receipts[i].ReceivedAt.Sub(r.ReceivedAt))
	}
}

// A record that cannot be read, or that is no work, holds up nothing and is kept among the dead letters.
func TestUnreadableRecordHoldsUpNothing(t *testing.T) {
	h, _ := open(t, options{Dir: t.TempDir()})
	image, err := submission(tasks.PatientImage{PatientID: "P", Image: tasks.Image{ImageID: "I", SHA256: "aa"}}).Encode()
	require.NoError(t, err)
	hidden := submission(report("CR-hidden"))
	record, err := hidden.Encode()
	require.NoError(t, err)
	messages := []broker.Message{
		{Payload: []byte(`{"v":99}`)},
		{Key: "case-report/CR-2", Payload: []byte("garbage")},
		{Key: "unknown/CR-2", Payload: []byte("{}")},
		{Key: "case-report/CR-1", Payload: image},
		{Payload: []byte(`{"v":1,"kind":"retry","retry":{"kind":"unknown","id":"x","attempt":1}}`)},
		{Payload: []byte(`{"v":1,"kind":"retry","retry":{"kind":"image","id":"x","attempt":1}}`)},
		{Payload: []byte(`{"v":1,"kind":"retry","retry":{"id":"nobody","attempt":1}}`)},
	}
	_, err = h.Broker.Publish(t.Context(), tasks.TopicCaseReports, messages...)
	require.NoError(t, err)
	// The key of this one names another: what counts is what the record says.
	_, err = h.Broker.Publish(t.Context(), tasks.TopicCaseReports, broker.Message{Key: "case-report/CR-1", Payload: record})
	require.NoError(t, err)
	h.Submit(t, report("CR-1"))
	require.Equal(t, tasks.Completed, h.Final(t, "CR-1").Status)
	require.Equal(t, tasks.Completed, h.Final(t, "CR-hidden").Status)
	require.NoError(t, h.Ready())
	requireDead(t, h, len(messages))
}

// requireDead waits until there are so many dead letters of case reports.
func requireDead(t *testing.T, h dispatchertest.Fixture, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		end, err := h.Broker.End(broker.DeadLetterTopic(tasks.TopicCaseReports))
		return err == nil && end == uint64(n)
	}, dispatchertest.Patience, time.Millisecond)
}

func TestSettingsAreRefused(t *testing.T) {
	for _, c := range []embedded.Config{{Lease: -1}, {CaughtUpTimeout: -1}, {MaxPendingBytes: -1}, {MaxCrashes: -1}} {
		_, err := embedded.Open(t.Context(), c)
		require.ErrorContains(t, err, "negative")
	}
	h, _ := open(t, options{Dir: t.TempDir()})
	for _, limit := range []int{0, -1} {
		_, err := h.Ledger.Claim(t.Context(), dispatchertest.Lane, limit, time.Second)
		require.ErrorContains(t, err, "at least 1")
	}
	_, err := h.Ledger.Claim(t.Context(), dispatchertest.Lane, 1, time.Hour)
	require.ErrorContains(t, err, "at most 30s")
}
