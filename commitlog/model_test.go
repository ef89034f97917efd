package commitlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"casepress/commitlog"
	"casepress/disk/disktest"
)

// model is a log as a slice.
type model struct {
	records []string
	times   []time.Time
	start   uint64
}

// machine does the same to a log and to a model and compares.
type machine struct {
	fsys  *disktest.CrashFS
	opts  commitlog.Options
	log   *commitlog.Log
	model model
	now   time.Time
}

func TestLogAgainstASlice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{fsys: disktest.NewCrash(rapid.Uint64().Draw(t, "seed")), now: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
		m.opts = commitlog.Options{
			FS: m.fsys, SegmentBytes: 4096, MaxRecordBytes: 6000, BatchBytes: 8000,
			VerifyBytes: rapid.SampledFrom([]int64{-1, 5000, 1 << 20}).Draw(t, "verify"),
			Now:         func() time.Time { return m.now },
		}
		m.log = mustOpen(t, logDir, m.opts)
		defer func() { require.NoError(t, m.log.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"append":    m.append,
			"enqueue":   m.enqueue,
			"read":      m.read,
			"offset at": m.offsetAt,
			"drop":      m.drop,
			"reopen":    m.reopen,
			"power cut": m.powerCut,
			"time": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.OneOf(rapid.IntRange(-5, 50), rapid.IntRange(-200_000, 200_000)).Draw(t, "ms")) * time.Millisecond)
			},
			"": m.check,
		})
	})
}

func drawPayloads(t *rapid.T) (payloads [][]byte) {
	size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 1500))
	sizes := rapid.OneOf(rapid.SliceOfN(size, 1, 5), rapid.Just([]int{5000})).Draw(t, "sizes")
	seed := rapid.Byte().Draw(t, "fill")
	for _, n := range sizes {
		p := make([]byte, n)
		for j := range p {
			p[j] = seed + byte(j*n)
		}
		payloads = append(payloads, p)
	}
	return payloads
}

func (m *machine) add(t *rapid.T, payloads [][]byte, first uint64) {
	require.Equal(t, m.end(), first)
	stamp := m.now
	if n := len(m.model.times); n > 0 && stamp.Before(m.model.times[n-1]) && m.model.times[n-1].Sub(stamp) <= time.Minute {
		stamp = m.model.times[n-1]
	}
	for _, p := range payloads {
		m.model.records = append(m.model.records, string(p))
		m.model.times = append(m.model.times, stamp)
	}
}

func (m *machine) end() uint64 { return uint64(len(m.model.records)) }

func (m *machine) append(t *rapid.T) {
	payloads := drawPayloads(t)
	first, err := m.log.Append(noCancel, payloads...)
	require.NoError(t, err)
	m.add(t, payloads, first)
}

// enqueue does not wait for the disk; the append after it does.
func (m *machine) enqueue(t *rapid.T) {
	payloads := [][]byte{[]byte("enqueued"), make([]byte, rapid.IntRange(0, 300).Draw(t, "size"))}
	p, err := m.log.Enqueue(noCancel, payloads...)
	require.NoError(t, err)
	m.add(t, payloads, p.First)
	m.append(t)
}

func (m *machine) read(t *rapid.T) {
	from := rapid.Uint64Range(0, m.end()+2).Draw(t, "from")
	most := rapid.IntRange(0, 5000).Draw(t, "most")
	records, err := m.log.Read(from, most)
	if from < m.model.start && from < m.end() {
		_, ok := errors.AsType[*commitlog.OutOfRangeError](err)
		require.True(t, ok)
		return
	}
	require.NoError(t, err)
	require.Equal(t, from < m.end(), len(records) > 0)
	bytes := 0
	for i, r := range records {
		n := from + uint64(i)
		require.Equal(t, n, r.Offset)
		require.Equal(t, m.model.records[n], string(r.Payload))
		require.Equal(t, m.model.times[n], r.Time)
		bytes += len(r.Payload)
	}
	require.True(t, len(records) <= 1 || bytes <= most)
}

func (m *machine) offsetAt(t *rapid.T) {
	at := m.now.Add(time.Duration(rapid.OneOf(rapid.IntRange(-2000, 10), rapid.IntRange(-300_000, 300_000)).Draw(t, "ms")) * time.Millisecond)
	got, err := m.log.OffsetAt(at)
	require.NoError(t, err)
	kept := m.model.times[m.model.start:]
	want := len(kept)
	for want > 0 && !kept[want-1].Before(at) {
		want--
	}
	require.Equal(t, m.model.start+uint64(want), got)
}

func (m *machine) drop(t *rapid.T) {
	offset := rapid.Uint64Range(0, m.end()).Draw(t, "before")
	want := m.model.start
	for _, s := range m.log.Segments() {
		if s.End <= offset && !s.Active {
			want = s.End
		}
	}
	require.NoError(t, m.log.DropBefore(offset))
	m.model.start = want
}

func (m *machine) reopen(t *rapid.T) {
	require.NoError(t, m.log.Close())
	m.log = mustOpen(t, logDir, m.opts)
}

// powerCut happens while nothing is under way: all was acknowledged, all must be there.
func (m *machine) powerCut(t *rapid.T) {
	after := m.fsys.CrashClone(rapid.Float64Range(0, 1).Draw(t, "keep"))
	require.NoError(t, m.log.Close())
	m.fsys, m.opts.FS = after, after
	m.log = mustOpen(t, logDir, m.opts)
}

func (m *machine) check(t *rapid.T) {
	require.Equal(t, m.end(), m.log.End())
	require.Equal(t, m.model.start, m.log.Start())
	require.NoError(t, m.log.Err())
	got := readAll(t, m.log)
	require.Len(t, got, len(m.model.records)-int(m.model.start))
	for i, text := range got {
		require.Equal(t, m.model.records[int(m.model.start)+i], text)
	}
}
