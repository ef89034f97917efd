package disk_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/blob/blobtest"
	blobdisk "casepress/blob/disk"
	"casepress/disk/disktest"
)

// A crash run stores contents, some of them again and again, while its process is
// killed now and then, until the power fails.
type crashRun struct {
	disk     *disktest.CrashFS
	rng      *rand.Rand
	mu       sync.Mutex
	answered map[string]bool // contents whose Put returned nil
}

func newCrashRun(seed uint64) *crashRun {
	return &crashRun{
		disk: disktest.NewCrash(seed), rng: rand.New(rand.NewPCG(seed, 0)), answered: make(map[string]bool),
	}
}

// contents holds a few small ones and some that take several writes.
var contents = func() [][]byte {
	all := sameShard(4)
	for i := range 4 {
		all = append(all, fmt.Appendf(nil, "another %d", i))
	}
	return append(all, blobtest.Random(1, 5000), blobtest.Random(2, 131_500))
}()

// small are those that a crash run has time for.
var small = contents[:len(contents)-1]

// live is one life of the process. It is killed at some operation, or ends in
// peace, or ends when the power fails.
func (r *crashRun) live(puts, writers int) {
	fsys := disktest.NewFault(r.disk)
	s, err := blobdisk.Open(root, fsys, blobdisk.Options{})
	if err != nil {
		return
	}
	fsys.Inject(disktest.Fault{N: 1 + r.rng.IntN(20*puts*writers), Err: errKilled, Sticky: true})
	var wg sync.WaitGroup
	for range writers {
		var mine [][]byte
		for range puts {
			mine = append(mine, small[r.rng.IntN(len(small))])
		}
		wg.Go(func() {
			for _, content := range mine {
				if put(s, content) == nil {
					r.mu.Lock()
					r.answered[string(content)] = true
					r.mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

var errKilled = errors.New("killed")

func (r *crashRun) requireKept(t *testing.T) {
	t.Helper()
	after := r.disk.AfterCut()
	if after == nil {
		after = r.disk.CrashClone(r.rng.Float64())
	}
	s := open(t, root, after)
	requireNoTemps(t, after, root)
	for content := range r.answered {
		requireStored(t, s, []byte(content))
	}
	if r.rng.IntN(4) > 0 {
		return
	}
	// What else is there is whole, and everything can be stored now.
	for _, content := range small {
		if b, err := s.Open(t.Context(), blobtest.KeyOf(content)); err == nil {
			require.NoError(t, b.Close())
			requireStored(t, s, content)
		}
		require.NoError(t, put(s, content))
	}
	s = open(t, root, after.CrashClone(0))
	for _, content := range small {
		requireStored(t, s, content)
	}
}

func TestPowerCutAtRandomPoints(t *testing.T) {
	cuts, answered := 3000, 0
	if testing.Short() {
		cuts = 600
	}
	for seed := range uint64(cuts) {
		r := newCrashRun(seed)
		_, err := blobdisk.Open(root, r.disk, blobdisk.Options{})
		require.NoError(t, err)
		r.disk.CutAt(1+r.rng.IntN(400), []float64{0, 0.5, 1, r.rng.Float64()}[seed%4])
		for range 1 + r.rng.IntN(4) {
			r.live(1+r.rng.IntN(8), 1)
		}
		r.requireKept(t)
		answered += len(r.answered)
	}
	t.Logf("%d cuts, %d contents answered for", cuts, answered)
}

func TestPowerCutUnderConcurrentWriters(t *testing.T) {
	for seed := range uint64(300) {
		r := newCrashRun(seed)
		_, err := blobdisk.Open(root, r.disk, blobdisk.Options{})
		require.NoError(t, err)
		r.disk.CutAt(1+r.rng.IntN(400), r.rng.Float64())
		r.live(1+r.rng.IntN(6), 8)
		r.requireKept(t)
	}
}

func TestPowerCutDuringFirstOpen(t *testing.T) {
	for seed := range uint64(300) {
		r := newCrashRun(seed)
		r.disk.CutAt(1+int(seed)%60, 0.5)
		r.live(2, 1)
		r.requireKept(t)
	}
}
