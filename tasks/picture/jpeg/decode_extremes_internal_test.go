package jpeg

import (
	"context"
	"errors"

	"casepress/tasks/picture/container"
)

// Plain says whether data hold a picture that image/jpeg must see as we do: no
// coefficient beyond what any picture has, where fixed point overflows in ways of its
// own, and nothing that image/jpeg reads against T.81, namely
//
//   - symbols that end runs of blocks in sequential scans,
//   - restart intervals of scans of one component of several, and such scans of colour
//     that is neither coarsest nor finest,
//   - components that come again.
func Plain(data []byte) bool {
	h, err := ReadHeader(container.Memory(data))
	if err != nil {
		return false
	}
	d := new(decoder)
	d.start(context.Background(), h, 8)
	d.data = data
	s, _ := container.JPEG(container.Memory(data))
	for s.Next() && s.Marker != container.MarkerEOI {
		if s.Marker != container.MarkerSOS {
			err = d.segment(s)
		} else if d.scans++; d.scans <= maxScans {
			err = d.plainScan(s)
		}
		if err != nil {
			return false
		}
	}
	return !h.Progressive || d.plainCoefficients()
}

var errNotPlain = errors.New("not plain")

func (d *decoder) plainScan(s *container.Segments) error {
	if d.header.Progressive && d.planes == nil {
		d.allocate()
	}
	if err := d.readScan(s.Bytes(s.Length)); err != nil {
		return err
	}
	if !d.plainLayout() {
		return errNotPlain
	}
	d.bits.restarts = d.every > 0
	d.bits.start(d.data, int(s.At))
	defer func() { s.At = int64(d.bits.at) }()
	if d.header.Progressive {
		return d.runProgressive()
	}
	for _, m := range d.scan.members {
		if d.done[m.index] || runSymbols(m.ac) {
			return errNotPlain
		}
		d.done[m.index] = true
		d.rows[m.index].allocate(d.header.components[m.index], d.size)
	}
	for range d.scan.down {
		d.sequentialRow()
		for _, m := range d.scan.members {
			if !sane(d.rows[m.index].coefficients, m.v, &d.rows[m.index], &d.quant[d.header.components[m.index].table]) {
				return errNotPlain
			}
		}
	}
	return nil
}

func (d *decoder) plainLayout() bool {
	if len(d.header.components) == 1 || len(d.scan.members) > 1 {
		return true
	}
	y, c := d.header.components[0], d.header.components[1]
	return d.every == 0 && (c.h == 1 || c.h == y.h) && (c.v == 1 || c.v == y.v)
}

func runSymbols(t *huffman) bool {
	for _, s := range t.symbols {
		if s&15 == 0 && s != 0 && s != 0xf0 {
			return true
		}
	}
	return false
}

func sane(coefficients []int16, rows int, r *blockRows, q *[64]int32) bool {
	for y := range rows {
		for i, v := range coefficients[y*r.pitch : y*r.pitch+r.across*64] {
			if p := int64(v) * int64(q[i%64]); p < -2048 || p > 2048 || v < -8192 || v > 8192 {
				return false
			}
		}
	}
	return true
}

func (d *decoder) plainCoefficients() bool {
	for i, c := range d.header.components {
		r := blockRows{across: c.across * c.down}
		if !sane(d.coeffs[i].values, 1, &r, &d.quant[c.table]) {
			return false
		}
	}
	return true
}
