package picture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// mutations is how many altered files of each format are tried: 20, or what CASEPRESS_MUTATIONS
// says; `make mutate` says 1,000.
func mutations(t testing.TB) int {
	v := os.Getenv("CASEPRESS_MUTATIONS")
	if v == "" {
		return 20
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err)
	return n
}

// mutated returns the n-th altered copy of a file: bytes changed, numbers that are lengths or sizes
// made large, parts doubled, moved, cut off or filled with one value.
func mutated(whole []byte, n int) []byte {
	random := rand.New(rand.NewPCG(uint64(n), uint64(len(whole))))
	b := bytes.Clone(whole)
	place := func() int { // the beginning has the structure
		if random.IntN(2) == 0 {
			return random.IntN(min(len(b), 512))
		}
		return random.IntN(len(b))
	}
	for range 1 + random.IntN(6) {
		at := place()
		switch random.IntN(8) {
		case 0, 1:
			b[at] = byte(random.Uint32())
		case 2:
			b[at] ^= 1 << random.IntN(8)
		case 3:
			values := []uint32{0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xffff, 0x10000, random.Uint32()}
			if v := values[random.IntN(len(values))]; len(b)-at >= 4 {
				binary.BigEndian.PutUint32(b[at:], v)
			}
		case 4:
			if len(b)-at >= 2 {
				binary.LittleEndian.PutUint16(b[at:], []uint16{0, 1, 0xffff, 0xff, 0x7fff}[random.IntN(5)])
			}
		case 5:
			to := min(len(b), at+1+random.IntN(200))
			b = append(append(bytes.Clone(b[:to]), b[at:to]...), b[to:]...)
		case 6:
			to := min(len(b), at+1+random.IntN(64))
			if len(b) > 64 {
				b = append(bytes.Clone(b[:at]), b[to:]...)
			}
		case 7:
			if random.IntN(3) == 0 {
				b = b[:max(16, at)]
			} else {
				for i := at; i < min(len(b), at+random.IntN(32)); i++ {
					b[i] = []byte{0, 0xff, b[at]}[n%3]
				}
			}
		}
		if len(b) == 0 {
			return whole[:1]
		}
	}
	return b
}

// measured is a file that counts what is read of it.
type measured struct {
	*bytes.Reader
	bytes, reads atomic.Int64
}

func (m *measured) ReadAt(p []byte, off int64) (int, error) {
	m.bytes.Add(int64(len(p)))
	m.reads.Add(1)
	return m.Reader.ReadAt(p, off)
}

// mutationOptions keep pictures small, so that what a file costs beyond its size shows.
var mutationOptions = picture.Options{MaxSide: 64, ThumbSide: 16, MaxPixels: 1 << 20, TimeLimit: 10 * time.Second}

// TestMutated alters files of every format and requires of each what is promised: a picture or a
// problem; all parts of the program agreeing on the file; bounded bytes, memory and time.
func TestMutated(t *testing.T) {
	budget := picture.NewBudget(picture.DefaultBudget)
	for name, whole := range samples(t) {
		t.Run(name, func(t *testing.T) {
			var slowest time.Duration
			var most uint64
			for n := range mutations(t) {
				b := mutated(whole, n)
				src := &measured{Reader: bytes.NewReader(b)}
				size := int64(len(b))
				info, inspected := picture.Inspect(t.Context(), src, size)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start := processorTime()
				res, err := picture.Process(t.Context(), src, size, budget, mutationOptions)
				spent := processorTime() - start
				runtime.ReadMemStats(&after)
				requireSettled(t, res, err)
				requireAgreement(t, info, inspected, res, err)
				require.LessOrEqual(t, src.bytes.Load(), picture.NamesBudget+4*size+1<<16, "mutation %d", n)
				allocated := after.TotalAlloc - before.TotalAlloc
				require.LessOrEqual(t, allocated, uint64(picture.NamesBudget+64<<20), "mutation %d", n)
				slowest, most = max(slowest, spent), max(most, allocated)
			}
			t.Logf("slowest %v, most memory %d KB", slowest, most>>10)
			require.Less(t, slowest, 10*time.Second)
		})
	}
}

// requireAgreement compares what Inspect, the decoder and the result say of a file.
func requireAgreement(t *testing.T, info picture.Info, inspected error, res picture.Result, err error) {
	t.Helper()
	p, _ := errors.AsType[*picture.Problem](err)
	if inspected != nil {
		require.ErrorIs(t, inspected, picture.ErrNotImage)
		require.NotNil(t, p)
		require.Equal(t, picture.CodeNotImage, p.Code)
		return
	}
	require.Equal(t, info, res.Source)
	if err != nil {
		require.NotEqual(t, picture.CodeNotImage, p.Code)
		require.NotContains(t, p.Error(), "header said", "the decoder sees another size than the header's reader")
		require.NotContains(t, p.Error(), "two headers", "the decoder sees another size than the header's reader")
		return
	}
	long, short := max(info.Width, info.Height), min(info.Width, info.Height)
	if info.Format != picture.FormatHEIC { // whose pictures may be cropped
		scale := max(1, float64(long)/float64(mutationOptions.MaxSide))
		require.InDelta(t, float64(long)/scale, max(res.Full.Width, res.Full.Height), 1)
		require.InDelta(t, max(1, float64(short)/scale), min(res.Full.Width, res.Full.Height), 1)
	}
	for _, made := range []picture.Encoded{res.Full, res.Thumb} {
		names, err := picture.Names(t.Context(), bytes.NewReader(made.Data), int64(len(made.Data)))
		require.NoError(t, err)
		require.Empty(t, names.Tags, "metadata in what was made")
	}
}

// TestMutatedIsCancelled ends the context after some reads, or a little later, and requires an
// answer at once.
func TestMutatedIsCancelled(t *testing.T) {
	limit := 2 * time.Second // of processor time
	if os.Getenv("CASEPRESS_MUTATIONS") != "" {
		limit = 200 * time.Millisecond
	}
	why := errors.New("enough")
	budget := picture.NewBudget(picture.DefaultBudget)
	defer drain(t, budget)
	for name, whole := range samples(t) {
		t.Run(name, func(t *testing.T) {
			for n := range mutations(t) {
				b := mutated(whole, n)
				ctx, cancel := context.WithCancelCause(t.Context())
				src := &cancellingAfter{Reader: bytes.NewReader(b), left: n % 12, cancel: func() { cancel(why) }}
				_, err := picture.Process(ctx, src, int64(len(b)), budget, mutationOptions)
				if at := src.at.Load(); at != 0 {
					require.Less(t, processorTime()-time.Duration(at), limit)
				}
				if p := new(picture.Problem); err != nil && !errors.As(err, &p) {
					require.ErrorIs(t, err, why)
				}
				cancel(nil)
			}
		})
	}
}

// cancellingAfter calls cancel at one of its reads.
type cancellingAfter struct {
	*bytes.Reader
	left   int
	cancel func()
	at     atomic.Int64
}

func (c *cancellingAfter) ReadAt(p []byte, off int64) (int, error) {
	if c.left--; c.left == 0 {
		c.at.Store(int64(processorTime()))
		c.cancel()
	}
	n, err := c.Reader.ReadAt(p, off)
	if errors.Is(err, io.EOF) && n == len(p) {
		err = nil
	}
	return n, err
}
