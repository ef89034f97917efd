package picture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"math"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/metadata"
)

// gifCodec describes GIF. Its first frame is shown on its canvas, which is made larger where the
// frame reaches beyond it, as viewers do.
var gifCodec = codec{
	format: FormatGIF, mediaType: "image/gif",
	sniff:   func(head []byte) bool { return hasPrefix(head, 0, "GIF87a") || hasPrefix(head, 0, "GIF89a") },
	header:  gifHeader,
	details: gifDetails,
	cost: func(h *header, o Options) int64 {
		pixels := h.area() // a byte each
		if h.own.(gifInfo).interlaced() {
			pixels *= 2 // once as they come and once in their order
		}
		return wholeCost(h, o, pixels)
	},
	decode: (*job).gif,
}

// gifInfo is the first frame.
type gifInfo struct {
	frame       container.GIFBlock
	colours     []byte // three bytes each
	transparent int    // the index that is transparent, negative if none is
}

// interlaced says whether the rows come in four passes.
func (g gifInfo) interlaced() bool { return g.frame.Flags&0x40 != 0 }

func gifHeader(h *header, r *container.Reader) {
	own := gifInfo{transparent: -1}
	screen := r.Exactly(6, 5)
	r.GIFBlocks(func(b container.GIFBlock) bool {
		const graphicControl = 0xf9
		if b.Extension == graphicControl { // 4, flags(1), duration(2), transparent index(1)
			if c := r.Exactly(b.At, 5); c != nil && c[0] == 4 {
				own.transparent = -1
				if c[1]&1 != 0 {
					own.transparent = int(c[4])
				}
			}
		}
		if !b.Frame {
			return true
		}
		own.frame = b
		at, flags := b.Colours, b.Flags
		if flags&0x80 == 0 {
			at, flags = 13, screen[4]
		}
		if flags&0x80 != 0 {
			own.colours = r.UpTo(at, 3<<(flags&7+1))
		}
		return false
	})
	h.own = own
	if screen != nil {
		h.Width = max(int(binary.LittleEndian.Uint16(screen)), own.frame.X+own.frame.Width)
		h.Height = max(int(binary.LittleEndian.Uint16(screen[2:])), own.frame.Y+own.frame.Height)
	}
}

// gifDetails counts the frames up to the second, takes the first profile in front of that, and names
// comments and XMP. An application's extension is its name, of 11 bytes, and then pieces.
func gifDetails(h *header, r *container.Reader, names *metadata.Names) {
	r.GIFBlocks(func(b container.GIFBlock) bool {
		const comment, application = 0xfe, 0xff
		switch {
		case b.Frame:
			h.pages++
		case b.Extension == comment:
			names.Comment()
		case b.Extension == application:
			const name = 12 // and its length
			switch id := r.Exactly(b.At, name); string(id) {
			case "\x0bXMP DataXMP":
				names.Block("XMP")
			case "\x0bICCRGBG1012":
				if h.profile == nil && !h.oddColours {
					h.profile = r.GIFPieces(b.At+name, maxProfile)
					h.oddColours = h.profile == nil
					names.ICC(h.profile)
				}
			}
		}
		return h.pages < 2
	})
}

func (j *job) gif() error {
	own := j.header.own.(gifInfo)
	if own.frame.Width == 0 || own.frame.Height == 0 {
		return errors.New("no frame")
	}
	var lacking error // of colours
	if len(own.colours) < 3 {
		lacking = errors.New("the file has no colours; the first two are shown black and white")
		own.colours = []byte{0, 0, 0, 255, 255, 255}
	}
	p := image.NewPaletted(image.Rect(0, 0, own.frame.Width, own.frame.Height).Add(image.Pt(own.frame.X, own.frame.Y)), nil)
	for i := range len(own.colours) / 3 {
		c := color.NRGBA{own.colours[3*i], own.colours[3*i+1], own.colours[3*i+2], 255}
		if i == own.transparent {
			c = color.NRGBA{}
		}
		p.Palette = append(p.Palette, c)
	}
	n := 0
	_, err := j.detached(func(s *stream) (image.Image, error) {
		s.at = own.frame.At
		var err error
		n, err = unpackGIF(bufio.NewReader(s.buffered()), p.Pix)
		return p, err
	})
	if err := j.ended(); err != nil {
		return err
	}
	if n == 0 {
		return errors.Join(errors.New("no pixels"), err)
	}
	if n < len(p.Pix) {
		for i := range p.Pix[n:] {
			p.Pix[n+i] = 255 // beyond most palettes, else the last colour
		}
		lacking = damageAfter(n, len(p.Pix))
	} else if lacking == nil && indexBeyond(p.Pix, len(p.Palette), own.transparent) {
		lacking = errLackingColour
	}
	if lacking != nil {
		j.damaged(lacking)
	}
	if own.interlaced() {
		p = deinterlaced(p)
	}
	if j.header.pages > 1 {
		j.note(CodeFirstFrame, "The file is an animation; its first frame is shown.")
	}
	return j.finishImage(p)
}

// errLackingColour is about pixels whose index has no entry in the palette.
var errLackingColour = errors.New("some pixels have a colour that the palette does not have")

// indexBeyond says whether a pixel has an index that a palette of so many colours does not have. The
// index that is transparent needs no colour.
func indexBeyond(pix []byte, colours, transparent int) bool {
	if colours > math.MaxUint8 {
		return false // it has them all
	}
	for _, v := range pix {
		if int(v) >= colours && int(v) != transparent {
			return true
		}
	}
	return false
}

// deinterlaced puts rows in their order: every eighth from the first on, every eighth from the
// fifth on, every fourth from the third on, every second from the second on.
func deinterlaced(p *image.Paletted) *image.Paletted {
	q := image.NewPaletted(p.Rect, p.Palette)
	from := 0
	for _, pass := range [4][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		for y := pass[0]; y < p.Rect.Dy(); y += pass[1] {
			copy(q.Pix[y*q.Stride:(y+1)*q.Stride], p.Pix[from*p.Stride:])
			from++
		}
	}
	return q
}

// unpackGIF reads pixels as GIF packs them: LZW with codes of up to 12 bits, the lowest bits first,
// in pieces behind their lengths. It stops when dst is full, whatever follows, and returns how
// many pixels there were.
func unpackGIF(r *bufio.Reader, dst []byte) (n int, err error) {
	const most = 12
	bits, err := r.ReadByte()
	if err != nil || bits < 1 || bits >= most {
		return 0, errors.Join(errors.New("gif: code size"), err)
	}
	reset, end := 1<<bits, 1<<bits+1
	var prefix [1 << most]uint16
	var suffix [1 << most]byte
	var stack [1 << most]byte
	for i := range reset {
		suffix[i] = byte(i)
	}
	width, next, last := uint(bits)+1, end+1, -1
	var acc, have, left uint
	for n < len(dst) {
		for have < width {
			if left == 0 {
				size, err := r.ReadByte()
				if err != nil || size == 0 {
					return n, nil //nolint:nilerr // the caller sees that pixels are missing
				}
				left = uint(size)
			}
			b, err := r.ReadByte()
			if err != nil {
				return n, nil //nolint:nilerr // as above
			}
			acc |= uint(b) << have
			have += 8
			left--
		}
		code := int(acc & (1<<width - 1))
		acc >>= width
		have -= width
		switch {
		case code == reset:
			width, next, last = uint(bits)+1, end+1, -1
			continue
		case code == end:
			return n, nil
		case last < 0:
			if code > reset {
				return n, nil
			}
		case code > next:
			return n, nil
		}
		top, c := len(stack), code
		if code == next && last >= 0 { // the string before and its own first pixel
			top--
			c = last
		}
		for c > end && top > 1 {
			top--
			stack[top] = suffix[c]
			c = int(prefix[c])
		}
		top--
		stack[top] = suffix[c]
		if code == next && last >= 0 {
			stack[len(stack)-1] = stack[top]
		}
		if last >= 0 && next < 1<<most {
			prefix[next], suffix[next] = uint16(last), stack[top]
			next++
			if next == 1<<width && width < most {
				width++
			}
		}
		last = code
		n += copy(dst[n:], stack[top:])
	}
	return n, nil
}
