package jpeg

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/planar"
)

// maxScans bounds the scans that are read; encoders write ten or so. Without a bound a
// small file could ask for a picture to be gone over for hours.
const maxScans = 256

// decoder is the state of one Decode. Between two it rests in a pool.
type decoder struct {
	ctx      context.Context
	data     []byte
	header   Header
	size     int // a block becomes size x size samples: the scale in eighths
	places   *places
	image    *planar.Image  // nil if the components are wanted as they are
	planes   []planar.Plane // one a component, those of image if there is one
	plain    bool           // the components are wanted as they are
	quant    [4][64]int32   // quantisation steps by number of their table, in places' order
	tables   [4]bool        // those that the file has
	huffman  [2][4]huffman
	bits     bitReader
	every    int // MCUs between restart markers, 0 for none
	scans    int
	trailing bool    // bytes follow the last MCU of a scan or of a restart interval
	done     [4]bool // components that a sequential scan has been read of

	rows   [4]blockRows // of the current row of MCUs
	strip  []byte       // samples of a row of blocks that the plane has no room for
	coeffs [4]coefficients
	scan   scan
	damage damage
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// Report says what is remarkable about a file that was decoded.
type Report struct {
	// Damage says what of the picture is missing; nil if nothing is.
	Damage error
	// Trailing says that a scan, or a part of it between restart markers, has bytes behind its
	// last MCU, which show nowhere.
	Trailing bool
}

// Decode decodes data at a scale of 1, 2, 4, 6 or 8 eighths, to an image whose sides are
// those of the picture at that scale, rounded up, and which belongs to the caller. Colour
// is as coarse as in the file.
//
// Of data that are cut short or altered it returns what can be salvaged, the rest mid
// grey, and r.Damage says in a sentence what is wrong. If nothing can be, err is
// [ErrFormat]; it is [ErrUnsupported] for kinds that other decoders must take, and
// the context's once ctx is done, which is looked at after each row of blocks
// and while looking for the next segment.
//
// It holds at most [Header.Cost] bytes besides data, so check that before.
func Decode(ctx context.Context, data []byte, eighths int) (m *planar.Image, r Report, err error) {
	h, err := ReadHeader(container.Memory(data))
	if err != nil {
		return nil, r, err
	}
	if !h.Supported() || !slices.Contains(scales[:], eighths) {
		return nil, r, fmt.Errorf("decode at %d/8: %w", eighths, ErrUnsupported)
	}
	dec := decoders.Get().(*decoder)
	defer dec.release()
	dec.start(ctx, h, eighths)
	if err := dec.decode(data); err != nil {
		if dec.image != nil {
			dec.image.Release()
		}
		return nil, r, fmt.Errorf("decode: %w", err)
	}
	return dec.image, Report{dec.damage.err(), dec.trailing}, nil
}

func (d *decoder) start(ctx context.Context, h Header, size int) {
	d.ctx, d.header, d.size, d.places = ctx, h, size, placesBySize[size]
	d.tables, d.done, d.every, d.scans = [4]bool{}, [4]bool{}, 0, 0
	d.damage, d.trailing, d.plain = damage{}, false, false
	d.scan, d.bits.stray = scan{}, 0 // of a Decode that its context ended
	for class := range d.huffman {
		for i := range d.huffman[class] {
			d.huffman[class][i].defined = false
		}
	}
}

// release keeps the buffers for the next Decode and lets go of the rest.
func (d *decoder) release() {
	d.ctx, d.header, d.image, d.planes, d.data, d.bits.data = nil, Header{}, nil, nil, nil, nil
	for i := range d.coeffs {
		d.coeffs[i].release()
	}
	decoders.Put(d)
}

// decode reads segment after segment. An error after the first rows is damage.
func (d *decoder) decode(data []byte) error {
	s, _ := container.JPEG(container.NewMemoryReader(d.ctx, data, math.MaxInt64))
	d.data = data
	for s.Next() && s.Marker != container.MarkerEOI {
		err := d.segment(s)
		if d.ctx.Err() != nil {
			return context.Cause(d.ctx)
		}
		if err != nil && !d.damage.salvaged {
			return err
		}
		if err != nil || d.finished() {
			d.damage.stopped = err != nil
			return d.finish()
		}
	}
	if d.ctx.Err() != nil { // which ends the walk
		return context.Cause(d.ctx)
	}
	d.damage.ended = d.damage.ended || s.Marker != container.MarkerEOI
	return d.finish()
}

// finished says that a sequential picture is complete; what follows it is not ours. A
// progressive one may always get better.
func (d *decoder) finished() bool {
	if d.header.Progressive {
		return false
	}
	for i := range d.header.components {
		if !d.done[i] {
			return false
		}
	}
	return true
}

func (d *decoder) segment(s *container.Segments) error {
	payload := s.Bytes(s.Length)
	if container.IsFrame(s.Marker) {
		d.damage.frames++
	}
	switch s.Marker {
	case container.MarkerDQT:
		return d.readQuantisation(payload)
	case container.MarkerDHT:
		return d.readHuffman(payload)
	case container.MarkerDRI:
		if len(payload) < 2 {
			return fmt.Errorf("restart interval: %w", ErrFormat)
		}
		d.every = int(binary.BigEndian.Uint16(payload))
	case container.MarkerSOS:
		if d.scans++; d.scans > maxScans {
			return fmt.Errorf("more than %d scans: %w", maxScans, ErrFormat)
		}
		if d.planes == nil {
			d.allocate()
		}
		if err := d.readScan(payload); err != nil {
			return err
		}
		d.bits.restarts = d.every > 0
		d.bits.start(d.data, int(s.At))
		err := d.runScan()
		s.At = int64(d.bits.at)
		return err
	}
	return nil
}

func (d *decoder) allocate() {
	h := &d.header
	if d.plain {
		d.planes = h.plainPlanes(d.size)
	} else {
		d.image = planar.New(reduced(h.Width, d.size), reduced(h.Height, d.size), h.Sampling.X, h.Sampling.Y)
		d.image.Reduced(h.Width, h.Height, d.size, 8)
		d.planes = d.image.Planes
	}
	if h.Progressive {
		for i, c := range h.components {
			d.coeffs[i].allocate(c, d.size)
		}
	}
}

// readQuantisation reads the tables of a segment (T.81, B.2.4.1), each
//
//	precision(4 bits: 0 for 1 byte, 1 for 2) number(4 bits) 64 steps in zigzag order
func (d *decoder) readQuantisation(b []byte) error {
	for len(b) > 0 {
		wide, number := int(b[0]>>4), b[0]&15
		if wide > 1 || number > 3 || len(b) < 1+64<<wide {
			return fmt.Errorf("quantisation table: %w", ErrFormat)
		}
		d.tables[number] = true
		for k := range 64 {
			step := uint16(b[1+k])
			if wide == 1 {
				step = binary.BigEndian.Uint16(b[1+2*k:])
			}
			if d.places.need>>k&1 != 0 {
				d.quant[number][d.places.to[k]] = int32(step)
			}
		}
		b = b[1+64<<wide:]
	}
	return nil
}
