package ledgertest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
)

// readEvents holds that events are read in one order, from any position, also across a restart, and that a position that is
// none is refused.
func readEvents(t *testing.T, f fixture) {
	last, err := f.LastEvent(t.Context())
	require.NoError(t, err)
	require.Equal(t, dispatcher.Position{}, last)
	require.Empty(t, f.readAll(t, last, 1<<20))

	const n = 7
	for i := range n {
		f.accept(strconv.Itoa(i), "")
		require.NoError(t, f.complete(f.one(strconv.Itoa(i)), 1))
	}
	all := f.readAll(t, dispatcher.Position{}, 1<<20)
	require.Len(t, all, n)
	for i, e := range f.Events(t) {
		require.Equal(t, []any{e.ID, e.Key, e.Payload}, []any{all[i].ID, all[i].Key, all[i].Payload})
		require.Equal(t, uint64(i+1), all[i].Position.Sequence)
		require.Len(t, all[i].Position.Check, dispatcher.CheckLength)
	}
	last, err = f.LastEvent(t.Context())
	require.NoError(t, err)
	require.Equal(t, all[n-1].Position, last)
	f.System = f.Reopen()
	for i := range n + 1 {
		at := dispatcher.Position{}
		if i > 0 {
			at = all[i-1].Position
		}
		want := slices.Clone(all[i:])
		require.Equal(t, want, append([]dispatcher.PublishedEvent{}, f.readAll(t, at, 1<<20)...))
		require.Equal(t, want, append([]dispatcher.PublishedEvent{}, f.readAll(t, at, 1)...), "one in a batch")
		require.Equal(t, want, append([]dispatcher.PublishedEvent{}, f.readAll(t, dispatcher.Position{Sequence: at.Sequence}, 1<<20)...), "without its check")
	}
	for _, at := range []dispatcher.Position{{Sequence: n + 1}, {Sequence: n + 1, Check: last.Check}, {Sequence: n, Check: all[0].Position.Check}} {
		for batch, err := range f.ReadEvents(t.Context(), at, 1<<20) {
			require.Empty(t, batch)
			lost, ok := errors.AsType[*dispatcher.PositionError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, at, lost.At)
			require.Equal(t, dispatcher.Position{}, lost.Begin)
			require.EqualValues(t, n, lost.End.Sequence)
			require.Equal(t, at.Check == "", lost.NeverTold)
		}
	}

	// What comes later wakes whoever waits; who waits no longer is let go.
	f.accept("later", "")
	late := f.one("later")
	woken := false
	for batch, err := range f.ReadEvents(t.Context(), last, 1<<20) {
		require.NoError(t, err)
		if len(batch) > 0 {
			require.True(t, woken)
			require.Len(t, batch, 1)
			break
		}
		woken = true
		time.AfterFunc(10*time.Millisecond, func() { _ = f.complete(late, 1) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	last, err = f.LastEvent(ctx)
	require.NoError(t, err)
	for batch, err := range f.ReadEvents(ctx, last, 1<<20) {
		require.Empty(t, batch)
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
	require.Error(t, ctx.Err())
}

// readAll reads what there is.
func (f fixture) readAll(t *testing.T, after dispatcher.Position, maxBytes int) (all []dispatcher.PublishedEvent) {
	for batch, err := range f.ReadEvents(t.Context(), after, maxBytes) {
		require.NoError(t, err)
		if len(batch) == 0 {
			break
		}
		require.True(t, maxBytes > 1 || len(batch) == 1)
		all = append(all, batch...)
	}
	return all
}
