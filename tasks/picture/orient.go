package picture

import (
	"image"

	"github.com/disintegration/imaging"
)

// orient turns and mirrors img upright from an EXIF orientation: 2 is mirrored left to right, 3 turned
// by half, 4 mirrored top to bottom; 5 to 8 have rows and columns swapped: 5 no more than that, 6 to be
// turned clockwise, 7 swapped the other way round, 8 to be turned back. It returns img itself when there
// is nothing to do (1, or a number that EXIF does not know), and never changes it.
//
// imaging, which this file alone knows, works in goroutines of its own, where nobody could recover from
// a panic. What reaches it are pixels that were made here, of their final size.
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
