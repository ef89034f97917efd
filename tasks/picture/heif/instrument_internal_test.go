//go:build !noheif

package heif

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
)

// endless is a program whose one function, run, loops for ever and calls nothing.
func endless() []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = appendSection(b, 1, []byte("\x02\x60\x01\x7f\x01\x7f\x60\x00\x00"))
	b = appendSection(b, sectionImport, []byte("\x01\x16wasi_snapshot_preview1\x08fd_close\x00\x00"))
	b = appendSection(b, 3, []byte("\x01\x01"))
	b = appendSection(b, 7, []byte("\x01\x03run\x00\x01"))
	return appendSection(b, sectionCode, []byte("\x01\x07\x00\x03\x40\x0c\x00\x0b\x0b"))
}

func TestEveryLoopCanBeStopped(t *testing.T) {
	ctx := t.Context()
	program, err := stoppable(endless())
	require.NoError(t, err)
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	code, err := r.CompileModule(ctx, program)
	require.NoError(t, err)
	require.NoError(t, host(ctx, r, code))
	module, err := r.InstantiateModule(ctx, code, wazero.NewModuleConfig())
	require.NoError(t, err)
	why := errors.New("enough")
	looping, cancel := context.WithTimeoutCause(ctx, 20*time.Millisecond, why)
	defer cancel()
	_, err = module.ExportedFunction("run").Call(looping)
	require.ErrorIs(t, err, why)
}

func TestStoppableRefusesWhatItCannotRead(t *testing.T) {
	for name, program := range map[string][]byte{
		"cut short":           endless()[:40],
		"nothing to call":     appendSection([]byte("\x00asm\x01\x00\x00\x00"), sectionCode, []byte("\x00")),
		"unknown instruction": append(endless()[:len(endless())-2], 0xff, 0x0b),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := stoppable(program)
			require.Error(t, err)
		})
	}
}
