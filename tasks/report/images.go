package report

import (
	"fmt"
	"strconv"
)

// The columns of the table of images, from the left margin.
const (
	columnName   = 26.0
	columnPixels = 340.0 // right edge
	columnSize   = 410.0 // right edge
	columnState  = width // right edge
)

// table lays out one entry an image: position, names, size, state, digest and, if
// it has one, its problem.
func (l *layout) table() {
	l.section("Images")
	l.tableHead()
	for i, img := range l.doc.Images {
		problem := l.lines(img.Problem, styleProblem, width-columnName)
		if img.Problem == "" {
			problem = nil
		}
		height := 6 + styleBody.leading() + styleHash.leading() + float64(len(problem))*styleProblem.leading() + 6
		if l.y+height > bottom {
			l.newPage()
			l.tableHead()
		}
		l.entry(i, img, problem)
		l.y += height
		l.box(margin, l.y, width, 0.5, rule)
	}
}

func (l *layout) tableHead() {
	l.put(margin, l.y, styleLabel, "No.")
	l.put(margin+columnName, l.y, styleLabel, "Image, file name, SHA-256 of the original")
	l.putRight(margin+columnPixels, l.y, styleLabel, "Original")
	l.putRight(margin+columnSize, l.y, styleLabel, "Size")
	l.putRight(margin+columnState, l.y, styleLabel, "State")
	l.y += styleLabel.leading() + 3
	l.box(margin, l.y, width, 0.8, grey)
}

func (l *layout) entry(i int, img Image, problem []string) {
	y := l.y + 6
	l.put(margin, y, styleBody, strconv.Itoa(i+1))
	l.names(margin+columnName, y, img, columnPixels-columnName-96)
	l.putRight(margin+columnPixels, y, styleSmall.grown(), pixels(img.SourceWidth, img.SourceHeight))
	l.putRight(margin+columnSize, y, styleSmall.grown(), size(img.Bytes))
	state, stateStyle := "shown", styleSmall.grown()
	if problem != nil {
		state, stateStyle = "not shown", styleProblem.grown()
	}
	l.putRight(margin+columnState, y, stateStyle, state)
	y += styleBody.leading()
	l.put(margin+columnName, y, styleHash, img.SHA256)
	y += styleHash.leading()
	for _, line := range problem {
		l.put(margin+columnName, y, styleProblem, line)
		y += styleProblem.leading()
	}
}

// names puts the client's names for an image on one line, cut to limit points.
func (l *layout) names(x, y float64, img Image, limit float64) {
	id := l.clip(img.ID, styleBody, limit)
	l.put(x, y, styleBody, id)
	const gap = 8.0
	used := l.chars.width(id, styleBody.size) + gap
	if limit-used > gap {
		l.put(x+used, y, styleSmall.grown(), l.clip(img.Name, styleBody, limit-used))
	}
}

// grown returns the style at the size of the body, so that both share a baseline.
func (s style) grown() style {
	s.size = styleBody.size
	return s
}

// The room for a picture on its page.
const (
	pictureTop    = top + 46
	pictureHeight = 590.0
)

// imagePage lays out one image, or the reason why it cannot be shown, on a page of
// its own.
func (l *layout) imagePage(i int) {
	img := l.doc.Images[i]
	l.newPage()
	l.bookmark(joined(": ", fmt.Sprintf("Image %d", i+1), img.ID), 1)
	l.put(margin, l.y, styleHeading, fmt.Sprintf("Image %d of %d", i+1, len(l.doc.Images)))
	l.y += styleHeading.leading()
	l.names(margin, l.y, img, width)
	l.y = pictureTop
	if img.Problem != "" {
		l.placeholder(img.Problem)
	} else {
		l.picture(i, img)
	}
	l.y += 12
	shown := ""
	if img.Problem == "" {
		shown = "shown at " + pixels(img.Width, img.Height)
	}
	original := joined(", ", pixels(img.SourceWidth, img.SourceHeight), size(img.Bytes))
	l.put(margin, l.y, styleBody, joined("; ", "Original "+original, shown))
	l.y += styleBody.leading()
	l.put(margin, l.y, styleHash, "SHA-256 of the original  "+img.SHA256)
}

// picture fits the image into its room, never larger than 48 pixels an inch would
// be.
func (l *layout) picture(i int, img Image) {
	const coarsest = 72.0 / 48
	w, h := float64(max(img.Width, 1)), float64(max(img.Height, 1))
	scale := min(width/w, pictureHeight/h, coarsest)
	w, h = w*scale, h*scale
	const frame = 0.75 // tells a white picture from the page
	x := margin + (width-w)/2
	l.box(x-frame, l.y-frame, w+2*frame, h+2*frame, rule)
	p := l.page()
	p.pictures = append(p.pictures, placed{i, x, l.y, w, h})
	l.y += h
}

func (l *layout) placeholder(reason string) {
	const height, pad = 220.0, 40.0
	l.box(margin, l.y, width, height, shade)
	l.box(margin, l.y, width, 2, warning)
	const headline = "This image cannot be shown"
	y := l.y + 78
	l.put(margin+(width-l.chars.width(headline, styleHeading.size))/2, y, styleHeading, headline)
	y += styleHeading.leading() + 4
	for _, line := range l.lines(reason, styleBody, width-2*pad) {
		l.put(margin+(width-l.chars.width(line, styleBody.size))/2, y, styleBody, line)
		y += styleBody.leading()
	}
	l.y += height
}
