package jpeg

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/planar"
)

// ErrSize tells that a picture has no pixels or a side longer than a JPEG file can
// say, 65,535.
var ErrSize = errors.New("size cannot be written as JPEG")

// AppendEncode appends m to dst as a baseline JPEG file with m's own coarseness of
// colour and returns the longer slice. quality, 1 to 100, means what it means to
// image/jpeg; what lies outside is moved to the nearer end. The Huffman tables are
// the best ones for this picture. The file holds a JFIF header and the picture,
// nothing else, and the same picture always gives the same bytes. Encoding ends with
// ctx's error, and dst as it was, when ctx is done.
//
// Beside the result it holds less than a byte for each sample of a photo, at most four
// for one of noise, from a pool.
func AppendEncode(ctx context.Context, dst []byte, m *planar.Image, quality int) ([]byte, error) {
	if m.Width < 1 || m.Height < 1 || max(m.Width, m.Height) > 65535 {
		return dst, fmt.Errorf("encode %d x %d: %w", m.Width, m.Height, ErrSize)
	}
	e := encoders.Get().(*encoder)
	defer e.finish()
	e.start(m, quality)
	out := e.appendHeader(dst)
	for _, scan := range e.scans() {
		e.tokens.reset()
		if err := e.tokenise(ctx, scan); err != nil {
			return dst, fmt.Errorf("encode: %w", err)
		}
		out = e.appendScan(out, scan)
	}
	return append(out, 0xff, container.MarkerEOI), nil
}

// encoder keeps what one encoding needs; its buffers outlive it in a pool.
type encoder struct {
	width, height int
	quantisers    [2]quantiser // brightness, colour
	components    []encodeComponent
	tokens        tokenBuffer
}

// encodeComponent is one plane on its way into a file.
type encodeComponent struct {
	plane planar.Plane
	id    byte // 1: Y, 2: Cb, 3: Cr
	h, v  int  // sampling factors: blocks of this plane in one MCU
	class int  // 0: brightness, 1: colour; selects the tables

	perMCU, rowsPerMCU int         // blocks and rows of blocks in one MCU of the scan at hand
	rows               [4]blockRow // the blocks of one row of MCUs
	before             int32       // the last block's DC coefficient
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

func (e *encoder) start(m *planar.Image, quality int) {
	e.width, e.height = m.Width, m.Height
	for class := range e.quantisers {
		e.quantisers[class].init(class, quality)
	}
	if cap(e.components) < len(m.Planes) {
		e.components = make([]encodeComponent, 3)
	}
	e.components = e.components[:len(m.Planes)]
	for i, plane := range m.Planes {
		c := &e.components[i]
		c.plane, c.id, c.h, c.v, c.class = plane, byte(i+1), 1, 1, min(i, 1)
	}
	if len(m.Planes) > 1 {
		e.components[0].h, e.components[0].v = m.Chroma()
	}
}

// finish puts e back into the pool, without the picture.
func (e *encoder) finish() {
	for i := range e.components {
		e.components[i].plane = planar.Plane{}
	}
	e.tokens.release()
	encoders.Put(e)
}

// scans returns the planes that share a scan. One scan holds them all, unless a MCU
// would then have more blocks than the ten that are allowed: then each has its own.
func (e *encoder) scans() [][]encodeComponent {
	all := e.components
	if len(all) == 1 || all[0].h*all[0].v+2 <= 10 {
		return [][]encodeComponent{all}
	}
	return [][]encodeComponent{all[0:1], all[1:2], all[2:3]}
}
