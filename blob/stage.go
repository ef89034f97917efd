package blob

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

	"casepress/disk"
)

// headBytes is how much of the start of a blob [Staged.Head] gives: as much as
// content sniffing ever looks at.
const headBytes = 512

// bufferBytes is what one upload holds in memory.
const bufferBytes = 128 << 10

// maxIdleReads is how many reads in a row may bring neither bytes nor an error.
const maxIdleReads = 100

var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// Staged is content that has been received and hashed but is no blob yet. It must
// be ended by Discard, after Commit too: until then a committed original cannot be
// dropped. It is for one goroutine.
type Staged struct {
	store   *Store
	form    form
	file    disk.File // nil once ended
	temp    string
	content io.ReaderAt // of file, opened if it is sealed
	moved   bool        // temp has become the blob
	held    bool
	key     Key
	size    int64
	head    []byte
}

// Stage reads an original to its end into a temp file, encrypted if originals are
// to be. An error of r comes back wrapped, and so does one of the disk; the temp
// file is gone then. The context is looked at between two reads.
func (s *Store) Stage(ctx context.Context, r io.Reader) (*Staged, error) {
	return s.stage(ctx, r, s.original)
}

func (s *Store) stage(ctx context.Context, r io.Reader, f form) (*Staged, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	temp := filepath.Join(s.dir, tmpName, strconv.FormatUint(s.temps.Add(1), 10))
	file, err := s.fs.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, filePerm)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	g := &Staged{store: s, form: f, file: file, temp: temp}
	if err := g.receive(ctx, r); err != nil {
		return nil, fmt.Errorf("stage: %w", errors.Join(err, g.Discard()))
	}
	return g, nil
}

func (g *Staged) receive(ctx context.Context, r io.Reader) error {
	if g.form != sealed {
		g.content = g.file
		return g.copy(ctx, g.file, r)
	}
	seal, err := g.store.keys.sealing(g.file)
	if err != nil {
		return err
	}
	if err := g.copy(ctx, seal, r); err != nil {
		return err
	}
	if err := seal.Close(); err != nil {
		return err
	}
	size, err := g.file.Size()
	if err != nil {
		return err
	}
	g.content, _, err = g.store.keys.opened(g.file, size)
	return err
}

// copy reads r to its end into w, and learns key, size and head.
func (g *Staged) copy(ctx context.Context, w io.Writer, r io.Reader) error {
	buf := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(buf)
	digest := sha256.New()
	for {
		n, err := fill(ctx, buf[:], r)
		if err != nil && err != io.EOF {
			return err
		}
		if err := g.take(w, buf[:n], digest); err != nil {
			return err
		}
		if err == io.EOF {
			g.key = Key(hex.EncodeToString(digest.Sum(nil)))
			return nil
		}
	}
}

// fill reads until buf is full or r ends, so that the disk sees large writes
// however small the reads are. io.EOF is a clean end and nothing else is: with
// io.ReadFull, an upload that broke off would look like one that ended.
func fill(ctx context.Context, buf []byte, r io.Reader) (n int, err error) {
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

func (g *Staged) take(w io.Writer, b []byte, digest hash.Hash) error {
	if missing := headBytes - len(g.head); missing > 0 {
		g.head = append(g.head, b[:min(missing, len(b))]...)
	}
	digest.Write(b)
	n, err := w.Write(b)
	g.size += int64(n)
	return err
}

// Key names the blob that this will be.
func (g *Staged) Key() Key { return g.key }

// Size is the length of the content in bytes.
func (g *Staged) Size() int64 { return g.size }

// Head is the start of the content, up to 512 bytes. It must not be changed.
func (g *Staged) Head() []byte { return g.head }

// Open reads the content until Commit or Discard. Several readers may be open.
func (g *Staged) Open() *io.SectionReader { return io.NewSectionReader(g.content, 0, g.size) }

// Commit returns when the content is on stable storage under its key; if it was
// there before, nothing is written. After an error it is not stored as far as
// this call goes, and the same content may be staged again. In any case the temp
// file is gone. The context ends the wait for another's work. From its beginning
// to Discard, an original that is stored is not dropped.
func (g *Staged) Commit(ctx context.Context) error {
	if g.file == nil {
		return fmt.Errorf("commit blob: %w", os.ErrClosed)
	}
	if err := g.commit(ctx); err != nil {
		return fmt.Errorf("commit blob: %w", errors.Join(err, g.Discard()))
	}
	return nil
}

func (g *Staged) commit(ctx context.Context) error {
	if g.form != shared {
		if err := g.store.holds.take(ctx, g.key); err != nil {
			return err
		}
		g.held = true
	}
	sh, e := g.store.shard(g.key), g.store.entry(g.key, g.form, g.size)
	known, at, err := sh.find(e)
	if err != nil {
		return err
	}
	if !known {
		if err := g.file.Sync(); err != nil {
			return err
		}
		if g.moved, at, err = sh.enter(g.temp, e); err != nil {
			return err
		}
	}
	if err := g.end(); err != nil {
		return err
	}
	return sh.settle(ctx, at)
}

// Discard gives up what is not committed. After Commit it only lets go of the
// content: from now on it may be dropped. A second time it does nothing.
func (g *Staged) Discard() error {
	if g.held {
		g.held = false
		g.store.holds.release(g.key)
	}
	return g.end()
}

// end closes the temp file and removes it unless it has become the blob.
func (g *Staged) end() error {
	if g.file == nil {
		return nil
	}
	err := g.file.Close()
	g.file = nil
	if g.moved {
		return err
	}
	return errors.Join(err, g.store.fs.Remove(g.temp))
}
