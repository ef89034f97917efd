package picture

import (
	"bytes"
	"image"
	"image/png"

	"casepress/tasks/picture/planar"
)

// A drawing, such as a screenshot or a scanned form, has areas of one colour and hard
// edges, around which a JPEG rings. It stays a PNG unless that is half as large again
// as a JPEG with fine colour, which is what it becomes otherwise.
const (
	drawingQuality = 85
	pngMayBe       = 1.5
)

func (j *job) drawing(full *image.NRGBA) error {
	fine := planar.FromNRGBA(full, 1, 1)
	defer fine.Release()
	asJPEG, err := j.encode(fine, max(j.options.Quality, drawingQuality))
	if err != nil {
		return err
	}
	var asPNG bytes.Buffer
	if err := png.Encode(&asPNG, greyIfGrey(full)); err != nil {
		return err
	}
	j.result.Full = asJPEG
	if float64(asPNG.Len()) <= pngMayBe*float64(len(asJPEG.Data)) {
		j.result.Full = Encoded{asPNG.Bytes(), full.Rect.Dx(), full.Rect.Dy(), FormatPNG}
	}
	return j.thumbnail(fine)
}

// isFlat says whether most pixels of an opaque picture are the same as their left
// neighbour. Those of photos hardly ever are, and those of drawings still are after
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
