package picture

import (
	"errors"
	"syscall"
	"testing"

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

func TestLowPriority(t *testing.T) {
	before := niceOfThread()
	failed := errors.New("failed")
	for range 20 { // a thread that was used once must not come back to others
		var during int
		err := atLowPriority(func() error {
			during = niceOfThread()
			return failed
		})
		require.ErrorIs(t, err, failed)
		require.Equal(t, min(before+niceness, 19), during)
		after := make(chan int)
		go func() { after <- niceOfThread() }()
		require.Equal(t, before, <-after)
	}
	require.Equal(t, before, niceOfThread())
}

func TestLowPriorityPanic(t *testing.T) {
	var crash *panicked
	require.ErrorAs(t, atLowPriority(func() error { panic("broken") }), &crash)
	require.Equal(t, "broken", crash.value)
	require.Contains(t, string(crash.stack), "TestLowPriorityPanic")
}
