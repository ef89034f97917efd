package study

import (
	"slices"
	"time"
	_ "time/tzdata" // a small image has no time zones of its own

	"casepress/jsonfile"
)

// The limits of a ladder. They are part of the format.
const (
	maxRungs  = 20
	maxLabel  = 64          // characters
	maxAfter  = 7 * 24 * 60 // minutes
	minRepeat = 5           // minutes
	maxRepeat = 24 * 60     // minutes
	aDay      = 24 * time.Hour
)

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
	// the text, as a BCP 47 tag; "" is English.
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
type Hours struct {
	// Zone is the time zone.
	Zone *time.Location
	// Days are the days of the week on which they begin.
	Days [7]bool // by time.Weekday
	// Opens and Closes are the first and the last minute, as 18:00. Hours that close before they open go on past midnight.
	Opens, Closes string
}

// Has reports whether a time is within the hours.
func (h *Hours) Has(at time.Time) bool {
	local := at.In(h.Zone)
	minute, today := local.Format(minuteLayout), local.Weekday()
	if h.Opens <= h.Closes {
		return h.Days[today] && h.Opens <= minute && minute <= h.Closes
	}
	yesterday := (today + 6) % 7
	return h.Days[today] && h.Opens <= minute || h.Days[yesterday] && minute <= h.Closes
}

// NextChange returns the first time after at by which [Hours.Has] may have another answer. It comes up to once a day and whenever
// the clocks are changed, also if the answer stays the same.
func (h *Hours) NextChange(at time.Time) time.Time {
	local := at.In(h.Zone)
	// Until the clocks are changed, times of day are as far apart as they read.
	since := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute +
		time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
	midnight := at.Add(-since)
	next := midnight.Add(aDay)
	for _, offset := range []time.Duration{minuteOf(h.Opens), minuteOf(h.Closes) + time.Minute} {
		if change := midnight.Add(offset); change.After(at) && change.Before(next) {
			next = change
		}
	}
	if _, changed := local.ZoneBounds(); !changed.IsZero() && changed.Before(next) {
		next = changed
	}
	return next
}

func minuteOf(moment string) time.Duration {
	t, err := time.Parse(minuteLayout, moment)
	if err != nil {
		return 0 // it was checked
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

var ladderMembers = []jsonfile.Member[Ladder]{
	jsonfile.Required("rungs", "who is told, one after the other", func(c *checker, n *node, l *Ladder) {
		l.Rungs = jsonfile.List(c, n, maxRungs, func(n *node) Rung { return rung(c, n) })
		checkLabels(c, n, l.Rungs)
	}),
	jsonfile.Required("repeatMinutes", "after how many minutes the last rung is told again", func(c *checker, n *node, l *Ladder) {
		l.RepeatMinutes = c.Integer(n, minRepeat, maxRepeat)
	}),
}

var rungMembers = []jsonfile.Member[Rung]{
	jsonfile.Required("who", "a person or a duty, such as \"nurse on call\"", func(c *checker, n *node, r *Rung) { r.Who = c.Line(n, maxTitle) }),
	jsonfile.Optional("webhook", func(c *checker, n *node, r *Rung) { r.Webhook = c.ID(n) }),
	jsonfile.Optional("mail", func(c *checker, n *node, r *Rung) { r.Mail = mailAddress(c, n) }),
	jsonfile.Optional("label", func(c *checker, n *node, r *Rung) { r.Label = c.Line(n, maxLabel) }),
	jsonfile.Optional("language", func(c *checker, n *node, r *Rung) { r.Language = c.Language(n) }),
	jsonfile.Optional("afterMinutes", func(c *checker, n *node, r *Rung) { r.AfterMinutes = c.Integer(n, 0, maxAfter) }),
	jsonfile.Optional("hours", func(c *checker, n *node, r *Rung) {
		h := jsonfile.Members(c, n, hoursMembers)
		if n.Get("days") == nil {
			h.Days = [7]bool{true, true, true, true, true, true, true}
		}
		r.Hours = &h
	}),
}

var hoursMembers = []jsonfile.Member[Hours]{
	jsonfile.Required("zone", `a time zone of IANA, such as "Asia/Shanghai"`, func(c *checker, n *node, h *Hours) { h.Zone = zone(c, n) }),
	jsonfile.Optional("days", func(c *checker, n *node, h *Hours) {
		days := jsonfile.List(c, n, len(weekdays), func(n *node) string { return c.Choice(n, weekdays[:]...) })
		if n.Kind == jsonfile.Array {
			c.Unique(n.Items, days)
		}
		for _, day := range days {
			if i := slices.Index(weekdays[:], day); i >= 0 {
				h.Days[i] = true
			}
		}
	}),
	jsonfile.Required("opens", `a time of day such as "08:00"`, func(c *checker, n *node, h *Hours) {
		h.Opens = moment(c, n, minuteLayout, `a time of day such as "08:00"`)
	}),
	jsonfile.Required("closes", `a time of day such as "17:59"`, func(c *checker, n *node, h *Hours) {
		h.Closes = moment(c, n, minuteLayout, `a time of day such as "17:59"`)
	}),
}

// weekdays are the words for the days, by time.Weekday.
var weekdays = [7]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

func zone(c *checker, n *node) *time.Location {
	const want = `a time zone of IANA, such as "Asia/Shanghai" or "UTC"`
	if !c.Is(n, jsonfile.String, want) {
		return time.UTC
	}
	// "" and "Local" would be what the server happens to have.
	location, err := time.LoadLocation(n.Text)
	if err != nil || n.Text == "" || n.Text == "Local" {
		c.Refuse(n, "must be %s, not %s", want, jsonfile.Quoted(n.Text))
		return time.UTC
	}
	return location
}

// mailAddress reads an address alone.
func mailAddress(c *checker, n *node) string {
	const want = `a mail address alone, such as "safety@example.org"`
	if !c.Is(n, jsonfile.String, want) {
		return ""
	}
	if !IsMailAddress(n.Text) {
		c.Refuse(n, "must be %s, not %s", want, jsonfile.Quoted(n.Text))
		return ""
	}
	return n.Text
}

func rung(c *checker, n *node) Rung {
	r := jsonfile.Members(c, n, rungMembers)
	if n.Kind != jsonfile.Object {
		return r
	}
	webhook, mail := n.Get("webhook"), n.Get("mail")
	switch {
	case webhook == nil && mail == nil:
		c.Refuse(n, `has no channel; give "webhook", the id of an endpoint, or "mail", an address`)
	case webhook != nil && mail != nil:
		c.Refuse(mail, `is a second channel; a rung has one: make another rung of it with "afterMinutes": 0`)
	case mail != nil && n.Get("label") == nil:
		c.RefuseMissing(n, "label", "what stands for the address wherever it is shown")
	case webhook != nil:
		for _, name := range []string{"label", "language"} {
			if of := n.Get(name); of != nil {
				c.Refuse(of, `is for "mail" alone; leave it out`)
			}
		}
	}
	return r
}

// checkLabels refuses a label that stands for two addresses, or looks like the endpoint of another rung.
func checkLabels(c *checker, n *node, rungs []Rung) {
	for i, r := range rungs {
		before := slices.IndexFunc(rungs[:i], func(other Rung) bool { return other.Channel() == r.Channel() && other.Mail != r.Mail })
		if before >= 0 && r.Channel() != "" {
			c.Refuse(n.Items[i], "%q stands for another channel in item [%d]; give this one a label of its own", r.Channel(), before)
		}
	}
}
