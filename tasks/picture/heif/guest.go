//go:build !noheif

package heif

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

//go:embed heif.wasm
var wasm []byte

// program is the compiled decoder. It is made by the first photo that needs it and
// then kept.
type program struct {
	runtime wazero.Runtime
	code    wazero.CompiledModule
}

// compilation is one attempt to make the program, which takes about a second.
type compilation struct {
	done    chan struct{}
	program *program
	err     error
}

var compiled struct {
	sync.Mutex
	*compilation
}

// compile returns the program, which is made in a goroutine of its own: whoever waits for it goes
// when ctx ends, and it is there for the next picture. A failure is not kept: it is tried again.
func compile(ctx context.Context) (*program, error) {
	compiled.Lock()
	c := compiled.compilation
	if c == nil {
		c = &compilation{done: make(chan struct{})}
		compiled.compilation = c
		go c.run()
	}
	compiled.Unlock()
	select {
	case <-c.done:
		return c.program, c.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *compilation) run() {
	defer close(c.done)
	defer func() {
		if r := recover(); r != nil {
			c.err = fmt.Errorf("%w: compile: %w", ErrSandbox, panicked(r))
		}
		if c.err != nil {
			compiled.Lock()
			compiled.compilation = nil
			compiled.Unlock()
		}
	}()
	c.program, c.err = newProgram()
}

// panicked is what somebody panicked with, as an error.
func panicked(r any) error {
	if err, ok := r.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", r)
}

func newProgram() (*program, error) {
	const page = 64 << 10
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(2*MaxMemory/page))
	var code wazero.CompiledModule
	looking, err := stoppable(mended(wasm))
	if err == nil {
		code, err = r.CompileModule(ctx, looking)
	}
	if err == nil {
		err = host(ctx, r, code)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: compile: %w", ErrSandbox, err), r.Close(ctx))
	}
	return &program{r, code}, nil
}

// mended returns the program without a fault of its wrapper: that asks for the third
// plane without a place to put the plane's stride, which this libheif answers with no
// plane at all, and then copies whatever lies at address 0. The two bytes put in hand
// over an unused word of the wrapper's stack frame instead of nothing. A program
// without the fault is returned as it is.
//
//	i32.const 2, i32.const 0, call 752  ->  i32.const 2, local.get 41, call 752
func mended(program []byte) []byte {
	fault := []byte{0x41, 2, 0x41, 0, 0x10, 0xf0, 5}
	right := []byte{0x41, 2, 0x20, 41, 0x10, 0xf0, 5}
	if bytes.Count(program, fault) != 1 {
		return program
	}
	return bytes.Replace(program, fault, right, 1)
}

// host gives the decoder the system calls that it is linked against. None does
// anything: there is no environment and no file. But for one, which ends the run once its
// context has ended; see stoppable.
func host(ctx context.Context, r wazero.Runtime, code wazero.CompiledModule) error {
	builder := r.NewHostModuleBuilder("wasi_snapshot_preview1")
	for _, f := range code.ImportedFunctions() {
		_, name, _ := f.Import()
		builder = builder.NewFunctionBuilder().WithGoModuleFunction(systemCall(name), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	_, err := builder.Instantiate(ctx)
	return err
}

func systemCall(name string) api.GoModuleFunc {
	const success, badFile = 0, 8
	return func(ctx context.Context, guest api.Module, stack []uint64) {
		switch name {
		case "proc_exit":
			panic(ErrDamaged) // an abort; the sandbox turns it into an error of the call
		case "environ_sizes_get":
			guest.Memory().WriteUint32Le(uint32(stack[0]), 0)
			guest.Memory().WriteUint32Le(uint32(stack[1]), 0)
			stack[0] = success
		case "environ_get":
			stack[0] = success
		case hookName:
			if int32(stack[0]) == hookMark && ctx.Err() != nil {
				panic(context.Cause(ctx)) // the sandbox turns it into an error of the call
			}
			stack[0] = badFile
		default:
			stack[0] = badFile
		}
	}
}

// guest is one run of the program, in memory of its own.
type guest struct {
	ctx    context.Context
	module api.Module
	memory *memory
}

func newGuest(ctx context.Context, most int64) (g *guest, err error) {
	p, err := compile(ctx)
	if err != nil {
		return nil, err
	}
	m, err := newMemory(most)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSandbox, err)
	}
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
		if err != nil {
			m.Free()
			g, err = nil, fmt.Errorf("%w: start: %w", ErrSandbox, err)
		}
	}()
	allocate := experimental.MemoryAllocatorFunc(func(uint64, uint64) experimental.LinearMemory { return m })
	// Without a name any number may run at a time.
	module, err := p.runtime.InstantiateModule(experimental.WithMemoryAllocator(ctx, allocate), p.code,
		wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	return &guest{ctx, module, m}, err
}

func (g *guest) close() { _ = g.module.Close(context.WithoutCancel(g.ctx)) } // only memory is given back

// call runs a function of the program. A trap, an abort or the end of the context
// is an error.
func (g *guest) call(name string, args ...uint64) (uint64, error) {
	f := g.module.ExportedFunction(name)
	if f == nil {
		return 0, fmt.Errorf("heif: no function %s", name)
	}
	results, err := f.Call(g.ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(results) == 0 {
		return 0, nil
	}
	return results[0], nil
}

func (g *guest) malloc(n int) (uint32, error) {
	p, err := g.call("malloc", uint64(n))
	if err == nil && p == 0 {
		err = errMemory
	}
	return uint32(p), err
}

// put copies data into the sandbox.
func (g *guest) put(data []byte) (uint32, error) {
	p, err := g.malloc(len(data))
	if err == nil && !g.module.Memory().Write(p, data) {
		err = errMemory
	}
	return p, err
}

// memory is what a guest sees as its memory. It grows to most bytes and then no more,
// which the program is told as an allocation that failed.
type memory struct {
	bytes   []byte // reserved; nil once it is free
	most    uint64
	refused bool
}

// newMemory reserves most bytes, at least those that the program starts with.
func newMemory(most int64) (*memory, error) {
	const first = 1 << 20
	m := &memory{most: uint64(max(most, first))}
	b, err := reserve(int(m.most))
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes: %w", m.most, err)
	}
	m.bytes = b
	return m, nil
}

// Reallocate grows the memory to size bytes; nil if that is too much.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.most {
		m.refused = true
		return nil
	}
	return m.bytes[:size]
}

// Free lets the memory go.
func (m *memory) Free() {
	if m.bytes != nil {
		unreserve(m.bytes)
		m.bytes = nil
	}
}
