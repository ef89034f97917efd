package dispatcher

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// RetryPolicy says when an attempt that failed is tried again. The zero value of a field means its default.
type RetryPolicy struct {
	// MaxAttempts is how often a task is tried before its submission is failed. Want of the machine's
	// resources (see [IsShortage]) fails none, however often. Default 8.
	MaxAttempts int
	// Backoff is the pause before the second attempt; it doubles with each further one up to MaxBackoff, less
	// a random part of up to half, so that what failed together does not come back together. Defaults 1 second
	// and 5 minutes.
	Backoff, MaxBackoff time.Duration
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	p.MaxAttempts = orDefault(p.MaxAttempts, 8)
	p.Backoff = orDefault(p.Backoff, time.Second)
	p.MaxBackoff = orDefault(p.MaxBackoff, 5*time.Minute)
	return p
}

// Exhausted reports whether the error of that many counted attempts is final.
func (p RetryPolicy) Exhausted(attempts int, err error) bool {
	return attempts >= p.MaxAttempts && !IsShortage(err)
}

// Pause is the pause after the given number of attempts. It is never negative and never above MaxBackoff.
func (p RetryPolicy) Pause(attempts int) time.Duration {
	pause := p.MaxBackoff
	// A shift that would overflow is longer than any MaxBackoff.
	if shift := max(attempts, 1) - 1; shift < 62 && p.Backoff <= p.MaxBackoff>>shift {
		pause = p.Backoff << shift
	}
	return pause - rand.N(pause/2+1)
}

// IsShortage reports whether an attempt failed for want of something that the machine lacks: disk space, open
// files, memory, processes. That is no fault of the submission's: it is tried until there is enough.
func IsShortage(err error) bool {
	for _, lack := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// reason is the error as the row shows it to clients: without the server's folders.
func reason(err error) string {
	text := err.Error()
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		text = strings.ReplaceAll(text, p.Path, filepath.Base(p.Path))
	}
	return text
}
