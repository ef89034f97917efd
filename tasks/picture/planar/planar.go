// Package planar implements pictures as separate planes of samples, as JPEG has them: a
// brightness plane and, unless it is grey, two colour planes that may be coarser. It
// resizes and turns pictures in that form. It never reads or writes a file format.
package planar

import "casepress/tasks/picture/memory"

// align is what strides are a multiple of: a vector of the fast paths.
const align = 32

// Plane is a rectangle of 8-bit samples, row by row.
type Plane struct {
	// Pix holds Height rows of Stride bytes, of which Width are samples. A vector may
	// be read past the last sample of a row, also of the last one.
	Pix                   []byte
	Stride, Width, Height int
}

// Row is the samples of row y.
func (p *Plane) Row(y int) []byte { return p.Pix[y*p.Stride:][:p.Width:p.Stride] }

// Image is a picture of one plane (grey) or three (Y, Cb, Cr: full range BT.601, as
// in JFIF). Planes[0] is Width x Height; the colour planes are both ceil(Width/x) x
// ceil(Height/y), with x and y each 1, 2 or 4, their samples centred in the area
// they stand for. Only New makes one.
type Image struct {
	Width, Height int
	Planes        []Plane
	x, y          int
	across, down  extent
	memory        *memory.Buffer
}

// extent is how many samples, num/den, the picture really reaches over. It is their
// number unless Reduced says less.
type extent struct{ num, den int }

// New returns an image with planes of undefined contents, which may be an earlier
// picture's: whoever asks for one writes every sample. x and y say how many pixels a
// colour sample is wide and high; both 0 mean grey. The strides are a multiple of 32.
func New(width, height, x, y int) *Image {
	m := &Image{Width: width, Height: height, x: x, y: y, across: extent{width, 1}, down: extent{height, 1}}
	m.Planes = append(make([]Plane, 0, 3), layout(width, height))
	if x > 0 {
		c := layout((width+x-1)/x, (height+y-1)/y)
		m.Planes = append(m.Planes, c, c)
	}
	size := 0
	for _, p := range m.Planes {
		size += p.Stride*p.Height + align
	}
	m.memory = memory.Get(size)
	m.place(m.memory.Bytes)
	return m
}

// layout is a plane without its samples.
func layout(width, height int) Plane {
	stride := (width + align - 1) &^ (align - 1)
	return Plane{Stride: stride, Width: width, Height: height}
}

// place cuts b into the planes.
func (m *Image) place(b []byte) {
	for i := range m.Planes {
		n := m.Planes[i].Stride*m.Planes[i].Height + align
		m.Planes[i].Pix, b = b[:n:n], b[n:]
	}
}

// Chroma says how many pixels a colour sample is wide and high; both are 0 in a grey
// image.
func (m *Image) Chroma() (x, y int) { return m.x, m.y }

// Reduced says that the samples stand for a picture of width x height pixels that was
// reduced to n/d of its size: the last column and row then reach over its edges where
// the sides are no multiples, and a resize takes that into account. Without it all
// that is far from the top left would come out displaced by up to a pixel.
func (m *Image) Reduced(width, height, n, d int) {
	m.across, m.down = extent{width * n, d}, extent{height * n, d}
}

// Release gives the planes back for use by another image. m must not be used again;
// a second Release does nothing.
func (m *Image) Release() {
	if m.memory == nil {
		return
	}
	m.memory.Free()
	m.memory, m.Planes = nil, nil
}
