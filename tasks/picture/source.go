package picture

import (
	"context"
	"errors"
	"fmt"
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

// file returns a reader of the picture from its first byte on. It fails once the
// context ends, which is how a decoder is stopped in the middle.
func (s *source) file() *io.SectionReader { return io.NewSectionReader(s, 0, s.size) }

// ReadAt reads from the file and keeps what went wrong.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if s.ctx.Err() != nil {
		s.err = fmt.Errorf("read picture: %w", context.Cause(s.ctx))
		return 0, s.err
	}
	n, err := s.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = fmt.Errorf("read picture: %w", err)
	}
	return n, err
}

// bytes reads the first n bytes of the file, fewer if there are fewer.
func (s *source) bytes(n int64) ([]byte, error) {
	b := make([]byte, min(max(n, 0), s.size))
	return b, s.fill(b)
}

// fill reads the first bytes of the file, which it has.
func (s *source) fill(b []byte) error {
	if _, err := io.ReadFull(s.file(), b); err != nil && s.err == nil {
		s.err = fmt.Errorf("read picture: %w", err)
	}
	return s.err
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

// readHeader reads the picture's header. The error is a [*Problem] if it is no
// picture.
func (s *source) readHeader() (header, error) {
	h, err := readHeader(s.file())
	if err == nil {
		h.readDetails(s.file())
	}
	switch {
	case s.err != nil:
		return header{}, s.err
	case errors.Is(err, ErrNotImage):
		return header{}, problem(CodeNotImage, "The file is not a picture in a format that is known here.")
	}
	return h, err
}

// guard runs one step on untrusted pixels and turns its error, or its panic, into a
// [*Problem], unless the context ended or reading failed.
func (s *source) guard(step func() error) (err error) {
	var stack []byte
	defer func() {
		if r := recover(); r != nil {
			err, stack = fmt.Errorf("panic: %v", r), debug.Stack()
		}
		err = s.settle(err, stack)
	}()
	return step()
}

func (s *source) settle(err error, stack []byte) error {
	_, known := errors.AsType[*Problem](err)
	switch {
	case err == nil || known:
		return err
	case stack == nil && s.err != nil:
		return s.err
	case stack == nil && s.ctx.Err() != nil:
		return fmt.Errorf("compress picture: %w", context.Cause(s.ctx))
	}
	p := problem(CodeUndecodable, "The picture is damaged or incomplete and cannot be decoded; the original is kept.")
	p.Err, p.Stack = err, stack
	return p
}
