package picture_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := picture.NewBudget(100)
		first, err := b.Acquire(t.Context(), 60)
		require.NoError(t, err)
		order := make(chan string, 3)
		acquire := func(name string, n int64) {
			release, err := b.Acquire(t.Context(), n)
			require.NoError(t, err)
			order <- name
			release()
		}
		go acquire("large", 95)
		synctest.Wait()
		go acquire("small, but later", 10)
		synctest.Wait()
		require.Empty(t, order, "the small one must not overtake the large one")
		first()
		first() // a second release gives nothing away
		synctest.Wait()
		require.Equal(t, "large", <-order)
		require.Equal(t, "small, but later", <-order)
	})
}

func TestBudgetLetsOneLargePictureRunBesideTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := picture.NewBudget(100)
		large, err := b.Acquire(t.Context(), 101)
		require.NoError(t, err)
		small, err := b.Acquire(t.Context(), 100)
		require.NoError(t, err, "a large picture must not hold up the others")
		small()
		second := make(chan func())
		go func() {
			release, _ := b.Acquire(t.Context(), picture.MaxPictureMemory)
			second <- release
		}()
		synctest.Wait()
		select {
		case <-second:
			require.Fail(t, "two large pictures at a time")
		default:
		}
		large()
		(<-second)()
	})
}

// Pictures wait for a processor in the order of arrival; the turn is apart.
func TestBudgetBoundsDecodesAtOnceByProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := picture.NewBudget(1 << 20)
		var held []func()
		for range runtime.GOMAXPROCS(0) {
			release, err := b.Acquire(t.Context(), 1)
			require.NoError(t, err)
			held = append(held, release)
		}
		order := make(chan string, 3)
		acquire := func(name string, n int64) {
			release, err := b.Acquire(t.Context(), n)
			require.NoError(t, err)
			order <- name
			release()
		}
		go acquire("first", 1)
		synctest.Wait()
		go acquire("second", 1)
		synctest.Wait()
		require.Empty(t, order, "more at once than processors")
		acquire("large", 1<<20+1)
		require.Equal(t, "large", <-order)

		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := b.Acquire(ctx, 1)
			gone <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)

		held[0]()
		held[0]() // a second release gives nothing away
		require.Equal(t, "first", <-order)
		require.Equal(t, "second", <-order)
		for _, release := range held[1:] {
			release()
		}
	})
}

// Who has a processor and ceases to wait for memory gives the processor back.
func TestBudgetGivesTheProcessorBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := picture.NewBudget(100)
		for range 2 * runtime.GOMAXPROCS(0) {
			all, err := b.Acquire(t.Context(), 100)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err = b.Acquire(ctx, 1)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
			all()
		}
	})
}

func TestBudgetRefusesWhatIsTooLargeForAny(t *testing.T) {
	for _, b := range []*picture.Budget{nil, picture.NewBudget(1 << 40)} {
		_, err := b.Acquire(t.Context(), picture.MaxPictureMemory+1)
		require.ErrorContains(t, err, "more memory")
	}
}

func TestBudgetEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := picture.NewBudget(100)
		release, err := b.Acquire(t.Context(), 100)
		require.NoError(t, err)
		defer release()
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error)
		go func() {
			_, err := b.Acquire(ctx, 1)
			result <- err
		}()
		synctest.Wait()
		why := errors.New("drained")
		cancel(why)
		require.ErrorIs(t, <-result, why)
	})
}

func TestNoBudgetHasNoBound(t *testing.T) {
	var b *picture.Budget
	release, err := b.Acquire(t.Context(), picture.MaxPictureMemory)
	require.NoError(t, err)
	release()
}

// Fewer pictures are in work at once than there are processors, if that is wanted.
func TestBudgetLimitsProcessors(t *testing.T) {
	b := picture.NewBudget(100)
	b.LimitProcessors(0)
	release, err := b.Acquire(t.Context(), 1)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := b.Acquire(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	release()
	release, err = b.Acquire(t.Context(), 1)
	require.NoError(t, err)
	release()
}
