package disk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/blob/blobtest"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
	"casepress/disk/disktest"
)

// ways are all in which the file of a blob may lie on disk, by the end of its name.
func ways(t testing.TB) map[string]blobdisk.Options {
	return map[string]blobdisk.Options{
		"": {}, ".original": {Originals: blob.Drop}, ".age": {Originals: blob.Vault, Keys: keys(t, newKey(t))},
	}
}

func fileOf(dir string, content []byte, end string) string {
	k := string(blobtest.KeyOf(content))
	return filepath.Join(dir, k[:2], k+end)
}

// overwrite changes a file durably.
func overwrite(t testing.TB, fsys disk.FS, name string, change func(content []byte) []byte) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	content := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(content, 0)
		require.NoError(t, err)
	}
	content = change(content)
	require.NoError(t, f.Truncate(int64(len(content))))
	if len(content) > 0 {
		_, err = f.WriteAt(content, 0)
		require.NoError(t, err)
	}
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func flip(at int) func([]byte) []byte {
	return func(content []byte) []byte {
		content[at%len(content)] ^= 1 << (at % 8)
		return content
	}
}

func requireCorrupt(t testing.TB, s blob.Store, content []byte) {
	t.Helper()
	k := blobtest.KeyOf(content)
	_, err := blob.OpenVerified(t.Context(), s, k, 0)
	require.ErrorIs(t, err, blob.ErrCorrupt)
	require.ErrorContains(t, err, string(k))
	require.Equal(t, []blob.Key{k}, s.Corrupt())
}

// A single flipped byte, wherever it is, is found when the blob is verified, and by the scrub; the same
// bytes received again mend it.
func TestFlippedByte(t *testing.T) {
	for end, o := range ways(t) {
		t.Run("file"+end, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			o.Registerer = registry
			fsys := disktest.NewCrash(1)
			s := openWith(t, root, fsys, o)
			content := blobtest.Random(1, 150)
			require.NoError(t, store(s, content))
			name, flips := fileOf(root, content, end), 0
			info, err := fsys.Stat(name)
			require.NoError(t, err)
			for at := range int(info.Size()) {
				overwrite(t, fsys, name, flip(at))
				requireCorrupt(t, s, content)
				scrubbed, err := s.Scrub(t.Context(), 1<<40)
				require.NoError(t, err)
				require.Equal(t, []blob.Key{blobtest.KeyOf(content)}, scrubbed.Corrupt)
				flips++
				require.EqualValues(t, 1, gather(t, registry)["casepress_blob_corrupt"])

				require.NoError(t, store(s, content))
				requireStored(t, s, content)
				require.Empty(t, s.Corrupt())
				requireStored(t, openWith(t, root, fsys.CrashClone(0), blobdisk.Options{Originals: o.Originals, Keys: o.Keys}), content)
			}
			require.EqualValues(t, flips, gather(t, registry)["casepress_blob_corrupt_total"])
			require.EqualValues(t, flips, gather(t, registry)["casepress_blob_mended_total"])
			requireNoTemps(t, fsys, root)
		})
	}
}

func TestOtherDamage(t *testing.T) {
	for end, o := range ways(t) {
		for damage, change := range map[string]func([]byte) []byte{
			"emptied":             func([]byte) []byte { return nil },
			"cut":                 func(b []byte) []byte { return b[:len(b)-1] },
			"cut at a chunk":      func(b []byte) []byte { return b[:len(b)-len(b)%(64<<10)] },
			"longer":              func(b []byte) []byte { return append(b, 0) },
			"zeros":               func(b []byte) []byte { clear(b[len(b)/2:]); return b },
			"bytes of another":    func([]byte) []byte { return []byte("another file") },
			"a bit in the middle": flip(150_000),
		} {
			t.Run("file"+end+" "+damage, func(t *testing.T) {
				fsys := disktest.NewCrash(1)
				s := openWith(t, root, fsys, o)
				content := blobtest.Random(1, 300_000)
				require.NoError(t, store(s, content))
				overwrite(t, fsys, fileOf(root, content, end), change)
				requireCorrupt(t, s, content)
				require.NoError(t, store(s, content))
				requireStored(t, s, content)
				require.Empty(t, s.Corrupt())
			})
		}
	}
}

// A derived blob is mended too: a report that is worked on again puts the same bytes.
func TestPutMends(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	content := blobtest.Random(1, 10_000)
	require.NoError(t, put(s, content))
	overwrite(t, disk.OS, fileOf(dir, content, ""), flip(5000))
	requireCorrupt(t, s, content)
	require.NoError(t, put(s, content))
	requireStored(t, s, content)
	require.Empty(t, s.Corrupt())
}

// While a damaged blob is replaced the power fails, at each point there is: whoever was answered has
// the good bytes, and the blob is never gone.
func TestPowerCutWhileADamagedBlobIsReplaced(t *testing.T) {
	for end, o := range ways(t) {
		cuts := 0
		for _, keep := range []float64{0, 0.5, 1} {
			for point := 1; ; point++ {
				crash := disktest.NewCrash(uint64(point))
				s := openWith(t, root, crash, o)
				content := blobtest.Random(1, 3000)
				require.NoError(t, store(s, content))
				overwrite(t, crash, fileOf(root, content, end), flip(point))
				crash.CutAt(point, keep)
				answered := store(s, content) == nil
				after := crash.AfterCut()
				if after == nil {
					require.True(t, answered)
					requireStored(t, openWith(t, root, crash.CrashClone(0), o), content)
					break
				}
				cuts++
				_, err := after.Stat(fileOf(root, content, end))
				require.NoError(t, err)
				s = openWith(t, root, after, o)
				if answered {
					requireStored(t, s, content)
				}
				require.NoError(t, store(s, content))
				requireStored(t, openWith(t, root, after.CrashClone(0), o), content)
			}
		}
		require.Greater(t, cuts, 20)
	}
}

// If the folder's fsync fails after a damaged blob was replaced, the good bytes stay, but nothing relies
// on their entry: the next commit replaces them once more.
func TestFailedFolderSyncOfAReplacement(t *testing.T) {
	crash := disktest.NewCrash(1)
	fsys := disktest.NewFault(crash)
	s := open(t, root, fsys)
	content := blobtest.Random(1, 3000)
	require.NoError(t, put(s, content))
	overwrite(t, fsys, fileOf(root, content, ""), flip(100))

	for range 2 {
		fsys.Inject(disktest.Fault{Op: disktest.OpSyncDir, N: 1, Err: syscall.EIO})
		require.ErrorIs(t, put(s, content), syscall.EIO)
		requireStored(t, s, content)
		require.NoError(t, s.Err())
	}
	renames := fsys.Count(disktest.OpRename)
	require.NoError(t, put(s, content))
	require.Equal(t, renames+1, fsys.Count(disktest.OpRename))
	requireDurable(t, crash, content)
	require.NoError(t, put(s, content))
	require.Equal(t, renames+1, fsys.Count(disktest.OpRename), "now it can be relied on")
}

// A disk that cannot read is not taken for damage of the bytes, but the scrub names what it cannot read.
func TestUnreadableIsNotCorrupt(t *testing.T) {
	for end, o := range ways(t) {
		fsys := disktest.NewFault(disktest.NewCrash(1))
		s := openWith(t, root, fsys, o)
		content := blobtest.Random(1, 300_000)
		require.NoError(t, store(s, content))
		for n := 1; ; n++ {
			fsys.Inject(disktest.Fault{Op: disktest.OpRead, N: n, Err: syscall.EIO})
			_, err := blob.OpenVerified(t.Context(), s, blobtest.KeyOf(content), 0)
			if fsys.Fired() == 0 {
				require.NoError(t, err)
				require.Greater(t, n, 2)
				break
			}
			require.ErrorIs(t, err, syscall.EIO, end)
			require.NotErrorIs(t, err, blob.ErrCorrupt, end)
			require.Empty(t, s.Corrupt())
		}
		fsys.Inject(disktest.Fault{Op: disktest.OpRead, N: 1, Err: syscall.EIO})
		scrubbed, err := s.Scrub(t.Context(), 1<<40)
		require.NoError(t, err)
		require.Equal(t, []blob.Key{blobtest.KeyOf(content)}, scrubbed.Corrupt)
		require.Equal(t, scrubbed.Corrupt, s.Corrupt())
		fsys.Heal()
		_, err = s.Scrub(t.Context(), 1<<40)
		require.NoError(t, err)
		require.Empty(t, s.Corrupt(), "it can be read again")

		// A process that has too many files open says nothing about this one.
		fsys.Inject(disktest.Fault{Op: disktest.OpOpen, N: 1, Err: syscall.EMFILE})
		_, err = s.Scrub(t.Context(), 1<<40)
		require.ErrorIs(t, err, syscall.EMFILE)
		require.Empty(t, s.Corrupt())
	}
}

// What was verified a while ago is not read again, unless the file has changed since.
func TestVerifyWithin(t *testing.T) {
	for end, o := range ways(t) {
		dir := t.TempDir()
		fsys := disktest.NewFault(disk.OS)
		s := openWith(t, dir, fsys, o)
		content := blobtest.Random(1, 300_000)
		require.NoError(t, store(s, content))
		reads := func(within time.Duration) int {
			b, err := s.Open(t.Context(), blobtest.KeyOf(content))
			require.NoError(t, err)
			before := fsys.Count(disktest.OpRead)
			require.NoError(t, b.Verify(t.Context(), within))
			require.NoError(t, b.Close())
			return fsys.Count(disktest.OpRead) - before
		}
		require.Positive(t, reads(time.Hour), "never verified yet")
		require.Zero(t, reads(time.Hour))
		require.Positive(t, reads(0))
		require.Positive(t, reads(time.Nanosecond))
		overwrite(t, disk.OS, fileOf(dir, content, end), flip(200_000))
		_, err := blob.OpenVerified(t.Context(), s, blobtest.KeyOf(content), time.Hour)
		require.ErrorIs(t, err, blob.ErrCorrupt)
		require.NoError(t, store(s, content))
		require.NoError(t, os.Rename(fileOf(dir, content, end), filepath.Join(dir, "elsewhere")))
		_, err = blob.OpenVerified(t.Context(), s, blobtest.KeyOf(content), time.Hour)
		require.ErrorIs(t, err, blob.ErrNotFound)
	}
}

// The scrub keeps to its rate, ends with its context, and goes on beside uploads and deletions.
func TestScrub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := disktest.NewCrash(1)
		s := openWith(t, root, fsys, blobdisk.Options{Originals: blob.Drop})
		var damaged []blob.Key
		const files, size = 100, 200_000
		for i := range files {
			content := blobtest.Random(uint64(i), size)
			require.NoError(t, store(s, content))
			if i%10 == 0 {
				overwrite(t, fsys, fileOf(root, content, ".original"), flip(i*1000))
				damaged = append(damaged, blobtest.KeyOf(content))
			}
		}
		start := time.Now()
		scrubbed, err := s.Scrub(t.Context(), 1_000_000)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 20*time.Second)
		require.Less(t, time.Since(start), 21*time.Second)
		require.Equal(t, files, scrubbed.Blobs)
		require.EqualValues(t, files*size, scrubbed.Bytes)
		require.ElementsMatch(t, damaged, scrubbed.Corrupt)
		require.ElementsMatch(t, damaged, s.Corrupt())

		timeout, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start = time.Now()
		scrubbed, err = s.Scrub(timeout, 1_000_000)
		require.ErrorIs(t, err, timeout.Err())
		require.Equal(t, 5*time.Second, time.Since(start))
		require.Greater(t, scrubbed.Blobs, 20)

		done := make(chan blob.Scrubbed)
		go func() {
			scrubbed, err := s.Scrub(t.Context(), 1_000_000)
			if err != nil {
				t.Error(err)
			}
			done <- scrubbed
		}()
		time.Sleep(10 * time.Second)
		var all []blob.Key
		require.NoError(t, s.EachOriginal(t.Context(), func(k []blob.Key) error { all = append(all, k...); return nil }))
		_, err = s.Drop(t.Context(), all, dropAll)
		require.NoError(t, err)
		scrubbed = <-done
		require.Less(t, scrubbed.Blobs, 60)
		require.Empty(t, s.Corrupt(), "what is gone is not damaged")
	})
}

// Of two ways in which a blob is stored, each is looked at.
func TestScrubLooksAtEveryFile(t *testing.T) {
	dir := t.TempDir()
	o := blobdisk.Options{Originals: blob.Drop}
	s := openWith(t, dir, disk.OS, o)
	content := blobtest.Random(1, 1000)
	require.NoError(t, store(s, content))
	require.NoError(t, put(s, content))
	overwrite(t, disk.OS, fileOf(dir, content, ".original"), flip(1))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "00-notes"), nil, 0o600))
	require.NoError(t, os.Mkdir(fileOf(dir, content, ".age"), 0o700), "not a blob's file")
	scrubbed, err := s.Scrub(t.Context(), 1<<40)
	require.NoError(t, err)
	require.Equal(t, blob.Scrubbed{Blobs: 2, Bytes: 2000, Corrupt: []blob.Key{blobtest.KeyOf(content)}}, scrubbed)
	_, err = s.Drop(t.Context(), scrubbed.Corrupt, dropAll)
	require.NoError(t, err)
	require.Empty(t, s.Corrupt())
	require.NoFileExists(t, fileOf(dir, content, ".original"))
	requireStored(t, s, content)
}

func TestMissingFolderOfAShard(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, disk.OS)
	content := []byte("gone with its folder")
	require.NoError(t, put(s, content))
	require.NoError(t, os.RemoveAll(filepath.Dir(fileOf(dir, content, ""))))
	_, err := s.Open(t.Context(), blobtest.KeyOf(content))
	require.ErrorIs(t, err, blob.ErrNotFound)
	scrubbed, err := s.Scrub(t.Context(), 1<<40)
	require.NoError(t, err)
	require.Zero(t, scrubbed)
	require.ErrorIs(t, put(s, content), fs.ErrNotExist, "refused and not lost")
	s = open(t, dir, disk.OS)
	require.NoError(t, put(s, content))
	requireStored(t, s, content)
}

func TestLimitsOfStaging(t *testing.T) {
	dir := t.TempDir()
	s := openWith(t, dir, disk.OS, blobdisk.Options{MaxStaged: 3, MaxStagedBytes: 500_000})
	stage := func(size int) (blob.Staged, error) { return s.Stage(t.Context(), randomReader(size)) }
	a, err := stage(200_000)
	require.NoError(t, err)
	b, err := stage(300_000)
	require.NoError(t, err, "as much as there may be")
	_, err = stage(1)
	require.ErrorIs(t, err, blob.ErrStagingFull)
	require.ErrorContains(t, err, "500000")
	require.NoError(t, put(s, blobtest.Random(1, 600_000)), "work is not refused")
	require.EqualValues(t, 500_000, s.Staging())
	require.NoError(t, a.Commit(t.Context()))
	_, err = stage(200_001)
	require.ErrorIs(t, err, blob.ErrStagingFull)
	require.EqualValues(t, 300_000, s.Staging())
	require.NoError(t, b.Discard())
	require.NoError(t, a.Discard())

	var staged []blob.Staged
	for range 3 {
		g, err := stage(1)
		require.NoError(t, err)
		staged = append(staged, g)
	}
	_, err = stage(1)
	require.ErrorIs(t, err, blob.ErrStagingFull)
	for _, g := range staged {
		require.NoError(t, g.Discard())
	}
	for range 10 {
		require.NoError(t, store(s, blobtest.Random(2, 1000)))
	}
	require.Zero(t, s.Staging())
	requireNoTemps(t, disk.OS, dir)

	for _, o := range []blobdisk.Options{{MaxStaged: -2}, {MaxStagedBytes: -2}} {
		_, err := blobdisk.Open(dir, disk.OS, o)
		require.ErrorContains(t, err, "-2")
	}
	s = openWith(t, dir, disk.OS, blobdisk.Options{MaxStaged: -1, MaxStagedBytes: -1})
	require.NoError(t, store(s, []byte("no limits")))
}

// The store has a content in two ways: as long as one of them is sound, it is served.
func TestDamageOfOneOfTwoFiles(t *testing.T) {
	k := keys(t, newKey(t))
	for _, damaged := range []string{"", ".age"} {
		for name, change := range map[string]func([]byte) []byte{"flipped": flip(5), "emptied": func([]byte) []byte { return nil }} {
			dir := t.TempDir()
			content := blobtest.Random(1, 1000)
			require.NoError(t, store(open(t, dir, disk.OS), content))
			s := openWith(t, dir, disk.OS, blobdisk.Options{Originals: blob.Vault, Keys: k})
			require.NoError(t, store(s, content))
			overwrite(t, disk.OS, fileOf(dir, content, damaged), change)
			for range 3 {
				b, err := blob.OpenVerified(t.Context(), s, blobtest.KeyOf(content), 0)
				require.NoError(t, err, name)
				require.NoError(t, b.Close())
			}
			scrubbed, err := s.Scrub(t.Context(), 1<<40)
			require.NoError(t, err)
			require.Equal(t, []blob.Key{blobtest.KeyOf(content)}, scrubbed.Corrupt)
			requireStored(t, s, content)
		}
	}
}

// A damaged file in keys is told from one of a missing key, and made anew if its key is there.
func TestDamagedKeyFile(t *testing.T) {
	dir := t.TempDir()
	key := newKey(t)
	o := blobdisk.Options{Originals: blob.Vault, Keys: keys(t, key)}
	content := []byte("sealed")
	require.NoError(t, store(openWith(t, dir, disk.OS, o), content))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", ".DS_Store"), []byte("not a key"), 0o600))
	entries, err := os.ReadDir(filepath.Join(dir, "keys"))
	require.NoError(t, err)
	require.Len(t, entries, 2)
	file := filepath.Join(dir, "keys", entries[1].Name())
	sound, err := os.ReadFile(file)
	require.NoError(t, err)
	for damage, change := range map[string]func([]byte) []byte{
		"flipped": flip(20), "emptied": func([]byte) []byte { return nil },
		"another": func([]byte) []byte { return []byte("age1another\n") },
	} {
		overwrite(t, disk.OS, file, change)
		for _, without := range []blobdisk.Options{{}, {Originals: blob.Vault, Keys: keys(t, newKey(t))}} {
			_, err := blobdisk.Open(dir, disk.OS, without)
			require.ErrorIs(t, err, blob.ErrKey, damage)
			require.ErrorContains(t, err, file, damage)
		}
		requireStored(t, openWith(t, dir, disk.OS, o), content)
		mended, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, sound, mended, damage)
	}
}

// Any one or two files of the store are damaged, removed, exchanged or replaced by other things: it
// opens, and serves every content as it was or names the damage, and never serves other bytes. The scrub
// names exactly what is damaged, and the same contents again mend everything.
func TestRandomDamage(t *testing.T) {
	k := keys(t, newKey(t))
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 0))
		fsys := disktest.NewCrash(seed)
		var contents [][]byte
		for i, o := range []blobdisk.Options{{}, {Originals: blob.Drop}, {Originals: blob.Vault, Keys: k}} {
			s := openWith(t, root, fsys, blobdisk.Options{Originals: o.Originals, Keys: k})
			for j := range 4 {
				contents = append(contents, blobtest.Random(uint64(10*i+j), 1+rng.IntN(100_000)))
				require.NoError(t, store(s, contents[len(contents)-1]))
			}
		}
		var names []string
		for name := range files(t, fsys, root) {
			if filepath.Base(filepath.Dir(name)) != "keys" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		hit, gone := map[string]bool{}, map[string]bool{}
		for range 1 + rng.IntN(2) {
			name, other := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
			if hit[name] || hit[other] || gone[name] || gone[other] || name == other {
				continue
			}
			hit[name] = true
			switch rng.IntN(5) {
			case 0:
				overwrite(t, fsys, name, flip(rng.IntN(100_000)))
			case 1:
				overwrite(t, fsys, name, func(b []byte) []byte { return b[:rng.IntN(len(b))] })
			case 2:
				require.NoError(t, fsys.Remove(name))
				hit[name], gone[name] = false, true
			case 3:
				hit[other] = true
				require.NoError(t, fsys.Rename(name, name+"-"))
				require.NoError(t, fsys.Rename(other, name))
				require.NoError(t, fsys.Rename(name+"-", other))
			case 4:
				overwrite(t, fsys, name, func(b []byte) []byte { return append(b, b...) })
			}
		}
		s := openWith(t, root, fsys, blobdisk.Options{Originals: blob.Drop, Keys: k})
		for _, content := range contents {
			b, err := blob.OpenVerified(t.Context(), s, blobtest.KeyOf(content), 0)
			if err != nil {
				require.True(t, errors.Is(err, blob.ErrCorrupt) || errors.Is(err, blob.ErrNotFound), "%v", err)
				continue
			}
			got, err := io.ReadAll(b)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got), "other bytes")
			require.NoError(t, b.Close())
		}
		scrubbed, err := s.Scrub(t.Context(), 1<<40)
		require.NoError(t, err)
		damaged := 0
		for _, is := range hit {
			if is {
				damaged++
			}
		}
		require.Len(t, scrubbed.Corrupt, damaged, "seed %d", seed)
		for i, content := range contents {
			mode := []blob.Originals{blob.Keep, blob.Drop, blob.Vault}[i/4]
			s := openWith(t, root, fsys, blobdisk.Options{Originals: mode, Keys: k})
			require.NoError(t, store(s, content))
			requireStored(t, s, content)
		}
	}
}
