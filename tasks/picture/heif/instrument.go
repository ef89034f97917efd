//go:build !noheif

package heif

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// stoppable returns the program with a counter in every function that has loops: each turn of a
// loop adds to it, and every so often the function calls the host function fd_close with a
// number that no file has, where the host looks at the context. So nothing in the sandbox can loop
// unseen, the garbage collector never waits long for it, and an end of the context is obeyed
// within milliseconds. The counter is a local variable, as it costs least there; the runtime's own
// check in every loop makes decoding seven times slower.
//
//	loop … -> loop local.get c, i32.const perTurn, i32.add, LOOK …
//	LOOK = local.tee c, i32.const most, i32.ge_u, if { i32.const 0, local.set c, i32.const mark, call fd_close, drop }
//
// A loop that ends by itself (see walk) is left as it is. How far its address has moved is added to
// the counter behind it:
//
//	loop … end -> local.get c, local.get address, i32.sub, local.set c, loop … end, local.get c, local.get address, i32.add, LOOK
func stoppable(program []byte) ([]byte, error) {
	w := wasmReader{b: program, at: 8}
	out := slices.Clone(program[:min(8, len(program))])
	hook := -1
	var parameters, types []int // of the kinds of functions; of the functions
	for w.at < len(program) && w.err == nil {
		id := w.byte()
		body := wasmReader{b: w.bytes(int(w.uint()))}
		content := body.b
		switch id {
		case sectionType:
			parameters = body.parameters()
		case sectionImport:
			hook = body.importOf(hookName)
		case sectionFunction:
			for range body.uint() {
				types = append(types, int(body.uint()))
			}
		case sectionCode:
			if hook < 0 {
				return nil, errors.New("heif: no host function to call from loops")
			}
			var err error
			if content, err = withCounters(&body, hook, parameters, types); err != nil {
				return nil, err
			}
		}
		if body.err != nil {
			return nil, body.err
		}
		out = appendSection(out, id, content)
	}
	return out, w.err
}

const (
	hookName = "fd_close"
	// hookMark is the file that the counter asks to close.
	hookMark = -77
	// mostCounted is how far the counter goes between two looks: 2048 turns, or a walk of 64 KiB.
	mostCounted = 1 << 16
	perTurn     = mostCounted >> 11

	sectionType, sectionImport, sectionFunction, sectionCode = 1, 2, 3, 10
)

// counter is the local variable of a function in which it counts, and the host function that it calls.
type counter struct {
	local, hook int
}

// look goes on from a number on the stack, which becomes the counter.
func (c counter) look(code []byte) []byte {
	code = appendInt(append(appendUint(append(code, 0x22), uint64(c.local)), 0x41), mostCounted)
	code = append(code, 0x4f, 0x04, 0x40, 0x41, 0, 0x21)
	code = appendInt(append(appendUint(code, uint64(c.local)), 0x41), hookMark)
	return append(appendUint(append(code, 0x10), uint64(c.hook)), 0x1a, 0x0b)
}

// turn is what stands at the head of a loop.
func (c counter) turn(code []byte) []byte {
	code = appendInt(append(appendUint(append(code, 0x20), uint64(c.local)), 0x41), perTurn)
	return c.look(append(code, 0x6a))
}

// moved adds a local variable to the counter, or takes it away, and leaves the sum on the stack.
func (c counter) moved(code []byte, local int, add bool) []byte {
	code = appendUint(append(appendUint(append(code, 0x20), uint64(c.local)), 0x20), uint64(local))
	if add {
		return append(code, 0x6a)
	}
	return append(code, 0x6b)
}

// around puts a walk between what counts how far its address moves.
func (c counter) around(code, loop []byte, w walk) []byte {
	code = append(appendUint(append(c.moved(code, w.local, w.step < 0), 0x21), uint64(c.local)), loop...)
	return c.look(c.moved(code, w.local, w.step > 0))
}

// withCounters gives every function of the code section that has loops a counter.
func withCounters(r *wasmReader, hook int, parameters, types []int) ([]byte, error) {
	n := r.uint()
	if n != uint64(len(types)) {
		return nil, errors.New("heif: functions without a kind")
	}
	out := appendUint(nil, n)
	for i := range n {
		if types[i] >= len(parameters) {
			return nil, errors.New("heif: a function of an unknown kind")
		}
		body, err := withCounter(r.bytes(int(r.uint())), hook, parameters[types[i]])
		if err != nil {
			return nil, err
		}
		out = append(appendUint(out, uint64(len(body))), body...)
	}
	return out, r.err
}

// withCounter does one function, of so many parameters:
//
//	groups of local variables { how many, of which kind } … | instructions
func withCounter(function []byte, hook, parameters int) ([]byte, error) {
	f := wasmReader{b: function}
	groups := f.uint()
	first, c := f.at, counter{parameters, hook}
	for range groups {
		c.local += int(f.uint())
		f.byte()
	}
	const i32 = 0x7f
	body := append(appendUint(nil, groups+1), function[first:f.at]...)
	body = append(body, 1, i32)
	from, loops := f.at, false
	for f.at < len(function) && f.err == nil {
		at := f.at
		op := f.byte()
		f.operands(op)
		if op != opLoop {
			continue
		}
		loops = true
		if w, ok := f.walk(); ok {
			body = c.around(append(body, function[from:at]...), function[at:w.end], w)
			f.at = w.end
		} else {
			body = c.turn(append(body, function[from:f.at]...))
		}
		from = f.at
	}
	if !loops {
		return function, f.err
	}
	return append(body, function[from:]...), f.err
}

// parameters reads how many parameters each kind of function has.
func (r *wasmReader) parameters() (all []int) {
	for range r.uint() {
		r.byte()
		n := int(r.uint())
		r.bytes(n)
		r.bytes(int(r.uint()))
		all = append(all, n)
	}
	return all
}

const opLoop, opEnd, opBrIf = 0x03, 0x0b, 0x0d

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

// int reads a signed one.
func (r *wasmReader) int() (v int) {
	for shift := 0; shift < 64 && r.err == nil; shift += 7 {
		b := r.byte()
		v |= int(b&0x7f) << shift
		if b < 0x80 {
			if b&0x40 != 0 && shift < 57 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
	return v
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
