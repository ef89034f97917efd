package picture_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

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
		go acquire("more than everything", 1000)
		synctest.Wait()
		go acquire("small, but later", 10)
		synctest.Wait()
		require.Empty(t, order, "the small one must not overtake the large one")
		first()
		first() // a second release gives nothing away
		synctest.Wait()
		require.Equal(t, "more than everything", <-order)
		require.Equal(t, "small, but later", <-order)
	})
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
	release, err := b.Acquire(t.Context(), 1<<60)
	require.NoError(t, err)
	release()
}
