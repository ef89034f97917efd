// Package planar keeps a picture as separate planes of samples, as JPEG does: a
// brightness plane and, unless it is grey, two colour planes that may be coarser. It
// resizes and turns pictures in that form. It never reads or writes a file format.
package planar

// Plane is a rectangle of 8-bit samples, row by row.
type Plane struct {
	// Pix holds Height rows of Stride bytes, of which Width are samples.
	Pix                   []byte
	Stride, Width, Height int
}

// Image is a picture of one plane (grey) or three (Y, Cb, Cr: full range BT.601, as
// in JFIF). Planes[0] is Width x Height; the colour planes are both ceil(Width/x) x
// ceil(Height/y), with x and y each 1, 2 or 4, their samples centred in the area
// they stand for.
type Image struct {
	Width, Height int
	Planes        []Plane
	x, y          int
}

// New returns an image with planes of undefined contents. x and y say how many
// pixels a colour sample is wide and high; both 0 mean grey.
func New(width, height, x, y int) *Image {
	m := &Image{Width: width, Height: height, x: x, y: y, Planes: []Plane{newPlane(width, height)}}
	if x > 0 {
		w, h := (width+x-1)/x, (height+y-1)/y
		m.Planes = append(m.Planes, newPlane(w, h), newPlane(w, h))
	}
	return m
}

func newPlane(width, height int) Plane {
	const align = 32
	stride := (width + align - 1) &^ (align - 1)
	return Plane{Pix: make([]byte, stride*height+align), Stride: stride, Width: width, Height: height}
}

// Chroma says how many pixels a colour sample is wide and high; both are 0 in a grey
// image.
func (m *Image) Chroma() (x, y int) { return m.x, m.y }

// Release gives the planes back for use by another image. m must not be used again.
func (m *Image) Release() { m.Planes = nil }
