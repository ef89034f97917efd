// Package blobtest checks that an implementation of [blob.Store] keeps what the interface promises.
// What only one kind of store can show, such as surviving a power cut, is for its own tests.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
)

// Open opens an empty store for one test and closes it when the test ends. What it holds on to must
// be gone by then: the suite closes every blob and ends all that it staged.
type Open func(t testing.TB, originals blob.Originals) blob.Store

// Run checks the store in each of the ways to keep originals.
func Run(t *testing.T, open Open) {
	for _, originals := range []blob.Originals{blob.Keep, blob.Vault, blob.Drop} {
		cases := map[string]func(*testing.T, blob.Store){
			"Put": testPut, "PutAgain": testPutAgain, "Stage": testStage, "Discard": testDiscard,
			"NoSuchBlob": testNoSuchBlob, "ReadersError": testReadersError, "Context": testContext,
			"Has": testHas, "Verify": testVerify, "Each": testEach, "Collect": testCollect, "Scrub": testScrub, "Staging": testStaging,
			"ManyAtOnce": testManyAtOnce, "ReadAtRandom": testReadAtRandom, "Hold": testHold,
		}
		if originals == blob.Drop {
			cases["Drop"], cases["DropSparesTheRest"], cases["DropHeld"] = testDrop, testDropSparesTheRest, testDropHeld
			cases["DropAndUpload"], cases["DropFails"] = testDropAndUpload, testDropFails
		} else {
			cases["NothingIsDropped"] = testNothingIsDropped
		}
		t.Run(string(originals), func(t *testing.T) {
			for name, check := range cases {
				t.Run(name, func(t *testing.T) {
					s := open(t, originals)
					check(t, s)
					require.NoError(t, s.Err())
				})
			}
		})
	}
}

// sizes are those at which readers, chunks and buffers begin and end.
var sizes = []int{0, 1, 511, 512, 513, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128<<10 - 1, 128 << 10, 128<<10 + 1, 1 << 20}

func testPut(t *testing.T, s blob.Store) {
	for i, size := range sizes {
		content := Random(uint64(i), size)
		k, n, err := s.Put(t.Context(), iotest.HalfReader(bytes.NewReader(content)))
		require.NoError(t, err)
		require.Equal(t, KeyOf(content), k)
		require.EqualValues(t, size, n)
	}
	for i, size := range sizes {
		RequireStored(t, s, Random(uint64(i), size))
	}
}

func testPutAgain(t *testing.T, s blob.Store) {
	content := Random(1, 1000)
	for range 3 {
		require.NoError(t, Put(t.Context(), s, content))
		require.NoError(t, Store(t.Context(), s, content), "an original of the same content")
		RequireStored(t, s, content)
	}
}

func testStage(t *testing.T, s blob.Store) {
	for i, size := range sizes {
		content := Random(uint64(i), size)
		g, err := s.Stage(t.Context(), iotest.OneByteReader(bytes.NewReader(content)))
		require.NoError(t, err)
		require.Equal(t, KeyOf(content), g.Key())
		require.EqualValues(t, size, g.Size())
		for range 2 {
			got, err := io.ReadAll(g.Open())
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
		}
		_, err = s.Open(t.Context(), g.Key())
		require.ErrorIs(t, err, blob.ErrNotFound, "visible before Commit")
		require.NoError(t, g.Commit(t.Context()))
		RequireStored(t, s, content)
		require.NoError(t, g.Discard())
		require.ErrorIs(t, g.Commit(t.Context()), os.ErrClosed)
		RequireStored(t, s, content)
	}
}

func testDiscard(t *testing.T, s blob.Store) {
	content := []byte("never mind")
	g, err := s.Stage(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	require.NoError(t, g.Discard())
	require.NoError(t, g.Discard(), "a second time does nothing")
	_, err = s.Open(t.Context(), g.Key())
	require.ErrorIs(t, err, blob.ErrNotFound)
	require.NoError(t, Store(t.Context(), s, content))
	RequireStored(t, s, content)
}

func testNoSuchBlob(t *testing.T, s blob.Store) {
	good := string(KeyOf(nil))
	for name, k := range map[string]string{
		"no such blob": good, "empty": "", "short": good[:63], "long": good + "0", "upper case": strings.ToUpper(good),
		"no hex": "g" + good[1:], "path": "../../" + good[6:], "zero byte": "\x00" + good[1:],
	} {
		k := blob.Key(k)
		_, err := s.Open(t.Context(), k)
		require.ErrorIs(t, err, blob.ErrNotFound, name)
		_, err = s.Hold(t.Context(), k)
		require.ErrorIs(t, err, blob.ErrNotFound, name)
		exists, err := s.Has(t.Context(), k, 0)
		require.NoError(t, err)
		require.False(t, exists, name)
		held, err := s.Drop(t.Context(), []blob.Key{k}, all)
		require.NoError(t, err)
		require.Empty(t, held, name)
	}
}

// An upload that breaks off is never taken for one that ended.
func testReadersError(t *testing.T, s blob.Store) {
	for name, broken := range map[string]error{
		"broke off": io.ErrUnexpectedEOF, "timeout": iotest.ErrTimeout, "other": errors.New("reset by peer"),
	} {
		r := func() io.Reader { return io.MultiReader(strings.NewReader("begin"), iotest.ErrReader(broken)) }
		_, err := s.Stage(t.Context(), r())
		require.ErrorIs(t, err, broken, name)
		_, _, err = s.Put(t.Context(), r())
		require.ErrorIs(t, err, broken, name)
	}
	_, err := s.Stage(t.Context(), idleReader{})
	require.ErrorIs(t, err, io.ErrNoProgress)
	_, err = s.Open(t.Context(), KeyOf([]byte("begin")))
	require.ErrorIs(t, err, blob.ErrNotFound)
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

// What waits ends with its context.
func testContext(t *testing.T, s blob.Store) {
	content := []byte("there")
	require.NoError(t, Store(t.Context(), s, content))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Open(ended, KeyOf(content))
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Has(ended, KeyOf(content), 5)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Hold(ended, KeyOf(content))
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Stage(ended, bytes.NewReader(content))
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = s.Put(ended, bytes.NewReader(content))
	require.ErrorIs(t, err, context.Canceled)
	g, err := s.Stage(t.Context(), strings.NewReader("not committed"))
	require.NoError(t, err)
	require.ErrorIs(t, g.Commit(ended), context.Canceled)
	require.NoError(t, g.Discard())
	_, err = s.Open(t.Context(), g.Key())
	require.ErrorIs(t, err, blob.ErrNotFound)
	_, err = s.Drop(ended, []blob.Key{KeyOf(content)}, all)
	require.ErrorIs(t, err, context.Canceled)
	b, err := s.Open(t.Context(), KeyOf(content))
	require.NoError(t, err)
	require.ErrorIs(t, b.Verify(ended, 0), context.Canceled)
	require.NoError(t, b.Close())
	_, err = s.Collect(ended, blob.MinUnused, all)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Scrub(ended, 1<<30)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Each(ended, func([]blob.Info) error { return nil }), context.Canceled)
	require.ErrorIs(t, s.EachOriginal(ended, func([]blob.Key) error { return nil }), context.Canceled)
	RequireStored(t, s, content)

	// Between two reads of an upload.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reads := 0
	_, err = s.Stage(ctx, readerFunc(func(p []byte) (int, error) {
		if reads++; reads == 3 {
			cancel()
		}
		return max(1, len(p)/2), nil
	}))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, reads)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testHas(t *testing.T, s blob.Store) {
	content := []byte("a picture")
	has := func(size int) bool {
		exists, err := s.Has(t.Context(), KeyOf(content), int64(size))
		require.NoError(t, err)
		return exists
	}
	require.False(t, has(len(content)))
	require.NoError(t, Put(t.Context(), s, content))
	require.True(t, has(len(content)))
	require.False(t, has(len(content)-1))
}

func testVerify(t *testing.T, s blob.Store) {
	for i, size := range sizes {
		content := Random(uint64(i), size)
		require.NoError(t, Store(t.Context(), s, content))
		for _, within := range []time.Duration{0, time.Hour, time.Hour} {
			b, err := blob.OpenVerified(t.Context(), s, KeyOf(content), within)
			require.NoError(t, err)
			got, err := io.ReadAll(b)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got), "where Read begins has not changed")
			require.NoError(t, b.Verify(t.Context(), 0))
			require.NoError(t, b.Close())
		}
	}
	require.Empty(t, s.Corrupt())
	_, err := blob.OpenVerified(t.Context(), s, KeyOf([]byte("none")), 0)
	require.ErrorIs(t, err, blob.ErrNotFound)
}

func testEach(t *testing.T, s blob.Store) {
	before := time.Now().Add(-time.Minute) // the store's clock may be another one
	want := map[blob.Key]int{}
	for i := range 40 {
		original, picture := fmt.Appendf(nil, "original %d", i), fmt.Appendf(nil, "picture %d", i)
		require.NoError(t, Store(t.Context(), s, original))
		require.NoError(t, Put(t.Context(), s, picture))
		want[KeyOf(original)], want[KeyOf(picture)] = len(original), len(picture)
	}
	seen := map[blob.Key]int{}
	require.NoError(t, s.Each(t.Context(), func(infos []blob.Info) error {
		for _, info := range infos {
			require.GreaterOrEqual(t, info.StoredBytes, int64(want[info.Key]))
			require.True(t, info.Used.After(before))
			seen[info.Key] = want[info.Key]
		}
		return nil
	}))
	require.Equal(t, want, seen)
	stop := errors.New("stop")
	require.ErrorIs(t, s.Each(t.Context(), func([]blob.Info) error { return stop }), stop)
}

// What has just been stored is not collected, though nobody needs it yet.
func testCollect(t *testing.T, s blob.Store) {
	original, picture := []byte("original"), []byte("picture")
	require.NoError(t, Store(t.Context(), s, original))
	require.NoError(t, Put(t.Context(), s, picture))
	_, err := s.Collect(t.Context(), blob.MinUnused-1, all)
	require.Error(t, err)
	collected, err := s.Collect(t.Context(), blob.MinUnused, all)
	require.NoError(t, err)
	require.Zero(t, collected)
	RequireStored(t, s, original)
	RequireStored(t, s, picture)
}

func testScrub(t *testing.T, s blob.Store) {
	content := int64(0)
	for i, size := range sizes {
		require.NoError(t, Store(t.Context(), s, Random(uint64(i), size)))
		require.NoError(t, Put(t.Context(), s, Random(uint64(i+100), size+1)))
		content += int64(2*size + 1)
	}
	for _, rate := range []int64{0, -1} {
		_, err := s.Scrub(t.Context(), rate)
		require.Error(t, err)
	}
	scrubbed, err := s.Scrub(t.Context(), 1<<40)
	require.NoError(t, err)
	require.Equal(t, blob.Scrubbed{Blobs: 2 * len(sizes), Bytes: content}, scrubbed)
	require.Empty(t, s.Corrupt())
}

func testStaging(t *testing.T, s blob.Store) {
	require.Zero(t, s.Staging())
	a, err := s.Stage(t.Context(), bytes.NewReader(Random(1, 300_000)))
	require.NoError(t, err)
	b, err := s.Stage(t.Context(), bytes.NewReader(Random(2, 1000)))
	require.NoError(t, err)
	require.EqualValues(t, 301_000, s.Staging())
	require.NoError(t, a.Commit(t.Context()))
	require.EqualValues(t, 1000, s.Staging())
	require.NoError(t, a.Discard())
	require.NoError(t, b.Discard())
	require.NoError(t, b.Discard())
	_, err = s.Stage(t.Context(), io.MultiReader(bytes.NewReader(Random(3, 200_000)), iotest.ErrReader(io.ErrUnexpectedEOF)))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, Put(t.Context(), s, Random(4, 1000)))
	require.Zero(t, s.Staging())
}

func testManyAtOnce(t *testing.T, s blob.Store) {
	same := Random(1, 50_000)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			store := Put
			if i%2 == 0 {
				store = Store
			}
			for _, content := range [][]byte{same, fmt.Appendf(nil, "content of %d", i)} {
				if err := store(t.Context(), s, content); err != nil {
					t.Error(err)
				}
				if b, err := s.Open(t.Context(), KeyOf(content)); err != nil || b.Size() != int64(len(content)) || b.Close() != nil {
					t.Errorf("not to be opened after it was stored: %v", err)
				}
			}
		})
	}
	wg.Wait()
	RequireStored(t, s, same)
	for i := range 24 {
		RequireStored(t, s, fmt.Appendf(nil, "content of %d", i))
	}
}

// One open blob is read at random places by several at once.
func testReadAtRandom(t *testing.T, s blob.Store) {
	content := Random(1, 1<<20)
	require.NoError(t, Store(t.Context(), s, content))
	b, err := s.Open(t.Context(), KeyOf(content))
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 0))
			for range 100 {
				at, p := rng.IntN(len(content)), make([]byte, rng.IntN(100_000))
				n, err := b.ReadAt(p, int64(at))
				want := min(len(p), len(content)-at)
				if n != want || !bytes.Equal(p[:n], content[at:at+n]) || (err == nil) != (n == len(p)) && !errors.Is(err, io.EOF) {
					t.Errorf("%d bytes at %d: %d %v", len(p), at, n, err)
				}
			}
		})
	}
	wg.Wait()
	_, err = b.ReadAt(make([]byte, 1), int64(len(content)))
	require.Equal(t, io.EOF, err)
}

func testHold(t *testing.T, s blob.Store) {
	content := []byte("held")
	require.NoError(t, Store(t.Context(), s, content))
	release, err := s.Hold(t.Context(), KeyOf(content))
	require.NoError(t, err)
	release()
	release() // a second time does nothing
	RequireStored(t, s, content)
}

func testNothingIsDropped(t *testing.T, s blob.Store) {
	picture := []byte("a picture")
	require.NoError(t, Put(t.Context(), s, picture))
	_, err := s.Drop(t.Context(), []blob.Key{KeyOf(picture)}, all)
	require.NoError(t, err)
	RequireStored(t, s, picture)
}

func testDrop(t *testing.T, s blob.Store) {
	var contents [][]byte
	var keys []blob.Key
	for i := range 40 {
		contents = append(contents, fmt.Appendf(nil, "original %d", i))
		keys = append(keys, KeyOf(contents[i]))
		require.NoError(t, Store(t.Context(), s, contents[i]))
	}
	require.ElementsMatch(t, keys, originals(t, s))
	held, err := s.Drop(t.Context(), keys, func(_ context.Context, free []blob.Key) ([]blob.Key, error) {
		require.ElementsMatch(t, keys, free)
		return keys[:20], nil
	})
	require.NoError(t, err)
	require.Empty(t, held)
	require.ElementsMatch(t, keys[20:], originals(t, s))
	for i, content := range contents {
		if i < 20 {
			requireGone(t, s, content)
			require.NoError(t, Store(t.Context(), s, content), "the same bytes again are as new")
		}
		RequireStored(t, s, content)
	}
	stop := errors.New("stop")
	require.ErrorIs(t, s.EachOriginal(t.Context(), func([]blob.Key) error { return stop }), stop)
}

// What is derived is never dropped, though an original has the same content.
func testDropSparesTheRest(t *testing.T, s blob.Store) {
	both := []byte("an original and its own picture")
	require.NoError(t, Store(t.Context(), s, both))
	exists, err := s.Has(t.Context(), KeyOf(both), int64(len(both)))
	require.NoError(t, err)
	require.False(t, exists, "an original does not count as a picture")
	require.NoError(t, Put(t.Context(), s, both))
	_, err = s.Drop(t.Context(), []blob.Key{KeyOf(both)}, all)
	require.NoError(t, err)
	RequireStored(t, s, both)
	require.Empty(t, originals(t, s))
}

func testDropHeld(t *testing.T, s blob.Store) {
	content := []byte("in use")
	k := KeyOf(content)
	g, err := s.Stage(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	require.NoError(t, g.Commit(t.Context()))
	requireHeld := func() {
		held, err := s.Drop(t.Context(), []blob.Key{k}, all)
		require.NoError(t, err)
		require.Equal(t, []blob.Key{k}, held)
		RequireStored(t, s, content)
	}
	requireHeld()
	release, err := s.Hold(t.Context(), k)
	require.NoError(t, err)
	require.NoError(t, g.Discard())
	requireHeld()
	release()
	held, err := s.Drop(t.Context(), []blob.Key{k, k}, all)
	require.NoError(t, err)
	require.Empty(t, held)
	requireGone(t, s, content)
}

// Who uploads an original while it is being dropped waits for the outcome, and has it afterwards.
func testDropAndUpload(t *testing.T, s blob.Store) {
	content := []byte("again")
	k := KeyOf(content)
	require.NoError(t, Store(t.Context(), s, content))
	uploaded := make(chan error, 1)
	_, err := s.Drop(t.Context(), []blob.Key{k}, func(ctx context.Context, free []blob.Key) ([]blob.Key, error) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err := s.Hold(ended, k)
		require.ErrorIs(t, err, context.Canceled)
		go func() { uploaded <- Store(t.Context(), s, content) }()
		return free, nil
	})
	require.NoError(t, err)
	require.NoError(t, <-uploaded)
	RequireStored(t, s, content)
}

func testDropFails(t *testing.T, s blob.Store) {
	content := []byte("undecided")
	require.NoError(t, Store(t.Context(), s, content))
	undecided := errors.New("undecided")
	_, err := s.Drop(t.Context(), []blob.Key{KeyOf(content)}, func(context.Context, []blob.Key) ([]blob.Key, error) {
		return nil, undecided
	})
	require.ErrorIs(t, err, undecided)
	RequireStored(t, s, content)
	other := []byte("not asked about")
	require.NoError(t, Store(t.Context(), s, other))
	_, err = s.Drop(t.Context(), []blob.Key{KeyOf(content)}, func(context.Context, []blob.Key) ([]blob.Key, error) {
		return []blob.Key{KeyOf(content), KeyOf(other)}, nil
	})
	require.Error(t, err)
	RequireStored(t, s, content)
	RequireStored(t, s, other)
	require.NoError(t, Store(t.Context(), s, content))
}

// all drops whatever nobody holds.
func all(_ context.Context, free []blob.Key) ([]blob.Key, error) { return free, nil }

func originals(t testing.TB, s blob.Store) (keys []blob.Key) {
	t.Helper()
	require.NoError(t, s.EachOriginal(t.Context(), func(some []blob.Key) error {
		keys = append(keys, some...)
		return nil
	}))
	slices.Sort(keys)
	return slices.Compact(keys)
}

func requireGone(t testing.TB, s blob.Store, content []byte) {
	t.Helper()
	_, err := s.Open(t.Context(), KeyOf(content))
	require.ErrorIs(t, err, blob.ErrNotFound)
}

// KeyOf is the key of this content.
func KeyOf(content []byte) blob.Key {
	sum := sha256.Sum256(content)
	return blob.Key(hex.EncodeToString(sum[:]))
}

// Random returns size bytes that depend on the seed alone.
func Random(seed uint64, size int) []byte {
	content := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	_, _ = rng.Read(content)
	return content
}

// Put puts the content and checks what the store says of it.
func Put(ctx context.Context, s blob.Store, content []byte) error {
	k, size, err := s.Put(ctx, bytes.NewReader(content))
	if err == nil && (k != KeyOf(content) || size != int64(len(content))) {
		return fmt.Errorf("put gave %s of %d bytes", k, size)
	}
	return err
}

// Store stages, commits and lets go of an original.
func Store(ctx context.Context, s blob.Store, content []byte) error {
	g, err := s.Stage(ctx, bytes.NewReader(content))
	if err != nil {
		return err
	}
	return errors.Join(g.Commit(ctx), g.Discard())
}

// RequireStored reads the blob in all the ways there are.
func RequireStored(t testing.TB, s blob.Store, content []byte) {
	t.Helper()
	b, err := s.Open(context.Background(), KeyOf(content))
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	require.EqualValues(t, len(content), b.Size())
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	if len(content) > 0 {
		_, err = b.Seek(-1, io.SeekEnd)
		require.NoError(t, err)
		last, err := io.ReadAll(b)
		require.NoError(t, err)
		require.Equal(t, content[len(content)-1:], last)
		_, err = b.ReadAt(last, 0)
		require.NoError(t, err)
		require.Equal(t, content[:1], last)
	}
}
