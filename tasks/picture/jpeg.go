package picture

import (
	"errors"
	"strings"

	"casepress/tasks/picture/icc"
	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/planar"
)

// keepBytes is the largest JPEG whose pixels are left alone if nothing else is to be
// done to it.
const keepBytes = 500_000

// jpeg goes the fast way: planes decoded at a fraction of the size, scaled, turned
// and encoded without ever being RGB. What that way cannot do, such as CMYK, goes
// the other.
func (j *job) jpeg() error {
	head, err := j.bytes(j.header.length)
	if err != nil {
		return err
	}
	h, err := jpeg.ReadHeader(head)
	if err != nil {
		return j.guard(func() error { return err })
	}
	j.header.orientation, j.header.profile = h.Orientation, h.Profile
	if !h.Supported() {
		return j.other()
	}
	eighths := h.Eighths(j.options.MaxSide)
	release, err := j.reserve(j.size + h.Cost(eighths) + j.finalCost())
	if err != nil {
		return err
	}
	err = j.guard(func() error { return j.scaled(h, eighths) })
	release()
	if errors.Is(err, jpeg.ErrUnsupported) {
		return j.other() // the frame's header did not tell
	}
	return err
}

func (j *job) scaled(h jpeg.Header, eighths int) error {
	data, buffer, err := j.whole()
	if err != nil {
		return err
	}
	defer buffer.Free()
	m, damage, err := jpeg.Decode(j.ctx, data, eighths)
	if err != nil {
		return err
	}
	if damage != nil {
		j.damaged(damage)
	}
	if damage == nil && j.mayStay(h) {
		done, err := j.stay(data, m)
		if done || err != nil {
			m.Release()
			return err
		}
	}
	return j.finish(m)
}

// damaged takes down that a part of the picture is missing.
func (j *job) damaged(damage error) {
	text := damage.Error()
	j.result.Damage = strings.ToUpper(text[:1]) + text[1:] + "."
	j.note(CodeDamaged, "%s What can be read of the picture is shown; the original is kept.", j.result.Damage)
}

// mayStay says whether the file is as it should be but for its metadata: encoding it
// again would only lose.
func (j *job) mayStay(h jpeg.Header) bool {
	if max(h.Width, h.Height) > j.options.MaxSide || j.size > keepBytes || h.Orientation != 1 || h.Progressive {
		return false
	}
	if h.Profile == nil {
		return true
	}
	p, err := icc.Parse(h.Profile)
	return err == nil && p.SRGB()
}

// stay keeps the file's pixels as they are and makes the thumbnail from m. done is
// false if the file cannot be taken apart after all.
func (j *job) stay(data []byte, m *planar.Image) (done bool, err error) {
	stripped, err := jpeg.Strip(data)
	if err != nil {
		return false, nil //nolint:nilerr // it is encoded anew instead
	}
	j.result.Full = Encoded{stripped, m.Width, m.Height, FormatJPEG}
	return true, j.thumbnail(m)
}

// finish takes m over, which the header's orientation and profile still hold for,
// and makes the result of it.
func (j *job) finish(m *planar.Image) error {
	m, err := j.fit(m)
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

// fit takes m over and returns it scaled to the size of the full picture, its colour
// at half that.
func (j *job) fit(m *planar.Image) (*planar.Image, error) {
	w, h := fitSize(j.header.Width, j.header.Height, j.options.MaxSide)
	x, y := m.Chroma()
	if m.Width <= w && m.Height <= h && (x == 0 || x == 2 && y == 2) {
		return m, nil
	}
	small, err := m.Resize(j.ctx, w, h)
	m.Release()
	return small, err
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

// toSRGB lets convert apply the picture's profile if it has one that matters. One
// that cannot be applied is noted, and the colours stay as they are.
func (j *job) toSRGB(convert func(*icc.Profile) error) error {
	if j.header.profile == nil {
		return nil
	}
	p, err := icc.Parse(j.header.profile)
	if err == nil && p.SRGB() {
		return nil
	}
	if err == nil {
		err = convert(p)
	}
	if err == nil || j.ctx.Err() != nil {
		return err
	}
	j.note(CodeColours, "The picture's colour profile could not be applied; its colours may be a little off.")
	return nil
}

// finalCost is the memory that a finished picture, its turned copy and both files
// take at most.
func (j *job) finalCost() int64 {
	w, h := fitSize(j.header.Width, j.header.Height, j.options.MaxSide)
	const planes, buffers = 4, 1 << 20
	return planes*3*int64(w)*int64(h)/2 + buffers
}
