package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGuard(t *testing.T) {
	ended, end := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	end(why)
	decoder, disk := errors.New("short data"), errors.New("the disk fails")
	mine := problem(CodeTooLarge, "Too large.")
	for _, c := range []struct {
		name  string
		s     source
		step  func() error
		is    error
		code  string
		stack bool
	}{
		{"all well", source{ctx: t.Context()}, func() error { return nil }, nil, "", false},
		{"the decoder fails", source{ctx: t.Context()}, func() error { return decoder }, decoder, CodeUndecodable, false},
		{"the decoder panics", source{ctx: t.Context()}, func() error { panic(1) }, nil, CodeUndecodable, true},
		{"it panics when all is over", source{ctx: ended}, func() error { panic(1) }, nil, CodeUndecodable, true},
		{"reading failed", source{ctx: t.Context(), err: disk}, func() error { return decoder }, disk, "", false},
		{"the context ended", source{ctx: ended}, func() error { return decoder }, why, "", false},
		{"reading failed and nobody says so", source{ctx: t.Context(), err: disk}, func() error { return nil }, disk, "", false},
		{"the machine fails", source{ctx: t.Context()}, func() error { return fmt.Errorf("start: %w", machineError{syscall.ENOMEM}) }, syscall.ENOMEM, "", false},
		{"a problem", source{ctx: t.Context()}, func() error { return mine }, mine, CodeTooLarge, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.s.guard(c.step)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			p, ok := errors.AsType[*Problem](err)
			require.Equal(t, c.code != "", ok)
			if ok {
				require.Equal(t, c.code, p.Code)
				require.Equal(t, c.stack, p.Stack != nil)
			}
		})
	}
}

func TestSourceKeepsReadErrors(t *testing.T) {
	s := source{ctx: t.Context(), r: bytes.NewReader([]byte("short")), size: 9}
	_, err := s.bytes(9)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "a file that has shrunk is no damaged picture")
	require.ErrorIs(t, s.err, io.ErrUnexpectedEOF)
}
