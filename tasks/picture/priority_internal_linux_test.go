package picture

import (
	"context"
	"errors"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// niceOfThread is how nice the calling thread is.
func niceOfThread() int {
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		panic(err)
	}
	return 20 - raw
}

// jobBeside is a job on a machine where Go has more processors than there are decodes, or has not.
func jobBeside(room bool) *job {
	b := NewBudget(1)
	b.decoders = runtime.GOMAXPROCS(0)
	if room {
		b.decoders -= 2
	}
	return &job{budget: b}
}

func TestLowPriority(t *testing.T) {
	before := niceOfThread()
	failed := errors.New("failed")
	for i := range 20 { // a thread that was used once must not come back to others
		room := i%2 == 0
		var during int
		err := jobBeside(room).atLowPriority(func() error {
			during = niceOfThread()
			return failed
		})
		require.ErrorIs(t, err, failed)
		want := before
		if room {
			want = min(before+niceness, 19)
		}
		require.Equal(t, want, during)
		after := make(chan int)
		go func() { after <- niceOfThread() }()
		require.Equal(t, before, <-after)
	}
	require.Equal(t, before, niceOfThread())
}

func TestLowPriorityPanic(t *testing.T) {
	var crash *panicked
	require.ErrorAs(t, jobBeside(true).atLowPriority(func() error { panic("broken") }), &crash)
	require.Equal(t, "broken", crash.value)
	require.Contains(t, string(crash.stack), "TestLowPriorityPanic")
}

// TestWaitingForAProcessorIsNoWork: a decode that no processor has worked for is not too slow, however long it has waited. It is
// given up after ten times its limit, and then may be tried again.
func TestWaitingForAProcessorIsNoWork(t *testing.T) {
	const limit = time.Hour
	decode := func(ctx context.Context, wait time.Duration) (Result, error) {
		j := &job{source: source{ctx: ctx}, parent: ctx, options: Options{TimeLimit: limit}}
		j.header = &header{codec: &codec{decode: func(j *job) error {
			select {
			case <-time.After(wait):
			case <-j.ctx.Done():
			}
			return j.ended()
		}}}
		err := j.decode()
		return j.result, err
	}
	synctest.Test(t, func(t *testing.T) {
		res, err := decode(t.Context(), 5*limit)
		require.NoError(t, err)
		require.Less(t, res.Worked, time.Minute)
		require.Equal(t, 5*limit, res.Waited+res.Worked)
		_, err = decode(t.Context(), 20*limit)
		require.ErrorIs(t, err, errNoProcessor)
		var fault *Problem
		require.NotErrorAs(t, err, &fault, "it is not the picture's")
	})
}
