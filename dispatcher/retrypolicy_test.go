package dispatcher_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/tasks"
)

// The pause saturates for every attempt and every setting: it is never negative, never above MaxBackoff, and never
// less than half of what it is without chance.
func TestPauseSaturates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := rapid.OneOf(rapid.Int64Range(1, 1<<62), rapid.Map(rapid.IntRange(0, 62), func(n int) int64 { return 1 << n }))
		p := dispatcher.RetryPolicy{
			Backoff:    time.Duration(settings.Draw(t, "backoff")),
			MaxBackoff: time.Duration(settings.Draw(t, "max")),
		}
		before := time.Duration(0)
		for attempt := 1; attempt <= 10_000; attempt++ {
			full := p.MaxBackoff
			if attempt <= 62 && p.Backoff <= p.MaxBackoff>>(attempt-1) {
				full = p.Backoff << (attempt - 1)
			}
			pause := p.Pause(attempt)
			// Compared here, because a million calls of require take longer than the rest of the tests.
			if full < before || pause > full || pause < full-full/2 {
				require.Fail(t, "pause", "%v after attempt %d; without chance %v, before that %v", pause, attempt, full, before)
			}
			before = full
		}
	})
}

func TestZeroPolicyIsTheDefault(t *testing.T) {
	var p dispatcher.RetryPolicy
	require.False(t, p.Exhausted(7, errors.New("x")))
	require.True(t, p.Exhausted(8, errors.New("x")))
	require.InDelta(t, 0.75, p.Pause(1).Seconds(), 0.25)
	require.LessOrEqual(t, p.Pause(10_000), 5*time.Minute)
	require.GreaterOrEqual(t, p.Pause(0), 500*time.Millisecond, "an attempt that was given back is like the first")
}

func TestShortageSparesAttempts(t *testing.T) {
	p := dispatcher.RetryPolicy{MaxAttempts: 2}
	for _, lack := range []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN,
	} {
		for _, err := range []error{lack, &fs.PathError{Op: "open", Path: "/x", Err: lack}, fmt.Errorf("a: %w", errors.Join(errors.New("b"), lack))} {
			require.True(t, dispatcher.IsShortage(err), "%v", err)
			require.False(t, p.Exhausted(10_000, err), "%v", err)
		}
	}
	for _, err := range []error{nil, errors.New("no space left on device"), syscall.EIO, os.ErrNotExist} {
		require.False(t, dispatcher.IsShortage(err))
		require.True(t, p.Exhausted(2, err))
		require.False(t, p.Exhausted(1, err))
	}
}

// What a row shows of an error has no folder of the server's in it, is text, and is not long.
func TestReasonOfAFailure(t *testing.T) {
	for what, c := range map[string]struct {
		err   error
		check func(t *testing.T, reason string)
	}{
		"several files": {
			errors.Join(
				&fs.PathError{Op: "open", Path: "/srv/data/blobs/ab", Err: os.ErrNotExist},
				fmt.Errorf("move: %w", &os.LinkError{Op: "rename", Old: "/srv/data/tmp/1", New: "/srv/data/blobs/cd", Err: syscall.EIO}),
			),
			func(t *testing.T, reason string) {
				require.Equal(t, "open ab: file does not exist\nmove: rename 1 cd: input/output error", reason)
			},
		},
		"long": {errors.New(strings.Repeat("ä", 5000)), func(t *testing.T, reason string) {
			require.Equal(t, strings.Repeat("ä", 500), reason)
		}},
		"not text": {errors.New("a\xff\xfeb"), func(t *testing.T, reason string) { require.Equal(t, "ab", reason) }},
	} {
		t.Run(what, func(t *testing.T) {
			h, _ := open(t, options{
				Dir: t.TempDir(), Config: config{
					Retry:   dispatcher.RetryPolicy{MaxAttempts: 1},
					NewTask: func(tasks.Work) (tasks.Task, error) { return nil, c.err },
				},
			})
			h.Submit(t, dispatchertest.Report("CR-1"))
			c.check(t, h.Final(t, "CR-1").Error)
		})
	}
}
