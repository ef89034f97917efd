package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/blob/blobtest"
	blobdisk "casepress/blob/disk"
	"casepress/disk/disktest"
)

const day = 24 * time.Hour

// except is nobody's need but that of contents.
func except(contents ...[]byte) func(context.Context, []blob.Key) ([]blob.Key, error) {
	needed := map[blob.Key]bool{}
	for _, content := range contents {
		needed[blobtest.KeyOf(content)] = true
	}
	return func(_ context.Context, keys []blob.Key) (unneeded []blob.Key, err error) {
		for _, k := range keys {
			if !needed[k] {
				unneeded = append(unneeded, k)
			}
		}
		return unneeded, nil
	}
}

// In each of the ways to keep originals, what nobody needs goes once it is old enough, whether it was
// staged or Put; what is needed, held or used stays.
func TestCollect(t *testing.T) {
	for end, o := range ways(t) {
		t.Run("file"+end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				o.Registerer = registry
				crash := disktest.NewCrash(1)
				s := openWith(t, root, crash, o)
				contents := map[string][]byte{}
				for _, name := range []string{"needed", "unneeded", "held", "being uploaded", "uploaded again", "put again", "found again"} {
					contents[name] = []byte("the original that is " + name)
					contents[name+" picture"] = []byte("the picture that is " + name)
					require.NoError(t, store(s, contents[name]))
					require.NoError(t, put(s, contents[name+" picture"]))
				}
				upload, err := s.Stage(t.Context(), reader(contents["being uploaded"]))
				require.NoError(t, err)
				require.NoError(t, upload.Commit(t.Context()))
				need := except(contents["needed"], contents["needed picture"])

				collected, err := s.Collect(t.Context(), day, need)
				require.NoError(t, err)
				require.Zero(t, collected, "nothing is old")

				time.Sleep(day + time.Hour)
				release, err := s.Hold(t.Context(), blobtest.KeyOf(contents["held"]))
				require.NoError(t, err)
				require.NoError(t, store(s, contents["uploaded again"]))
				require.NoError(t, put(s, contents["put again picture"]))
				exists, err := s.Has(t.Context(), blobtest.KeyOf(contents["found again picture"]), int64(len(contents["found again picture"])))
				require.NoError(t, err)
				require.True(t, exists)

				stay := []string{"needed", "needed picture", "held", "being uploaded", "uploaded again", "put again picture", "found again picture"}
				requireCollected := func(s blob.Store) {
					left := map[string]bool{}
					for _, name := range stay {
						requireStored(t, s, contents[name])
						left[name] = true
					}
					for name, content := range contents {
						if !left[name] {
							requireGone(t, s, content)
						}
					}
				}
				collected, err = s.Collect(t.Context(), day, need)
				require.NoError(t, err)
				require.Equal(t, len(contents)-len(stay), collected.Blobs)
				require.Positive(t, collected.Bytes)
				requireCollected(s)
				requireCollected(openWith(t, root, crash.CrashClone(0), blobdisk.Options{Originals: o.Originals, Keys: o.Keys}))
				require.EqualValues(t, collected.Blobs, gather(t, registry)["casepress_blob_collected_total"])

				release()
				require.NoError(t, upload.Discard())
				time.Sleep(day + time.Hour)
				stay = stay[:2]
				_, err = s.Collect(t.Context(), day, need)
				require.NoError(t, err)
				requireCollected(s)
				for _, content := range contents {
					require.NoError(t, store(s, content), "the same bytes again are as new")
					requireStored(t, s, content)
				}
			})
		})
	}
}

// What is put, staged or found while it is being decided that nobody needs it, stays or is stored anew.
func TestCollectBesideWork(t *testing.T) {
	for end, o := range ways(t) {
		t.Run("file"+end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openWith(t, root, disktest.NewCrash(1), o)
				picture, original, found := []byte("a picture"), []byte("an original"), []byte("found")
				for _, content := range [][]byte{picture, found} {
					require.NoError(t, put(s, content))
				}
				require.NoError(t, store(s, original))
				time.Sleep(2 * day)
				var uploads sync.WaitGroup
				asked := 0
				collected, err := s.Collect(t.Context(), day, func(ctx context.Context, keys []blob.Key) ([]blob.Key, error) {
					for _, k := range keys {
						asked++
						switch k {
						case blobtest.KeyOf(picture):
							require.NoError(t, put(s, picture))
						case blobtest.KeyOf(found):
							exists, err := s.Has(t.Context(), k, int64(len(found)))
							require.NoError(t, err)
							require.True(t, exists)
						case blobtest.KeyOf(original):
							uploads.Go(func() {
								if err := store(s, original); err != nil {
									t.Error(err)
								}
							})
							synctest.Wait()
						}
					}
					return keys, nil
				})
				require.NoError(t, err)
				require.Equal(t, 3, asked)
				uploads.Wait()
				require.Equal(t, 1, collected.Blobs, "the upload has stored it anew")
				for _, content := range [][]byte{picture, original, found} {
					requireStored(t, s, content)
				}
			})
		})
	}
}

func TestCollectEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := disktest.NewFault(disktest.NewCrash(1))
		s := open(t, root, fsys)
		var contents [][]byte
		for i := range 20 {
			contents = append(contents, fmt.Appendf(nil, "content %d", i))
			require.NoError(t, put(s, contents[i]))
		}
		time.Sleep(2 * day)
		requireAll := func() {
			for _, content := range contents {
				requireStored(t, s, content)
			}
		}
		broken := errors.New("rows cannot be read")
		_, err := s.Collect(t.Context(), day, func(context.Context, []blob.Key) ([]blob.Key, error) { return nil, broken })
		require.ErrorIs(t, err, broken)
		requireAll()
		_, err = s.Collect(t.Context(), day, func(context.Context, []blob.Key) ([]blob.Key, error) {
			return []blob.Key{blobtest.KeyOf([]byte("not asked about"))}, nil
		})
		require.ErrorContains(t, err, "not the question")
		requireAll()
		ctx, cancel := context.WithCancel(t.Context())
		_, err = s.Collect(ctx, day, func(_ context.Context, keys []blob.Key) ([]blob.Key, error) {
			cancel()
			return nil, nil
		})
		require.ErrorIs(t, err, context.Canceled)
		requireAll()
		for _, op := range []disktest.Op{disktest.OpRemove, disktest.OpSyncDir, disktest.OpReadDir, disktest.OpStat} {
			fsys.Inject(disktest.Fault{Op: op, N: 1, Err: syscall.EIO})
			_, err = s.Collect(t.Context(), day, dropAll)
			require.ErrorIs(t, err, syscall.EIO, op)
			fsys.Heal()
			for _, content := range contents {
				require.NoError(t, put(s, content))
			}
			requireAll()
			time.Sleep(2 * day)
		}
	})
}

// Uploads, work, collections and power cuts at random: what somebody needs is there, whoever used it
// last; what nobody needs is not there after a collection that ended well.
func TestPowerCutsWhileCollecting(t *testing.T) {
	all := ways(t)
	ends := []string{"", ".original", "", ".age"}
	cuts := 0
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			o := all[ends[seed%4]]
			crash := disktest.NewCrash(seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			s := openWith(t, root, crash, o)
			crash.CutAt(1+rng.IntN(200), []float64{0, 0.5, 1}[seed%3])
			needed := map[string]bool{} // what a row names: it was stored, and the answer was nil
			for step := 0; crash.AfterCut() == nil && step < 300; step++ {
				content := small[rng.IntN(len(small))]
				switch rng.IntN(8) {
				case 0, 1:
					if put(s, content) == nil {
						needed[string(content)] = true
					}
				case 2, 3:
					g, err := s.Stage(t.Context(), reader(content))
					if err == nil && g.Commit(t.Context()) == nil {
						needed[string(content)] = true
					}
					if err == nil {
						_ = g.Discard() // the power may be gone
					}
				case 4:
					delete(needed, string(content)) // its report was deleted
				case 5:
					time.Sleep(time.Duration(rng.IntN(40)) * time.Hour)
				default:
					var keep [][]byte
					for content := range needed {
						keep = append(keep, []byte(content))
					}
					_, _ = s.Collect(t.Context(), day, except(keep...)) // the power may be gone
				}
			}
			after := crash.AfterCut()
			if after == nil {
				after = crash.CrashClone(0.5)
			} else {
				cuts++
			}
			s = openWith(t, root, after, o)
			for content := range needed {
				requireStored(t, s, []byte(content))
			}
			scrubbed, err := s.Scrub(t.Context(), 1<<40)
			require.NoError(t, err)
			require.Empty(t, scrubbed.Corrupt)
			time.Sleep(3 * day)
			_, err = s.Collect(t.Context(), day, dropAll)
			require.NoError(t, err)
			require.NoError(t, s.Each(t.Context(), func(infos []blob.Info) error { return fmt.Errorf("left: %v", infos) }))
		})
	}
	require.Greater(t, cuts, 200)
}
