package stopwatch_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/bench/pictures/stopwatch"
)

func TestRepeat(t *testing.T) {
	calls := 0
	best, err := stopwatch.Repeat(3, func() error {
		calls++
		for before := stopwatch.ProcessorTime(); calls == 1 && stopwatch.ProcessorTime()-before < 20e6; {
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 4, calls)
	require.GreaterOrEqual(t, best.FirstCPU, 20.0)
	require.Less(t, best.CPU, best.FirstCPU, "the first time is not among the best")
}

func TestRepeatStopsAtAnError(t *testing.T) {
	calls, broken := 0, errors.New("broken")
	_, err := stopwatch.Repeat(3, func() error { calls++; return broken })
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, calls)
}
