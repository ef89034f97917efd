// Package container implements the walkers of the containers that picture files are made of:
// the segments of JPEG, the chunks of PNG and of RIFF (WebP), the directories of TIFF and
// EXIF, and the boxes of the ISO base media format (HEIC, AVIF). There is one walker a
// container, and everything that reads such a file goes through it, so that no two parts of
// the program can believe different things of the same bytes.
//
// A walker says where things are; what they mean is its caller's matter. It reads through a
// [Reader], which bounds the bytes and the number of reads, and stops when its context ends.
// Damage ends a walk. No walker follows an offset twice or reads back without a bound.
package container

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// readCost is what a read costs beside its bytes, so that many small reads are bounded too.
const readCost = 32

// Reader reads parts of a file, or of a block within one, on an account of bytes.
type Reader struct {
	ctx     context.Context
	src     io.ReaderAt
	memory  []byte // instead of src
	size    int64
	account *account
}

// account is shared by a Reader and the Readers of the blocks in it.
type account struct {
	left  int64
	spent bool
	err   error
}

// NewReader returns a reader of the size bytes of src that gives at most budget bytes, each
// read costing 32 more. Once ctx has ended, or reading failed, it gives nothing, and Err says
// why.
func NewReader(ctx context.Context, src io.ReaderAt, size, budget int64) *Reader {
	return &Reader{ctx: ctx, src: src, size: size, account: &account{left: budget}}
}

// NewMemoryReader is NewReader of bytes at hand. What it gives are parts of b.
func NewMemoryReader(ctx context.Context, b []byte, budget int64) *Reader {
	return &Reader{ctx: ctx, memory: b, size: int64(len(b)), account: &account{left: budget}}
}

// Memory returns a reader of bytes at hand that has no bound and no context.
func Memory(b []byte) *Reader { return NewMemoryReader(context.Background(), b, math.MaxInt64) }

// Block returns a reader of b, a block that was read from the file, on the same account:
// what is read from it is charged once more, because it is worked on once more.
func (r *Reader) Block(b []byte) *Reader {
	return &Reader{ctx: r.ctx, memory: b, size: int64(len(b)), account: r.account}
}

// Size is the size of the file or block in bytes.
func (r *Reader) Size() int64 { return r.size }

// Err is the context's error or the source's, nil if reading went well. A file that is too
// short is no error.
func (r *Reader) Err() error { return r.account.err }

// Exhausted says that more was asked for than the budget allows, so that something was left
// unread.
func (r *Reader) Exhausted() bool { return r.account.spent }

// Charge takes n bytes of work off the budget, and says false if it has no so many left or
// the context has ended. It is for work that is no reading, such as inflating.
func (r *Reader) Charge(n int64) bool {
	a := r.account
	switch {
	case a.err != nil:
		return false
	case r.ctx.Err() != nil:
		a.err = fmt.Errorf("read picture: %w", context.Cause(r.ctx))
		return false
	case n > a.left:
		a.spent = true
		return false
	}
	a.left -= n
	return true
}

// Exactly returns n bytes at offset at, nil if they are not all there or may not be read.
func (r *Reader) Exactly(at, n int64) []byte {
	if at < 0 || n < 0 || at > r.size || n > r.size-at {
		return nil
	}
	return r.UpTo(at, n)
}

// UpTo returns n bytes at offset at, fewer where the file ends before, none where nothing is
// or may be read.
func (r *Reader) UpTo(at, n int64) []byte {
	if at < 0 || n <= 0 || at >= r.size {
		return nil
	}
	n = min(n, r.size-at)
	if !r.Charge(n + readCost) {
		return nil
	}
	if r.src == nil {
		return r.memory[at : at+n : at+n]
	}
	const piece = 1 << 20 // between two looks at the context
	b := make([]byte, n)
	for from := int64(0); from < n; from += piece {
		part := b[from:min(from+piece, n)]
		if got, err := r.src.ReadAt(part, at+from); err != nil && (!errors.Is(err, io.EOF) || got < len(part)) {
			r.account.err = fmt.Errorf("read picture: %w", err)
			return nil
		}
		if !r.Charge(0) {
			return nil
		}
	}
	return b
}

// Inflate returns what the zlib stream b was before compression, at most the first most bytes
// of it. Each inflated byte is charged. ok is false if the stream is damaged, longer than
// most, or the budget or the context ended.
func (r *Reader) Inflate(b []byte, most int64) (inflated []byte, ok bool) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, false
	}
	const piece = 64 << 10
	for int64(len(inflated)) <= most {
		if !r.Charge(piece) {
			return inflated, false
		}
		n, err := io.CopyN((*appender)(&inflated), z, piece)
		if r.account.left += piece - n; err != nil {
			return inflated, errors.Is(err, io.EOF) && int64(len(inflated)) <= most
		}
	}
	return inflated[:most], false
}

// appender is an io.Writer that appends.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
