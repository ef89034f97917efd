package picture_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// TestBudgetTellsWhatIsReserved in all, the turn's picture included, each time that it changes.
func TestBudgetTellsWhatIsReserved(t *testing.T) {
	b := picture.NewBudget(100)
	var heard []int64
	b.OnChange(func(reserved int64) { heard = append(heard, reserved) })
	first, err := b.Acquire(t.Context(), 60)
	require.NoError(t, err)
	turn, err := b.Acquire(t.Context(), 300)
	require.NoError(t, err)
	first()
	first()
	turn()
	_, err = b.Acquire(t.Context(), picture.MaxPictureMemory+1)
	require.Error(t, err)
	require.Equal(t, []int64{60, 360, 300, 0}, heard)
}
