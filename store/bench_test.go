package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := openStore(b)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				record(b, s, n, size)
				n += size
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "reports/s")
		})
	}
}

func BenchmarkRecordConcurrently(b *testing.B) {
	s := openStore(b)
	var next atomic.Int64
	share(b, 16, func() error {
		n := int(next.Add(1))
		return recordBatch(b.Context(), s, accepted(n, report(n)))
	})
}

func BenchmarkClaimComplete(b *testing.B) {
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			s := openStore(b)
			for n := 0; n < b.N; n += 1000 {
				record(b, s, n, 1000)
			}
			commits := store.Commits(s)
			var next atomic.Int64
			b.ResetTimer()
			share(b, workers, func() error {
				id := report(int(next.Add(1) - 1)).ID
				row, err := claim(b.Context(), s, id)
				if err != nil {
					return err
				}
				return complete(b.Context(), s, id, row.Attempts, result(reportOf(row)))
			})
			b.ReportMetric(float64(store.Commits(s)-commits)/float64(b.N), "commits/op")
		})
	}
}

// BenchmarkComplete is the second half of BenchmarkClaimComplete by itself.
func BenchmarkComplete(b *testing.B) {
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			s := openStore(b)
			for n := 0; n < b.N; n += 1000 {
				refs := make([]tasks.Ref, 1000)
				for i := range refs {
					refs[i] = refOf(report(n + i).ID)
				}
				record(b, s, n, 1000)
				_, err := s.Claim(b.Context(), refs)
				require.NoError(b, err)
			}
			var next atomic.Int64
			b.ResetTimer()
			share(b, workers, func() error {
				r := report(int(next.Add(1) - 1))
				return complete(b.Context(), s, r.ID, 1, result(r))
			})
		})
	}
}

// One write of one row while others record, claim and complete as fast as they can, a hundred and more at once.
func BenchmarkOneWriteBesideOthers(b *testing.B) {
	for _, bm := range []struct {
		name   string
		ctx    context.Context
		others int
	}{
		{"alone", store.Urgent(context.Background()), 0},
		{"urgent", store.Urgent(context.Background()), 2},
		{"as-the-others", context.Background(), 2},
	} {
		b.Run(bm.name, func(b *testing.B) {
			s := openStore(b)
			ending, end := context.WithCancel(b.Context())
			var others sync.WaitGroup
			for i := range bm.others {
				others.Go(func() {
					for n := i << 30; ending.Err() == nil; n += 128 {
						if err := recordClaimComplete(b.Context(), s, n, 128); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			var took []time.Duration
			rare := time.NewTicker(5 * time.Millisecond)
			defer rare.Stop()
			for n := 0; b.Loop(); n++ {
				<-rare.C
				begun := time.Now()
				err := s.Record(bm.ctx, tasks.TopicImages, []tasks.Recorded{put(n, "P1", image(n))}, store.Watermark{})
				took = append(took, time.Since(begun))
				require.NoError(b, err)
			}
			end()
			others.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

func recordClaimComplete(ctx context.Context, s *store.Store, first, n int) error {
	batch, refs, done := make([]tasks.Recorded, n), make([]tasks.Ref, n), make([]store.Completion, n)
	for i := range n {
		batch[i] = accepted(first+i, report(first+i))
		refs[i] = batch[i].Ref()
	}
	if err := recordBatch(ctx, s, batch...); err != nil {
		return err
	}
	claimed, err := s.Claim(ctx, refs)
	if err != nil {
		return err
	}
	for i, c := range claimed {
		done[i] = store.Completion{Held: store.Held{Ref: refs[i], Attempt: c.Row.Attempts}, Result: result(reportOf(c.Row))}
	}
	return errors.Join(s.Complete(ctx, done)...)
}

// share runs work b.N times on some goroutines.
func share(b *testing.B, workers int, work func() error) {
	b.ReportAllocs()
	var wg sync.WaitGroup
	var started atomic.Int64
	for range workers {
		wg.Go(func() {
			for started.Add(1) <= int64(b.N) {
				if err := work(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

// fill makes a store of n reports of 300 patients, most of them completed.
func fill(b *testing.B, path string, n int) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), path)
	require.NoError(b, err)
	for i := 0; i < n; i += 1000 {
		batch := make([]tasks.Recorded, 1000)
		for j := range batch {
			r := report(i + j)
			r.PatientID = fmt.Sprintf("P%03d", (i+j)%300)
			batch[j] = accepted(i+j, r)
		}
		require.NoError(b, recordBatch(b.Context(), s, batch...))
	}
	require.NoError(b, store.Transact(s, func(tx tasks.Tx) error {
		for i := range n {
			if r := report(i); i%100 > 0 {
				if err := caseReports.Rows.Complete(tx, r.ID, result(r)); err != nil {
					return err
				}
			}
		}
		_, err := tx.Exec(`UPDATE submissions SET status = 'completed', finished_at = received_at WHERE sequence % 100 > 0`)
		return err
	}))
	return s
}

func BenchmarkWith100000Reports(b *testing.B) {
	const n = 100_000
	path := filepath.Join(b.TempDir(), "store.db")
	s := fill(b, path, n)
	ctx := context.Background()
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_, err := get(s, report(i*7919%n).ID)
			require.NoError(b, err)
		}
	})
	b.Run("GetInParallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, err := get(s, report(i*7919%n).ID); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("Image", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			k := i * 7919 % n
			_, err := s.Image(ctx, tasks.Subject{PatientID: fmt.Sprintf("P%03d", k%300)}, fmt.Sprintf("IMG%d", 10*k))
			require.NoError(b, err)
		}
	})
	for name, f := range map[string]store.Filter{
		"all": {}, "patient": {PatientID: "P007"}, "status": {Status: "accepted"},
		"both": {PatientID: "P007", Status: string(tasks.Completed)},
	} {
		b.Run("List/"+name, func(b *testing.B) {
			for b.Loop() {
				_, _, err := s.List(ctx, caseReports, f)
				require.NoError(b, err)
			}
		})
	}
	b.Run("Counts", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Counts(ctx)
			require.NoError(b, err)
		}
	})
	b.Run("Compare", func(b *testing.B) { // all of them
		for b.Loop() {
			for first := 0; first < n; first += 512 {
				var batch []tasks.Recorded
				for i := first; i < min(n, first+512); i++ {
					r := report(i)
					r.PatientID = fmt.Sprintf("P%03d", i%300)
					batch = append(batch, accepted(i, r))
				}
				require.NoError(b, s.Compare(ctx, batch))
			}
		}
	})
	require.NoError(b, s.Close())
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			s, err := store.Open(ctx, path)
			require.NoError(b, err)
			require.NoError(b, s.Close())
		}
	})
}

// BenchmarkCheck looks through the whole database, which happens once after each start.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{0, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openStore(b)
			for first := 0; first < n; first += 1000 {
				record(b, s, first, 1000)
			}
			for b.Loop() {
				require.NoError(b, s.Check(b.Context()))
			}
		})
	}
}
