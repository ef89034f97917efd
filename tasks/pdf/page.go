package pdf

// page is one page, laid out but not drawn. Measures are those of styles.go.
type page struct {
	bookmarks []bookmark
	boxes     []box
	pictures  []placed
	texts     []text
}

// bookmark is an entry of the outline.
type bookmark struct {
	title string
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

// text is one line of text, y its baseline.
type text struct {
	x, y    float64
	style   style
	letters []letter
}
