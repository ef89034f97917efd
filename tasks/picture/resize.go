package picture

import (
	"image"

	"github.com/disintegration/imaging"
)

// This file alone knows imaging, which nobody maintains any more: what reaches it
// has gone through settle.

// fit scales img down so that its longest side is at most side, and copies it if
// it is small enough. Scaling comes before turning: there are fewer pixels to turn.
func fit(img image.Image, side int) *image.NRGBA {
	w, h := fitSize(img.Bounds().Dx(), img.Bounds().Dy(), side)
	return imaging.Resize(img, w, h, imaging.Lanczos)
}

// fitSize is the size that a picture of w x h has once it fits within side,
// rounded, never below one pixel and never above its own size.
func fitSize(w, h, side int) (int, int) {
	long := max(w, h)
	if long <= side {
		return w, h
	}
	scale := func(n int) int { return max(1, int((int64(n)*int64(side)*2+int64(long))/(2*int64(long)))) }
	return scale(w), scale(h)
}

// orient turns and mirrors img as an EXIF orientation asks.
func orient(img *image.NRGBA, orientation int) *image.NRGBA {
	switch orientation {
	case 2:
		return imaging.FlipH(img)
	case 3:
		return imaging.Rotate180(img)
	case 4:
		return imaging.FlipV(img)
	case 5:
		return imaging.Transpose(img)
	case 6:
		return imaging.Rotate270(img) // imaging turns counter-clockwise
	case 7:
		return imaging.Transverse(img)
	case 8:
		return imaging.Rotate90(img)
	}
	return img
}
