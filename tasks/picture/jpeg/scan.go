package jpeg

import (
	"context"
	"fmt"
	"slices"
)

// scan is a scan header and where the reading of its data stands.
type scan struct {
	members      []scanMember
	from, to     int  // spectral selection Ss, Se
	high, low    uint // successive approximation Ah, Al
	across, down int  // MCUs
	store        [4]scanMember

	left   int  // MCUs until the next restart marker
	lost   int  // MCUs to leave out
	number byte // the next restart marker's, 0 to 7
	run    int  // blocks to come of a run without new coefficients, in scans of AC
	over   bool // the data have ended: all further MCUs are missing
}

// first says that there is no picture without this scan: that it is sequential, or the
// first of DC.
func (s *scan) first() bool { return s.from == 0 && s.high == 0 }

// scanMember is a component of a scan.
type scanMember struct {
	index  int
	h, v   int // blocks in an MCU of this scan
	dc, ac *huffman
	pred   int32 // the last DC
}

// readScan reads a scan header (T.81, B.2.3) and makes its tables ready.
func (d *decoder) readScan(b []byte) error {
	if len(b) < 1 || b[0] < 1 || b[0] > 4 || len(b) < 4+2*int(b[0]) {
		return fmt.Errorf("scan header: %w", ErrFormat)
	}
	n := int(b[0])
	s := &d.scan
	*s = scan{from: int(b[1+2*n]), to: int(b[2+2*n]), high: uint(b[3+2*n] >> 4), low: uint(b[3+2*n] & 15)}
	s.members = s.store[:0]
	for i := range n {
		if err := d.addMember(b[1+2*i], b[2+2*i]); err != nil {
			return err
		}
	}
	d.layOutScan()
	if !d.header.Progressive {
		s.from, s.to, s.high, s.low = 0, 63, 0, 0
		return nil
	}
	return d.checkProgression()
}

func (d *decoder) addMember(id, tables byte) error {
	s := &d.scan
	again := false
	for i, c := range d.header.components {
		if c.id != id {
			continue
		}
		if d.done[i] || slices.ContainsFunc(s.members, func(m scanMember) bool { return m.index == i }) {
			again = true // some writers give two components the same name: the next one is meant
			continue
		}
		if tables>>4 > 3 || tables&15 > 3 || !d.tables[c.table] {
			return fmt.Errorf("scan names a missing table: %w", ErrFormat)
		}
		m := scanMember{index: i, h: c.h, v: c.v, dc: &d.huffman[0][tables>>4], ac: &d.huffman[1][tables&15]}
		s.members = append(s.members, m)
		return d.buildTables(&m, int(tables>>4), int(tables&15))
	}
	if again {
		return fmt.Errorf("a component comes again: %w", ErrFormat)
	}
	return fmt.Errorf("scan of an unknown component: %w", ErrFormat)
}

// buildTables makes ready the tables that the scan will use.
func (d *decoder) buildTables(m *scanMember, dc, ac int) error {
	s := &d.scan
	if !d.header.Progressive {
		m.dc.useStandard(0, dc)
		m.ac.useStandard(1, ac)
		if err := m.dc.build(useDC); err != nil {
			return err
		}
		return m.ac.build(useAC)
	}
	if s.from > 0 {
		return m.ac.build(useProgressive)
	}
	if s.high > 0 {
		return nil // bare bits
	}
	return m.dc.build(useDC)
}

// layOutScan counts the MCUs. One component alone is read block by block, and only
// blocks that carry picture (T.81, A.2.2).
func (d *decoder) layOutScan() {
	s := &d.scan
	first := d.header.components[s.members[0].index]
	s.across, s.down = first.across/first.h, first.down/first.v
	if len(s.members) == 1 {
		s.members[0].h, s.members[0].v = 1, 1
		s.across, s.down = first.wide, first.high
	}
	s.left = d.every
	if d.every == 0 {
		s.left = s.across*s.down + 1
	}
}

// runScan reads the data of the scan.
func (d *decoder) runScan() error {
	if d.header.Progressive {
		return d.runProgressive()
	}
	for _, m := range d.scan.members {
		c := d.header.components[m.index]
		d.rows[m.index].allocate(c, d.size)
		d.done[m.index] = true
	}
	for y := range d.scan.down {
		if d.ctx.Err() != nil {
			return context.Cause(d.ctx)
		}
		d.sequentialRow()
		for i := range d.scan.members {
			d.emit(&d.scan.members[i], y)
		}
	}
	d.trailing = d.bits.unread() || d.trailing
	d.closeScan(true)
	return nil
}

// sequentialRow reads a row of MCUs into d.rows.
func (d *decoder) sequentialRow() {
	s := &d.scan
	for _, m := range s.members {
		clear(d.rows[m.index].coefficients)
	}
	for x := range s.across {
		if !d.ready() {
			d.blank(x)
			continue
		}
		for i := range s.members {
			d.sequentialMember(&s.members[i], x)
		}
		if !d.acceptMCU() {
			d.blank(x)
		}
	}
}

// sequentialMember reads one component's blocks of an MCU.
func (d *decoder) sequentialMember(m *scanMember, x int) {
	for y := range m.v {
		row := &d.rows[m.index]
		for i := x * m.h; i < (x+1)*m.h; i++ {
			b := row.block(y, i)
			diff, last := d.bits.block(m.dc, m.ac, b, d.places)
			m.pred += diff
			b[0] = clamp16(m.pred)
			row.last[y*row.across+i] = uint8(last)
		}
	}
}

// blank leaves an MCU mid grey.
func (d *decoder) blank(x int) {
	for _, m := range d.scan.members {
		for y := range m.v {
			row := &d.rows[m.index]
			for i := x * m.h; i < (x+1)*m.h; i++ {
				clear(row.block(y, i)[:row.area])
				row.last[y*row.across+i] = 0
			}
		}
	}
}

func clamp16(v int32) int16 { return int16(min(max(v, -1<<15), 1<<15-1)) }
