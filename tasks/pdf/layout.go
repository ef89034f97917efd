package pdf

import (
	"fmt"
	"slices"
	"strings"
)

// layout places everything on pages before anything is drawn, so that the number of pages and the
// letters of each typeface are known when drawing begins.
type layout struct {
	sheet
	doc    Document
	words  *labels
	chars  *characters
	pages  []*page
	y      float64 // where the next thing goes on the last page
	bottom float64 // nothing but the footer lies below
	span   float64 // between the margins
}

func newLayout(doc Document) *layout {
	s := doc.Options.Paper.sheet()
	return &layout{
		sheet: s, doc: doc, words: doc.Options.labels(), chars: newCharacters(),
		bottom: s.height - footRoom, span: s.width - 2*margin,
	}
}

// document lays out the whole document and returns its pages.
func (l *layout) document() []*page {
	notes := l.chars.paragraphs(l.doc.Notes)
	for i, p := range notes {
		notes[i] = l.chars.line(p)
	}
	l.cleanNames()
	l.cover(notes)
	l.imagePages()
	for i := range l.pages {
		l.headAndFoot(i)
	}
	return l.pages
}

// cleanNames replaces line ends and characters that cannot be shown in every short text. It comes
// before the cover, which lists these characters.
func (l *layout) cleanNames() {
	d := &l.doc
	if d.Title == "" {
		d.Title = l.words.title
	}
	for _, s := range []*string{&d.ID, &d.Title, &d.PatientID, &d.VisitID, &d.Study, &d.Site, &d.Status, &d.CapturedAt, &d.SHA256} {
		*s = l.chars.line(*s)
	}
	images := slices.Clone(d.Images)
	for i := range images {
		img := &images[i]
		for _, s := range []*string{&img.ID, &img.Name, &img.SHA256, &img.CapturedAt, &img.Damaged, &img.Problem} {
			*s = l.chars.line(*s)
		}
		img.Notes = slices.Clone(img.Notes)
		for n, s := range img.Notes {
			img.Notes[n] = l.chars.line(s)
		}
	}
	d.Images = images
}

func (l *layout) problems() []Problem { return l.chars.problems(&english) }

func (l *layout) page() *page { return l.pages[len(l.pages)-1] }

func (l *layout) newPage() {
	l.pages = append(l.pages, &page{})
	l.y = top
	if len(l.pages) == 1 {
		l.y = coverTop
	}
}

// ensure begins a new page if less than height is left on this one.
func (l *layout) ensure(height float64) {
	if l.y+height > l.bottom {
		l.newPage()
	}
}

func (l *layout) addBookmark(title string) {
	p := l.page()
	p.bookmarks = append(p.bookmarks, bookmark{title, l.y})
}

func (l *layout) addBox(x, y, w, h float64, fill colour) {
	p := l.page()
	p.boxes = append(p.boxes, box{x, y, w, h, fill})
}

// width returns the width of text in points.
func (l *layout) width(s style, content string) float64 {
	return widthOf(s, l.chars.letters(content, s.bold))
}

func widthOf(s style, letters []letter) float64 {
	w := 0
	for _, l := range letters {
		w += l.width
	}
	return exact(float64(w) * s.size / 1000)
}

// addLine places one line whose upper edge is y.
func (l *layout) addLine(x, y float64, s style, content string) {
	l.addLetters(x, y, s, l.chars.letters(content, s.bold))
}

// addLineRight places one line that ends at x.
func (l *layout) addLineRight(x, y float64, s style, content string) {
	letters := l.chars.letters(content, s.bold)
	l.addLetters(x-widthOf(s, letters), y, s, letters)
}

func (l *layout) addLetters(x, y float64, s style, letters []letter) {
	if len(letters) == 0 {
		return
	}
	// The baseline lies so that capitals (0.714 em) stand in the middle of the line.
	rise := exact((s.leading()+0.714*s.size)/2 + 0.02*s.size)
	p := l.page()
	p.texts = append(p.texts, text{x, y + rise, s, letters})
}

// lines breaks text for a style.
func (l *layout) lines(content string, s style, limit float64) [][]letter {
	return breakLines(l.chars.letters(content, s.bold), int(limit*1000/s.size))
}

// addLines places lines under each other and returns where they end.
func (l *layout) addLines(x, y float64, s style, lines [][]letter) float64 {
	for _, line := range lines {
		l.addLetters(x, y, s, line)
		y += s.leading()
	}
	return y
}

// clip returns content cut to one line of limit points, with dots if it was longer.
func (l *layout) clip(content string, s style, limit float64) []letter {
	letters := l.chars.letters(content, s.bold)
	if widthOf(s, letters) <= limit {
		return letters
	}
	dots := l.chars.letters("…", s.bold)
	room := limit - widthOf(s, dots)
	for i := range letters {
		if widthOf(s, letters[:i+1]) > room {
			return slices.Concat(letters[:i], dots)
		}
	}
	return letters
}

// headAndFoot puts the head on page i, but not on the first, which says the same and more, and the
// foot.
func (l *layout) headAndFoot(i int) {
	p := l.pages[i]
	add := func(x, y float64, s style, letters []letter) { p.texts = append(p.texts, text{x, y, s, letters}) }
	if i > 0 {
		number := l.chars.letters(l.doc.Title, styleSmall.bold)
		at := l.sheet.width - margin - widthOf(styleSmall, number)
		add(margin, headLine, styleSmall, l.clip(l.subject(), styleSmall, at-margin-gutter))
		add(at, headLine, styleSmall, number)
		p.boxes = append(p.boxes, box{margin, headLine + 8, l.span, hairline, rule})
	}
	y := l.sheet.height - baseline
	number := l.chars.letters(l.words.pageOf(i+1, len(l.pages)), styleSmall.bold)
	at := l.sheet.width - margin - widthOf(styleSmall, number)
	p.boxes = append(p.boxes, box{margin, y - 16, l.span, hairline, rule})
	add(margin, y, styleSmall, l.clip(l.words.report+" "+l.doc.ID, styleSmall, at-margin-gutter))
	add(at, y, styleSmall, number)
}

// subject says whose case report it is, in one line.
func (l *layout) subject() string {
	named := func(label, value string) string {
		if value == "" {
			return ""
		}
		return label + " " + value
	}
	d := l.doc
	return joined(" · ", named(l.words.patient, d.PatientID), named(l.words.visit, d.VisitID), named(l.words.study, d.Study), named(l.words.site, d.Site))
}

// size returns a number of bytes for people.
func size(bytes int64) string {
	switch {
	case bytes < 1000:
		return fmt.Sprintf("%d B", bytes)
	case bytes < 1_000_000:
		return fmt.Sprintf("%.0f kB", float64(bytes)/1e3)
	}
	return fmt.Sprintf("%.2f MB", float64(bytes)/1e6)
}

// pixels returns a picture's size for people, or "".
func pixels(w, h int) string {
	if w <= 0 || h <= 0 {
		return ""
	}
	return fmt.Sprintf("%d × %d", w, h)
}

// joined puts separators between the parts that are not empty.
func joined(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), separator)
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
