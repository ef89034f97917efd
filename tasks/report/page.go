package report

// The page is A4 in points, y growing downwards.
const (
	pageWidth  = 595.28
	pageHeight = 841.89
	margin     = 56.0
	top        = 64.0
	bottom     = 776.0 // nothing but the footer lies below
	width      = pageWidth - 2*margin
)

// colour is a red, green and blue of 0 to 255.
type colour struct{ r, g, b int }

var (
	ink     = colour{31, 41, 51}
	grey    = colour{107, 119, 133}
	rule    = colour{222, 226, 231}
	shade   = colour{246, 248, 250}
	accent  = colour{11, 110, 117}
	warning = colour{161, 70, 9}
	amber   = colour{255, 247, 236}
)

// style is how a text looks.
type style struct {
	size   float64 // points
	colour colour
	bold   bool
}

var (
	styleTitle   = style{22, ink, true}
	styleLead    = style{12, grey, false}
	styleHeading = style{12, ink, true}
	styleBody    = style{10, ink, false}
	styleLabel   = style{7.5, grey, false}
	styleSmall   = style{8, grey, false}
	styleHash    = style{7.5, grey, false}
	styleProblem = style{8.5, warning, false}
)

// leading is the distance between two lines of a style.
func (s style) leading() float64 { return s.size * 1.55 }

// page is one page, laid out but not drawn.
type page struct {
	bookmarks []bookmark
	boxes     []box
	pictures  []placed
	texts     []text
}

// bookmark is an entry of the outline. level 0 is the top.
type bookmark struct {
	title string
	level int
	y     float64
}

// box is a filled rectangle.
type box struct {
	x, y, w, h float64
	fill       colour
}

// placed is a picture on the page, image an index into [Document.Images].
type placed struct {
	image      int
	x, y, w, h float64
}

// text is one line of text, y its baseline. content is clean.
type text struct {
	x, y    float64
	style   style
	content string
}
