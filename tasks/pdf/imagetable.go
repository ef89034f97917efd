package pdf

import "strconv"

// The columns of the table of images. Number and thumbnail are measured from the left edge, times and
// sizes from the right edge; the names take what is left.
const (
	columnThumb  = 24.0
	columnName   = 86.0
	thumbWidth   = 50.0
	thumbHeight  = 38.0
	columnTaken  = 236.0 // from the right edge
	columnPixels = 54.0  // from the right edge, right-aligned
	rowPad       = 8.0
)

// table lays out one entry an image: number, thumbnail, names, time, size, digest and, if there is one,
// what must be known of it.
func (l *layout) table() {
	l.section(l.words.images, 90)
	l.tableHead()
	for i, img := range l.doc.Images {
		e := l.entryLines(img)
		height := e.height()
		if l.y+height > l.bottom {
			l.newPage()
			l.tableHead()
		}
		l.entry(i, img, e)
		l.y += height
		l.addBox(margin, l.y-hairline, l.span, hairline, rule)
	}
}

func (l *layout) tableHead() {
	right := l.sheet.width - margin
	l.addLine(margin, l.y, styleLabel, l.words.number)
	l.addLine(margin+columnThumb, l.y, styleLabel, l.words.image)
	l.addLine(right-columnTaken, l.y, styleLabel, l.words.taken)
	l.addLineRight(right-columnPixels, l.y, styleLabel, l.words.originalPixels)
	l.addLineRight(right, l.y, styleLabel, l.words.size)
	l.y += styleLabel.leading() + 4
	l.addBox(margin, l.y-0.75, l.span, 0.75, ink)
}

// remarksOf returns what must be known of an image, each sentence for a line of its own.
func (l *layout) remarksOf(img Image) []string {
	if img.Problem != "" {
		return []string{l.words.notShown + " · " + img.Problem}
	}
	return l.captionRemarks(img)
}

// entryLines are the names, the digest and the remarks of an image.
type entryLines struct{ id, name, digest, problem [][]letter }

func (l *layout) entryLines(img Image) (e entryLines) {
	wide := l.span - columnName
	e.id = l.lines(img.ID, styleStrong, wide-columnTaken-gutter/2)
	if img.Name != "" {
		e.name = l.lines(img.Name, styleCell, wide)
	}
	e.digest = l.lines(img.SHA256, styleHash, wide)
	for _, sentence := range l.remarksOf(img) {
		e.problem = append(e.problem, l.lines(sentence, styleProblem, wide)...)
	}
	return e
}

func (e entryLines) height() float64 {
	text := float64(len(e.id))*styleStrong.leading() + float64(len(e.name))*styleCell.leading() +
		float64(len(e.digest))*styleHash.leading() + 1
	if len(e.problem) > 0 {
		text += float64(len(e.problem))*styleProblem.leading() + 2
	}
	return max(text, thumbHeight) + 2*rowPad
}

func (l *layout) entry(i int, img Image, e entryLines) {
	x, y, right := margin+columnName, l.y+rowPad, l.sheet.width-margin
	l.addLine(margin, y, styleCell, strconv.Itoa(i+1))
	l.thumb(i, img, margin+columnThumb, y)
	l.addLine(right-columnTaken, y, styleCell, orDash(instant(img.CapturedAt)))
	l.addLineRight(right-columnPixels, y, styleCell, pixels(img.SourceWidth, img.SourceHeight))
	l.addLineRight(right, y, styleCell, size(img.Bytes))
	y = l.addLines(x, y, styleStrong, e.id)
	y = l.addLines(x, y, styleCell, e.name)
	y = l.addLines(x, y+1, styleHash, e.digest)
	l.addLines(x, y+2, styleProblem, e.problem)
}

// thumb puts the picture, drawn small, or an empty frame in an entry. It costs no bytes: the picture
// is embedded once.
func (l *layout) thumb(i int, img Image, x, y float64) {
	if img.Problem != "" {
		l.addBox(x, y+1, thumbWidth, thumbHeight, shade)
		l.addBox(x+thumbWidth/2-6, y+thumbHeight/2+1, 12, 1, faint)
		return
	}
	w, h := fit(img, thumbWidth, thumbHeight)
	l.addPicture(i, x, y+1, w, h)
}
