package tiff

import (
	"errors"
	"math/bits"
)

// errFax is a damaged row.
var errFax = errors.New("damaged fax data")

// fax reads bilevel rows as fax machines code them (ITU-T T.4 and T.6): runs of white and black
// in turn, each row by itself or by how its edges lie beside those of the row above.
//
//	T.4 one way:  EOL | row by runs | EOL | row by runs | …
//	T.4 two ways: EOL 1 | row by runs | EOL 0 | row by edges | …
//	T.6:          row by edges | … | EOL EOL
//	EOL           = any number of zeros (at least 11), 1
//
// TIFF's compression 2 is rows by runs without EOL, each beginning at a byte.
type fax struct {
	b     []byte
	at    int // the next bit
	width int
	above []int // where the row above changes colour, ending with width several times
	row   []int
	ended func() error // says whether the context has ended
}

// lookBits is how far data are searched between two looks at the context.
const lookBits = 1 << 19

// faxKind is one of TIFF's three ways.
type faxKind int

const (
	faxRuns faxKind = iota // compression 2
	faxT4                  // compression 3
	faxT6                  // compression 4
)

// peek returns the next n bits, at most 24, zeros behind the end.
func (f *fax) peek(n int) int {
	v := 0
	for i := range 4 {
		v <<= 8
		if at := f.at>>3 + i; at < len(f.b) {
			v |= int(f.b[at])
		}
	}
	return v >> (32 - n - f.at&7) & (1<<n - 1)
}

func (f *fax) over() bool { return f.at >= 8*len(f.b) }

// eol steps over an EOL and the fill bits before it, if one is next. The error is the context's.
func (f *fax) eol() (bool, error) {
	const zeros = 11
	at := f.at
	for n := 0; at < 8*len(f.b); at, n = at+1, n+1 {
		if at%lookBits == 0 {
			if err := f.ended(); err != nil {
				return false, err
			}
		}
		if f.b[at>>3]>>(7-at&7)&1 != 0 {
			if n < zeros {
				return false, nil
			}
			f.at = at + 1
			return true, nil
		}
		if at&7 == 0 && f.b[at>>3] == 0 { // fill may be long
			at, n = at+7, n+7
		}
	}
	return false, nil
}

// decodeFax fills dst with the rows of stride bytes, black as 1. It returns how many rows could
// be read; what is not read stays as it is. The error says that a row was damaged: those behind
// it may be read nevertheless.
func decodeFax(dst, data []byte, width, stride int, kind faxKind, twoWays bool, ended func() error) (rows int, err error) {
	f := fax{b: data, width: width, above: []int{width, width, width, width}, ended: ended}
	height := len(dst) / stride
	var damage error
	for y := range height {
		if err := ended(); err != nil {
			return y, err
		}
		byEdges := kind == faxT6
		switch kind {
		case faxRuns:
			f.at = (f.at + 7) &^ 7
		case faxT4:
			byEdges = false
			found, err := f.eol()
			if err != nil {
				return y, err
			}
			if found && twoWays {
				byEdges = f.peek(1) == 0
				f.at++
			}
		}
		if f.over() {
			return y, errFax
		}
		f.row = f.row[:0]
		if byEdges {
			err = f.readEdges()
		} else {
			err = f.readRuns()
		}
		if err != nil && kind != faxT4 {
			return y, err
		}
		if err != nil {
			damage = err
			if found, err := f.resume(); err != nil || !found {
				return y, errors.Join(damage, err)
			}
		}
		f.paint(dst[y*stride : (y+1)*stride])
		f.row = append(f.row, width, width, width, width)
		f.above, f.row = f.row, f.above
	}
	return height, damage
}

// resume looks for the next EOL behind a damaged row. The error is the context's.
func (f *fax) resume() (bool, error) {
	for !f.over() {
		if f.at%lookBits == 0 {
			if err := f.ended(); err != nil {
				return false, err
			}
		}
		if f.peek(12) == 1 {
			return true, nil
		}
		f.at++
	}
	return false, nil
}

// change takes down where the row changes colour. Runs of length 0 are valid, one between two
// others at most; without a bound they would go on for as long as there are data.
func (f *fax) change(x int) error {
	if len(f.row) > 2*f.width {
		return errFax
	}
	f.row = append(f.row, x)
	return nil
}

// runOf reads a run of a colour.
func (f *fax) runOf(colour int) (int, error) {
	total := 0
	for {
		r := runTables[colour][f.peek(runBits)]
		if r.bits == 0 || f.over() {
			return 0, errFax
		}
		f.at += int(r.bits)
		total += int(r.length)
		if r.length < 64 {
			return total, nil
		}
		if total > f.width {
			return 0, errFax
		}
	}
}

// readRuns reads a row by its runs into f.row, as the places where the colour changes.
func (f *fax) readRuns() error {
	x, colour := 0, 0
	for x < f.width {
		n, err := f.runOf(colour)
		if err != nil || x+n > f.width {
			return errFax
		}
		x += n
		if err := f.change(x); err != nil {
			return err
		}
		colour ^= 1
	}
	return nil
}

// readEdges reads a row by how its edges lie beside those above (T.4, 4.2): a0 is where the row
// has come to, b1 the first edge above to the right of it of the other colour, b2 the next.
func (f *fax) readEdges() error {
	a0, colour, i := -1, 0, 0
	for a0 < f.width {
		for i > 0 && f.above[i-1] > a0 {
			i--
		}
		for f.above[i] < f.width && (f.above[i] <= a0 || i&1 != colour) {
			i++
		}
		b1, b2 := f.above[i], f.above[min(i+1, len(f.above)-1)]
		v := f.peek(7)
		shift := 0
		switch {
		case v>>6 == 1: // V0
			f.at++
		case v>>4 == 3, v>>4 == 2: // VR1 011, VL1 010
			f.at += 3
			shift = 2*(v>>4&1) - 1
		case v>>4 == 1: // H 001
			f.at += 3
			first, err := f.runOf(colour)
			if err != nil {
				return err
			}
			second, err := f.runOf(colour ^ 1)
			if err != nil {
				return err
			}
			start := max(a0, 0)
			if start+first+second > f.width {
				return errFax
			}
			a0 = start + first + second
			if err := errors.Join(f.change(start+first), f.change(a0)); err != nil {
				return err
			}
			continue
		case v>>3 == 1: // pass 0001
			f.at += 4
			a0 = b2
			continue
		case v>>1 == 3, v>>1 == 2: // VR2 000011, VL2 000010
			f.at += 6
			shift = 2 * (2*(v>>1&1) - 1)
		case v == 3, v == 2: // VR3 0000011, VL3 0000010
			f.at += 7
			shift = 3 * (2*(v&1) - 1)
		default:
			return errFax // EOL, or an extension
		}
		if f.at > 8*len(f.b) {
			return errFax
		}
		a1 := b1 + shift
		if a1 < max(a0, 0) || a1 > f.width {
			return errFax
		}
		if err := f.change(a1); err != nil {
			return err
		}
		a0, colour = a1, colour^1
		if a0 == f.width {
			break
		}
	}
	return nil
}

// paint sets the black bits of a row.
func (f *fax) paint(dst []byte) {
	clear(dst)
	for i := 0; i < len(f.row); i += 2 {
		to := f.width
		if i+1 < len(f.row) {
			to = f.row[i+1]
		}
		for x := f.row[i]; x < to; {
			if x&7 == 0 && x+8 <= to {
				dst[x>>3] = 0xff
				x += 8
				continue
			}
			dst[x>>3] |= 0x80 >> (x & 7)
			x++
		}
	}
}

// reverseBits turns the bits of every byte round, which is what FillOrder 2 asks for.
func reverseBits(b []byte) {
	for i, v := range b {
		b[i] = bits.Reverse8(v)
	}
}
