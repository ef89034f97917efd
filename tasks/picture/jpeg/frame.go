package jpeg

import (
	"encoding/binary"

	"casepress/tasks/picture/container"
)

// component is one of the colours of a picture and the size of its share.
type component struct {
	id, table byte // table: that of quantisation
	h, v      int  // blocks in an MCU of all components
	// wide and high count the blocks that carry picture; across and down those that an
	// interleaved scan has, whole MCUs.
	wide, high, across, down int
}

// readFrame reads a frame header. What is out of bounds leaves the components out, and
// with that the picture unsupported.
func (h *Header) readFrame(b []byte) {
	if len(b) < 6 {
		return
	}
	h.Precision = int(b[0])
	h.Height, h.Width = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	h.Components = int(b[5])
	h.Progressive = h.frame == container.MarkerSOF2
	if h.Components == 0 || h.Components > 4 || len(b) < 6+3*h.Components {
		return
	}
	for i := range h.Components {
		c := b[6+3*i:]
		h.components = append(h.components, component{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 15), table: c[2]})
	}
	if !h.sensible() {
		h.components = nil
		return
	}
	h.layOut()
}

func (h *Header) sensible() bool {
	for _, c := range h.components {
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.table > 3 {
			return false
		}
	}
	return true
}

// layOut derives the sampling and counts the blocks (T.81, A.1.1 and A.2).
func (h *Header) layOut() {
	c := h.components
	if len(c) == 1 {
		c[0].h, c[0].v = 1, 1 // A.2.2: the MCU of one component is one block
	}
	if len(c) == 3 && c[1].h == c[2].h && c[1].v == c[2].v && holds(c[0].h, c[1].h) && holds(c[0].v, c[1].v) {
		h.Sampling = Sampling{c[0].h / c[1].h, c[0].v / c[1].v}
	}
	hMost, vMost := 1, 1
	for _, c := range c {
		hMost, vMost = max(hMost, c.h), max(vMost, c.v)
	}
	for i := range c {
		c := &c[i]
		c.wide = ceil(ceil(h.Width*c.h, hMost), 8)
		c.high = ceil(ceil(h.Height*c.v, vMost), 8)
		c.across = ceil(h.Width, 8*hMost) * c.h
		c.down = ceil(h.Height, 8*vMost) * c.v
	}
}

// holds says whether planes can keep colour of factor c beside brightness of factor y.
func holds(y, c int) bool { return y%c == 0 && y/c != 3 }
