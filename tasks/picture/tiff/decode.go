package tiff

import (
	"bytes"
	gif "compress/lzw"
	"compress/zlib"
	"errors"
	"fmt"
	"image"
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

// Rows returns rows y0 up to y1 in 8 bits. Rows must be asked for from top to bottom. What is
// damaged is white; the error is the reader's or the context's.
func (d *Decoder) Rows(y0, y1 int) (*image.NRGBA, error) {
	img := image.NewNRGBA(image.Rect(0, 0, d.Width, y1-y0))
	for y := y0; y < y1; y++ {
		if err := d.reach(y); err != nil {
			return nil, err
		}
		d.convert(img.Pix[(y-y0)*img.Stride:][:4*d.Width], y%d.blockHeight)
	}
	return img, nil
}

// Blank says whether every pixel of the picture is transparent. It reads rows from the top to the first that
// has one that is not, so that a decoder that was asked gives no rows. The error is the reader's or the context's.
func (d *Decoder) Blank() (bool, error) {
	for y := range d.Height {
		if err := d.reach(y); err != nil {
			return false, err
		}
		for x := range d.Width {
			if d.alpha == 0 || d.sample(x, y%d.blockHeight, d.alpha) > 0 {
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

// sample returns a sample in 8 bits, of a palette its index.
func (d *Decoder) sample(x, y, number int) int {
	block, plane, samples := x/d.blockWidth, 0, d.samples
	if d.planar {
		plane, number, samples = number, 0, 1
	}
	row := d.blocks[plane*d.across+block][y*d.rowBytes():]
	i := x%d.blockWidth*samples + number
	switch d.bits {
	case 8:
		return int(row[i])
	case 16:
		return (int(d.get16(row[2*i:])) + 128) / 257
	}
	shift := 8 - d.bits - i*d.bits&7
	v := int(row[i*d.bits>>3]>>shift) & (1<<d.bits - 1)
	if d.photometric == palette {
		return v
	}
	return v * 255 / (1<<d.bits - 1)
}

// convert writes row y of the current blocks as NRGBA.
func (d *Decoder) convert(dst []byte, y int) {
	for x := range d.Width {
		p := dst[4*x : 4*x+4]
		p[3] = 255
		if d.alpha > 0 {
			p[3] = byte(d.sample(x, y, d.alpha))
		}
		first := d.sample(x, y, 0)
		switch d.photometric {
		case whiteIsZero:
			p[0], p[1], p[2] = byte(255-first), byte(255-first), byte(255-first)
		case rgb:
			p[0], p[1], p[2] = byte(first), byte(d.sample(x, y, 1)), byte(d.sample(x, y, 2))
		case palette:
			n := len(d.palette) / 3
			for c := range 3 {
				p[c] = byte((d.palette[c*n+min(first, n-1)] + 128) / 257)
			}
		case inks:
			k := 255 - d.sample(x, y, 3)
			for c := range 3 {
				p[c] = byte((255 - d.sample(x, y, c)) * k / 255) //nolint:gosec // within a byte
			}
		default:
			p[0], p[1], p[2] = byte(first), byte(first), byte(first)
		}
		if d.premultiplied && p[3] > 0 && p[3] < 255 {
			for c := range 3 {
				p[c] = byte(min(255, int(p[c])*255/int(p[3])))
			}
		}
	}
}
