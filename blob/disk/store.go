// Package disk implements [blob.Store] in a folder of the local disk.
//
//	<dir>/tmp/<n>                   being received; cleared by Open
//	<dir>/<2 hex>/<64 hex>          committed: the name is the digest of the content
//	<dir>/<2 hex>/<64 hex>.original the same, an original that may be dropped
//	<dir>/<2 hex>/<64 hex>.age      the same, encrypted; the digest is of what is inside
//	<dir>/keys/<32 hex>             public name of a key that has sealed originals
//
// Originals are what is staged, in the format that [Options] say; what is Put is
// derived from them, lies as it is and is never deleted, even if it has the same
// content as an original. A blob moves from tmp to its folder by a rename, after
// its bytes are on stable storage, and Commit returns when the folder entry is
// there too. So a file under its digest has always been written whole.
//
// One process at a time may have the folder open; who opens it sees to that.
package disk

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/blob"
	"casepress/disk"
)

const (
	tmpName  = "tmp"
	dirPerm  = 0o700
	filePerm = 0o600
)

// store is an open store of blobs in a folder.
type store struct {
	fs       disk.FS
	dir      string
	log      *slog.Logger
	opened   time.Time
	original format     // of what is staged
	keys     *blob.Keys // nil if there are none
	shards   [256]shard
	holds    holds
	staging  staging
	verified verifiedFiles
	corrupt  corruptFiles
	temps    atomic.Uint64 // temp files made since Open, and so their names
	poison   atomic.Pointer[error]
	metrics  *metrics
}

// Options say how originals are kept. The zero value keeps them as they came.
type Options struct {
	Originals blob.Originals
	// Keys open originals that are encrypted and, unless Originals is Keep,
	// encrypt new ones.
	Keys *blob.Keys
	// MaxStaged is how many uploads may be staged at once, and MaxStagedBytes how many bytes all of
	// them together may have brought: what is more is refused with [blob.ErrStagingFull]. 0 stands
	// for [DefaultMaxStaged] and [DefaultMaxStagedBytes], -1 for no limit. What is Put is counted
	// and never refused.
	MaxStaged      int
	MaxStagedBytes int64
	// Logger is told of damaged blobs; nil for none.
	Logger *slog.Logger
	// Registerer gets the metrics casepress_blob_*; nil for none. It may have those of one open store
	// at a time.
	Registerer prometheus.Registerer
}

// The limits of an upload, if [Options] have none.
const (
	DefaultMaxStaged      = 1000
	DefaultMaxStagedBytes = 4 << 30
)

// Open opens the store in dir, makes the folder if it is not there, and
// removes what earlier processes left behind half received. [blob.ErrKey] if the
// folder, or what is asked for, needs a key that is not there. The result is of the interface's type, so
// that after an error it is nil wherever it is assigned.
func Open(dir string, fsys disk.FS, o Options) (blob.Store, error) {
	original, err := originalFormat(o)
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	s := &store{fs: fsys, dir: dir, log: o.Logger, opened: time.Now(), original: original, keys: o.Keys}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.staging.limit(o); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	s.metrics = newMetrics(s)
	for _, step := range []func() error{s.openFolders, s.clearTemps, s.checkKeys} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("open blobs: %w", err)
		}
	}
	if err := s.metrics.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	return s, nil
}

// openFolders makes the folders that every blob needs and finds out which shards
// are there. The others are made when their first blob comes.
func (s *store) openFolders() error {
	if err := s.fs.MkdirAll(filepath.Join(s.dir, tmpName), dirPerm); err != nil {
		return err
	}
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return err
	}
	exists := make(map[string]bool, len(entries))
	for _, e := range entries {
		if exists[e.Name()], err = s.isFolder(e); err != nil {
			return err
		}
	}
	for i := range s.shards {
		name := fmt.Sprintf("%02x", i)
		s.shards[i].open(s, filepath.Join(s.dir, name), exists[name])
	}
	// An earlier process may have been killed before it made them durable.
	return s.fs.SyncDir(s.dir)
}

// isFolder reports whether an entry of the store's own folder is a folder, or a link to one. What has the name of one of the store's
// and is none is an error.
func (s *store) isFolder(e fs.DirEntry) (bool, error) {
	if e.IsDir() {
		return true, nil
	}
	if _, err := hex.DecodeString(e.Name()); e.Name() != keysName && (err != nil || len(e.Name()) != 2) {
		return false, nil
	}
	path := filepath.Join(s.dir, e.Name())
	info, err := s.fs.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err != nil || !info.IsDir() {
		return false, fmt.Errorf("%s is not a folder: move it away, and restore the folder from a copy if there was one", path)
	}
	return true, nil
}

func (s *store) clearTemps() error {
	tmp := filepath.Join(s.dir, tmpName)
	entries, err := s.fs.ReadDir(tmp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.fs.Remove(filepath.Join(tmp, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// shard is the folder of the blob with this valid key.
func (s *store) shard(k blob.Key) *shard {
	var first [1]byte
	if _, err := hex.Decode(first[:], []byte(k[:2])); err != nil {
		panic(err) // callers check Valid
	}
	return &s.shards[first[0]]
}

// Put stores what is not an original: see [blob.Store].
func (s *store) Put(ctx context.Context, r io.Reader) (k blob.Key, size int64, err error) {
	g, err := s.stage(ctx, r, permanent, false)
	if err != nil {
		return "", 0, err
	}
	if err := g.Commit(ctx); err != nil {
		return "", 0, err
	}
	return g.Key(), g.Size(), g.Discard()
}

// Open opens a blob: see [blob.Store].
func (s *store) Open(ctx context.Context, k blob.Key) (blob.Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !k.Valid() {
		return nil, fmt.Errorf("open blob %q: %w", k, blob.ErrNotFound)
	}
	var damaged error
	for _, f := range s.readOrder(k) {
		b, err := s.openFormat(k, f)
		switch {
		case err == nil:
			return b, nil
		case errors.Is(err, blob.ErrCorrupt):
			damaged = err
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("open blob: %w", err)
		}
	}
	if damaged != nil {
		return nil, fmt.Errorf("open blob: %w", damaged)
	}
	return nil, fmt.Errorf("open blob %s: %w", k, blob.ErrNotFound)
}

// readOrder are the formats in which a blob is looked for: those in which it is known to be damaged
// come last.
func (s *store) readOrder(k blob.Key) []format {
	var order, damaged []format
	for _, f := range formats {
		if s.corrupt.has(s.shard(k).path(k, f)) {
			damaged = append(damaged, f)
		} else {
			order = append(order, f)
		}
	}
	return append(order, damaged...)
}

// Has looks for a blob that was Put: see [blob.Store].
func (s *store) Has(ctx context.Context, k blob.Key, size int64) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if !k.Valid() {
		return false, nil
	}
	exists, err := s.shard(k).use(s.shard(k).path(k, permanent), size)
	if err != nil {
		return false, fmt.Errorf("look for blob: %w", err)
	}
	return exists, nil
}

// Ready looks for the folder that uploads are received in: see [blob.Store].
func (s *store) Ready() error {
	if err := s.Err(); err != nil {
		return err
	}
	info, err := s.fs.Stat(filepath.Join(s.dir, tmpName))
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // which does not name the server's folders
	}
	if err == nil && !info.IsDir() {
		err = errors.New("is not a folder")
	}
	if err != nil {
		return fmt.Errorf("the folder %s, in which images are received: %w", filepath.Join(filepath.Base(s.dir), tmpName), err)
	}
	return nil
}

// Err tells why the store takes nothing more: see [blob.Store].
func (s *store) Err() error {
	if err := s.poison.Load(); err != nil {
		return *err
	}
	return nil
}

// Close takes the metrics back. Blobs and staged content are closed by their holders.
func (s *store) Close() error {
	s.metrics.unregister()
	return nil
}
