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

// assembled is a program whose one function, run, does what code says, with two local variables and a page of
// memory. It can call fd_close, which is function 0.
func assembled(code string) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = appendSection(b, 1, []byte("\x02\x60\x01\x7f\x01\x7f\x60\x00\x00"))
	b = appendSection(b, sectionImport, []byte("\x01\x16wasi_snapshot_preview1\x08fd_close\x00\x00"))
	b = appendSection(b, 3, []byte("\x01\x01"))
	b = appendSection(b, 5, []byte("\x01\x00\x01"))
	b = appendSection(b, 7, []byte("\x01\x03run\x00\x01"))
	body := "\x01\x02\x7f" + code + "\x0b"
	return appendSection(b, sectionCode, append(appendUint([]byte{1}, uint64(len(body))), body...))
}

// Pieces of code. load reads a byte at local variable 0 and drops it; forwards and backwards move that by eight.
const (
	load      = "\x20\x00\x2d\x00\x00\x1a"
	forwards  = "\x20\x00\x41\x08\x6a\x21\x00"
	backwards = "\x20\x00\x41\x78\x6a\x21\x00"
	always    = "\x41\x01\x0d\x00\x0b" // again, and the end of the loop
	until104  = "\x20\x00\x41\xe8\x00\x47\x0d\x00\x0b"
	reset     = "\x41\x00\x21\x00" // of local variable 0
)

// endless is a program that loops for ever and calls nothing.
func endless() []byte { return assembled("\x03\x40\x0c\x00\x0b") }

// run calls the function of a program until ctx ends.
func run(t *testing.T, ctx context.Context, b []byte) error {
	t.Helper()
	b, err := stoppable(b)
	require.NoError(t, err)
	r := wazero.NewRuntime(t.Context())
	defer r.Close(t.Context())
	code, err := r.CompileModule(t.Context(), b)
	require.NoError(t, err)
	require.NoError(t, host(t.Context(), r, code))
	module, err := r.InstantiateModule(t.Context(), code, wazero.NewModuleConfig())
	require.NoError(t, err)
	_, err = module.ExportedFunction("run").Call(ctx)
	return err
}

func TestEveryLoopCanBeStopped(t *testing.T) {
	why := errors.New("enough")
	for name, b := range map[string][]byte{
		"of nothing":               endless(),
		"that reads one place":     assembled("\x03\x40" + load + always),
		"around a walk":            assembled("\x03\x40" + reset + "\x03\x40" + load + forwards + until104 + "\x0c\x00\x0b"),
		"around a walk there back": assembled("\x03\x40\x41\xe8\x00\x21\x00\x03\x40" + load + backwards + "\x20\x00\x0d\x00\x0b\x0c\x00\x0b"),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, why)
			defer cancel()
			require.ErrorIs(t, run(t, ctx, b), why)
		})
	}
}

// TestWalksEndByThemselves lets walks go on for ever, in either direction: the end of the memory is theirs.
func TestWalksEndByThemselves(t *testing.T) {
	for _, move := range []string{forwards, backwards} {
		err := run(t, t.Context(), assembled("\x03\x40"+load+move+always))
		require.ErrorContains(t, err, "out of bounds memory access")
	}
	require.NoError(t, run(t, t.Context(), assembled("\x03\x40"+load+forwards+until104)))
}

func TestWalk(t *testing.T) {
	far := string(append(appendInt([]byte("\x20\x00\x41"), 1<<17), "\x6a\x21\x00"...))
	for name, c := range map[string]struct {
		body string
		step int // 0 if it is no walk
	}{
		"forwards":                        {load + forwards + until104, 8},
		"backwards":                       {load + backwards + until104, -8},
		"moved before it is read":         {forwards + load + until104, 8},
		"read beside the address":         {"\x20\x00\x41\x08\x6a\x2d\x00\x00\x1a" + forwards + until104, 8},
		"moved twice":                     {load + forwards + forwards + until104, 16},
		"moved by a difference":           {load + "\x20\x00\x41\x0b\x6b\x21\x00" + until104, -11},
		"written":                         {"\x20\x00\x20\x01\x3a\x00\x00" + forwards + until104, 8},
		"written to the end of a sum":     {"\x20\x00\x20\x01\x41\x07\x6c\x20\x01\x6a\x3a\x00\x00" + forwards + until104, 8},
		"byte by byte":                    {load + "\x20\x00\x41\x01\x6a\x21\x00" + until104, 0},
		"there and back":                  {load + forwards + backwards + until104, 0},
		"only moved":                      {forwards + until104, 0},
		"only read":                       {load + until104, 0},
		"another is moved":                {load + "\x20\x01\x41\x01\x6a\x21\x01" + until104, 0},
		"another is read":                 {"\x20\x01\x2d\x00\x00\x1a" + forwards + until104, 0},
		"moved to another":                {load + "\x20\x00\x41\x01\x6a\x21\x01" + until104, 0},
		"moved and begun anew":            {load + forwards + reset + until104, 0},
		"moved by a variable":             {load + "\x20\x00\x20\x01\x6a\x21\x00" + until104, 0},
		"a constant less the variable":    {load + "\x41\x01\x20\x00\x6b\x21\x00" + until104, 0},
		"read at a place that was loaded": {"\x20\x00\x28\x00\x00\x2d\x00\x00\x1a" + forwards + until104, 8},
		"loaded, and read there":          {"\x20\x01\x28\x00\x00\x2d\x00\x00\x1a" + forwards + until104, 0},
		"moved beyond the memory":         {load + far + until104, 0},
		"with a condition":                {load + "\x20\x01\x04\x40" + forwards + "\x0b" + until104, 0},
		"with a call":                     {load + "\x41\x00\x10\x00\x1a" + forwards + until104, 0},
		"back to a loop around it":        {load + forwards + "\x41\x01\x0d\x01\x0b", 0},
		"with more behind":                {load + forwards + "\x41\x01\x0d\x00\x01\x0b", 0},
		"with a number left over":         {"\x41\x01" + load + forwards + until104, 0},
		"on a number from before":         {"\x1a" + load + forwards + until104, 0},
		"without an end":                  {load + forwards, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, ok := wasmReader{b: []byte(c.body + "\x0b")}.walk()
			require.Equal(t, c.step != 0, ok)
			if ok {
				require.Equal(t, walk{0, c.step, len(c.body)}, w)
			}
		})
	}
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
