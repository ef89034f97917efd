// Package blob keeps bytes under the SHA-256 of their content, on disk, and never
// changes or loses what a Commit has answered for. It does not know what the
// bytes mean, and it deletes nothing but originals that [Store.Drop] was told to.
//
//	<dir>/tmp/<n>                   being received; cleared by Open
//	<dir>/<2 hex>/<64 hex>          committed: the name is the digest of the content
//	<dir>/<2 hex>/<64 hex>.original the same, an original that may be dropped
//	<dir>/<2 hex>/<64 hex>.age      the same, encrypted; the digest is of what is inside
//	<dir>/keys/<32 hex>             public name of a key that has sealed originals
//
// Originals are what is staged, in the form that [Options] say; what is Put is
// derived from them, lies as it is and is never deleted, even if it has the same
// content as an original. A blob moves from tmp to its place by a rename, after
// its bytes are on stable storage, and Commit returns when the folder entry is
// there too. So a file under its digest is always whole.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"casepress/disk"
)

// What callers branch on.
var (
	// ErrNotFound says that no blob has this key.
	ErrNotFound = errors.New("blob: not found")
	// ErrUntrusted is in every error after a folder that may not be durable could
	// not be put right. The store then takes nothing more until it is opened anew.
	ErrUntrusted = errors.New("blob: store can no longer be trusted")
)

const (
	tmpName  = "tmp"
	dirPerm  = 0o700
	filePerm = 0o600
)

// Store is an open blob store. Its methods may be called by many goroutines at
// once. One process at a time may have the folder open.
type Store struct {
	fs        disk.FS
	dir       string
	original  form  // of what is staged
	keys      *Keys // nil if there are none
	shards    [256]shard
	holds     holds
	temps     atomic.Uint64 // temp files made since Open, and so their names
	untrusted atomic.Pointer[error]
}

// Options say how originals are kept. The zero value keeps them as they came.
type Options struct {
	Originals Originals
	// Keys open originals that are encrypted and, unless Originals is Keep,
	// encrypt new ones.
	Keys *Keys
}

// Open opens the store in dir, makes the folder if it is not there, and
// removes what earlier processes left behind half received. [ErrKey] if the
// folder, or what is asked for, needs a key that is not there.
func Open(dir string, fsys disk.FS, o Options) (*Store, error) {
	original, err := originalForm(o)
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	s := &Store{fs: fsys, dir: dir, original: original, keys: o.Keys}
	for _, step := range []func() error{s.findFolders, s.clearTemps, s.checkKeys} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("open blobs: %w", err)
		}
	}
	return s, nil
}

// findFolders makes the folders that every blob needs and finds out which shards
// are there. The others are made when their first blob comes.
func (s *Store) findFolders() error {
	if err := s.fs.MkdirAll(filepath.Join(s.dir, tmpName), dirPerm); err != nil {
		return err
	}
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Name()] = e.IsDir()
	}
	for i := range s.shards {
		name := fmt.Sprintf("%02x", i)
		s.shards[i].open(s.fs, filepath.Join(s.dir, name), there[name], &s.untrusted)
	}
	// An earlier process may have been killed before it made them durable.
	return s.fs.SyncDir(s.dir)
}

func (s *Store) clearTemps() error {
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

// Put stores all of r, which is derived from originals or kept by somebody else:
// it lies on disk as it is and is never dropped. size is in bytes.
func (s *Store) Put(ctx context.Context, r io.Reader) (k Key, size int64, err error) {
	g, err := s.stage(ctx, r, shared)
	if err != nil {
		return "", 0, err
	}
	if err := g.Commit(ctx); err != nil {
		return "", 0, err
	}
	return g.Key(), g.Size(), g.Discard()
}

// Blob is an open blob, decrypted if it is sealed. It must be closed; its methods
// other than Read and Seek may be called by many goroutines at once.
type Blob struct {
	*io.SectionReader
	file disk.File
}

// Close releases the file.
func (b *Blob) Close() error { return b.file.Close() }

// Open opens the blob with this key, or says [ErrNotFound]; a text that is no
// key names no blob.
func (s *Store) Open(ctx context.Context, k Key) (*Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !k.Valid() {
		return nil, fmt.Errorf("open blob %q: %w", k, ErrNotFound)
	}
	for _, f := range forms {
		b, err := s.openForm(k, f)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open blob: %w", err)
		}
	}
	return nil, fmt.Errorf("open blob %s: %w", k, ErrNotFound)
}

// opened is the content of a file in this form.
func (s *Store) opened(file disk.File, f form) (*Blob, error) {
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	content := io.ReaderAt(file)
	if f == sealed {
		if content, size, err = s.keys.opened(file, size); err != nil {
			return nil, err
		}
	}
	return &Blob{io.NewSectionReader(content, 0, size), file}, nil
}

// Err is nil unless the store can no longer be trusted: then it tells why.
func (s *Store) Err() error {
	if err := s.untrusted.Load(); err != nil {
		return *err
	}
	return nil
}

// Close does nothing today: every blob and staged file is closed by its holder.
func (s *Store) Close() error { return nil }
