package dispatcher

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

// releaseOriginals lets a completed report's originals go, if originals are to be
// dropped: once the completion is in the log, the report can be shown although its
// row were lost, and the sweep may delete them. It may be repeated.
func (d *Dispatcher) releaseOriginals(ctx context.Context, row store.Row) error {
	if d.cfg.Drop == nil || row.Status != tasks.Completed {
		return nil
	}
	released := released(row)
	if len(released) == 0 {
		return nil
	}
	err := d.resultsAreThere(ctx, row)
	if err == nil {
		err = d.recordCompletion(ctx, row, released)
	}
	if errors.Is(err, errNoResult) || errors.Is(err, broker.ErrInvalid) {
		d.cfg.Logger.Error("the originals of a report are kept", "report", row.ID, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range released {
		d.checkLater(row.Images[n-1].SHA256)
	}
	return nil
}

// released are the positions of the images of which the report has all there is to
// have. An original that could not be shown, or not whole, is kept.
func released(row store.Row) (images []int) {
	for i, made := range row.Result.Images {
		problem := slices.ContainsFunc(row.Result.Problems, func(p tasks.Problem) bool { return p.Image == i+1 })
		if !problem && !made.Damaged && made.Full.SHA256 != "" && i < len(row.Images) {
			images = append(images, i+1)
		}
	}
	return images
}

var errNoResult = errors.New("a picture or the PDF is not where the row says")

// resultsAreThere returns an error unless every picture and the PDF are in the
// store, whatever the row says.
func (d *Dispatcher) resultsAreThere(ctx context.Context, row store.Row) error {
	outputs := []tasks.Output{row.Result.Report.Output}
	for _, made := range row.Result.Images {
		if made.Full.SHA256 != "" {
			outputs = append(outputs, made.Full, made.Thumb) // neither comes without the other
		}
	}
	for _, o := range outputs {
		there, err := d.cfg.Drop.Has(ctx, blob.Key(o.SHA256), o.Bytes)
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("%w: %q", errNoResult, o.SHA256)
		}
	}
	return nil
}

// recordCompletion returns when the completion is on stable storage.
func (d *Dispatcher) recordCompletion(ctx context.Context, row store.Row, released []int) error {
	s := tasks.Submission{Kind: tasks.KindCompletion, ReceivedAt: row.FinishedAt, Completion: &tasks.Completion{
		ID: row.ID, Sequence: row.Sequence, Attempt: row.Attempts,
		StartedAt: row.StartedAt, FinishedAt: row.FinishedAt, Result: row.Result, Released: released,
	}}
	payload, err := s.Encode()
	if err != nil {
		return fmt.Errorf("encode completion: %w", err)
	}
	id := fmt.Sprintf("%s/%d", row.ID, row.Attempts)
	if _, err := d.broker.Publish(ctx, TopicCompletions, broker.Message{ID: id, Key: row.ID, Payload: payload}); err != nil {
		return fmt.Errorf("publish completion: %w", err)
	}
	return nil
}

// dropUnneeded deletes those of the originals that no report and no image put
// ahead needs. Those in the hands of an upload are looked at again later.
func (d *Dispatcher) dropUnneeded(ctx context.Context, originals []string) error {
	keys := make([]blob.Key, len(originals))
	for i, sha256 := range originals {
		keys[i] = blob.Key(sha256)
	}
	busy, err := d.cfg.Drop.Drop(ctx, keys, func(ctx context.Context, free []blob.Key) ([]blob.Key, error) {
		// Uploads that are over show in the rows now, and no other has one of them.
		if err := d.CaughtUp(ctx); err != nil {
			return nil, err
		}
		digests := make([]string, len(free))
		for i, k := range free {
			digests[i] = string(k)
		}
		unneeded, err := d.store.Unneeded(ctx, digests)
		drop := make([]blob.Key, len(unneeded))
		for i, sha256 := range unneeded {
			drop[i] = blob.Key(sha256)
		}
		return drop, err
	})
	if err != nil {
		d.checkLater(originals...)
		return err
	}
	for _, k := range busy {
		d.checkLater(string(k))
	}
	return nil
}

// waitsAnew reports whether putting a known image again is to be recorded: if
// originals are dropped, because a report may be about to let the image go, and
// if one has.
func (d *Dispatcher) waitsAnew(ctx context.Context, patientID, imageID string) (bool, error) {
	if d.cfg.Drop != nil {
		return true, nil
	}
	waits, err := d.store.Waits(ctx, patientID, imageID)
	return !waits, err
}

func digests(images []tasks.Image) []string {
	all := make([]string, len(images))
	for i, img := range images {
		all[i] = img.SHA256
	}
	return all
}

// recheck keeps originals that may be unneeded until the sweep looks at them. A
// restart forgets them and looks at all.
type recheck struct {
	mu        sync.Mutex
	originals map[string]bool
	some      chan struct{} // holds a token while there are any
}

func newRecheck() recheck {
	return recheck{originals: map[string]bool{}, some: make(chan struct{}, 1)}
}

func (d *Dispatcher) checkLater(originals ...string) {
	if d.cfg.Drop == nil {
		return
	}
	d.recheck.mu.Lock()
	defer d.recheck.mu.Unlock()
	for _, sha256 := range originals {
		d.recheck.originals[sha256] = true
	}
	select {
	case d.recheck.some <- struct{}{}:
	default:
	}
}

func (r *recheck) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Collect(maps.Keys(r.originals))
	clear(r.originals)
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

// sweep drops what reports have released and what a crash or an upload has left
// behind, until ctx ends.
func (d *Dispatcher) sweep(ctx context.Context) {
	all := time.NewTimer(0)
	defer all.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-all.C:
			next := sweepEach
			if err = d.sweepAll(ctx); err != nil {
				next = sweepRetry
			}
			all.Reset(next)
		case <-d.recheck.some:
			if !pause(ctx, sweepPause) {
				return
			}
			err = d.dropUnneeded(ctx, d.recheck.take())
		}
		if err != nil && ctx.Err() == nil {
			d.cfg.Logger.Error("originals could not be dropped and will be looked at again", "err", err)
			pause(ctx, sweepRetry)
		}
	}
}

// sweepAll looks at every original.
func (d *Dispatcher) sweepAll(ctx context.Context) error {
	return d.cfg.Drop.EachOriginal(ctx, func(keys []blob.Key) error {
		originals := make([]string, len(keys))
		for i, k := range keys {
			originals[i] = string(k)
		}
		return d.dropUnneeded(ctx, originals)
	})
}
