package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"casepress/broker"
	"casepress/store"
	"casepress/tasks"
)

// Receipt is the proof that a submission was accepted. It is the same however
// often the submission is handed in again.
type Receipt struct {
	ID         string
	SHA256     string // digest of the accepted content, lower-case hex
	Sequence   uint64 // offset in the log
	ReceivedAt time.Time
	// Report is the content as first accepted.
	Report tasks.CaseReport
	// Replayed says that an earlier submission with this id and content was
	// accepted and this one added nothing.
	Replayed bool
}

// ConflictError refuses a submission whose id stands for other content already.
type ConflictError struct {
	ID              string
	Stored, Offered string // SHA-256, lower-case hex
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is already used for other content: stored %s, offered %s", e.ID, e.Stored, e.Offered)
}

// Submit accepts a valid case report whose images lie durably in the blob store.
// When it returns a receipt, the report is on stable storage and will reach
// completed or failed. An empty r.ID gets a UUIDv7. The same id with the same
// content returns the first receipt, Replayed; other content a *ConflictError.
// While another call with the same id is under way, Submit waits for it.
//
// Any other error means that nothing was accepted (errors.Is ErrUnavailable,
// ErrOverloaded), except for ctx's own error: then the outcome is unknown and
// the caller should submit the same id again, which the receipt beside the error
// names. A write that has begun is not abandoned when ctx ends.
func (d *Dispatcher) Submit(ctx context.Context, r tasks.CaseReport) (Receipt, error) {
	fresh := r.ID == ""
	if fresh {
		id, err := uuid.NewV7()
		if err != nil {
			return Receipt{}, fmt.Errorf("make report id: %w", err)
		}
		r.ID = id.String()
	}
	ahead, err := d.broker.End(TopicImages)
	if err != nil {
		return Receipt{ID: r.ID}, fmt.Errorf("end of %s: %w", TopicImages, err)
	}
	s := tasks.Submission{Kind: tasks.KindCaseReport, SHA256: r.Digest(), ImagesEnd: ahead, CaseReport: &r}
	receipt, err := d.accept(ctx, TopicCaseReports, "report/"+r.ID, s, func() (Receipt, error) {
		if fresh {
			return Receipt{}, store.ErrNotFound
		}
		return d.recorded(ctx, r.ID)
	})
	if err != nil || receipt.Replayed {
		d.checkLater(digests(r.Images)...) // they were stored for nothing
	}
	if err != nil {
		return Receipt{ID: r.ID}, err
	}
	return receipt, nil
}

// Replay returns the receipt of an earlier submission of the same report, as
// Submit would: store.ErrNotFound if the rows have none, a *ConflictError if its
// content was other. It accepts nothing.
func (d *Dispatcher) Replay(ctx context.Context, r tasks.CaseReport) (Receipt, error) {
	if err := d.CaughtUp(ctx); err != nil {
		return Receipt{ID: r.ID}, err
	}
	earlier, err := d.recorded(ctx, r.ID)
	if err != nil {
		return Receipt{ID: r.ID}, err
	}
	return replay("report/"+r.ID, earlier, r.Digest())
}

// recorded is the receipt of a report as its row has it.
func (d *Dispatcher) recorded(ctx context.Context, id string) (Receipt, error) {
	row, err := d.store.CaseReport(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: id, SHA256: row.SHA256, Sequence: row.Sequence, ReceivedAt: row.ReceivedAt, Report: row.CaseReport}, nil
}

// RegisterImage accepts an image of a patient ahead of the report that will name
// it. Its bytes must lie durably in the blob store. created is false if the same
// bytes were registered before; other bytes are a *ConflictError. On return the
// image can be found in the store.
func (d *Dispatcher) RegisterImage(ctx context.Context, patientID string, img tasks.Image) (created bool, err error) {
	s := tasks.Submission{Kind: tasks.KindImage, SHA256: img.SHA256, Image: &tasks.PatientImage{PatientID: patientID, Image: img}}
	known := false
	receipt, err := d.accept(ctx, TopicImages, "image/"+patientID+"/"+img.ImageID, s, func() (Receipt, error) {
		// An image may have come with a report, on the other topic.
		if err := d.CaughtUp(ctx); err != nil {
			return Receipt{}, err
		}
		stored, err := d.store.Image(ctx, patientID, img.ImageID)
		if err == nil && stored.SHA256 == img.SHA256 {
			var anew bool
			if anew, err = d.waitsAnew(ctx, patientID, img.ImageID); anew {
				known, err = true, store.ErrNotFound
			}
		}
		return Receipt{ID: img.ImageID, SHA256: stored.SHA256}, err
	})
	if err != nil {
		d.checkLater(img.SHA256)
		return false, err
	}
	if receipt.Replayed {
		return false, d.CaughtUp(ctx)
	}
	return !known, d.recorders[TopicImages].recorded.wait(ctx, receipt.Sequence+1)
}

// Retry lets a failed report run again with a new budget of attempts. It returns
// the status the report had: store.ErrNotFound without one, ErrNotFailed unless
// it was failed.
func (d *Dispatcher) Retry(ctx context.Context, id string) (tasks.Status, error) {
	if err := d.CaughtUp(ctx); err != nil {
		return "", err
	}
	row, err := d.store.CaseReport(ctx, id)
	if err != nil {
		return "", err
	}
	if row.Status != tasks.Failed {
		return row.Status, ErrNotFailed
	}
	s := tasks.Submission{Kind: tasks.KindRetry, Retry: &tasks.Retry{ID: id, Attempt: row.Attempts}}
	receipt, err := d.publish(ctx, TopicCaseReports, s)
	if err != nil {
		return row.Status, err
	}
	return row.Status, d.recorders[TopicCaseReports].recorded.wait(ctx, receipt.Sequence+1)
}

// accept publishes s once per key. stored looks the key up in the rows and
// answers store.ErrNotFound if they do not have it.
func (d *Dispatcher) accept(ctx context.Context, topic, key string, s tasks.Submission, stored func() (Receipt, error)) (Receipt, error) {
	if err := d.admit(); err != nil {
		return Receipt{}, err
	}
	for {
		e, owner := d.unrecorded.claim(key)
		if owner {
			return d.settle(ctx, topic, e, s, stored)
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return Receipt{}, ctx.Err()
		}
		if e.err == nil {
			return replay(key, e.receipt, s.SHA256)
		}
		// The first one was not accepted: this one tries for itself.
	}
}

func (d *Dispatcher) settle(ctx context.Context, topic string, e *entry, s tasks.Submission, stored func() (Receipt, error)) (Receipt, error) {
	found, err := d.lookUp(ctx, topic, stored)
	if err == nil {
		d.unrecorded.drop(e, found, nil)
		return replay(e.key, found, s.SHA256)
	}
	if !errors.Is(err, store.ErrNotFound) {
		d.unrecorded.drop(e, Receipt{}, err)
		return Receipt{}, err
	}
	receipt, err := d.publish(ctx, topic, s)
	if err != nil {
		d.unrecorded.drop(e, Receipt{}, err)
		return Receipt{}, err
	}
	d.unrecorded.keep(topic, d.recorders[topic].recorded, e, receipt)
	return receipt, nil
}

// lookUp asks the rows, once these show everything an earlier process accepted:
// what this process accepted is in unrecorded until then.
func (d *Dispatcher) lookUp(ctx context.Context, topic string, stored func() (Receipt, error)) (Receipt, error) {
	r := d.recorders[topic]
	if err := r.recorded.wait(ctx, r.inherited); err != nil {
		return Receipt{}, fmt.Errorf("wait for rows of %s: %w", topic, err)
	}
	return stored()
}

func replay(key string, earlier Receipt, offered string) (Receipt, error) {
	if earlier.SHA256 != offered {
		return Receipt{}, &ConflictError{ID: key[strings.LastIndexByte(key, '/')+1:], Stored: earlier.SHA256, Offered: offered}
	}
	earlier.Replayed = true
	return earlier, nil
}

// publish writes s to the log. The write is not given up when ctx ends, so that
// its outcome is always known: it ends when the record is on stable storage or
// the log is poisoned.
func (d *Dispatcher) publish(ctx context.Context, topic string, s tasks.Submission) (Receipt, error) {
	s.ReceivedAt = time.Now().UTC().Truncate(time.Microsecond)
	payload, err := s.Encode()
	if err != nil {
		return Receipt{}, err
	}
	offset, err := d.broker.Publish(context.WithoutCancel(ctx), topic, broker.Message{Payload: payload})
	if err != nil {
		return Receipt{}, fmt.Errorf("publish to %s: %w", topic, err)
	}
	receipt := Receipt{SHA256: s.SHA256, Sequence: offset, ReceivedAt: s.ReceivedAt}
	if s.CaseReport != nil {
		receipt.ID, receipt.Report = s.CaseReport.ID, *s.CaseReport
	}
	return receipt, nil
}

func (d *Dispatcher) admit() error {
	if d.isDraining() {
		return fmt.Errorf("%w: %w", ErrUnavailable, errDraining)
	}
	if d.unrecorded.len() >= d.cfg.MaxUnrecorded {
		return ErrOverloaded
	}
	return nil
}
