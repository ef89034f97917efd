package picture

import (
	"bytes"
	"image"
	"image/png"

	"casepress/tasks/picture/icc"
	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/planar"
)

// finish takes over planes, which the header's orientation and profile still hold for, and
// makes the result of them.
func (j *job) finish(m *planar.Image) error {
	m, err := j.fitPlanes(m)
	if err != nil {
		return err
	}
	defer func() { m.Release() }()
	if err := j.toSRGB(func(p *icc.Profile) error { return p.Convert(j.ctx, m) }); err != nil {
		return err
	}
	m = m.Orient(j.header.orientation)
	if j.result.Full, err = j.encode(m, j.options.Quality); err != nil {
		return err
	}
	return j.thumbnail(m)
}

// fitPlanes takes m over and returns it scaled to the size of the full picture, its colour
// at half that.
func (j *job) fitPlanes(m *planar.Image) (*planar.Image, error) {
	w, h := fitSize(j.header.Width, j.header.Height, j.options.MaxSide)
	x, y := m.Chroma()
	if m.Width <= w && m.Height <= h && (x == 0 || x == 2 && y == 2) {
		return m, nil
	}
	small, err := m.Resize(j.ctx, w, h)
	m.Release()
	return small, err
}

// finishImage makes the result of pixels of the header's size.
func (j *job) finishImage(img image.Image) error {
	r, err := rowsOf(img, image.Rect(0, 0, j.header.Width, j.header.Height))
	if err != nil {
		return err
	}
	return j.finishRows(r)
}

// finishRows scales pixels, brings their colours to sRGB, turns them upright, puts white under
// them, and encodes them. A screenshot, a scanned form or an icon stays a PNG.
func (j *job) finishRows(r rows) error {
	w, h := fitSize(j.header.Width, j.header.Height, j.options.MaxSide)
	full, err := j.scale(r, min(w, r.width), min(h, r.height))
	if err != nil {
		return err
	}
	if err := j.toSRGB(func(p *icc.Profile) error { return p.ConvertNRGBA(j.ctx, full) }); err != nil {
		return err
	}
	full = overWhite(orient(full, j.header.orientation))
	if !j.header.codec.lossy && (isSmall(full) || isFlat(full)) {
		return j.graphic(full)
	}
	m := planar.FromNRGBA(full, 2, 2)
	defer m.Release()
	if j.result.Full, err = j.encode(m, j.options.Quality); err != nil {
		return err
	}
	return j.thumbnail(m)
}

// thumbnail makes the thumbnail of the finished planes, which stay.
func (j *job) thumbnail(m *planar.Image) error {
	w, h := fitSize(m.Width, m.Height, j.options.ThumbSide)
	small, err := m.Resize(j.ctx, w, h)
	if err != nil {
		return err
	}
	defer small.Release()
	j.result.Thumb, err = j.encode(small, j.options.Quality)
	return err
}

func (j *job) encode(m *planar.Image, quality int) (Encoded, error) {
	data, err := jpeg.AppendEncode(j.ctx, nil, m, quality)
	return Encoded{data, m.Width, m.Height, FormatJPEG}, err
}

// finalCost is the memory that a finished picture, its turned copy and both files
// take at most.
func finalCost(h *header, o Options) int64 {
	w, ht := fitSize(h.Width, h.Height, o.MaxSide)
	const planes, buffers = 4, 1 << 20
	return planes*3*int64(w)*int64(ht)/2 + buffers
}

// A graphic, such as a screenshot or a scanned form, has areas of one colour and hard
// edges, around which a JPEG rings. It stays a PNG unless that is half as large again
// as a JPEG with fine colour, which is what it becomes otherwise.
const (
	graphicQuality = 85
	pngMayBe       = 1.5
)

func (j *job) graphic(full *image.NRGBA) error {
	fine := planar.FromNRGBA(full, 1, 1)
	defer fine.Release()
	asJPEG, err := j.encode(fine, max(j.options.Quality, graphicQuality))
	if err != nil {
		return err
	}
	asPNG := stoppable{job: j}
	if err := png.Encode(&asPNG, greyIfGrey(full)); err != nil {
		return err
	}
	j.result.Full = asJPEG
	if float64(asPNG.Len()) <= pngMayBe*float64(len(asJPEG.Data)) {
		j.result.Full = Encoded{asPNG.Bytes(), full.Rect.Dx(), full.Rect.Dy(), FormatPNG}
	}
	return j.thumbnail(fine)
}

// stoppable is a buffer that fails once the context ends, which ends the encoder.
type stoppable struct {
	bytes.Buffer
	job *job
}

func (s *stoppable) Write(p []byte) (int, error) {
	if err := s.job.ended(); err != nil {
		return 0, err
	}
	return s.Buffer.Write(p)
}

// smallPixels is how many pixels a picture has of which fine colour costs next to nothing: at half the
// resolution, the colour of one pixel of an icon would run into its neighbours.
const smallPixels = 128 * 128

func isSmall(img *image.NRGBA) bool { return img.Rect.Dx()*img.Rect.Dy() <= smallPixels }

// isFlat says whether most pixels of an opaque picture are the same as their left
// neighbour. Those of photos hardly ever are, and those of graphics still are after
// scaling.
func isFlat(img *image.NRGBA) bool {
	same, w, h := 0, img.Rect.Dx(), img.Rect.Dy()
	for y := range h {
		row := img.Pix[y*img.Stride:][:4*w]
		for x := 4; x+3 < len(row); x += 4 {
			if row[x] == row[x-4] && row[x+1] == row[x-3] && row[x+2] == row[x-2] {
				same++
			}
		}
	}
	return 2*same > w*h
}

// greyIfGrey returns an opaque picture with one channel if the three are the same.
func greyIfGrey(img *image.NRGBA) image.Image {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	grey := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		row, out := img.Pix[y*img.Stride:][:4*w], grey.Pix[y*grey.Stride:]
		for x := range w {
			r := row[4*x]
			if row[4*x+1] != r || row[4*x+2] != r {
				return img
			}
			out[x] = r
		}
	}
	return grey
}
