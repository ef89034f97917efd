package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"casepress/blob"
	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

// originals deletes the originals of completed reports, if they are to be dropped. First the completion is written to
// the log, so that the report can still be shown if its row is lost; then the sweep may delete its originals.
type originals struct {
	l     *Ledger
	blobs blob.Store // nil: originals are kept

	mu         sync.Mutex
	candidates map[string]bool // originals that may be unneeded; a restart forgets them and looks at all
	wake       chan struct{}   // holds a token while there are any
}

func newOriginals(l *Ledger) *originals {
	o := &originals{l: l, candidates: map[string]bool{}, wake: make(chan struct{}, 1)}
	if l.cfg.Drop {
		o.blobs = l.cfg.Blobs
	}
	return o
}

// release records what became of a completed report and makes its originals candidates for the sweep. It may be
// repeated.
func (o *originals) release(ctx context.Context, row store.Row) error {
	result, ok := row.Result.(tasks.CaseReportResult)
	if o.blobs == nil || row.Status != tasks.Completed || !ok {
		return nil
	}
	report := row.Content.(tasks.CaseReport)
	released := released(report, result)
	if len(released) == 0 {
		return nil
	}
	err := o.checkResults(ctx, result)
	if err == nil {
		err = o.recordCompletion(ctx, row, result, released)
	}
	if errors.Is(err, errNoResult) || errors.Is(err, broker.ErrInvalid) {
		o.l.cfg.Logger.Error("the originals of a report are kept", "report", row.ID, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range released {
		o.addCandidates(report.Images[n-1].SHA256)
	}
	return nil
}

// released are the positions of the images of which the report has all there is to have. An original that
// could not be shown, or not whole, is kept.
func released(report tasks.CaseReport, result tasks.CaseReportResult) (images []int) {
	for i, made := range result.Images {
		problem := slices.ContainsFunc(result.Problems, func(p tasks.Problem) bool { return p.Image == i+1 })
		if !problem && !made.Damaged && made.Full.SHA256 != "" && i < len(report.Images) {
			images = append(images, i+1)
		}
	}
	return images
}

var errNoResult = errors.New("a picture or the PDF is not where the row says")

// checkResults returns an error unless every picture and the PDF are in the store, whatever the row says.
func (o *originals) checkResults(ctx context.Context, result tasks.CaseReportResult) error {
	outputs := []tasks.Output{result.PDF.Output}
	for _, made := range result.Images {
		if made.Full.SHA256 != "" {
			outputs = append(outputs, made.Full, made.Thumb) // neither comes without the other
		}
	}
	for _, out := range outputs {
		if err := o.isSound(ctx, out); err != nil {
			return err
		}
	}
	return nil
}

// isSound returns an error unless the output is in the store with its own bytes.
func (o *originals) isSound(ctx context.Context, out tasks.Output) error {
	b, err := blob.OpenVerified(ctx, o.blobs, blob.Key(out.SHA256), verifiedFor)
	switch {
	case errors.Is(err, blob.ErrNotFound), errors.Is(err, blob.ErrCorrupt):
		return fmt.Errorf("%w: %q: %w", errNoResult, out.SHA256, err)
	case err != nil:
		return err
	}
	defer func() { _ = b.Close() }() // it was only read
	if b.Size() != out.Bytes {
		return fmt.Errorf("%w: %q has %d bytes", errNoResult, out.SHA256, b.Size())
	}
	return nil
}

// verifiedFor is how long a result that was found sound is taken for sound without being read again.
const verifiedFor = 5 * time.Minute

// recordCompletion returns when the completion is on stable storage.
func (o *originals) recordCompletion(ctx context.Context, row store.Row, result tasks.CaseReportResult, released []int) error {
	m, err := completionOf(row, result, released)
	if err != nil {
		return err
	}
	if _, err := o.l.broker.Publish(ctx, tasks.TopicCompletions, m); err != nil {
		return fmt.Errorf("publish completion: %w", err)
	}
	return nil
}

// completionOf is the record that says what became of a completed report, the same whenever it is made.
func completionOf(row store.Row, result tasks.CaseReportResult, released []int) (broker.Message, error) {
	c := tasks.Completion{
		ID: row.ID, Sequence: row.Sequence, Attempt: row.Attempts,
		StartedAt: row.StartedAt, FinishedAt: row.FinishedAt, Result: result, Released: released,
	}
	s := tasks.NewSubmission(tasks.KindCompletion(), c)
	s.ReceivedAt = row.FinishedAt
	record, err := s.Encode()
	if err != nil {
		return broker.Message{}, fmt.Errorf("encode completion: %w", err)
	}
	return broker.Message{ID: c.Key(), Key: row.ID, Payload: record}, nil
}

// addCandidates lets the sweep look at originals that may be unneeded.
func (o *originals) addCandidates(digests ...string) {
	if o.blobs == nil || len(digests) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, sha256 := range digests {
		o.candidates[sha256] = true
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *originals) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.Collect(maps.Keys(o.candidates))
	clear(o.candidates)
	return all
}

const (
	// sweepPause lets unneeded originals gather, and uploads that hold some end.
	sweepPause = 100 * time.Millisecond
	// sweepRetry is the pause after a failure.
	sweepRetry = 10 * time.Second
	// sweepEach is how often all originals are looked at.
	sweepEach = time.Hour
)

// sweep drops what reports have released and what a crash or an upload has left behind, until ctx ends.
func (o *originals) sweep(ctx context.Context) {
	all := time.NewTimer(0)
	defer all.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-all.C:
			next := sweepEach
			if err = o.sweepAll(ctx); err != nil {
				next = sweepRetry
			}
			all.Reset(next)
		case <-o.wake:
			if !sleep(ctx, sweepPause) {
				return
			}
			err = o.dropUnneeded(ctx, o.take())
		}
		if err != nil && ctx.Err() == nil {
			o.l.cfg.Logger.Error("originals could not be dropped and will be looked at again", "err", err)
			sleep(ctx, sweepRetry)
		}
	}
}

// sweepAll looks at every original.
func (o *originals) sweepAll(ctx context.Context) error {
	return o.blobs.EachOriginal(ctx, func(keys []blob.Key) error {
		digests := make([]string, len(keys))
		for i, k := range keys {
			digests[i] = string(k)
		}
		return o.dropUnneeded(ctx, digests)
	})
}

// dropUnneeded deletes those of the originals that no report and no image put ahead needs. Those that an
// upload holds become candidates once more.
func (o *originals) dropUnneeded(ctx context.Context, digests []string) error {
	keys := make([]blob.Key, len(digests))
	for i, sha256 := range digests {
		keys[i] = blob.Key(sha256)
	}
	busy, err := o.blobs.Drop(ctx, keys, o.unneeded)
	if err != nil {
		o.addCandidates(digests...)
		return err
	}
	for _, k := range busy {
		o.addCandidates(string(k))
	}
	return nil
}

// unneeded returns those of the keys that nobody needs. Uploads that are over show in the rows by then, or are still
// pending where their write takes longer than they could wait; and no other has one of them.
func (o *originals) unneeded(ctx context.Context, keys []blob.Key) ([]blob.Key, error) {
	pending := o.l.pending.originals() // before the rows are asked: what is not pending any more is in them
	if err := o.l.CaughtUp(ctx); err != nil {
		return nil, err
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(k blob.Key) bool { return pending[string(k)] })
	if len(keys) == 0 {
		return nil, nil
	}
	return filterKeys(ctx, keys, o.l.store.Unneeded)
}
