package notify

import (
	"context"
	"time"

	"casepress/study"
	"casepress/tasks"
)

// Alert tells somebody of a case that nobody has acknowledged, or of channels that do not work. It is thin: it has no clinical
// values and no description.
type Alert struct {
	// ID is the same however often the same alert is sent: it is made of the case, the rung and the attempt.
	ID string
	// Header says which case it is, and whose: its ID is "" if the alert is of Failing alone.
	tasks.Header
	State tasks.AdverseEventState
	Clock tasks.Clock
	// Path is the address of the case without the server, "/adverse-events/AE-1".
	Path string
	// Exercise says that it is a drill, and no patient is concerned.
	Exercise bool
	// Who is told, as the study's file names them. Rung counts from 1, and so does Attempt, which counts how often this rung was
	// told of this case.
	Who           string
	Rung, Attempt int
	// Failing are channels that do not work at the moment, by which others were to be told.
	Failing []FailingChannel
}

// FailingChannel is a channel that does not work.
type FailingChannel struct {
	// Channel is the id of a webhook endpoint or the label of a mail address.
	Channel string
	// Since is when it failed first, and Reason why it failed last.
	Since  time.Time
	Reason string
}

// Channel sends an alert to a rung. It returns nil when the alert was taken: a receiver has answered 2xx, or a mail server has
// taken the mail. Any other outcome is an error, whose text is shown to people on the timeline: one line, without secrets. It
// returns soon after ctx has ended, is safe for concurrent use, and may be given the same alert again, by the same ID.
type Channel func(ctx context.Context, to study.Rung, a Alert) error
