package main

import (
	"fmt"
	"image"
	"image/draw"
	"math"
	"strings"
)

// class is how what casepress shows of a file compares with what the others show.
type class int

// The classes, from right to wrong.
const (
	same         class = iota // as all who show it
	remarked                  // shown, with a problem that says what is not right
	alone                     // shown, and nobody else shows it
	refusedByAll              // nobody shows it
	refusedAsOne              // refused with a problem, as one of the others does
	sameAsOne                 // as one of the others, who disagree
	different                 // without a word, unlike all who show it
	refused                   // refused with a problem, though both others show it
)

var classes = []class{same, remarked, alone, refusedByAll, refusedAsOne, sameAsOne, different, refused}

func (c class) String() string {
	return [...]string{
		"shown as by all who show it", "shown, with a problem that says what is not right", "shown by casepress alone",
		"shown by nobody", "not shown, nor by one of the others", "shown as by one of the others, who disagree",
		"shown unlike all others", "not shown, but by both others",
	}[c]
}

func (c class) mustBeExplained() bool { return c >= sameAsOne }

// Two pictures show the same if their averages over a grid of at most cells a side differ by no more. JPEG at
// quality 80 with colour at half the resolution is what most of it is for: in small pictures a cell is a pixel.
const (
	cells       = 32
	meanAllowed = 4.0  // of 255, all cells and colours
	mostAllowed = 48.0 // the worst cell
)

// judge says how ours compares with the others, and in figures how far each is away.
func judge(ours, vips, pil view) (class, string) {
	var asOurs, others int
	var text []string
	for _, other := range []struct {
		name string
		view
	}{{"libvips", vips}, {"Pillow", pil}} {
		switch {
		case !other.shown():
			text = append(text, other.name+": "+other.error)
		case !ours.shown():
			others++
			text = append(text, fmt.Sprintf("%s: shown, %v", other.name, other.img.Bounds().Size()))
		default:
			others++
			d := differ(ours.img, other.img)
			if d.same() {
				asOurs++
			}
			text = append(text, other.name+": "+d.String())
		}
	}
	if !ours.shown() {
		c := [...]class{refusedByAll, refusedAsOne, refused}[others]
		return c, ours.error + "; " + strings.Join(text, "; ")
	}
	c := same
	switch {
	case others == 0:
		c = alone
	case asOurs < others && covers(ours.notes):
		c = remarked
	case asOurs == 0:
		c = different
	case asOurs < others:
		c = sameAsOne
	case covers(ours.notes):
		c = remarked
	}
	return c, strings.Join(append(text, ours.notes...), "; ")
}

// difference is how far two pictures are apart.
type difference struct {
	a, b       image.Point // sizes
	mean, most float64     // of 255
}

func (d difference) same() bool {
	return d.sameSize() && d.mean <= meanAllowed && d.most <= mostAllowed
}

// sameSize allows for another rounding of the shorter side.
func (d difference) sameSize() bool {
	return max(d.a.X-d.b.X, d.b.X-d.a.X) <= 1 && max(d.a.Y-d.b.Y, d.b.Y-d.a.Y) <= 1
}

func (d difference) String() string {
	if !d.sameSize() {
		return fmt.Sprintf("%v, not %v", d.b, d.a)
	}
	return fmt.Sprintf("mean %.1f, most %.0f", d.mean, d.most)
}

func differ(a, b image.Image) difference {
	d := difference{a: a.Bounds().Size(), b: b.Bounds().Size()}
	if !d.sameSize() {
		return d
	}
	w, h := min(cells, d.a.X, d.b.X), min(cells, d.a.Y, d.b.Y)
	x, y := averages(a, w, h), averages(b, w, h)
	for i := range x {
		v := math.Abs(x[i] - y[i])
		d.mean, d.most = d.mean+v/float64(len(x)), max(d.most, v)
	}
	return d
}

// averages returns the average colours of w by h parts of a picture over white, 0 to 255, row by row. A pixel
// across an edge counts on both sides by its share.
func averages(img image.Image, w, h int) []float64 {
	b := img.Bounds()
	flat := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(flat, flat.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(flat, flat.Rect, img, b.Min, draw.Over)
	sums, rows, columns := make([]float64, 3*w*h), shares(b.Dy(), h), shares(b.Dx(), w)
	for y := range rows {
		for x := range columns {
			p := flat.Pix[y*flat.Stride+4*x:]
			for _, row := range rows[y] {
				for _, column := range columns[x] {
					sum, share := sums[3*(row.part*w+column.part):], row.share*column.share
					for c := range 3 {
						sum[c] += share * float64(p[c])
					}
				}
			}
		}
	}
	return sums
}

// share is how much a pixel makes of the average of a part.
type share struct {
	part  int
	share float64
}

// shares returns, for each of n pixels, its shares in the parts that it lies in, of which there are no more than n.
func shares(n, parts int) [][]share {
	all := make([][]share, n)
	unit := float64(parts) / float64(n) // a pixel in parts
	for i := range all {
		from, to := float64(i)*unit, float64(i+1)*unit
		for p := int(from); p < parts && float64(p) < to; p++ {
			if s := min(to, float64(p+1)) - max(from, float64(p)); s > 1e-9 {
				all[i] = append(all[i], share{p, s})
			}
		}
	}
	return all
}
