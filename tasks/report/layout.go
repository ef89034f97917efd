package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"casepress/tasks/report/font"
)

// layout places everything on pages before anything is drawn, so that the number
// of pages and the characters used are known.
type layout struct {
	doc   Document
	chars *characters
	pages []*page
	y     float64 // where the next thing goes on the last page
}

func newLayout(doc Document) *layout {
	return &layout{doc: doc, chars: newCharacters(font.NotoSansSC())}
}

// document lays out the whole document and returns its pages.
func (l *layout) document() []*page {
	notes := l.chars.paragraphs(l.doc.Notes)
	l.cleanNames()
	l.cover(notes)
	for i := range l.doc.Images {
		l.imagePage(i)
	}
	for i := range l.pages {
		l.footer(i)
	}
	return l.pages
}

// cleanNames makes every short text printable, once, so that what cannot be shown
// is known before the cover lists it.
func (l *layout) cleanNames() {
	d := &l.doc
	for _, s := range []*string{&d.ID, &d.Title, &d.PatientID, &d.VisitID, &d.CapturedAt, &d.SHA256} {
		*s = l.chars.line(*s)
	}
	images := make([]Image, len(d.Images))
	for i, img := range d.Images {
		for _, s := range []*string{&img.ID, &img.Name, &img.SHA256, &img.Problem} {
			*s = l.chars.line(*s)
		}
		images[i] = img
	}
	d.Images = images
}

func (l *layout) problems() []Problem { return l.chars.problems() }

func (l *layout) page() *page { return l.pages[len(l.pages)-1] }

func (l *layout) newPage() {
	l.pages = append(l.pages, &page{})
	l.y = top
}

// ensure begins a new page if less than height is left on this one.
func (l *layout) ensure(height float64) {
	if l.y+height > bottom {
		l.newPage()
	}
}

func (l *layout) bookmark(title string, level int) {
	p := l.page()
	p.bookmarks = append(p.bookmarks, bookmark{title, level, l.y})
}

func (l *layout) box(x, y, w, h float64, fill colour) {
	p := l.page()
	p.boxes = append(p.boxes, box{x, y, w, h, fill})
}

// put places one line whose upper edge is y.
func (l *layout) put(x, y float64, s style, content string) {
	if content == "" {
		return
	}
	const ascent = 0.88 // of Noto Sans SC
	slack := (s.leading() - s.size) / 2
	p := l.page()
	p.texts = append(p.texts, text{x, y + slack + ascent*s.size, s, content})
}

// putRight places one line that ends at x.
func (l *layout) putRight(x, y float64, s style, content string) {
	l.put(x-l.chars.width(content, s.size), y, s, content)
}

// lines breaks clean text for a style.
func (l *layout) lines(content string, s style, limit float64) []string {
	return breakLines(content, limit, func(r rune) float64 { return l.chars.font.Width(r) * s.size })
}

// flow places paragraphs from y on, over as many pages as they need.
func (l *layout) flow(paragraphs []string, s style) {
	for _, p := range paragraphs {
		for _, line := range l.lines(p, s, width) {
			l.ensure(s.leading())
			l.put(margin, l.y, s, line)
			l.y += s.leading()
		}
	}
}

// clip returns content cut to one line of limit points, with dots if it was longer.
func (l *layout) clip(content string, s style, limit float64) string {
	if l.chars.width(content, s.size) <= limit {
		return content
	}
	const dots = "…"
	room := limit - l.chars.width(dots, s.size)
	for i, r := range content {
		if room -= l.chars.font.Width(r) * s.size; room < 0 {
			return content[:i] + dots
		}
	}
	return content
}

// footer names the report and the page on page i.
func (l *layout) footer(i int) {
	const y = 794.0
	p := l.pages[i]
	p.boxes = append(p.boxes, box{margin, y, width, 0.5, rule})
	number := fmt.Sprintf("page %d of %d", i+1, len(l.pages))
	p.texts = append(p.texts,
		text{margin, y + 15, styleSmall, "Report " + l.clip(l.doc.ID, styleSmall, width-120)},
		text{margin + width - l.chars.width(number, styleSmall.size), y + 15, styleSmall, number})
}

// count returns "1 image", "2 images".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// size returns a number of bytes for people.
func size(bytes int64) string {
	switch {
	case bytes < 1000:
		return count(int(bytes), "byte")
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
	return fmt.Sprintf("%d × %d px", w, h)
}

// joined puts separators between the parts that are not empty.
func joined(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), separator)
}
