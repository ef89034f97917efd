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
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
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
