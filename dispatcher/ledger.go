package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"casepress/store"
	"casepress/tasks"
)

// Ledger decides what is accepted, what is due, and who works on it. All methods are safe for concurrent use.
//
// A submission is due when it was accepted, when a retry's time has come, or when the lease of whoever worked
// on it has run out.
type Ledger interface {
	// Accept makes s durable and unique by its kind and key. It sets the time of receipt. The same content
	// under the same key returns the first receipt, Replayed; other content a *ConflictError. While another
	// call with the same key is under way, it waits for that one.
	//
	// Any other error means that nothing was accepted (errors.Is ErrUnavailable, ErrOverloaded), except for
	// ctx's own error and ErrOutcomeUnknown: then the caller should hand in the same once more.
	Accept(ctx context.Context, s tasks.Submission) (Receipt, error)
	// AcceptAll is Accept of each of all, which have different keys, with one outcome each in their order. They come to
	// stable storage together as far as they can, and what becomes of one does not matter to the others.
	AcceptAll(ctx context.Context, all []tasks.Submission) []Outcome
	// Restart lets a failed submission run again with a new budget of attempts. It returns the status that the
	// submission had: store.ErrNotFound without one, ErrNotFailed unless it was failed.
	Restart(ctx context.Context, of tasks.Ref) (tasks.Status, error)

	// Claim waits for due work of the lane and takes up to limit of it, for the lease. The attempt is counted,
	// and its number is the fence: whoever holds a newer attempt wins. Its error is ctx's or ErrClosed; it
	// deals with all others itself, by waiting.
	Claim(ctx context.Context, lane string, limit int, lease time.Duration) ([]Claim, error)
	// Renew lengthens the leases of what is held, and returns those that somebody else has taken over.
	Renew(ctx context.Context, lease time.Duration, held []Claim) (lost []Claim)
	// Progress tells how far the work on a claim has come. It is for people to see, and need not be durable.
	Progress(c Claim, done, total int)
	// Complete ends claims with their results, in one commit: one error each, in their order. ErrStale means
	// that a newer attempt holds the submission. ErrBadResult means that the result can never be kept, or that its
	// event cannot be made: the claim is still held, and is to be ended by Retry or Fail. After any other error the claim is due again.
	Complete(ctx context.Context, done []Completion) []error
	// Retry ends an attempt that failed for the reason; the next is due after the pause. ErrStale as above.
	Retry(ctx context.Context, c Claim, reason string, after time.Duration) error
	// Fail ends the last attempt, which failed for the reason. ErrStale as above.
	Fail(ctx context.Context, c Claim, reason string) error
	// GiveBack ends attempts that a shutdown interrupted, as if they had never begun.
	GiveBack(ctx context.Context, held []Claim) error

	// ReadEvents reads what other services are told, in one order for all who read, from behind a position on, until
	// the reader has enough: its error is ctx's, a *PositionError, ErrClosed, or why the events cannot be read. A batch has
	// no more payload than maxBytes, unless its only event is larger. An event may come more than once, under another
	// sequence and with the same id.
	ReadEvents(ctx context.Context, after Position, maxBytes int) Events
	// LastEvent is the position behind the newest event.
	LastEvent(ctx context.Context) (Position, error)

	// CaughtUp returns when reads show everything that was accepted before the call in these topics; none: in all.
	CaughtUp(ctx context.Context, topics ...string) error
	// Backlog says how much accepted work of the lane waits.
	Backlog(ctx context.Context, lane string) (Backlog, error)
	// Ready reports whether work can be accepted and recorded: nil, or why not.
	Ready() error
	// Close ends the ledger's own work. Claims must have ended before. When ctx ends it returns an error, although writes
	// may still be under way.
	Close(ctx context.Context) error
}

// Receipt is the proof that a submission was accepted. It is the same however often the submission is handed in.
type Receipt struct {
	ID         string
	SHA256     string // digest of the accepted content, lower-case hex
	Sequence   uint64 // position in the log
	ReceivedAt time.Time
	// Status is where the submission stood when this was answered; "" for a kind without a row of its own. It is the
	// one part that may differ the next time.
	Status tasks.Status
	// Content is what was first accepted; nil for a kind without a row of its own.
	Content tasks.Content
	// Replayed says that an earlier submission with this key and content was accepted and this one added
	// nothing.
	Replayed bool
}

// Outcome is what Accept returns.
type Outcome struct {
	Receipt Receipt
	Err     error
}

// Claim is a submission that this process works on.
type Claim struct {
	Row store.Row
	// Attempt is the fence: results of an older attempt are refused.
	Attempt int
}

// Held names the attempt.
func (c Claim) Held() store.Held { return store.Held{Ref: c.Row.Ref(), Attempt: c.Attempt} }

// Completion is a claim and what its task made.
type Completion struct {
	Claim
	Result tasks.Result
}

// Backlog says how much accepted work waits for its first attempt.
type Backlog struct {
	// Waiting counts submissions that no worker has taken up yet.
	Waiting int
	// Unfinished counts submissions that are not finished: waiting, running or between two attempts.
	Unfinished int
	// OldestAge is how long the oldest waiting submission has waited. Those between two attempts do not
	// count: one that keeps failing must not close the door to the others.
	OldestAge time.Duration
}

// Errors a caller branches on.
var (
	// ErrUnavailable means that nothing was accepted because the log or the rows cannot be written now; the
	// same call may succeed later.
	ErrUnavailable = errors.New("accepted work cannot be stored now")
	// ErrOutcomeUnknown means that a write had begun and failed: the record may be on stable storage all the same, and
	// only the next start can tell. It stays the answer to the same content until then.
	ErrOutcomeUnknown = errors.New("whether it is stored shows at the next start")
	// ErrOverloaded means that rows lag so far behind the log that accepting more would grow memory without
	// bound.
	ErrOverloaded = errors.New("rows lag too far behind the log")
	// ErrBehind means that the rows did not show everything accepted within [Config.CaughtUpTimeout].
	ErrBehind = errors.New("rows have not caught up with what was accepted")
	// ErrNotFailed answers a retry of a submission that has not failed.
	ErrNotFailed = errors.New("only a failed submission can be retried")
	// ErrStale refuses what a worker did that came too late: a newer attempt holds the submission.
	ErrStale = store.ErrStale
	// ErrBadResult refuses a result that cannot be kept, however often it is tried.
	ErrBadResult = store.ErrBadResult
	// ErrClosed refuses work after Close.
	ErrClosed = errors.New("dispatcher is closed")
)

// ConflictError refuses a submission whose id stands for other content already.
type ConflictError struct {
	ID              string
	Stored, Offered string // SHA-256, lower-case hex
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is already used for other content: stored %s, offered %s", e.ID, e.Stored, e.Offered)
}
