// Package blob keeps bytes under the SHA-256 of their content, on disk, and never
// changes or loses what a Commit has answered for. It does not know what the
// bytes mean, and it never deletes a committed blob.
//
//	<dir>/tmp/<n>          being received; cleared by Open
//	<dir>/<2 hex>/<64 hex> committed: the name is the digest of the content
//
// A blob moves from the first place to the second by a rename, after its bytes
// are on stable storage, and Commit returns when the folder entry is there too.
// So a file under its digest is always whole.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	shards    [256]shard
	temps     atomic.Uint64 // temp files made since Open, and so their names
	untrusted atomic.Pointer[error]
}

// Open opens the store in dir, makes the folder if it is not there, and removes
// what earlier processes left behind half received.
func Open(dir string, fsys disk.FS) (*Store, error) {
	s := &Store{fs: fsys, dir: dir}
	if err := s.findFolders(); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	if err := s.clearTemps(); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
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

// Put stores all of r: Stage and Commit in one. size is in bytes.
func (s *Store) Put(ctx context.Context, r io.Reader) (k Key, size int64, err error) {
	g, err := s.Stage(ctx, r)
	if err != nil {
		return "", 0, err
	}
	if err := g.Commit(ctx); err != nil {
		return "", 0, err
	}
	return g.Key(), g.Size(), nil
}

// Blob is an open blob. It must be closed; its methods other than Read and Seek
// may be called by many goroutines at once.
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
	f, err := s.fs.OpenFile(s.shard(k).path(k), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s: %w", k, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", errors.Join(err, f.Close()))
	}
	return &Blob{io.NewSectionReader(f, 0, size), f}, nil
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
