package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"casepress/blob"
	"casepress/disk"
)

// file is an open blob.
type file struct {
	*io.SectionReader
	file    disk.File
	store   *store
	key     blob.Key
	path    string
	readErr *atomic.Pointer[error] // of file
}

func (b *file) Close() error { return b.file.Close() }

// Verify checks the digest: see [blob.Blob].
func (b *file) Verify(ctx context.Context, within time.Duration) error {
	before, err := b.file.Stat()
	if err != nil {
		return fmt.Errorf("verify blob: %w", err)
	}
	if within > 0 && b.store.verified.recently(b.path, before, within) {
		return nil
	}
	if err := b.verify(ctx, unpaced); err != nil {
		return fmt.Errorf("verify blob: %w", err)
	}
	// What has been changed while it was read may have been changed after it was read.
	if after, err := b.file.Stat(); err == nil && sameFile(before, after) {
		b.store.verified.add(b.path, after)
	}
	return nil
}

// unpaced reads as fast as the disk.
func unpaced(context.Context, int) error { return nil }

// verify reads the whole content and keeps account of what it finds. pace is called with the number
// of bytes of each read.
func (b *file) verify(ctx context.Context, pace func(context.Context, int) error) error {
	digest, err := b.digest(ctx, pace)
	if err == nil && digest != b.key {
		err = fmt.Errorf("%w: %s: its bytes have the digest %s", blob.ErrCorrupt, b.key, digest)
	}
	switch {
	case err == nil:
		b.store.corrupt.remove(b.path)
	case errors.Is(err, blob.ErrCorrupt):
		b.store.foundCorrupt(b.key, b.path, err)
	}
	return err
}

func (b *file) digest(ctx context.Context, pace func(context.Context, int) error) (blob.Key, error) {
	buf := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(buf)
	sum := sha256.New()
	for off := int64(0); off < b.Size(); {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := b.ReadAt(buf[:min(bufferBytes, b.Size()-off)], off)
		sum.Write(buf[:n])
		off += int64(n)
		if errors.Is(err, io.EOF) && off == b.Size() {
			err = nil
		}
		if err != nil {
			return "", b.store.corruptUnless(b.readErr, b.key, err)
		}
		if err := pace(ctx, n); err != nil {
			return "", err
		}
	}
	return blob.Key(hex.EncodeToString(sum.Sum(nil))), nil
}

// corruptUnless is the error of content that could not be read or decrypted: readErr if it was the
// disk that failed, else [blob.ErrCorrupt].
func (s *store) corruptUnless(readErr *atomic.Pointer[error], k blob.Key, err error) error {
	if failed := readErr.Load(); failed != nil {
		return fmt.Errorf("%s: %w", k, *failed)
	}
	return fmt.Errorf("%w: %s: %w", blob.ErrCorrupt, k, err)
}

// errorKeeper remembers that the disk could not be read, which decrypting does not let through.
type errorKeeper struct {
	io.ReaderAt
	err *atomic.Pointer[error]
}

func (r errorKeeper) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	if err != nil && err != io.EOF {
		r.err.Store(&err)
	}
	return n, err
}

// foundCorrupt counts and logs a damaged file the first time, unless it is gone: whoever drops it forgets the damage, and perhaps
// before it was found.
func (s *store) foundCorrupt(k blob.Key, path string, err error) {
	s.verified.remove(path)
	if s.corrupt.add(path, k) {
		if _, gone := s.fs.Stat(path); errors.Is(gone, fs.ErrNotExist) {
			s.corrupt.remove(path)
			return
		}
		s.metrics.corrupt.Inc()
		s.log.LogAttrs(context.Background(), slog.LevelError, "a blob is damaged", slog.String("key", string(k)), slog.String("file", path), slog.Any("err", err))
	}
}

// Corrupt are the damaged blobs: see [blob.Store].
func (s *store) Corrupt() []blob.Key { return s.corrupt.keys() }

// corruptFiles are the files that were found damaged.
type corruptFiles struct {
	mu    sync.Mutex
	files map[string]blob.Key
}

// add reports whether the file was not known to be damaged. Of more than MaxCorrupt it forgets.
func (c *corruptFiles) add(path string, k blob.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.files[path]; known {
		return false
	}
	if c.files == nil {
		c.files = make(map[string]blob.Key)
	}
	if len(c.files) < blob.MaxCorrupt {
		c.files[path] = k
	}
	return true
}

func (c *corruptFiles) has(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.files[path]
	return known
}

// remove reports whether the file was known to be damaged.
func (c *corruptFiles) remove(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.files[path]
	delete(c.files, path)
	return known
}

func (c *corruptFiles) keys() (all []blob.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.files {
		all = append(all, k)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// maxVerified is how many files are remembered as sound, each in some 300 bytes.
const maxVerified = 4096

// verifiedFiles remembers which files were found sound, and when.
type verifiedFiles struct {
	mu    sync.Mutex
	files map[string]verifiedFile
}

type verifiedFile struct {
	info fs.FileInfo
	at   time.Time
}

func (v *verifiedFiles) recently(path string, info fs.FileInfo, within time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	known, ok := v.files[path]
	return ok && time.Since(known.at) <= within && sameFile(known.info, info)
}

func (v *verifiedFiles) add(path string, info fs.FileInfo) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.files == nil {
		v.files = make(map[string]verifiedFile)
	}
	if len(v.files) >= maxVerified {
		for other := range v.files { // any: it is only read once more
			delete(v.files, other)
			break
		}
	}
	v.files[path] = verifiedFile{info, time.Now()}
}

func (v *verifiedFiles) remove(path string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.files, path)
}

// sameFile reports whether nothing tells that the file was replaced or written to.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
