//go:build !noheif

package heif

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// stoppable returns the program with a counter in every loop: each turn takes one off a global
// variable, and at zero the program calls the host function fd_close with a number that no file
// has, where the host looks at the context. So nothing in the sandbox can loop unseen, the
// garbage collector never waits long for it, and an end of the context is obeyed within
// milliseconds. The runtime's own check in every loop makes decoding seven times slower.
//
//	loop … -> loop global.get c, i32.const 1, i32.sub, global.set c, global.get c, i32.eqz,
//	          if { i32.const turns, global.set c, i32.const mark, call fd_close, drop } …
func stoppable(program []byte) ([]byte, error) {
	w := wasmReader{b: program, at: 8}
	out := slices.Clone(program[:min(8, len(program))])
	hook, counter := -1, -1
	for w.at < len(program) && w.err == nil {
		id := w.byte()
		body := wasmReader{b: w.bytes(int(w.uint()))}
		content := body.b
		switch id {
		case sectionImport:
			hook = body.importOf(hookName)
		case sectionGlobal:
			content, counter = withGlobal(body.b)
		case sectionCode:
			if hook < 0 || counter < 0 {
				return nil, errors.New("heif: no place for the counter of loops")
			}
			var err error
			if content, err = withCounters(&body, checkOf(hook, counter)); err != nil {
				return nil, err
			}
		}
		out = appendSection(out, id, content)
	}
	if w.err != nil {
		return nil, w.err
	}
	return out, nil
}

const (
	hookName = "fd_close"
	// hookMark is the file that the counter asks to close.
	hookMark = -77
	// loopTurns is how many turns of loops there are between two looks: about a millisecond.
	loopTurns = 1 << 18

	sectionImport, sectionGlobal, sectionCode = 2, 6, 10
)

func checkOf(hook, counter int) []byte {
	c := appendUint(nil, uint64(counter))
	code := slices.Concat([]byte{0x23}, c, []byte{0x41, 1, 0x6b, 0x24}, c, []byte{0x23}, c, []byte{0x45, 0x04, 0x40, 0x41})
	code = appendInt(code, loopTurns)
	code = slices.Concat(code, []byte{0x24}, c, []byte{0x41})
	code = appendInt(code, hookMark)
	code = appendUint(append(code, 0x10), uint64(hook))
	return append(code, 0x1a, 0x0b)
}

// withGlobal appends a mutable i32 to the section of globals, all of which the program defines
// itself, and returns its number.
func withGlobal(section []byte) (content []byte, number int) {
	r := wasmReader{b: section}
	n := r.uint()
	content = append(appendUint(nil, n+1), section[r.at:]...)
	content = append(content, 0x7f, 1, 0x41)
	return append(appendInt(content, loopTurns), 0x0b), int(n)
}

// withCounters puts check behind the head of every loop of the code section.
func withCounters(r *wasmReader, check []byte) ([]byte, error) {
	n := r.uint()
	out := appendUint(nil, n)
	for range n {
		f := wasmReader{b: r.bytes(int(r.uint()))}
		var body []byte
		for range f.uint() { // the kinds of local variables
			f.uint()
			f.byte()
		}
		from := 0
		for f.at < len(f.b) && f.err == nil {
			op := f.byte()
			f.operands(op)
			if op == opLoop {
				body = append(append(body, f.b[from:f.at]...), check...)
				from = f.at
			}
		}
		if f.err != nil {
			return nil, f.err
		}
		body = append(body, f.b[from:]...)
		out = append(appendUint(out, uint64(len(body))), body...)
	}
	return out, r.err
}

const opLoop = 0x03

// operands steps over what follows an instruction (WebAssembly core specification, 5.4).
func (r *wasmReader) operands(op byte) {
	switch {
	case op == 0x02, op == opLoop, op == 0x04: // block types
		r.int()
	case op == 0x0c, op == 0x0d, op == 0x10, op >= 0x20 && op <= 0x26, op == 0xd2, op == 0x3f, op == 0x40: // one index
		r.uint()
	case op == 0x0e: // br_table
		for range r.uint() + 1 {
			r.uint()
		}
	case op == 0x11: // call_indirect
		r.uint()
		r.uint()
	case op == 0x1c: // select with types
		for range r.uint() {
			r.byte()
		}
	case op >= 0x28 && op <= 0x3e: // memory: alignment and offset
		r.uint()
		r.uint()
	case op == 0x41, op == 0x42:
		r.int()
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op == 0xd0:
		r.byte()
	case op == 0xfc:
		r.extended(r.uint())
	case op == 0xfd:
		r.vector(r.uint())
	case op <= 0x01, op == 0x05, op == 0x0b, op == 0x0f, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
	default:
		r.fail(fmt.Errorf("heif: unknown instruction %#x", op))
	}
}

// extended steps over the operands of the instructions behind 0xfc.
func (r *wasmReader) extended(op uint64) {
	switch {
	case op <= 7: // saturating conversions
	case op == 8, op == 10, op == 12, op == 14: // memory.init, memory.copy, table.init, table.copy
		r.uint()
		r.uint()
	case op == 9, op == 11, op == 13, op >= 15 && op <= 17:
		r.uint()
	default:
		r.fail(fmt.Errorf("heif: unknown instruction 0xfc %d", op))
	}
}

// vector steps over the operands of the instructions behind 0xfd.
func (r *wasmReader) vector(op uint64) {
	switch {
	case op <= 11, op == 92, op == 93: // loads and stores
		r.uint()
		r.uint()
	case op == 12, op == 13: // a constant, a shuffle
		r.bytes(16)
	case op >= 21 && op <= 34: // a lane
		r.byte()
	case op >= 84 && op <= 91: // loads and stores of a lane
		r.uint()
		r.uint()
		r.byte()
	}
}

// wasmReader reads a module.
type wasmReader struct {
	b   []byte
	at  int
	err error
}

func (r *wasmReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *wasmReader) bytes(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.fail(errors.New("heif: a program that is cut short"))
		r.at = len(r.b)
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *wasmReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// uint reads an unsigned number in LEB128.
func (r *wasmReader) uint() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	return v
}

// int steps over a signed one.
func (r *wasmReader) int() {
	for r.err == nil && r.byte() >= 0x80 {
	}
}

// importOf returns the number of an imported function, negative if there is none.
func (r *wasmReader) importOf(name string) int {
	functions := 0
	for range r.uint() {
		r.bytes(int(r.uint()))
		found := bytes.Equal(r.bytes(int(r.uint())), []byte(name))
		switch r.byte() {
		case 0: // a function
			r.uint()
			if found {
				return functions
			}
			functions++
		case 1: // a table
			r.byte()
			r.limits()
		case 2:
			r.limits()
		default: // a global
			r.byte()
			r.byte()
		}
	}
	return -1
}

func (r *wasmReader) limits() {
	flags := r.byte()
	r.uint()
	if flags&1 != 0 {
		r.uint()
	}
}

func appendSection(out []byte, id byte, content []byte) []byte {
	return append(appendUint(append(out, id), uint64(len(content))), content...)
}

func appendUint(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func appendInt(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
