package pdf

// cell is the part of a page that one image and its caption may take.
type cell struct{ x, y, w, h float64 }

// cells returns the cells of a page.
func (l *layout) cells() []cell {
	const gap = 22.0
	height, half := l.bottom-top, exact((l.span-gap)/2)
	row := exact((height - gap) / 2)
	second := top + row + gap
	switch l.doc.Options.PerPage {
	case 2:
		return []cell{{margin, top, l.span, row}, {margin, second, l.span, row}}
	case 4:
		right := margin + half + gap
		return []cell{{margin, top, half, row}, {right, top, half, row}, {margin, second, half, row}, {right, second, half, row}}
	}
	return []cell{{margin, top, l.span, height}}
}

// imagePages lays out every image, or the reason why it cannot be shown.
func (l *layout) imagePages() {
	cells := l.cells()
	for i := range l.doc.Images {
		c := cells[i%len(cells)]
		if i%len(cells) == 0 {
			l.newPage()
		}
		l.y = c.y
		l.addBookmark(joined(": ", l.words.bookmark(i+1), l.doc.Images[i].ID))
		l.image(i, c, len(cells) == 1)
	}
}

// image lays out one image in its cell: a heading, the picture as large as possible, and the caption
// close below it, or beside it where a tall picture leaves room.
func (l *layout) image(i int, c cell, alone bool) {
	img := l.doc.Images[i]
	y := l.imageHead(i, c, alone)
	if l.captionFitsBeside(img, c, c.y+c.h-y) {
		w, _ := l.largePicture(i, c.x, y, c.w, c.y+c.h-y)
		l.caption(img, c.x+w+gutter, y-3, c.w-w-gutter, captionBeside)
		return
	}
	k := captionBelow
	if !alone {
		k = captionSmall
	}
	room := max(24, c.y+c.h-y-captionGap-l.captionHeight(img, c.w, k))
	h := 0.0
	if img.Problem != "" {
		h = l.placeholder(c.x, y, c.w, min(room, exact(c.w*0.62)), img.Problem)
	} else {
		_, h = l.largePicture(i, c.x, y, c.w, room)
	}
	l.caption(img, c.x, y+h+captionGap, c.w, k)
}

// captionFitsBeside reports whether the caption has its place beside the picture. One with remarks may
// be too high for that.
func (l *layout) captionFitsBeside(img Image, c cell, room float64) bool {
	const least = 150
	if l.doc.Options.PerPage != 2 || img.Problem != "" {
		return false
	}
	w, _ := fit(img, c.w, room)
	beside := c.w - w - gutter
	return beside >= least && l.captionHeight(img, beside, captionBeside) <= room
}

// largePicture adds a picture as large as width and height allow, in a frame if it is damaged.
func (l *layout) largePicture(i int, x, y, width, height float64) (w, h float64) {
	w, h = fit(l.doc.Images[i], width, height)
	if l.doc.Images[i].Damaged != "" {
		l.addBox(x-2, y-2, w+4, h+4, signal)
	}
	l.addPicture(i, x, y, w, h)
	return w, h
}

// imageHead names the image and returns where the picture may begin.
func (l *layout) imageHead(i int, c cell, alone bool) float64 {
	img, y := l.doc.Images[i], c.y
	if alone {
		title := l.words.imageOf(i+1, len(l.doc.Images))
		l.addLine(c.x, y, styleHeading, title)
		y += styleHeading.leading()
		return l.names(img, c.x, c.x, y, c.w) + 8
	}
	number := l.words.bookmark(i + 1)
	l.addLine(c.x, y, styleStrong, number)
	return l.names(img, c.x, c.x+l.width(styleStrong, number)+8, y, c.w) + 4
}

// names puts the client's names for an image on one line from x on, or, where they are too long for
// that, on lines of their own, and returns the lower edge of the last line.
func (l *layout) names(img Image, left, x, y, w float64) float64 {
	const gap = 8.0
	id, room := l.width(styleStrong, img.ID), left+w-x
	if name := l.width(styleBody, img.Name); id+gap+name <= room {
		l.addLine(x, y, styleStrong, img.ID)
		l.addLine(x+id+gap, y, styleBody.tinted(grey), img.Name)
		return y + styleStrong.leading()
	}
	if id > room && x > left {
		x, y = left, y+styleStrong.leading()
	}
	y = l.addLines(x, y, styleStrong, l.lines(img.ID, styleStrong, left+w-x))
	if img.Name == "" {
		return y
	}
	return l.addLines(left, y, styleBody.tinted(grey), l.lines(img.Name, styleBody, w))
}

// fit returns the largest size of a picture within width and height, but with no fewer than 48 pixels
// an inch, and no side under one point.
func fit(img Image, width, height float64) (w, h float64) {
	const coarsest = 72.0 / 48
	pw, ph := float64(max(img.Width, 1)), float64(max(img.Height, 1))
	scale := min(width/pw, height/ph, coarsest)
	return max(exact(pw*scale), 1), max(exact(ph*scale), 1)
}

// addPicture places a picture in a hairline frame, which tells a white picture from the page.
func (l *layout) addPicture(i int, x, y, w, h float64) {
	l.addBox(x-hairline, y-hairline, w+2*hairline, h+2*hairline, rule)
	p := l.page()
	p.pictures = append(p.pictures, placed{i, x, y, w, h})
}

// placeholder stands where a picture should be, and returns its height.
func (l *layout) placeholder(x, y, w, h float64, reason string) float64 {
	const pad = 28.0
	headline := l.lines(l.words.cannotBeShown, styleStrong, w-2*pad)
	sentence := l.lines(reason, styleQuiet, w-2*pad)
	height := float64(len(headline))*styleStrong.leading() + float64(len(sentence))*styleQuiet.leading()
	h = max(h, height+20)
	l.addBox(x, y, w, h, shade)
	l.addBox(x, y, w, 2, signal)
	at := y + exact((h-height)/2)
	for _, part := range []struct {
		s     style
		lines [][]letter
	}{{styleStrong, headline}, {styleQuiet, sentence}} {
		for _, line := range part.lines {
			l.addLetters(x+exact((w-widthOf(part.s, line))/2), at, part.s, line)
			at += part.s.leading()
		}
	}
	return h
}
