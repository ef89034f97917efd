package picture

import (
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"casepress/tasks/picture/icc"
	"casepress/tasks/picture/planar"
)

// decoders are those that give whole pictures at their full size. JPEG is among them
// for what the fast way does not take.
var decoders = map[Format]struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}{
	FormatJPEG: {jpeg.DecodeConfig, jpeg.Decode},
	FormatPNG:  {png.DecodeConfig, png.Decode},
	FormatGIF:  {gif.DecodeConfig, gif.Decode},
	FormatWebP: {webp.DecodeConfig, webp.Decode},
	FormatTIFF: {tiff.DecodeConfig, tiff.Decode},
	FormatBMP:  {bmp.DecodeConfig, bmp.Decode},
}

// other decodes the picture whole, at its full size, and has it scaled by imaging.
func (j *job) other() error {
	release, err := j.reserve(j.header.cost(j.options))
	if err != nil {
		return err
	}
	defer release()
	return j.guard(func() error {
		img, err := j.decode()
		if err != nil {
			return err
		}
		if f := j.header.Format; f == FormatJPEG || f == FormatWebP {
			if m := planesOf(img, f == FormatWebP); m != nil {
				return j.finish(m)
			}
		}
		return j.draw(img)
	})
}

// decode returns the pixels in a form that is safe to hand on. The size is asked
// of the decoder once more: it, not our own header walk, is what will allocate.
func (j *job) decode() (image.Image, error) {
	if j.header.frame[1] > 0 {
		if err := j.firstFrame(); err != nil {
			return nil, err
		}
	}
	d, h := decoders[j.header.Format], j.header
	c, err := d.config(j.picture())
	if err != nil {
		return nil, j.explain(err)
	}
	if c.Width != h.Width || c.Height != h.Height {
		return nil, errors.New("two headers that differ")
	}
	img, err := d.decode(j.picture())
	if err != nil {
		return nil, j.explain(err)
	}
	j.notePages()
	return settle(img, image.Rect(0, 0, c.Width, c.Height))
}

// picture returns a reader of what the decoder is to see.
func (j *job) picture() io.Reader {
	switch {
	case j.header.Format == FormatTIFF:
		return j.file() // read here and there
	case j.header.Format == FormatJPEG:
		return newScanCounter(j.file())
	case j.header.frame[1] > 0:
		return j.stillWebP()
	}
	return newBuffered(j.file())
}

func (j *job) notePages() {
	switch {
	case j.header.pages < 2:
	case j.header.Format == FormatTIFF:
		j.note(CodeFirstPage, "The file has several pages; the first one is shown.")
	default:
		j.note(CodeFirstFrame, "The file is an animation; its first frame is shown.")
	}
}

// explain turns a decoder's word that it does not know this kind of file into a
// [*Problem].
func (j *job) explain(err error) error {
	_, jpg := errors.AsType[jpeg.UnsupportedError](err)
	_, apng := errors.AsType[png.UnsupportedError](err)
	_, tif := errors.AsType[tiff.UnsupportedError](err)
	if !jpg && !apng && !tif && !errors.Is(err, bmp.ErrUnsupported) {
		return err
	}
	p := problem(CodeUnsupported, "The picture is of a kind of %s that cannot be shown yet; the original is kept.", j.header.Format)
	p.Err = err
	return p
}

// draw scales img, brings its colours to sRGB, turns it upright, puts white under it,
// and encodes it.
func (j *job) draw(img image.Image) error {
	full := fit(img, j.options.MaxSide)
	if err := j.ctx.Err(); err != nil {
		return err
	}
	if err := j.toSRGB(func(p *icc.Profile) error { return p.ConvertNRGBA(j.ctx, full) }); err != nil {
		return err
	}
	full = overWhite(orient(full, j.header.orientation))
	if isFlat(full) && j.header.Format != FormatJPEG {
		return j.drawing(full)
	}
	m := planar.FromNRGBA(full, 2, 2)
	defer m.Release()
	var err error
	if j.result.Full, err = j.encode(m, j.options.Quality); err != nil {
		return err
	}
	return j.thumbnail(m)
}
