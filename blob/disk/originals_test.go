package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/blob/blobtest"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
	"casepress/disk/disktest"
)

// newKey makes a key as its file has it.
func newKey(t testing.TB) string {
	t.Helper()
	var file strings.Builder
	public, err := blob.NewKey(&file)
	require.NoError(t, err)
	require.Contains(t, file.String(), public)
	return file.String()
}

func keys(t testing.TB, files ...string) *blob.Keys {
	t.Helper()
	k, err := blob.ParseKeys(strings.NewReader(strings.Join(files, "\n")))
	require.NoError(t, err)
	return k
}

func openWith(t testing.TB, dir string, fsys disk.FS, o blobdisk.Options) blob.Store {
	t.Helper()
	s, err := blobdisk.Open(dir, fsys, o)
	require.NoError(t, err)
	return s
}

// store stages, commits and lets go of an original.
func store(s blob.Store, content []byte) error {
	g, err := s.Stage(context.Background(), bytes.NewReader(content))
	if err != nil {
		return err
	}
	return errors.Join(g.Commit(context.Background()), g.Discard())
}

// drop drops what nobody holds of contents.
func drop(s blob.Store, contents ...[]byte) (held []blob.Key, err error) {
	keys := make([]blob.Key, len(contents))
	for i, content := range contents {
		keys[i] = blobtest.KeyOf(content)
	}
	return s.Drop(context.Background(), keys, func(_ context.Context, free []blob.Key) ([]blob.Key, error) { return free, nil })
}

func requireGone(t testing.TB, s blob.Store, content []byte) {
	t.Helper()
	_, err := s.Open(context.Background(), blobtest.KeyOf(content))
	require.ErrorIs(t, err, blob.ErrNotFound)
}

// files reads every file below dir.
func files(t testing.TB, fsys disk.FS, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	entries, err := fsys.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if e.IsDir() {
			for sub, content := range files(t, fsys, name) {
				all[sub] = content
			}
			continue
		}
		f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		all[name], err = io.ReadAll(io.NewSectionReader(f, 0, size))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return all
}

func TestSealedOriginals(t *testing.T) {
	key := newKey(t)
	for _, mode := range []blob.Originals{blob.Vault, blob.Drop} {
		dir := t.TempDir()
		s := openWith(t, dir, disk.OS, blobdisk.Options{Originals: mode, Keys: keys(t, key)})
		for i, size := range []int{0, 1, 512, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 300_000} {
			content := blobtest.Random(uint64(i), size)
			g, err := s.Stage(t.Context(), bytes.NewReader(content))
			require.NoError(t, err)
			require.Equal(t, blobtest.KeyOf(content), g.Key())
			require.EqualValues(t, size, g.Size())
			got, err := io.ReadAll(g.Open())
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
			require.NoError(t, g.Commit(t.Context()))
			require.NoError(t, g.Discard())
			requireStored(t, s, content)
			requireStored(t, openWith(t, dir, disk.OS, blobdisk.Options{Keys: keys(t, key)}), content)

			onDisk, err := os.ReadFile(filepath.Join(dir, string(g.Key()[:2]), string(g.Key())+".age"))
			require.NoError(t, err)
			identities, err := age.ParseIdentities(strings.NewReader(key))
			require.NoError(t, err)
			plain, err := age.Decrypt(bytes.NewReader(onDisk), identities...)
			require.NoError(t, err, "the age command reads it")
			got, err = io.ReadAll(plain)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
		}
		requireNoTemps(t, disk.OS, dir)
	}
}

// At no moment, and in no file, is there a byte in the clear, though the power
// fails when every write has reached the disk.
func TestNothingSealedIsEverInTheClear(t *testing.T) {
	key := newKey(t)
	marker := []byte("GPS 31.2304 N 121.4737 E")
	content := bytes.Repeat(append(blobtest.Random(1, 5000), marker...), 40)
	for point := 1; ; point++ {
		crash := disktest.NewCrash(uint64(point))
		s := openWith(t, root, crash, blobdisk.Options{Originals: blob.Vault, Keys: keys(t, key)})
		crash.CutAt(point, 1)
		err := store(s, content)
		after := crash.AfterCut()
		if after == nil {
			require.NoError(t, err)
			require.Greater(t, point, 10)
			break
		}
		for name, onDisk := range files(t, after, root) {
			require.NotContains(t, string(onDisk), string(marker), name)
		}
	}
}

func TestKeysThatAreMissing(t *testing.T) {
	dir := t.TempDir()
	first, second := newKey(t), newKey(t)
	one, two := blobtest.Random(1, 1000), blobtest.Random(2, 1000)
	require.NoError(t, store(openWith(t, dir, disk.OS, blobdisk.Options{Originals: blob.Vault, Keys: keys(t, first)}), one))

	for name, o := range map[string]blobdisk.Options{
		"no key":             {},
		"no key, dropping":   {Originals: blob.Drop},
		"no key, vault":      {Originals: blob.Vault},
		"another key":        {Originals: blob.Vault, Keys: keys(t, second)},
		"another, for keeps": {Keys: keys(t, second)},
	} {
		s, err := blobdisk.Open(dir, disk.OS, o)
		require.ErrorIs(t, err, blob.ErrKey, name)
		require.True(t, s == nil, "not an interface that holds a nil") //nolint:testifylint // Nil takes that for nil, too
		require.NotContains(t, err.Error(), "SECRET", name)
	}

	// A new key goes before the old one, which is still needed.
	s := openWith(t, dir, disk.OS, blobdisk.Options{Originals: blob.Vault, Keys: keys(t, second, first)})
	require.NoError(t, store(s, two))
	requireStored(t, s, one)
	requireStored(t, s, two)
	_, err := blobdisk.Open(dir, disk.OS, blobdisk.Options{Originals: blob.Vault, Keys: keys(t, second)})
	require.ErrorIs(t, err, blob.ErrKey)
	s = openWith(t, dir, disk.OS, blobdisk.Options{Keys: keys(t, first, second)})
	requireStored(t, s, one)
	requireStored(t, s, two)
}

func TestKeysThatCannotBeRead(t *testing.T) {
	key := newKey(t)
	for name, file := range map[string]string{
		"empty": "", "comments only": "# public key: age1\n", "no key": "a photo", "cut": key[:len(key)-8], "public key": "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
	} {
		_, err := blob.ParseKeys(strings.NewReader(file))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "AGE-SECRET-KEY-1", name)
	}
	hybrid, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	s := openWith(t, t.TempDir(), disk.OS, blobdisk.Options{Originals: blob.Vault, Keys: keys(t, hybrid.String())})
	require.NoError(t, store(s, []byte("safe from quantum computers")))
	requireStored(t, s, []byte("safe from quantum computers"))
}

// Whichever way originals were kept before, all of them stay readable.
func TestMixedFolder(t *testing.T) {
	dir := t.TempDir()
	k := keys(t, newKey(t))
	var all [][]byte
	for i, o := range []blobdisk.Options{
		{}, {Originals: blob.Vault, Keys: k}, {Keys: k}, {Originals: blob.Drop, Keys: k}, {Originals: blob.Keep, Keys: k},
	} {
		s := openWith(t, dir, disk.OS, o)
		all = append(all, blobtest.Random(uint64(i), 1000))
		require.NoError(t, store(s, all[i]))
		for _, content := range all {
			requireStored(t, s, content)
		}
	}
	_, err := blobdisk.Open(dir, disk.OS, blobdisk.Options{Originals: "lose"})
	require.ErrorContains(t, err, "lose")
}

func TestSealedAgainWritesNothing(t *testing.T) {
	fsys := disktest.NewFault(disktest.NewCrash(1))
	s := openWith(t, root, fsys, blobdisk.Options{Originals: blob.Vault, Keys: keys(t, newKey(t))})
	content := blobtest.Random(1, 100_000)
	require.NoError(t, store(s, content))
	renames := fsys.Count(disktest.OpRename)
	require.NoError(t, store(s, content))
	require.Equal(t, renames, fsys.Count(disktest.OpRename))

	// What does not open is replaced by what does.
	sealed := filepath.Join(root, string(blobtest.KeyOf(content)[:2]), string(blobtest.KeyOf(content))+".age")
	f, err := fsys.OpenFile(sealed, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("damage"), 100_000)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = s.Open(t.Context(), blobtest.KeyOf(content))
	require.Error(t, err)
	require.NoError(t, store(s, content))
	requireStored(t, s, content)
}

func TestDrop(t *testing.T) {
	for name, o := range map[string]blobdisk.Options{
		"in the clear": {Originals: blob.Drop}, "sealed": {Originals: blob.Drop, Keys: keys(t, newKey(t))},
	} {
		t.Run(name, func(t *testing.T) {
			crash := disktest.NewCrash(1)
			s := openWith(t, root, crash, o)
			all := sameShard(3)
			for _, content := range all {
				require.NoError(t, store(s, content))
			}
			var seen []blob.Key
			require.NoError(t, s.EachOriginal(t.Context(), func(k []blob.Key) error { seen = append(seen, k...); return nil }))
			require.Len(t, seen, 3)

			_, err := s.Drop(t.Context(), seen, func(_ context.Context, free []blob.Key) ([]blob.Key, error) {
				require.ElementsMatch(t, seen, free)
				return []blob.Key{blobtest.KeyOf(all[1])}, nil
			})
			require.NoError(t, err)
			for _, s := range []blob.Store{s, openWith(t, root, crash.CrashClone(0), o)} {
				requireStored(t, s, all[0])
				requireGone(t, s, all[1])
				requireStored(t, s, all[2])
			}

			require.NoError(t, store(s, all[1]), "the same bytes again are as new")
			requireStored(t, openWith(t, root, crash.CrashClone(0), o), all[1])
		})
	}
}

// What was kept, and what is derived, is never dropped, whatever its content.
func TestDropSparesWhatIsShared(t *testing.T) {
	dir := t.TempDir()
	kept, both := []byte("kept"), []byte("an original and its own picture")
	require.NoError(t, store(open(t, dir, disk.OS), kept))
	s := openWith(t, dir, disk.OS, blobdisk.Options{Originals: blob.Drop})
	require.NoError(t, store(s, both))
	require.False(t, has(t, s, both), "an original does not count as a picture")
	require.NoError(t, put(s, both))
	require.True(t, has(t, s, both))
	_, err := drop(s, kept, both)
	require.NoError(t, err)
	requireStored(t, s, kept)
	requireStored(t, s, both)
	require.NoFileExists(t, filepath.Join(dir, string(blobtest.KeyOf(both)[:2]), string(blobtest.KeyOf(both))+".original"))
}

func has(t testing.TB, s blob.Store, content []byte) bool {
	t.Helper()
	there, err := s.Has(t.Context(), blobtest.KeyOf(content), int64(len(content)))
	require.NoError(t, err)
	return there
}

// Who stores or finds an original while it is being decided waits for the outcome.
func TestAnUploadWaitsForADrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openWith(t, root, disktest.NewCrash(1), blobdisk.Options{Originals: blob.Drop})
		content := []byte("again")
		require.NoError(t, store(s, content))
		decide := make(chan error)
		dropped := make(chan error)
		for _, needed := range []bool{true, false} {
			go func() {
				_, err := s.Drop(t.Context(), []blob.Key{blobtest.KeyOf(content)}, func(_ context.Context, free []blob.Key) ([]blob.Key, error) {
					if err := <-decide; err != nil || needed {
						return nil, err
					}
					return free, nil
				})
				dropped <- err
			}()
			synctest.Wait()
			stored, second := make(chan error, 1), make(chan error, 1)
			go func() { stored <- store(s, content) }()
			go func() { _, err := drop(s, content); second <- err }()
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := s.Hold(ended, blobtest.KeyOf(content))
			require.ErrorIs(t, err, context.Canceled)
			synctest.Wait()
			require.Empty(t, stored)
			require.Empty(t, second)
			decide <- nil
			require.NoError(t, <-dropped)
			require.NoError(t, <-stored)
			require.NoError(t, <-second)
			require.NoError(t, store(s, content))
			requireStored(t, s, content)
		}
		go func() {
			_, err := s.Drop(t.Context(), []blob.Key{blobtest.KeyOf(content)}, func(context.Context, []blob.Key) ([]blob.Key, error) { return nil, <-decide })
			dropped <- err
		}()
		decide <- syscall.EIO
		require.ErrorIs(t, <-dropped, syscall.EIO)
		requireStored(t, s, content)
	})
}

// Uploads, drops and power cuts at random: what was stored and not dropped since is
// there, and what was dropped and not stored since is not.
func TestPowerCutsWhileOriginalsComeAndGo(t *testing.T) {
	k := keys(t, newKey(t))
	for seed := range uint64(600) {
		o := blobdisk.Options{Originals: blob.Drop}
		if seed%10 == 0 {
			o.Keys = k
		}
		crash := disktest.NewCrash(seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		s := openWith(t, root, crash, o)
		crash.CutAt(1+rng.IntN(150), []float64{0, 0.5, 1}[seed%3])
		const unknown = "unknown"
		state := map[string]string{}
		for crash.AfterCut() == nil {
			content := small[rng.IntN(len(small))]
			act, want := store, "stored"
			if rng.IntN(2) == 0 {
				act, want = func(s blob.Store, content []byte) error { _, err := drop(s, content); return err }, "dropped"
			}
			if err := act(s, content); err != nil {
				want = unknown
			}
			state[string(content)] = want
		}
		s = openWith(t, root, crash.AfterCut(), o)
		for content, state := range state {
			switch state {
			case "stored":
				requireStored(t, s, []byte(content))
			case "dropped":
				requireGone(t, s, []byte(content))
			default:
				if b, err := s.Open(t.Context(), blobtest.KeyOf([]byte(content))); err == nil {
					require.NoError(t, b.Close())
					requireStored(t, s, []byte(content))
				}
			}
			require.NoError(t, store(s, []byte(content)))
			requireStored(t, s, []byte(content))
		}
	}
}

// The same for errors: nil of store and drop is the truth.
func TestFaultsWhileOriginalsComeAndGo(t *testing.T) {
	key := newKey(t)
	for _, op := range []disktest.Op{
		disktest.OpOpen, disktest.OpWrite, disktest.OpSync, disktest.OpRename, disktest.OpRemove, disktest.OpStat, disktest.OpSyncDir,
	} {
		for n := 1; ; n++ {
			crash := disktest.NewCrash(uint64(n))
			fsys := disktest.NewFault(crash)
			o := blobdisk.Options{Originals: blob.Drop}
			if n%2 == 0 {
				o.Keys = keys(t, key)
			}
			s := openWith(t, root, fsys, o)
			fsys.Inject(disktest.Fault{Op: op, N: n, Err: syscall.EIO})
			for i, content := range slices.Concat(small[:3], small[:3]) {
				if store(s, content) == nil {
					requireStored(t, openWith(t, root, crash.CrashClone(0), o), content)
				}
				if i%2 > 0 {
					continue
				}
				if _, err := drop(s, content); err == nil {
					requireGone(t, openWith(t, root, crash.CrashClone(0), o), content)
				}
			}
			if fsys.Fired() == 0 {
				require.Greater(t, n, 1, fmt.Sprint(op, " never struck"))
				break
			}
		}
	}
}
