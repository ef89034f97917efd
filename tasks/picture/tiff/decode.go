package tiff

import (
	"bytes"
	gif "compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/image/tiff/lzw"

	"casepress/tasks/picture/container"
)

// Decoder gives the rows of one picture.
type Decoder struct {
	Header
	r       *container.Reader
	blocks  [][]byte // the current row of blocks: of each plane those from left to right
	current int      // its number, -1 at first
	row     []byte   // a row in 8 bits, all samples of a pixel side by side
	damage  error
	some    bool // something could be read
}

// NewDecoder returns a decoder of the picture of h, which ReadHeader took from the file of r.
// Reading is charged to r's account, so that strips that lie in the same place many times end.
func NewDecoder(r *container.Reader, h Header) *Decoder {
	return &Decoder{Header: h, r: r, current: -1, blocks: make([][]byte, h.across*h.planes())}
}

// Damage says what could not be read of the rows so far; nil if nothing is missing. It is
// ErrFormat if nothing at all could be.
func (d *Decoder) Damage() error {
	if d.damage != nil && !d.some {
		return fmt.Errorf("no pixels: %w", ErrFormat)
	}
	return d.damage
}

// Row writes row y in 8 bits, four bytes a pixel as in an image.NRGBA. Rows must be asked for from top
// to bottom. What is damaged is white; the error is the reader's or the context's.
func (d *Decoder) Row(dst []byte, y int) error {
	if err := d.reach(y); err != nil {
		return err
	}
	d.convert(dst[:4*d.Width], y%d.blockHeight)
	return nil
}

// Blank says whether every pixel of the picture is transparent. It reads rows from the top to the first that
// has one that is not, so that a decoder that was asked gives no rows. The error is the reader's or the context's.
func (d *Decoder) Blank() (bool, error) {
	for y := range d.Height {
		if err := d.reach(y); err != nil {
			return false, err
		}
		d.unpack(y % d.blockHeight)
		for x := d.alpha; x < len(d.row); x += d.samples {
			if d.alpha == 0 || d.row[x] > 0 {
				return false, nil
			}
		}
	}
	return true, nil
}

// reach loads the blocks of row y.
func (d *Decoder) reach(y int) error {
	if row := y / d.blockHeight; row != d.current {
		return d.load(row)
	}
	return nil
}

// load decodes a row of blocks.
func (d *Decoder) load(row int) error {
	d.current = row
	high := min(d.blockHeight, d.Height-row*d.blockHeight)
	size := d.rowBytes() * high
	for plane := range d.planes() {
		for x := range d.across {
			i := plane*d.across + x
			if cap(d.blocks[i]) < size {
				d.blocks[i] = make([]byte, size)
			}
			b := d.blocks[i][:size]
			d.blocks[i] = b
			n, err := d.block(b, (plane*d.down+row)*d.across+x)
			if err := d.ended(); err != nil {
				return err
			}
			d.some = d.some || n > 0
			if n < len(b) || err != nil {
				d.blank(b[n:])
				if d.damage == nil {
					d.damage = errors.New("a part of the data is damaged or missing")
				}
			}
			d.undoPredictor(b)
		}
	}
	return nil
}

// blank makes what is missing white, as far as its place tells.
func (d *Decoder) blank(b []byte) {
	white := byte(0xff)
	if d.photometric == whiteIsZero || d.CMYK {
		white = 0
	}
	if d.predictor == 2 {
		white = 0
	}
	for i := range b {
		b[i] = white
	}
}

// block decompresses a block into dst and says how many bytes it gave.
func (d *Decoder) block(dst []byte, index int) (n int, err error) {
	if index >= len(d.offsets) {
		return 0, ErrFormat
	}
	at := int64(d.offsets[index])
	count := d.r.Size() - at
	if index < len(d.counts) && d.counts[index] > 0 {
		count = min(count, int64(d.counts[index]))
	}
	if d.compression == compressionNone {
		count = min(count, int64(len(dst)))
	}
	data := d.r.UpTo(at, count)
	if data == nil {
		return 0, ErrFormat
	}
	if d.reversed {
		data = bytes.Clone(data) // it may be a part of the file
		reverseBits(data)
	}
	switch d.compression {
	case compressionNone:
		return copy(dst, data), nil
	case compressionPackBits:
		return unpackBits(dst, data, d.ended)
	case compressionLZW:
		var z io.ReadCloser
		if oldLZW(data) {
			z = gif.NewReader(&checked{d.r, bytes.NewReader(data)}, gif.LSB, 8)
		} else {
			z = lzw.NewReader(&checked{d.r, bytes.NewReader(data)}, lzw.MSB, 8)
		}
		defer z.Close()
		return readUpTo(z, dst)
	case compressionDeflate, compressionOldDeflate:
		z, err := zlib.NewReader(&checked{d.r, bytes.NewReader(data)})
		if err != nil {
			return 0, fmt.Errorf("strip: %w", err)
		}
		return readUpTo(z, dst)
	}
	kinds := map[uint32]faxKind{compressionFaxRuns: faxRuns, compressionT4: faxT4, compressionT6: faxT6}
	stride := d.rowBytes()
	rows, err := decodeFax(dst, data, d.blockWidth, stride, kinds[d.compression], d.twoWays, d.ended)
	return rows * stride, err
}

// oldLZW says whether data are of the kind of LZW from before TIFF 6.0, with its codes the other way round, as in
// GIF. Both begin with the code 256: of 9 bits from the low end it is 00 01.
func oldLZW(data []byte) bool { return len(data) > 1 && data[0] == 0 && data[1]&1 == 1 }

// ended returns the context's error.
func (d *Decoder) ended() error {
	d.r.Charge(0)
	return d.r.Err()
}

func readUpTo(r io.Reader, dst []byte) (int, error) {
	n, err := io.ReadFull(r, dst)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// checked fails once the context ends.
type checked struct {
	r   *container.Reader
	src *bytes.Reader
}

func (c *checked) Read(p []byte) (int, error) {
	if !c.r.Charge(0) {
		return 0, io.ErrUnexpectedEOF
	}
	return c.src.Read(p[:min(len(p), 4096)])
}

// unpackBits undoes PackBits (TIFF 6.0, section 9): n from 0 to 127 are n + 1 bytes, from -127 to
// -1 the next byte 1 - n times, -128 nothing. The error is the context's.
func unpackBits(dst, src []byte, ended func() error) (n int, err error) {
	const piece = 64 << 10 // codes between two looks at the context
	for codes := 0; len(src) > 1 && n < len(dst); codes++ {
		if codes%piece == 0 {
			if err := ended(); err != nil {
				return n, err
			}
		}
		code := int(int8(src[0]))
		src = src[1:]
		switch {
		case code >= 0:
			k := copy(dst[n:], src[:min(code+1, len(src))])
			n += k
			src = src[min(code+1, len(src)):]
		case code > -128:
			for range min(1-code, len(dst)-n) {
				dst[n] = src[0]
				n++
			}
			src = src[1:]
		}
	}
	return n, nil
}

// undoPredictor adds to each sample the one before it in its row.
func (d *Decoder) undoPredictor(b []byte) {
	if d.predictor != 2 || d.compression != compressionLZW && d.compression != compressionDeflate && d.compression != compressionOldDeflate {
		return
	}
	step := d.samples
	if d.planar {
		step = 1
	}
	for row := d.rowBytes(); len(b) >= row; b = b[row:] {
		if d.bits == 8 {
			for i := step; i < row; i++ {
				b[i] += b[i-step]
			}
			continue
		}
		for i := 2 * step; i+1 < row; i += 2 {
			d.put16(b[i:], d.get16(b[i:])+d.get16(b[i-2*step:]))
		}
	}
}

func (d *Decoder) get16(b []byte) uint16 {
	if d.big {
		return uint16(b[0])<<8 | uint16(b[1])
	}
	return uint16(b[1])<<8 | uint16(b[0])
}

func (d *Decoder) put16(b []byte, v uint16) {
	if d.big {
		b[0], b[1] = byte(v>>8), byte(v)
	} else {
		b[0], b[1] = byte(v), byte(v>>8)
	}
}

// convert writes row y of the current blocks as NRGBA.
func (d *Decoder) convert(dst []byte, y int) {
	d.unpack(y)
	d.colours(dst)
	if d.alpha > 0 {
		for i, x := d.alpha, 3; x < len(dst); i, x = i+d.samples, x+4 {
			dst[x] = d.row[i]
		}
	}
	if d.premultiplied {
		divide(dst)
	}
}

// unpack brings row y of the current blocks to 8 bits, all samples of a pixel side by side; of a palette
// it gives the indices.
func (d *Decoder) unpack(y int) {
	if d.row == nil {
		d.row = make([]byte, d.Width*d.samples)
	}
	from, samples := y*d.rowBytes(), d.samples
	if d.planar {
		samples = 1
	}
	for i, block := range d.blocks {
		plane, left := i/d.across, i%d.across*d.blockWidth
		width := min(d.blockWidth, d.Width-left)
		dst, step := d.row[left*d.samples+plane:], d.samples/samples
		d.unpackRow(dst, step, block[from:], width*samples)
	}
}

// unpackRow brings n samples to 8 bits and puts them every step bytes.
func (d *Decoder) unpackRow(dst []byte, step int, src []byte, n int) {
	switch {
	case d.bits == 8 && step == 1:
		copy(dst, src[:n])
	case d.bits == 8:
		for i, v := range src[:n] {
			dst[i*step] = v
		}
	case d.bits == 16:
		done := 0
		if step == 1 {
			done = d.halve(dst[:n], src)
		}
		for i := done; i < n; i++ {
			dst[i*step] = byte((uint32(d.get16(src[2*i:])) + 128) / 257) //nolint:gosec // within a byte
		}
	default:
		most := 1<<d.bits - 1
		spread := 255 / most
		if d.photometric == palette {
			spread = 1
		}
		for i := range n {
			shift := 8 - d.bits - i*d.bits&7
			dst[i*step] = byte(int(src[i*d.bits>>3]>>shift) & most * spread) //nolint:gosec // within a byte
		}
	}
}

// halve brings samples of 16 bits to 8, four at a time, and says how many: (255 v + 32895) / 65536 is
// (v + 128) / 257 for all of them, and stays within 32 bits.
func (d *Decoder) halve(dst, src []byte) (n int) {
	const second, round = 0x0000ffff_0000ffff, 32895<<32 | 32895
	for ; len(dst)-n >= 4; n += 4 {
		v := binary.LittleEndian.Uint64(src[2*n:])
		if d.big {
			v = v>>8&0x00ff00ff_00ff00ff | v&0x00ff00ff_00ff00ff<<8
		}
		even := (v&second*255 + round) >> 16 & 0x000000ff_000000ff
		odd := (v>>16&second*255 + round) >> 8 & 0x0000ff00_0000ff00
		v = even | odd
		binary.LittleEndian.PutUint32(dst[n:], uint32(v&0xffff|v>>16))
	}
	return n
}

// colours writes the pixels of the current row, opaque.
func (d *Decoder) colours(dst []byte) {
	src, step := d.row, d.samples
	switch d.photometric {
	case rgb:
		for ; len(dst) >= 4; src, dst = src[step:], dst[4:] {
			p, s := dst[:4:4], src[:3:3]
			p[0], p[1], p[2], p[3] = s[0], s[1], s[2], 255
		}
	case palette:
		n := len(d.palette) / 3
		for ; len(dst) >= 4; src, dst = src[step:], dst[4:] {
			i := min(int(src[0]), n-1)
			for c := range 3 {
				dst[c] = byte((d.palette[c*n+i] + 128) / 257)
			}
			dst[3] = 255
		}
	case inks:
		for ; len(dst) >= 4; src, dst = src[step:], dst[4:] {
			k := 255 - int(src[3])
			for c := range 3 {
				dst[c] = byte((255 - int(src[c])) * k / 255) //nolint:gosec // within a byte
			}
			dst[3] = 255
		}
	default:
		var invert byte
		if d.photometric == whiteIsZero {
			invert = 255
		}
		for ; len(dst) >= 4; src, dst = src[step:], dst[4:] {
			v := src[0] ^ invert
			dst[0], dst[1], dst[2], dst[3] = v, v, v, 255
		}
	}
}

// divide undoes the multiplication of colours by transparency.
func divide(dst []byte) {
	for ; len(dst) >= 4; dst = dst[4:] {
		a := int(dst[3])
		if a == 0 || a == 255 {
			continue
		}
		for c := range 3 {
			dst[c] = byte(min(255, int(dst[c])*255/a))
		}
	}
}
