package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"casepress/blob"
	"casepress/disk"
)

// bufferBytes is what one upload holds in memory.
const bufferBytes = 128 << 10

// maxIdleReads is how many reads in a row may bring neither bytes nor an error.
const maxIdleReads = 100

var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// staged implements [blob.Staged].
type staged struct {
	store    *store
	format   format
	file     disk.File // nil once ended
	temp     string
	content  io.ReaderAt // of file, decrypted if it is encrypted
	original bool        // staged, not Put: it is held from Commit on
	renamed  bool        // temp has become the blob
	held     bool
	key      blob.Key
	size     int64
	reserved int64 // of the bytes that may be staged
}

// Stage receives an original: see [blob.Store].
func (s *store) Stage(ctx context.Context, r io.Reader) (blob.Staged, error) {
	g, err := s.stage(ctx, r, s.original, true)
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (s *store) stage(ctx context.Context, r io.Reader, f format, original bool) (*staged, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	if err := s.staging.begin(original); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	temp := filepath.Join(s.dir, tmpName, strconv.FormatUint(s.temps.Add(1), 10))
	file, err := s.fs.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, filePerm)
	if err != nil {
		s.staging.end(0)
		return nil, fmt.Errorf("stage: %w", unable(err))
	}
	g := &staged{store: s, format: f, original: original, file: file, temp: temp}
	if err := g.receive(ctx, r); err != nil {
		return nil, fmt.Errorf("stage: %w", errors.Join(err, g.Discard()))
	}
	return g, nil
}

// unable marks an error of the machine with [blob.ErrUnavailable]. That of a context stays as it is, and so does nil.
func unable(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}

func (g *staged) receive(ctx context.Context, r io.Reader) error {
	if g.format != encrypted {
		g.content = g.file
		return g.copy(ctx, g.file, r)
	}
	seal, err := g.store.keys.Seal(g.file)
	if err != nil {
		return unable(err)
	}
	if err := g.copy(ctx, seal, r); err != nil {
		return err
	}
	if err := seal.Close(); err != nil {
		return unable(err)
	}
	size, err := g.file.Size()
	if err != nil {
		return unable(err)
	}
	g.content, _, err = g.store.keys.Open(g.file, size)
	return unable(err)
}

// copy reads r to its end into w, and learns key and size.
func (g *staged) copy(ctx context.Context, w io.Writer, r io.Reader) error {
	buf := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(buf)
	digest := sha256.New()
	for {
		n, err := readFull(ctx, buf[:], r)
		ended := err == io.EOF //nolint:errorlint // one that is wrapped is a broken transfer
		if err != nil && !ended {
			return err
		}
		if err := g.write(w, buf[:n], digest); err != nil {
			return err
		}
		if ended {
			g.key = blob.Key(hex.EncodeToString(digest.Sum(nil)))
			return nil
		}
	}
}

// readFull reads until buf is full or r ends, so that the disk sees large writes
// however small the reads are. io.EOF is a clean end and nothing else is: with
// io.ReadFull, an upload that broke off would look like one that ended.
func readFull(ctx context.Context, buf []byte, r io.Reader) (n int, err error) {
	for idle := 0; n < len(buf) && err == nil; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		var m int
		m, err = r.Read(buf[n:])
		n += m
		if m > 0 {
			idle = 0
		} else if idle++; idle == maxIdleReads && err == nil {
			return n, io.ErrNoProgress
		}
	}
	return n, err
}

func (g *staged) write(w io.Writer, b []byte, digest hash.Hash) error {
	if err := g.store.staging.add(int64(len(b)), g.original); err != nil {
		return err
	}
	g.reserved += int64(len(b))
	digest.Write(b)
	n, err := w.Write(b)
	g.size += int64(n)
	g.store.metrics.writtenBytes.Add(float64(n))
	return unable(err)
}

func (g *staged) Key() blob.Key { return g.key }

func (g *staged) Size() int64 { return g.size }

func (g *staged) Open() *io.SectionReader { return io.NewSectionReader(g.content, 0, g.size) }

// Commit makes the content a blob: see [blob.Staged].
func (g *staged) Commit(ctx context.Context) error {
	if g.file == nil {
		return fmt.Errorf("commit blob: %w", os.ErrClosed)
	}
	if err := g.commit(ctx); err != nil {
		return fmt.Errorf("commit blob: %w", errors.Join(unable(err), g.Discard()))
	}
	return nil
}

func (g *staged) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.original {
		if err := g.store.holds.acquire(ctx, g.key); err != nil {
			return err
		}
		g.held = true
	}
	sh := g.store.shard(g.key)
	path := sh.path(g.key, g.format)
	exists, at, err := sh.lookup(path)
	if err != nil {
		return err
	}
	sound := false
	if exists {
		if sound, err = g.store.isSound(ctx, g.key, g.format); err != nil {
			return err
		}
	}
	if !sound {
		if err := timed(g.store.metrics.fileSync, g.file.Sync); err != nil {
			return err
		}
		if g.renamed, at, err = sh.add(g.temp, path, exists); err != nil {
			return err
		}
	}
	if err := g.end(); err != nil {
		return err
	}
	if err := sh.waitSynced(ctx, at); err != nil {
		return err
	}
	g.count(path)
	return nil
}

// isSound reports whether the file of a blob can be read and has its digest. If it cannot be read,
// whatever the reason, the same bytes in another file are better. The error is that of the context.
func (s *store) isSound(ctx context.Context, k blob.Key, f format) (bool, error) {
	b, err := s.openFormat(k, f)
	if err == nil {
		err = errors.Join(b.Verify(ctx, 0), b.Close())
	}
	return err == nil, ctx.Err()
}

// count notes that the content is durable at path.
func (g *staged) count(path string) {
	if !g.renamed {
		g.store.metrics.deduplicated.Inc()
		return
	}
	g.store.metrics.stored.Inc()
	g.store.verified.remove(path)
	if g.store.corrupt.remove(path) {
		g.store.metrics.mended.Inc()
		g.store.log.Info("a damaged blob was replaced by the same bytes received again", "key", string(g.key))
	}
}

// Discard ends what is staged: see [blob.Staged].
func (g *staged) Discard() error {
	if g.held {
		g.held = false
		g.store.holds.release(g.key)
	}
	return g.end()
}

// end closes the temp file and removes it unless it has become the blob.
func (g *staged) end() error {
	if g.file == nil {
		return nil
	}
	err := g.file.Close()
	g.file = nil
	g.store.staging.end(g.reserved)
	if g.renamed {
		return err
	}
	return errors.Join(err, g.store.fs.Remove(g.temp))
}
