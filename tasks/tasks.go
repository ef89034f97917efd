// Package tasks implements what is done to each kind of submission: how it is decoded and checked, how it
// becomes rows, its work, and the event that tells of it. [Kind] has everything that differs between kinds.
//
// It knows nothing of queues or HTTP, and it never changes what a client handed in.
package tasks

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

// Final reports whether no more work is due unless somebody asks for a retry.
func (s Status) Final() bool { return s == Completed || s == Failed }
