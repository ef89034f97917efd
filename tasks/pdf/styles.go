package pdf

import "math"

// Measures are in points, y growing downwards. They are multiples of 1/64, so that sums are exact and
// the layout is the same on every machine.
const (
	margin    = 54.0
	top       = 78.0 // below the running head
	coverTop  = 54.0
	footRoom  = 66.0 // nothing but the footer lies this near the lower edge
	baseline  = 34.0 // of the footer, from the lower edge
	headLine  = 46.0 // baseline of the running head
	hairline  = 0.5
	gutter    = 16.0
	precision = 64
)

// exact rounds a measure.
func exact(points float64) float64 { return math.Round(points*precision) / precision }

// sheet is the paper.
type sheet struct{ width, height float64 }

func (p Paper) sheet() sheet {
	if p == Letter {
		return sheet{612, 792}
	}
	return sheet{595.28125, 841.890625}
}

// colour is a red, green and blue of 0 to 255.
type colour struct{ r, g, b int }

var (
	ink     = colour{24, 35, 46}
	grey    = colour{94, 107, 121}
	faint   = colour{139, 150, 162}
	rule    = colour{217, 223, 229}
	shade   = colour{243, 246, 248}
	accent  = colour{13, 104, 114}
	warning = colour{150, 62, 8}
	amber   = colour{255, 246, 232}
	signal  = colour{222, 135, 29}
)

// style is how a text looks.
type style struct {
	size   float64 // points
	colour colour
	bold   bool
}

var (
	styleTitle   = style{25, ink, true}
	styleID      = style{9.5, grey, false}
	styleSubject = style{15, ink, true}
	styleHeading = style{12.5, ink, true}
	styleStrong  = style{9.5, ink, true}
	styleBody    = style{9.5, ink, false}
	styleNotes   = style{10.5, ink, false}
	styleQuiet   = style{9, grey, false}
	styleCell    = style{8.5, grey, false}
	styleReceipt = style{8.25, ink, false}
	styleLabel   = style{7.25, grey, false}
	styleSmall   = style{7.75, grey, false}
	styleHash    = style{7, grey, false}
	styleDigest  = style{7.75, ink, false}
	styleProblem = style{8.5, warning, false}
)

// leading is the distance between two lines of a style.
func (s style) leading() float64 { return exact(s.size * 1.5) }

// tinted returns the style in another colour.
func (s style) tinted(c colour) style {
	s.colour = c
	return s
}
