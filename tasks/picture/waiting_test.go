package picture_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

func TestHEICAndOthersDoNotHoldUpEachOther(t *testing.T) {
	const room = 64 << 20
	jpg, heic := encodeJPEG(t, quarters(64, 48)), testdata(t, "quarters.heic")
	for _, c := range []struct {
		name  string
		held  int64
		waits []byte
		goes  []byte
	}{
		{"a large picture or a HEIC is in work", room + 1, heic, jpg},
		{"the room is full", room, jpg, heic},
	} {
		t.Run(c.name, func(t *testing.T) {
			budget := picture.NewBudget(room)
			release, err := budget.Acquire(t.Context(), c.held)
			require.NoError(t, err)
			waited := make(chan error, 1)
			go func() {
				_, err := picture.Process(t.Context(), bytes.NewReader(c.waits), int64(len(c.waits)), budget, picture.Options{})
				waited <- err
			}()
			_, err = picture.Process(t.Context(), bytes.NewReader(c.goes), int64(len(c.goes)), budget, picture.Options{})
			require.NoError(t, err)
			select {
			case <-waited:
				require.Fail(t, "it should have waited")
			default:
			}
			release()
			require.NoError(t, <-waited)
		})
	}
}

func TestTheTimeLimitIsOnWork(t *testing.T) {
	large := encodePNG(t, noise(1000, 1000))
	_, err := process(t, large, picture.Options{TimeLimit: time.Millisecond})
	p, ok := errors.AsType[*picture.Problem](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, picture.CodeTooSlow, p.Code)

	small := encodeJPEG(t, quarters(64, 48))
	synctest.Test(t, func(t *testing.T) {
		const room, limit = 64 << 20, time.Minute
		budget := picture.NewBudget(room)
		release, err := budget.Acquire(t.Context(), room)
		require.NoError(t, err)
		time.AfterFunc(2*limit, release)
		res, err := picture.Process(t.Context(), bytes.NewReader(small), int64(len(small)), budget, picture.Options{TimeLimit: limit})
		require.NoError(t, err, "waiting is not work")
		require.Equal(t, 2*limit, res.Waited)
		require.Zero(t, res.Worked)
	})
}

func TestKey(t *testing.T) {
	keys := map[string]bool{}
	for _, o := range []picture.Options{
		{}, {MaxSide: 100}, {ThumbSide: 100}, {Quality: 100}, {MaxPixels: 100}, {MaxSourceSide: 100}, {MaxBytes: 100},
	} {
		key := o.Key()
		require.False(t, keys[key], key)
		keys[key] = true
		o.TimeLimit = time.Hour
		require.Equal(t, key, o.Key())
	}
	require.Equal(t, picture.Options{}.Key(), picture.DefaultOptions().Key())
}
