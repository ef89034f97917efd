package study

// Ladder says who is told of an adverse event, one after the other, until somebody acknowledges it. The zero value is none.
type Ladder struct {
	// Rungs are who is told, in this order.
	Rungs []Rung
	// RepeatMinutes is how long after the last rung was told it is told again.
	RepeatMinutes int64
}

// Rung is somebody who is told of an adverse event, by one channel: Webhook or Mail.
type Rung struct {
	// Who is told: a person or a duty, one line of up to 200 characters, for the timeline.
	Who string
	// Webhook is the id of a webhook endpoint; "": it is told by mail.
	Webhook string
	// Mail is a mail address; "": it is told by a webhook. Label stands for it wherever it is shown, and Language is that of
	// the text, as a BCP 47 tag.
	Mail, Label, Language string
	// AfterMinutes is how long after the rung before it is told, and for the first one how long after the case was received.
	AfterMinutes int64
	// Hours are when it can be told; nil: always.
	Hours *Hours
}

// Channel names the channel where it is shown: the id of the endpoint, or the label of the mail address.
func (r Rung) Channel() string {
	if r.Webhook != "" {
		return r.Webhook
	}
	return r.Label
}

// Hours are the working hours of a rung, by the clocks of its time zone.
type Hours struct{}
