package dispatcher

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The retry policy of the program, where nobody sets another.
const (
	DefaultMaxAttempts = 8
	DefaultBackoff     = time.Second
	DefaultMaxBackoff  = 5 * time.Minute
)

// RetryPolicy says when an attempt that failed is tried again. The zero value of a field means its default.
type RetryPolicy struct {
	// MaxAttempts is how often a task is tried before its submission is failed. An attempt that fails because the
	// machine lacks something (see [IsShortage]) is never the last. Default [DefaultMaxAttempts].
	MaxAttempts int
	// Backoff is the pause before the second attempt; it doubles with each further one up to MaxBackoff, less
	// a random part of up to half, so that what failed together does not come back together. Defaults
	// [DefaultBackoff] and [DefaultMaxBackoff].
	Backoff, MaxBackoff time.Duration
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	p.MaxAttempts = orDefault(p.MaxAttempts, DefaultMaxAttempts)
	p.Backoff = orDefault(p.Backoff, DefaultBackoff)
	p.MaxBackoff = orDefault(p.MaxBackoff, DefaultMaxBackoff)
	return p
}

func (p RetryPolicy) validate() error {
	if p.MaxAttempts < 0 || p.Backoff < 0 || p.MaxBackoff < 0 {
		return fmt.Errorf("a retry policy of %d attempts, backoff %v and at most %v: none may be negative",
			p.MaxAttempts, p.Backoff, p.MaxBackoff)
	}
	return nil
}

// Exhausted reports whether the error of that many counted attempts is final.
func (p RetryPolicy) Exhausted(attempts int, err error) bool {
	p = p.withDefaults()
	return attempts >= p.MaxAttempts && !IsShortage(err)
}

// Pause is the pause after the given number of attempts. It is never negative and never above MaxBackoff.
func (p RetryPolicy) Pause(attempts int) time.Duration {
	p = p.withDefaults()
	pause := p.MaxBackoff
	// A shift that would overflow is longer than any MaxBackoff.
	if shift := max(attempts, 1) - 1; shift < 62 && p.Backoff <= p.MaxBackoff>>shift {
		pause = p.Backoff << shift
	}
	return pause - rand.N(pause/2+1)
}

// IsShortage reports whether an attempt failed because the machine lacks something: disk space, open files, memory,
// processes. The submission is not to blame: it is tried until there is enough.
func IsShortage(err error) bool {
	for _, lack := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// maxReason bounds what a row and a dead letter keep of an error, in bytes.
const maxReason = 1000

// reason is the error as the row shows it to clients: without the server's folders, in UTF-8, and not longer
// than maxReason.
func reason(err error) string {
	text := err.Error()
	for _, path := range paths(err) {
		text = strings.ReplaceAll(text, path, filepath.Base(path))
	}
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	return strings.ToValidUTF8(text, "")
}

// paths are the files that err and the errors in it name, the longest first, so that a folder is not cut out of
// the path of a file in it.
func paths(err error) (all []string) {
	switch e := err.(type) { //nolint:errorlint // what is wrapped is looked at below
	case *fs.PathError:
		all = append(all, e.Path)
	case *os.LinkError:
		all = append(all, e.Old, e.New)
	}
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			all = append(all, paths(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, paths(inner)...)
		}
	}
	all = slices.DeleteFunc(all, func(path string) bool { return path == "" })
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}
