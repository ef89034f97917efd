package embedded

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

func someRows(from, to int) []tasks.Recorded {
	rows := make([]tasks.Recorded, 0, to-from)
	for i := from; i < to; i++ {
		rows = append(rows, tasks.Recorded{Submission: tasks.NewSubmission(tasks.KindCaseReport(), tasks.CaseReport{ID: fmt.Sprintf("CR-%d", i)})})
	}
	return rows
}

func TestKnown(t *testing.T) {
	k := newKnown()
	key := func(i int) string { return fmt.Sprintf("case-report/CR-%d", i) }
	require.False(t, k.lacks(key(1)), "not before the log was read")
	k.setWhole()
	require.True(t, k.lacks(key(1)))
	const n = 3 * firstKnown // in three layers
	var adding sync.WaitGroup
	for part := range 4 {
		adding.Go(func() { k.add(someRows(part*n/4, (part+1)*n/4)) })
	}
	for i := range n { // beside those who add
		k.lacks(key(i))
	}
	adding.Wait()
	require.Len(t, k.layers, 3)
	for i := range n {
		require.False(t, k.lacks(key(i)), i)
	}
	mistaken := 0
	for i := n; i < 2*n; i++ {
		if !k.lacks(key(i)) {
			mistaken++
		}
	}
	require.Less(t, mistaken, n/20)
	count := k.count
	require.InDelta(t, n, count, n/20, "what the filter mistakes needs no room")
	k.add(someRows(0, n))
	require.Equal(t, count, k.count, "nor does what comes again")
	k.add([]tasks.Recorded{{Submission: tasks.NewSubmission(tasks.KindImage(), tasks.PatientImage{Image: tasks.Image{ImageID: "x"}})}})
	require.Equal(t, count, k.count, "no kind without a row")

	k.count = maxKnown
	k.layers[2].free = 0
	k.add(someRows(n, n+100)) // the filter does not mistake all of them
	require.True(t, k.full)
	require.False(t, k.lacks(key(2*n)), "then the rows are asked")
	require.Empty(t, k.layers)
}
