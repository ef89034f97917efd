package pixels

import "image"

// Scaler scales a picture down that is given to it row by row, from the top. It scales each row
// across as it comes and keeps no more of them than a row of the result is made from.
//
// Colours count by how opaque they are. What is wholly transparent becomes zeros.
type Scaler struct {
	dst          *image.NRGBA
	across, down *filter // nil along a side that stays
	width        int     // of the input
	line         []float64
	// window is rows scaled across, one behind the other, of which the first is number top of the input.
	// Once it is full, those that are still needed move to its front.
	window   []byte
	top      int
	opaque   []bool // of the window's rows: no pixel is transparent
	taken    int    // rows of the input
	finished int    // rows of dst
}

// NewScaler returns a scaler of pictures of width x height pixels, at least one each, to no more
// than that along either side. It holds the result and a few rows for each row of that.
func NewScaler(width, height, toWidth, toHeight int) *Scaler {
	s := &Scaler{width: width, dst: image.NewNRGBA(image.Rect(0, 0, toWidth, toHeight))}
	if toWidth < width {
		s.across = lanczos(width, toWidth)
		s.line = make([]float64, Size*width)
	}
	if toHeight < height {
		s.down = lanczos(height, toHeight)
		const more = 16 // rows between two moves
		rows := min(s.down.taps+more, height)
		s.window, s.opaque = make([]byte, rows*s.dst.Stride), make([]bool, rows)
	}
	return s
}

// Memory is how many bytes a scaler of such a picture holds beside its result, at most.
func Memory(width, height, toWidth, toHeight int) int64 {
	var n int64
	const weights = 3 * 8 // a weight, that of an opaque pixel, and their like
	if toWidth < width {
		n += 8*Size*int64(width) + weights*int64(taps(width, toWidth)+1)*int64(toWidth)
	}
	if toHeight < height {
		t := int64(taps(height, toHeight))
		n += min(t+16, int64(height))*int64(Size*toWidth+1) + weights*(t+1)*int64(toHeight)
	}
	return n
}

// Add takes the next row of the picture, of as many pixels as it is wide, and keeps nothing of it.
// It panics when there are more rows than the picture has.
func (s *Scaler) Add(row []byte) {
	row = row[:Size*s.width]
	to := s.room()
	opaque := isOpaque(row)
	switch {
	case s.across == nil:
		copy(to, row)
	case opaque:
		floats(s.line, row)
		acrossOpaque(to, s.line, s.across)
	default:
		floats(s.line, row)
		across(to, s.line, s.across)
	}
	s.taken++
	if s.down == nil {
		s.finished++
		return
	}
	s.opaque[s.taken-1-s.top] = opaque || isOpaque(to)
	for s.finished < s.dst.Rect.Dy() && int(s.down.starts[s.finished])+s.down.taps <= s.taken {
		s.finish()
	}
}

// room is where the next row goes once it is scaled across.
func (s *Scaler) room() []byte {
	stride := s.dst.Stride
	if s.down == nil {
		return s.dst.Pix[s.taken*stride:][:stride]
	}
	if (s.taken-s.top)*stride == len(s.window) {
		first := s.taken
		if s.finished < len(s.down.starts) {
			first = min(first, int(s.down.starts[s.finished]))
		}
		copy(s.window, s.window[(first-s.top)*stride:])
		copy(s.opaque, s.opaque[first-s.top:])
		s.top = first
	}
	return s.window[(s.taken-s.top)*stride:][:stride]
}

// finish makes a row of the result.
func (s *Scaler) finish() {
	y, stride := s.finished, s.dst.Stride
	at := int(s.down.starts[y]) - s.top
	rows, opaque := s.window[at*stride:][:s.down.taps*stride], true
	for _, is := range s.opaque[at:][:s.down.taps] {
		opaque = opaque && is
	}
	to := s.dst.Pix[y*stride:][:stride]
	if opaque {
		downOpaque(to, rows, s.down.opaque[y*s.down.taps:][:s.down.taps], s.down.inverse[y])
	} else {
		down(to, rows, s.down.weights[y*s.down.taps:][:s.down.taps])
	}
	s.finished++
}

// Image returns the result once every row was given.
func (s *Scaler) Image() *image.NRGBA { return s.dst }
