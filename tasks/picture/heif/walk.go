//go:build !noheif

package heif

// walk is a loop that ends by itself: a straight line of instructions that reads or writes memory at a
// local variable plus a constant, and adds a constant to that variable, in every turn. Once the address
// has left the memory, which has at most MaxMemory bytes, the sandbox ends the run, so that there are at
// most MaxMemory / step turns. Most of the time of decoding goes into such loops, a few instructions
// each, in which counting turns would show.
type walk struct {
	local, step int
	end         int // where the instructions behind the loop are
}

// maxStep is the most that a walk's address may move at once: less than what a guest's addresses have
// beyond its memory, so that none steps over that.
const maxStep = 1 << 16

// minStep is the least: through 256 MiB there are 32 million turns then, some tenths of a second between two looks at the
// context at most. A loop that goes byte by byte counts its turns.
const minStep = 8

// term is what is known of a number: a local variable as it was when the turn began, plus a constant.
// Without a variable it is the constant.
type term struct {
	local, plus int
}

const noLocal, unknown = -1, -2

// walk says whether the loop whose body comes next is one. It does not move the reader.
func (r wasmReader) walk() (w walk, ok bool) {
	t := turn{locals: map[int]term{}}
	for r.at < len(r.b) && r.err == nil {
		op := r.byte()
		if op == opBrIf {
			label, next := r.uint(), r.byte()
			t.pop()
			w.local, w.step = t.moved()
			w.end = r.at
			return w, r.err == nil && label == 0 && next == opEnd && len(t.stack) == 0 && !t.odd && w.step != 0
		}
		if !t.run(op, &r) {
			break
		}
	}
	return w, false
}

// turn is one turn of a loop, as far as it is known.
type turn struct {
	stack    []term
	locals   map[int]term // that were set
	accesses []term       // addresses
	odd      bool         // the stack was shorter than it must be
}

func (t *turn) push(v term) { t.stack = append(t.stack, v) }

func (t *turn) pop() term {
	if len(t.stack) == 0 {
		t.odd = true
		return term{unknown, 0}
	}
	v := t.stack[len(t.stack)-1]
	t.stack = t.stack[:len(t.stack)-1]
	return v
}

// replace takes n numbers and gives one of which nothing is known.
func (t *turn) replace(n int) {
	for range n {
		t.pop()
	}
	t.push(term{unknown, 0})
}

// moved returns a local variable that is an address and moves on, and by how much; 0 if there is none.
func (t *turn) moved() (local, step int) {
	for _, a := range t.accesses {
		if a.local < 0 {
			continue
		}
		if v, set := t.locals[a.local]; set && v.local == a.local && max(v.plus, -v.plus) >= minStep && max(v.plus, -v.plus) <= maxStep {
			return v.local, v.plus
		}
	}
	return 0, 0
}

// run does one instruction and says false if it is none of a straight line.
func (t *turn) run(op byte, r *wasmReader) bool {
	switch {
	case op == 0x01: // nop
	case op == 0x1a: // drop
		t.pop()
	case op == 0x1b: // select
		t.replace(3)
	case op == 0x20: // local.get
		i := int(r.uint())
		v, set := t.locals[i]
		if !set {
			v = term{i, 0}
		}
		t.push(v)
	case op == 0x21: // local.set
		t.locals[int(r.uint())] = t.pop()
	case op == 0x22: // local.tee
		v := t.pop()
		t.locals[int(r.uint())] = v
		t.push(v)
	case op == 0x23: // global.get
		r.uint()
		t.replace(0)
	case op == 0x24: // global.set
		r.uint()
		t.pop()
	case op >= 0x28 && op <= 0x35: // loads
		r.operands(op)
		t.accesses = append(t.accesses, t.pop())
		t.replace(0)
	case op >= 0x36 && op <= 0x3e: // stores
		r.operands(op)
		t.pop()
		t.accesses = append(t.accesses, t.pop())
	case op == 0x41: // i32.const
		t.push(term{noLocal, r.int()})
	case op >= 0x42 && op <= 0x44:
		r.operands(op)
		t.replace(0)
	case op == 0x6a: // i32.add
		t.add(t.pop(), t.pop())
	case op == 0x6b: // i32.sub
		b, a := t.pop(), t.pop()
		if b.local != noLocal {
			b.local = unknown
		}
		t.add(a, term{b.local, -b.plus})
	case op == 0x45, op == 0x50, op >= 0x67 && op <= 0x69, op >= 0x79 && op <= 0x7b, op >= 0x8b && op <= 0x91,
		op >= 0x99 && op <= 0x9f, op >= 0xa7 && op <= 0xc4: // of one operand
		t.replace(1)
	case op >= 0x46 && op <= 0xa6: // of two
		t.replace(2)
	default:
		return false
	}
	return true
}

func (t *turn) add(a, b term) {
	switch {
	case a.local == noLocal && b.local != unknown:
		t.push(term{b.local, a.plus + b.plus})
	case b.local == noLocal && a.local != unknown:
		t.push(term{a.local, a.plus + b.plus})
	default:
		t.push(term{unknown, 0})
	}
}
