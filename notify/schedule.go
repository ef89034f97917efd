package notify

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// schedule is when an event is tried: the pause before each attempt. It is that of Standard Webhooks 1.0.0, "Deliverability
// and reliability", with 0 for the first. After the last one, 75 hours and 35 minutes later, the event is parked.
var schedule = []time.Duration{
	0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// maxRetryAfter is the longest pause that a receiver can ask for; a longer one is taken for this. No pause of the schedule is
// longer.
const (
	maxRetryAfter = 24 * time.Hour
	longestPause  = maxRetryAfter
)

// pauseAfter is the pause after so many attempts have failed, of which the last was answered with this Retry-After; parked
// says that there is no further attempt.
func pauseAfter(attempts int, retryAfter time.Duration) (pause time.Duration, parked bool) {
	if attempts >= len(schedule) {
		return 0, true
	}
	return max(schedule[attempts], retryAfter), false
}

// retryAfterOf reads the header Retry-After: seconds or a date (RFC 9110, section 10.2.3); 0 if there is none that can be
// read.
func retryAfterOf(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 63); err == nil || errors.Is(err, strconv.ErrRange) { // then it is the largest there is
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, at.Sub(now)), maxRetryAfter)
	}
	return 0
}
