package broker

import "time"

// An instant is a moment by two clocks, in microseconds since 1970. They agree when the broker is opened.
type instant struct {
	// steady never jumps: it is the machine's clock at Open plus what has passed since. Locks lapse by it, and what was
	// released comes back by it. So setting the machine's clock neither lets all locks lapse nor keeps them.
	steady int64
	// date is the machine's clock, which may be set, and which goes on while the machine sleeps. By it a message is due that
	// names a time.
	date int64
}

// skew is what the date of something on the steady clock is later by.
func (i instant) skew() int64 { return i.date - i.steady }

type clock struct {
	opened time.Time
	date   func() time.Time
	offset int64 // of the date at Open
}

func newClock(date func() time.Time) clock {
	return clock{opened: time.Now(), date: date, offset: date().UnixMicro()}
}

func (c clock) steady() int64 { return c.offset + time.Since(c.opened).Microseconds() }

func (c clock) now() instant { return instant{c.steady(), c.date().UnixMicro()} }

// earlier is the clock that says the earlier time: by it nothing is too old that may not be.
func (i instant) earlier() time.Time { return microTime(min(i.steady, i.date)) }

// dateCheck is how long it may take until a set clock, or the end of the machine's sleep, is noticed.
const dateCheck = 5 * time.Second
