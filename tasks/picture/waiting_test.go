package picture_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"runtime"
	"sync"
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
	large := encodePNG(t, noise(2500, 2500))
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

// TestWaitingPicturesHoldLittle lets many small files wait whose colour profiles are inflated to 4 MiB each.
func TestWaitingPicturesHoldLittle(t *testing.T) {
	var packed bytes.Buffer
	packed.WriteString("profile\x00\x00")
	w := zlib.NewWriter(&packed)
	profile := make([]byte, 4<<20)
	copy(profile, []byte{0, 64, 0, 0}) // its size
	_, err := w.Write(profile)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	profile = nil
	file := withChunks(encodePNG(t, quarters(8, 8)), pngChunk("iCCP", packed.Bytes()))
	synctest.Test(t, func(t *testing.T) {
		const waiting, room = 32, 64 << 20
		budget := picture.NewBudget(room)
		release, err := budget.Acquire(t.Context(), room)
		require.NoError(t, err)
		before := heapInUse()
		var jobs sync.WaitGroup
		for range waiting {
			jobs.Go(func() {
				res, err := picture.Process(t.Context(), bytes.NewReader(file), int64(len(file)), budget, picture.Options{})
				if err != nil || len(res.Full.Data) == 0 {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		require.Less(t, heapInUse()-before, int64(16<<20))
		release()
		jobs.Wait()
	})
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
