package broker_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk"
	"casepress/disk/disktest"
)

const manyTopics = 1000

func topicName(i int) string { return fmt.Sprint("topic-", i) }

// makeMany makes the topics, with a message and a group each.
func makeMany(t testing.TB, dir string) {
	b, err := broker.Open(dir, broker.Options{})
	require.NoError(t, err)
	inMany(t, func(i int) error {
		if err := b.CreateTopic(context.Background(), topicName(i)); err != nil {
			return err
		}
		if _, err := b.Publish(context.Background(), topicName(i), broker.Message{ID: "m", Payload: []byte("one")}); err != nil {
			return err
		}
		_, err := b.SetPosition(topicName(i), "g", broker.Earliest)
		return err
	})
	require.NoError(t, b.Close())
}

// inMany calls do for each topic, for 32 at once.
func inMany(t testing.TB, do func(i int) error) {
	var workers sync.WaitGroup
	errs := make([]error, manyTopics)
	for w := range 32 {
		workers.Go(func() {
			for i := w; i < manyTopics; i += 32 {
				errs[i] = do(i)
			}
		})
	}
	workers.Wait()
	for i, err := range errs {
		require.NoError(t, err, topicName(i))
	}
}

// diskBytes are those that a folder takes.
func diskBytes(t testing.TB, dir string) (n int64) {
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	}))
	return n
}

const fewFiles = "CASEPRESS_TEST_FEW_FILES" // the folder of a broker that is opened with few files

// TestAThousandTopicsWithFewFiles: a process that may open 1,024 files opens them all, and each takes messages and gives them
// to a subscriber; none costs a goroutine for more than a moment but one, nor more than 200 KB of the disk.
func TestAThousandTopicsWithFewFiles(t *testing.T) {
	if dir := os.Getenv(fewFiles); dir != "" {
		useMany(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("a thousand topics")
	}
	dir := t.TempDir()
	makeMany(t, dir)
	require.Less(t, diskBytes(t, dir), int64(200e6))
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	child.Env = append(os.Environ(), fewFiles+"="+dir)
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
}

// openFiles are those of the process.
func openFiles(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("there is no /proc")
	}
	return len(entries)
}

func useMany(t *testing.T, dir string) {
	limit := syscall.Rlimit{Cur: 1024, Max: 1024}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	before := runtime.NumGoroutine()
	b, err := broker.Open(dir, broker.Options{})
	require.NoError(t, err)
	require.Len(t, b.Topics(), manyTopics)
	require.Less(t, runtime.NumGoroutine()-before, 3000)
	require.Less(t, openFiles(t), 600)
	subscriptions := make([]*broker.Subscription, manyTopics)
	for round := range 2 { // all are written to and read from at once, and then again
		inMany(t, func(i int) (err error) {
			if round == 0 {
				if subscriptions[i], err = b.Subscribe(topicName(i), "g", broker.SubscribeOptions{}); err != nil {
					return err
				}
			}
			_, err = b.Publish(context.Background(), topicName(i), broker.Message{Payload: []byte(strings.Repeat("x", 1000))})
			return err
		})
		inMany(t, func(i int) error {
			ds, err := subscriptions[i].Receive(context.Background(), 1)
			if err == nil {
				err = ds[0].Ack()
			}
			return err
		})
		require.NoError(t, b.Flush(context.Background()))
		require.Less(t, openFiles(t), 900)
	}
	require.NoError(t, b.Err())
	require.NoError(t, b.Close())
}

// TestFilesThatAreOpenForAMoment are a few dozens beside MaxOpenFiles, also while many topics are made or opened at once: reads and
// writes take so long that all who may have a file have one.
func TestFilesThatAreOpenForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &openFilesFS{FS: disktest.NewCrash(1)}
		o := broker.Options{FS: fsys, MaxOpenFiles: broker.MinOpenFiles}
		b, err := broker.Open("/data", o)
		require.NoError(t, err)
		var makers sync.WaitGroup
		for i := range 200 {
			makers.Go(func() {
				require.NoError(t, b.CreateTopic(t.Context(), topicName(i)))
				_, err := b.Publish(t.Context(), topicName(i), broker.Message{ID: "m"})
				require.NoError(t, err)
			})
		}
		makers.Wait()
		require.NoError(t, b.Close())
		b, err = broker.Open("/data", o)
		require.NoError(t, err)
		require.NoError(t, b.Close())
		require.Zero(t, fsys.open.Load())
		require.LessOrEqual(t, fsys.most.Load(), int64(broker.MinOpenFiles+4*12))
	})
}

// openFilesFS counts open files and how many were open at once; each read and write takes a moment.
type openFilesFS struct {
	disk.FS
	open, most atomic.Int64
}

func (c *openFilesFS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	for n, most := c.open.Add(1), c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	return &openFile{f, c}, nil
}

type openFile struct {
	disk.File
	fsys *openFilesFS
}

func (f *openFile) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Millisecond)
	return f.File.ReadAt(p, off)
}

func (f *openFile) WriteAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Millisecond)
	return f.File.WriteAt(p, off)
}

func (f *openFile) Close() error {
	f.fsys.open.Add(-1)
	return f.File.Close()
}

// BenchmarkAThousandTopics makes them, one after the other and 32 at once, and opens them.
func BenchmarkAThousandTopics(b *testing.B) {
	for _, together := range []bool{false, true} {
		b.Run(fmt.Sprintf("make/together=%v", together), func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				all, err := broker.Open(dir, broker.Options{})
				require.NoError(b, err)
				if together {
					inMany(b, func(i int) error { return all.CreateTopic(context.Background(), topicName(i)) })
				} else {
					for i := range manyTopics {
						require.NoError(b, all.CreateTopic(context.Background(), topicName(i)))
					}
				}
				require.NoError(b, all.Close())
				b.ReportMetric(float64(diskBytes(b, dir))/1e6, "MB-of-disk")
			}
		})
	}
	b.Run("open", func(b *testing.B) {
		dir := b.TempDir()
		makeMany(b, dir)
		for b.Loop() {
			before := runtime.NumGoroutine()
			all, err := broker.Open(dir, broker.Options{})
			require.NoError(b, err)
			b.StopTimer()
			b.ReportMetric(float64(runtime.NumGoroutine()-before), "goroutines")
			b.ReportMetric(float64(diskBytes(b, dir))/1e6, "MB-of-disk")
			require.NoError(b, all.Close())
			b.StartTimer()
		}
	})
}
