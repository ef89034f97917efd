package notify

import (
	"slices"
	"time"

	"casepress/study"
	"casepress/tasks"
)

const (
	// failedPause is how long after the first failure in a row a rung is tried again that nobody comes after; it doubles with each
	// further one, up to the ladder's repeat.
	failedPause = time.Minute
	// manyAlerts is how many alerts of one case are sent as the ladder says. From then on each rung is told once in rarePause: the
	// timeline of a case that nobody ever acknowledges must not grow without end.
	manyAlerts = 500
	rarePause  = 24 * time.Hour
	// clockTolerance is how far a step may lie in the future before the clock counts as put back.
	clockTolerance = time.Minute
)

// dueAlert is what is due next of a case: the alert of a rung, from 1, at a time. With rung 0 nothing is due before that time, at
// which one must look again.
type dueAlert struct {
	rung, attempt int
	at            time.Time
}

// rungState is how a rung stands in one case.
type rungState struct {
	attempts int       // under this number, whoever it was then
	reached  bool      // it was tried as it is in the ladder now
	at       time.Time // the last time
	failures int       // in a row, up to now
}

// nextAlert says what is due next of a case that nobody has acknowledged. It looks at nothing else: so a restart forgets nothing,
// and who changes the ladder changes what comes next.
//
//	received ─after─> rung 1 ─after─> rung 2 ─after─> … last rung ─repeat─> last rung …
//
// A rung outside of its hours is skipped: the next one comes when this one would have. It is told when its hours begin, if the case
// is still open then. While no rung is within its hours, hours do not count. A rung that failed has reached nobody, and the next
// one comes at once. Where no further rung can be told, the last one is repeated; if that fails, it is tried again sooner, and
// the one before it that works is repeated as well.
//
// Steps belong to a rung by its number, but only if they name its person and channel: a ladder that was changed tells whoever
// was not told.
func nextAlert(l study.Ladder, received time.Time, steps []tasks.Step, now time.Time) dueAlert {
	rungs, alerts := stateOf(l, steps)
	onDuty := within(l, now)
	highest := -1 // that was reached
	for i, r := range rungs {
		if r.reached {
			highest = i
		}
	}
	due := func(i int) dueAlert { return dueAlert{i + 1, rungs[i].attempts + 1, now} }
	for i := range highest {
		if !rungs[i].reached && onDuty[i] {
			return due(i)
		}
	}
	next := nextChange(l, now)
	if highest < len(rungs)-1 {
		climb := whenToClimb(l, received, rungs, highest, now)
		if climb.After(now) {
			return dueAlert{at: earlier(next, climb)}
		}
		for i := highest + 1; i < len(rungs); i++ {
			if onDuty[i] {
				return due(i)
			}
		}
	}
	for i := highest; i >= 0; i-- {
		if !onDuty[i] {
			continue
		}
		again := whenToRepeat(l, rungs[i], alerts, now)
		if !again.After(now) {
			return due(i)
		}
		next = earlier(next, again)
		if rungs[i].failures == 0 {
			break // somebody hears of it
		}
	}
	return dueAlert{at: next}
}

// stateOf sums up the steps, which are in the order of the log, and counts the alerts among them.
func stateOf(l study.Ladder, steps []tasks.Step) (rungs []rungState, alerts int) {
	rungs = make([]rungState, len(l.Rungs))
	for _, s := range steps {
		if s.Step != tasks.StepNotification || s.Rung < 1 {
			continue
		}
		alerts++
		if s.Rung > len(rungs) {
			continue
		}
		r, is := &rungs[s.Rung-1], l.Rungs[s.Rung-1]
		r.attempts = max(r.attempts, s.Attempt)
		if s.Channel != is.Channel() || s.Name != is.Who {
			continue
		}
		r.reached, r.at = true, s.At
		if s.Failed {
			r.failures++
		} else {
			r.failures = 0
		}
	}
	return rungs, alerts
}

// within says which rungs are within their hours; all, if none is.
func within(l study.Ladder, now time.Time) []bool {
	on := make([]bool, len(l.Rungs))
	for i, r := range l.Rungs {
		on[i] = r.Hours == nil || r.Hours.Has(now)
	}
	if !slices.Contains(on, true) {
		for i := range on {
			on[i] = true
		}
	}
	return on
}

// nextChange is when hours begin or end next; zero: never.
func nextChange(l study.Ladder, now time.Time) (next time.Time) {
	for _, r := range l.Rungs {
		if r.Hours != nil {
			next = earlier(next, r.Hours.NextChange(now))
		}
	}
	return next
}

// whenToClimb is when the rung after the highest that was reached has its turn.
func whenToClimb(l study.Ladder, received time.Time, rungs []rungState, highest int, now time.Time) time.Time {
	after := time.Duration(l.Rungs[highest+1].AfterMinutes) * time.Minute
	if highest < 0 {
		return sane(received, now).Add(after)
	}
	if rungs[highest].failures > 0 {
		return now
	}
	return sane(rungs[highest].at, now).Add(after)
}

// whenToRepeat is when a rung that was reached is told again.
func whenToRepeat(l study.Ladder, r rungState, alerts int, now time.Time) time.Time {
	pause := time.Duration(l.RepeatMinutes) * time.Minute
	if r.failures > 0 {
		pause = min(pause, failedPause<<min(r.failures-1, 16))
	}
	if alerts >= manyAlerts {
		pause = rarePause
	}
	return sane(r.at, now).Add(pause)
}

// sane is the time of a step, or long ago where it lies in the future: then the clock was put back, and rather than that
// somebody waits for as long as it was put back they are told once too often.
func sane(at, now time.Time) time.Time {
	if at.After(now.Add(clockTolerance)) {
		return time.Time{}
	}
	return at
}

// earlier is the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
