package notify

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"casepress/store"
)

// warnEach is how often the log has at most that an endpoint begins to fail, and so that it works again.
const warnEach = time.Minute

// failing is since when an endpoint fails, and what the log was told of it. It belongs to the goroutine of the sender, whose rounds it
// outlives.
type failing struct {
	known    bool      // an attempt has ended since the start
	warned   bool      // the log has that it fails
	unsaid   bool      // it fails, and the log has it not, since it had so a moment ago
	warnedAt time.Time // the last time
	tried    []*event  // those that wait and have failed, by their first attempts; among them some that have ended
}

// load takes up the events that wait at the begin of a round.
func (f *failing) load(q *queue) {
	f.tried = nil
	for _, of := range q.subjects {
		if of[0].Attempts > 0 { // those behind it were not tried
			f.tried = append(f.tried, of[0])
		}
	}
	slices.SortFunc(f.tried, func(a, b *event) int { return a.FirstAt.Compare(b.FirstAt) })
}

// since is the first attempt of the oldest event that waits and has failed, as [store.WebhookHealth] has it; zero if there is none.
func (f *failing) since() time.Time {
	for len(f.tried) > 0 && f.tried[0].State != store.Waiting {
		f.tried = f.tried[1:]
	}
	if len(f.tried) == 0 {
		return time.Time{}
	}
	return f.tried[0].FirstAt
}

// add takes up an event that has failed for the first time. waiting is how many events wait: those that have ended must not take memory
// behind an old one that has not.
func (f *failing) add(e *event, waiting int) {
	f.tried = append(f.tried, e)
	if len(f.tried) > 2*waiting+16 {
		f.tried = slices.DeleteFunc(f.tried, func(e *event) bool { return e.State != store.Waiting })
	}
}

// noteFailure follows an attempt that has failed, and logs that the endpoint begins to fail. That an event is tried once more
// begins nothing: an endpoint that refuses one event and takes the others works.
func (r *round) noteFailure(e *event, reason error, now time.Time) {
	f := &r.failing
	if e.Attempts == 1 && e.State == store.Waiting {
		f.add(e, r.queue.waiting)
	}
	begins := e.Attempts == 1 || !f.known || f.unsaid
	f.known = true
	if f.warned || !begins {
		return
	}
	if passed := now.Sub(f.warnedAt); passed >= 0 && passed < warnEach { // else the clock was put back
		f.unsaid = true
		return
	}
	f.warned, f.unsaid, f.warnedAt = true, false, now
	r.w.log.Warn("a webhook endpoint begins to fail: events wait, and are tried again", "endpoint", r.endpoint.ID, "host", hostOf(r.endpoint.URL),
		"types", strings.Join(r.endpoint.Types, ","), "reason", reasonForLog(reason), "waiting", r.queue.waiting)
}

// noteSuccess follows an attempt that was taken, and logs that the endpoint works again, if the log has that it fails.
func (r *round) noteSuccess() {
	f := &r.failing
	f.known, f.unsaid = true, false
	if !f.warned {
		return
	}
	f.warned = false
	r.w.log.Info("a webhook endpoint works again", "endpoint", r.endpoint.ID, "host", hostOf(r.endpoint.URL), "waiting", r.queue.waiting)
}

// hostOf is the host and port of an address. Its path and query may have a secret of the receiver.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// reasonForLog is why an attempt failed, without what the receiver has sent: that may be what it was sent, which is of a patient.
func reasonForLog(err error) string {
	reason := OneLine(reasonOf(err), maxError)
	if strings.Contains(reason, "malformed") {
		return "what the receiver answered is no HTTP"
	}
	if before, _, quotes := strings.Cut(reason, `"`); quotes {
		return strings.TrimSpace(before) + " …"
	}
	return reason
}

// failingSeconds is for how long the endpoint has failed that has failed for the longest.
func (w *Webhooks) failingSeconds() (longest float64) {
	for _, s := range w.all() {
		if since := s.failingSince.Load(); since != 0 {
			longest = max(longest, time.Since(time.UnixMicro(since)).Seconds())
		}
	}
	return longest
}

func microsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
