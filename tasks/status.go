package tasks

import "slices"

// Status is where a submission stands. It moves
//
//	accepted -> processing -> completed
//	            processing -> retrying -> processing …
//	            processing -> failed    (one retry call: -> accepted)
type Status string

// The statuses. They appear in the API and in the rows: never rename one.
const (
	Accepted   Status = "accepted"
	Processing Status = "processing"
	Retrying   Status = "retrying"
	Completed  Status = "completed"
	Failed     Status = "failed"
)

// Statuses returns every status, in the order in which a submission comes to them.
func Statuses() []Status { return []Status{Accepted, Processing, Retrying, Completed, Failed} }

// Valid reports whether it is one of [Statuses].
func (s Status) Valid() bool { return slices.Contains(Statuses(), s) }

// Final reports whether no more work is due unless somebody asks for a retry.
func (s Status) Final() bool { return s == Completed || s == Failed }
