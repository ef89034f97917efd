package quality

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
)

// A Reference is what a large JPEG should become: fully decoded by the standard library, then Lanczos3 on Y, Cb and Cr
// in float64, upright, without another JPEG's loss. It looks at no colour profile.
type Reference struct {
	planes      []Samples
	size        image.Point
	orientation int
}

// A Score is how near a small JPEG comes to its reference. Chroma is the mean of Cb and Cr, 0 for grey.
type Score struct {
	PSNR, Chroma float64 // dB
	SSIM         float64
	Bytes        int
	Size         image.Point
}

// NewReference decodes the large JPEG.
func NewReference(jpg []byte) (*Reference, error) {
	img, err := jpeg.Decode(bytes.NewReader(jpg))
	if err != nil {
		return nil, err
	}
	planes, err := Planes(img)
	return &Reference{planes, img.Bounds().Size(), Orientation(jpg)}, err
}

// plane returns plane i of the small picture of width x height, each sample covering x by y pixels.
func (r *Reference) plane(i, width, height, x, y int) Plane {
	if r.orientation >= 5 {
		width, height, x, y = height, width, y, x
	}
	scaleX, scaleY := float64(r.size.X)/float64(width), float64(r.size.Y)/float64(height)
	return r.planes[i].Shrink((width+x-1)/x, (height+y-1)/y, x, y, scaleX, scaleY).Upright(r.orientation)
}

// Score measures a small JPEG of any size against the reference at that size.
func (r *Reference) Score(jpg []byte) (Score, error) {
	img, err := jpeg.Decode(bytes.NewReader(jpg))
	if err != nil {
		return Score{}, err
	}
	got, err := Planes(img)
	if err != nil {
		return Score{}, err
	}
	s := Score{Bytes: len(jpg), Size: img.Bounds().Size()}
	if want := r.upright(); (s.Size.X < s.Size.Y) != (want.X < want.Y) {
		return s, fmt.Errorf("%v is not upright", s.Size)
	}
	luma := r.plane(0, s.Size.X, s.Size.Y, 1, 1)
	if s.PSNR, err = PSNR(luma, got[0]); err != nil {
		return s, err
	}
	if s.SSIM, err = SSIM(luma, got[0]); err != nil {
		return s, err
	}
	if len(r.planes) < 3 || len(got) < 3 {
		return s, nil
	}
	for i := 1; i < 3; i++ {
		dB, err := PSNR(r.plane(i, s.Size.X, s.Size.Y, got[i].X, got[i].Y), got[i])
		if err != nil {
			return s, err
		}
		s.Chroma += dB / 2
	}
	return s, nil
}

func (r *Reference) upright() image.Point {
	if r.orientation >= 5 {
		return image.Pt(r.size.Y, r.size.X)
	}
	return r.size
}

// Encode returns the reference itself, rounded, as the standard library's encoder writes it: 4:2:0, or grey.
func (r *Reference) Encode(size image.Point, quality int) ([]byte, error) {
	if size.X <= 0 || size.Y <= 0 {
		return nil, errors.New("encode nothing")
	}
	var buf bytes.Buffer
	rect := image.Rectangle{Max: size}
	if len(r.planes) == 1 {
		grey := image.NewGray(rect)
		round(grey.Pix, grey.Stride, r.plane(0, size.X, size.Y, 1, 1))
		err := jpeg.Encode(&buf, grey, &jpeg.Options{Quality: quality})
		return buf.Bytes(), err
	}
	img := image.NewYCbCr(rect, image.YCbCrSubsampleRatio420)
	round(img.Y, img.YStride, r.plane(0, size.X, size.Y, 1, 1))
	round(img.Cb, img.CStride, r.plane(1, size.X, size.Y, 2, 2))
	round(img.Cr, img.CStride, r.plane(2, size.X, size.Y, 2, 2))
	err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: quality})
	return buf.Bytes(), err
}

func round(pix []byte, stride int, p Plane) {
	for y := range p.Height {
		for x, v := range p.Pix[y*p.Width:][:p.Width] {
			pix[y*stride+x] = byte(v + 0.5)
		}
	}
}
