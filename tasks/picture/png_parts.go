package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"casepress/tasks/picture/container"
)

// pngParts gives a PNG with nothing but the chunks that make the picture, in the only order that the
// decoder takes, and an end mark in any case. However many chunks there are, it holds one.
//
// With anew it unpacks the pixels and gives exactly as many bytes of them as the picture has, packed so
// that the decoder takes them: it refuses rows too many, bytes behind the last, and a missing or wrong
// checksum of all, which others pass over. The checksum of each chunk must be right.
type pngParts struct {
	file     *stream
	r        *container.Reader
	anew     bool
	next     int64  // where the next chunk is
	text     string // what is given before the chunk
	from, to int64  // what is still to be given of the chunk
	ihdr     pngIHDR
	colours  int  // of the palette that was given
	clear    bool // transparency was given
	pixels   bool // a chunk of pixels was given
	packer   *pngPacker
	ended    bool
	whole    bool // the end mark was there
	// transparencyLost says that there is one and none that counts, checksumWrong that that of the pixels is wrong.
	transparencyLost, checksumWrong bool
}

func newPNGParts(s *stream, anew bool) *pngParts {
	// A chunk has at least 12 bytes, and looking at one costs 76.
	r := container.NewReader(s.ctx, s, s.size, 8*s.size+1<<20)
	return &pngParts{file: s, r: r, anew: anew, next: container.FirstPNGChunk, text: pngSignature}
}

// Read gives what is next.
func (p *pngParts) Read(b []byte) (int, error) {
	for p.text == "" && p.from == p.to {
		if p.ended {
			return 0, io.EOF
		}
		if err := p.step(); err != nil {
			return 0, err
		}
	}
	if p.text != "" {
		n := copy(b, p.text)
		p.text = p.text[n:]
		return n, nil
	}
	n, err := p.file.ReadAt(b[:min(int64(len(b)), p.to-p.from)], p.from)
	if p.from += int64(n); n > 0 {
		err = nil
	}
	return n, err
}

// step goes to the next chunk.
func (p *pngParts) step() error {
	if p.packer != nil {
		return p.pack()
	}
	c, ok := p.r.PNGChunk(p.next)
	if err := p.r.Err(); err != nil {
		return err
	}
	p.whole = ok && c.Kind == "IEND" && !c.Cut
	if !ok || c.Cut || p.whole { // the pixels may be complete before a cut
		p.ended, p.text = true, "\x00\x00\x00\x00IEND\xae\x42\x60\x82"
		return nil
	}
	p.next = c.At + c.Size + 4
	switch c.Kind {
	case "IHDR":
		p.ihdr.read(p.r.UpTo(c.At, 13))
	case "IDAT":
		if p.anew {
			if !p.pixels {
				p.packer = newPNGPacker(p, c)
			}
			p.pixels = true
			return nil
		}
		p.pixels = true
	case "PLTE":
		return p.palette(c)
	case "tRNS":
		if !p.transparency(c) {
			return p.r.Err()
		}
	default:
		return nil
	}
	p.from, p.to = c.At-8, min(p.next, p.file.size)
	return nil
}

// The kinds of colour of IHDR that matter here.
const pngGrey, pngRGB, pngPalette, pngGreyAlpha, pngRGBA = 0, 2, 3, 4, 6

// palette gives the first palette, if the picture is one of indexes, with as many colours as it can have:
// what is left over of its bytes, or has no index, is left out. In other pictures a palette is a
// suggestion, and in grey ones a mistake.
func (p *pngParts) palette(c container.Chunk) error {
	if p.ihdr.colour != pngPalette || p.colours > 0 {
		return nil
	}
	size := min(c.Size/3, 1<<min(p.ihdr.depth, 8)) * 3
	if p.colours = int(size / 3); size == c.Size {
		p.from, p.to = c.At-8, p.next
		return nil
	}
	b := p.checked(c, 1<<16)
	if b == nil {
		p.from, p.to = c.At-8, p.next // whose checksum the decoder refuses
		return p.r.Err()
	}
	p.text = string(pngChunk("PLTE", b[:size]))
	return nil
}

// transparency says whether the decoder takes a chunk of it, in its place. One whose checksum is wrong is
// left out, as other readers do, and lost.
func (p *pngParts) transparency(c container.Chunk) bool {
	var takes bool
	switch p.ihdr.colour {
	case pngGrey:
		takes = c.Size == 2
	case pngRGB:
		takes = c.Size == 6
	case pngPalette:
		takes = p.colours > 0 && c.Size <= 256
	default:
		return false // it has a channel of its own
	}
	if p.clear {
		return false // the first counts
	}
	p.clear = takes && !p.pixels && p.checked(c, 256) != nil
	p.transparencyLost = !p.clear // unless a better one follows
	return p.clear
}

// checked returns a chunk's data, nil if they are more than most or their checksum is wrong.
func (p *pngParts) checked(c container.Chunk, most int64) []byte {
	if c.Size > most {
		return nil
	}
	b := p.r.Exactly(c.At-4, c.Size+8)
	if b == nil || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil
	}
	return b[4 : len(b)-4]
}

// pngChunk returns a chunk.
func pngChunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, len(data)+12), uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngIHDR is what an IHDR chunk says: see pngHeader.
type pngIHDR struct {
	width, height int64
	depth, colour byte
	interlaced    bool
}

// read reads the first.
func (h *pngIHDR) read(b []byte) {
	if len(b) == 13 && h.width == 0 {
		h.width, h.height = int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:]))
		h.depth, h.colour, h.interlaced = b[8], b[9], b[12] != 0
	}
}

// unpacked is how many bytes the pixels have: of each row, of each of seven pictures if they are interlaced (PNG, 8.2),
// one for its filter, and its pixels.
func (h *pngIHDR) unpacked() (n int64) {
	bits := int64(h.depth) * map[byte]int64{pngGrey: 1, pngRGB: 3, pngPalette: 1, pngGreyAlpha: 2, pngRGBA: 4}[h.colour]
	passes := [][4]int64{{0, 0, 1, 1}} // first column and row, and the steps to the next
	if h.interlaced {
		passes = [][4]int64{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	}
	for _, p := range passes {
		w, ht := (h.width-p[0]+p[2]-1)/p[2], (h.height-p[1]+p[3]-1)/p[3]
		if w > 0 && ht > 0 {
			n += ht * (1 + (w*bits+7)/8)
		}
	}
	return n
}

// pngPacker packs the pixels of a PNG anew. Packing is storing.
type pngPacker struct {
	unpacked io.Reader
	left     int64 // bytes that the picture still needs
	packed   bytes.Buffer
	w        *zlib.Writer
}

func newPNGPacker(p *pngParts, first container.Chunk) *pngPacker {
	p.next = first.At - 8
	k := &pngPacker{left: p.ihdr.unpacked()}
	k.w, _ = zlib.NewWriterLevel(&k.packed, zlib.NoCompression) // which is a level that there is
	return k
}

// pack gives the next piece of pixels in a chunk. After the last it goes on to the other chunks.
func (p *pngParts) pack() (err error) {
	k := p.packer
	if k.unpacked == nil {
		if k.unpacked, err = zlib.NewReader(&pngPixels{parts: p}); err != nil {
			return fmt.Errorf("png: pixels: %w", err)
		}
	}
	b := make([]byte, min(k.left, 32<<10))
	if _, err := io.ReadFull(k.unpacked, b); err != nil {
		return fmt.Errorf("png: pixels: %w", err)
	}
	if _, err := k.w.Write(b); err != nil {
		return fmt.Errorf("png: pixels: %w", err)
	}
	if k.left -= int64(len(b)); k.left == 0 {
		_, err := io.ReadFull(k.unpacked, make([]byte, 1))
		p.checksumWrong = errors.Is(err, zlib.ErrChecksum)
		if err := k.w.Close(); err != nil {
			return fmt.Errorf("png: pixels: %w", err)
		}
		p.packer = nil
	}
	if k.packed.Len() > 0 {
		p.text = string(pngChunk("IDAT", k.packed.Bytes()))
		k.packed.Reset()
	}
	return p.r.Err()
}

// pngPixels gives the data of the chunks of pixels, as one stream.
type pngPixels struct {
	parts    *pngParts
	from, to int64  // what is still to be given of the chunk
	checksum uint32 // of what was given of it
}

// Read gives what is next.
func (x *pngPixels) Read(b []byte) (int, error) {
	p := x.parts
	for x.from == x.to {
		c, ok := p.r.PNGChunk(p.next)
		if !ok || c.Cut || c.Kind == "IEND" {
			if err := p.r.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		if p.next = c.At + c.Size + 4; c.Kind == "IDAT" {
			x.from, x.to, x.checksum = c.At, c.At+c.Size, crc32.ChecksumIEEE([]byte(c.Kind))
		}
	}
	n, err := p.file.ReadAt(b[:min(int64(len(b)), x.to-x.from)], x.from)
	x.checksum = crc32.Update(x.checksum, crc32.IEEETable, b[:n])
	if x.from += int64(n); n == 0 {
		return 0, errors.Join(io.ErrUnexpectedEOF, err)
	}
	if x.from == x.to {
		if sum := p.r.Exactly(x.to, 4); sum == nil || binary.BigEndian.Uint32(sum) != x.checksum {
			return 0, errors.New("png: checksum of a chunk of pixels")
		}
	}
	return n, nil
}
