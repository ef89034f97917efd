package jpeg

import "context"

// tokenise transforms and quantises the planes of one scan and leaves their
// coefficients as tokens, in the order of the file. It looks at ctx once a row of
// MCUs.
func (e *encoder) tokenise(ctx context.Context, scan []encodeComponent) error {
	across, down := e.mcus(scan)
	for i := range scan {
		scan[i].start(len(scan) == 1)
	}
	for y := range down {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range scan {
			scan[i].transform(y, &e.quantisers[scan[i].class])
		}
		for x := range across {
			for i := range scan {
				e.tokens.appendMCU(&scan[i], x)
			}
		}
	}
	return nil
}

// mcus returns how many MCUs a scan is wide and high. In a scan of one plane a MCU is
// one block, whatever the sampling factors say (T.81 A.2.2).
func (e *encoder) mcus(scan []encodeComponent) (across, down int) {
	if len(scan) == 1 {
		p := scan[0].plane
		return (p.Width + 7) / 8, (p.Height + 7) / 8
	}
	w, h := 8*scan[0].h, 8*scan[0].v
	return (e.width + w - 1) / w, (e.height + h - 1) / h
}

// start readies c's rows for a scan, in which c is alone or not.
func (c *encodeComponent) start(alone bool) {
	c.before, c.perMCU, c.rowsPerMCU = 0, c.h, c.v
	if alone {
		c.perMCU, c.rowsPerMCU = 1, 1
	}
	pairs := (c.plane.Width + 15) / 16
	for i := range c.rowsPerMCU {
		r := &c.rows[i]
		if cap(r.nonzero) < 2*pairs {
			r.coefficients = make([]int16, 2*pairs*64)
			r.nonzero = make([]uint64, 2*pairs)
		}
		r.coefficients, r.nonzero = r.coefficients[:2*pairs*64], r.nonzero[:2*pairs]
	}
}

// transform fills c's rows with the blocks of the y-th row of MCUs.
func (c *encodeComponent) transform(y int, q *quantiser) {
	for i := range c.rowsPerMCU {
		c.rows[i].transform(c.plane, 8*(y*c.rowsPerMCU+i), q)
	}
}
