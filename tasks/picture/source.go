package picture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"runtime/debug"

	"casepress/tasks/picture/memory"
)

// source reads one picture and remembers whether reading itself went wrong, so
// that a failing disk is never taken for a damaged picture.
type source struct {
	ctx  context.Context
	r    io.ReaderAt
	size int64
	err  error
}

// ReadAt reads from the file and keeps what went wrong. It fails once the context ends.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if err := s.ended(); err != nil {
		s.err = err
		return 0, s.err
	}
	n, err := s.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = fmt.Errorf("read picture: %w", err)
	}
	return n, err
}

// ended returns the context's error.
func (s *source) ended() error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("compress picture: %w", context.Cause(s.ctx))
	}
	return nil
}

// bytes reads the first n bytes of the file, fewer if there are fewer.
func (s *source) bytes(n int64) ([]byte, error) {
	b := make([]byte, min(max(n, 0), s.size))
	return b, s.fill(b)
}

// fill reads the first bytes of the file, which it has, in pieces.
func (s *source) fill(b []byte) error {
	const piece = 1 << 20
	for at := 0; at < len(b); at += piece {
		part := b[at:min(at+piece, len(b))]
		if n, err := s.ReadAt(part, int64(at)); n < len(part) {
			if s.err == nil {
				s.err = fmt.Errorf("read picture: %w", io.ErrUnexpectedEOF)
			}
			return errors.Join(s.err, err)
		}
	}
	return nil
}

// whole reads the file into a buffer that the caller frees.
func (s *source) whole() (data []byte, b *memory.Buffer, err error) {
	b = memory.Get(int(s.size))
	data = b.Bytes[:s.size:s.size]
	if err := s.fill(data); err != nil {
		b.Free()
		return nil, nil, err
	}
	return data, b, nil
}

// stream reads a file from its first byte on, for a decoder in a goroutine of its own. It fails
// once the context ends, which is how that decoder is stopped.
type stream struct {
	source
	at int64
}

// streamPiece is how many bytes a decoder gets at a time: of the best compressed pictures they
// are a few million pixels, between which the context is looked at.
const streamPiece = 4 << 10

func (s *stream) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	n, err := s.ReadAt(p[:min(int64(len(p)), s.size-s.at)], s.at)
	if s.at += int64(n); n > 0 {
		err = nil
	}
	return n, err
}

// buffered returns a reader that asks the file for large pieces and gives small ones.
func (s *stream) buffered() io.Reader { return pieces{s, bufio.NewReaderSize(s, 64<<10)} }

type pieces struct {
	*stream
	r io.Reader
}

// Read reads a piece.
func (p pieces) Read(b []byte) (int, error) {
	if err := p.ended(); err != nil {
		p.err = err
		return 0, err
	}
	return p.r.Read(b[:min(len(b), streamPiece)])
}

// detached runs a decoder that may be slow to stop in a goroutine of its own. If the context
// ends first, it returns at once: the decoder, whose reads fail from then on, goes on until it
// notices, and the picture's memory stays reserved until then.
func (j *job) detached(decode func(*stream) (image.Image, error)) (image.Image, error) {
	type result struct {
		img   image.Image
		err   error
		panic any
		stack []byte
		read  error
	}
	results, done := make(chan result, 1), make(chan struct{})
	s := &stream{source: source{ctx: j.ctx, r: j.source.r, size: j.size}}
	go func() {
		end := j.threads.take(j.budget.leavesRoom())
		var r result
		defer close(done)
		defer func() {
			end()
			if r.panic = recover(); r.panic != nil {
				r.stack = debug.Stack()
			}
			r.read = s.err
			results <- r
		}()
		r.img, r.err = decode(s)
	}()
	select {
	case r := <-results:
		if r.panic != nil {
			return nil, &panicked{r.panic, r.stack}
		}
		if j.err == nil {
			j.err = r.read
		}
		return r.img, r.err
	case <-j.ctx.Done():
		j.abandoned = append(j.abandoned, done)
		return nil, j.ended()
	}
}

// panicked is a panic in another goroutine, as an error.
type panicked struct {
	value any
	stack []byte
}

// Error has no text of the value, which may be made of what the picture says of itself.
func (p *panicked) Error() string { return fmt.Sprintf("panic of type %T", p.value) }

// machineError is an error that is about this machine, such as a want of memory, and not about the
// picture. It is passed on, so that the picture is tried again.
type machineError struct{ error }

func (m machineError) Unwrap() error { return m.error }

// guard runs one step on untrusted pixels and turns its error, or its panic, into a
// [*Problem], unless the context ended, reading failed, or the machine is at fault. A step after
// which reading has failed is no success, whatever it made of the part that it had.
func (s *source) guard(step func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicked{r, debug.Stack()}
		}
		err = s.problemOf(err)
	}()
	return step()
}

func (s *source) problemOf(err error) error {
	p, isProblem := errors.AsType[*Problem](err)
	crash, isPanic := errors.AsType[*panicked](err)
	machine, isMachine := errors.AsType[machineError](err)
	switch {
	case !isPanic && s.err != nil:
		return s.err
	case err == nil:
		return nil
	case isProblem:
		return p
	case isMachine:
		return fmt.Errorf("decode picture: %w", machine)
	case !isPanic && s.ctx.Err() != nil:
		return s.ended()
	}
	p = problem(CodeUndecodable, "The picture is damaged or incomplete and cannot be decoded; the original is kept.")
	p.Err = err
	if isPanic {
		p.Stack = crash.stack
	}
	return p
}
