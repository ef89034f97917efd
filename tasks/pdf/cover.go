package pdf

import (
	"fmt"
	"strings"
	"time"
)

// cover lays out the first pages: whose case report it is, when it came, the receipt, the notes and
// the table of images.
func (l *layout) cover(notes []string) {
	l.newPage()
	l.addBookmark(l.doc.Title)
	l.coverHeading()
	l.subjectPanel()
	l.factRows()
	l.remarks()
	if l.doc.Notes != "" {
		l.section(l.words.notes, 64)
		l.noteLines(notes)
	}
	if len(l.doc.Images) > 0 {
		l.table()
	}
}

func (l *layout) coverHeading() {
	l.addBox(margin, l.y, 40, 3, accent)
	l.y += 16
	l.y = l.addLines(margin, l.y, styleTitle, l.lines(l.doc.Title, styleTitle, l.span))
	l.y = l.addLines(margin, l.y+1, styleID, l.lines(l.words.report+" "+l.doc.ID, styleID, l.span))
	l.y += 16
}

// field is a label and its value.
type field struct{ label, value string }

// factRow is a row of two fields, a long one and a short one.
type factRow struct {
	long, short field
	style       style // of the long one
}

// subjectPanel lays out whose case report it is on a tinted panel: patient and visit, and under them
// study and site. Four beside each other would leave no id the room that it needs.
func (l *layout) subjectPanel() {
	const pad, gap = 14.0, 8.0
	d := l.doc
	rows := [][]field{{{l.words.patient, orDash(d.PatientID)}, {l.words.visit, orDash(d.VisitID)}}}
	if d.Study != "" || d.Site != "" {
		rows = append(rows, []field{{l.words.study, orDash(d.Study)}, {l.words.site, orDash(d.Site)}})
	}
	inner := l.span - 2*pad
	height := 2*pad - 8 + gap*float64(len(rows)-1)
	for _, fields := range rows {
		height += l.fieldsHeight(fields, styleSubject, inner)
	}
	l.addBox(margin, l.y, l.span, height, shade)
	y := l.y + pad - 4
	for _, fields := range rows {
		l.fields(margin+pad, y, inner, styleSubject, fields)
		y += l.fieldsHeight(fields, styleSubject, inner) + gap
	}
	l.y += height + 16
}

// factRows lays out times, status, number of images and receipt in two columns with rules between.
func (l *layout) factRows() {
	d, w := l.doc, l.words
	bad, damaged, remarked := 0, 0, 0
	for _, img := range d.Images {
		switch {
		case img.Problem != "":
			bad++
		case img.Damaged != "":
			damaged++
		case len(img.Notes) > 0:
			remarked++
		}
	}
	for i, r := range []factRow{
		{field{w.captured, orDash(instant(d.CapturedAt))}, field{w.received, d.ReceivedAt.UTC().Format("2006-01-02 15:04:05.000 UTC")}, styleBody},
		{field{w.status, w.statusOf(d.Status)}, field{w.contents, w.count(len(d.Images), bad, damaged, remarked)}, styleBody},
		{field{w.receipt, orDash(d.SHA256)}, field{w.sequence, fmt.Sprint(d.Sequence)}, styleReceipt},
	} {
		l.factRow(i, r)
	}
	l.y += 3
}

// factRow lays out one row. The long field takes two thirds of the width.
func (l *layout) factRow(i int, r factRow) {
	const pad = 7.0
	first := exact(l.span * 0.64)
	second := l.span - first - gutter
	long, short := []field{r.long}, []field{r.short}
	height := max(l.fieldsHeight(long, r.style, first), l.fieldsHeight(short, styleBody, second))
	l.ensure(height + 2*pad)
	if i > 0 {
		l.addBox(margin, l.y, l.span, hairline, rule)
		l.y += pad
	}
	l.fields(margin, l.y, first, r.style, long)
	l.fields(margin+first+gutter, l.y, second, styleBody, short)
	l.y += height + pad
}

// fields lays out fields side by side, each over its share of the width.
func (l *layout) fields(x, y, width float64, s style, fields []field) {
	share := l.share(width, len(fields))
	for i, f := range fields {
		at := x + float64(i)*(share+gutter)
		l.addLine(at, y, styleLabel, f.label)
		l.addLines(at, y+styleLabel.leading()+1, s, l.lines(f.value, s, share))
	}
}

func (l *layout) fieldsHeight(fields []field, s style, width float64) float64 {
	share, lines := l.share(width, len(fields)), 1
	for _, f := range fields {
		lines = max(lines, len(l.lines(f.value, s, share)))
	}
	return styleLabel.leading() + 1 + float64(lines)*s.leading()
}

func (l *layout) share(width float64, n int) float64 {
	return exact((width - gutter*float64(n-1)) / float64(n))
}

// remarks lays out the problems that a reader of the PDF must know.
func (l *layout) remarks() {
	for _, p := range l.chars.problems(l.words) {
		l.y += 4
		l.ensure(l.remarkHeight(l.span, p.Detail))
		l.y = l.remark(margin, l.y, l.span, p.Detail) + 6
	}
}

const remarkPad = 8.0

// remarkLines are the lines of sentences in a remark, each beginning on a line of its own.
func (l *layout) remarkLines(width float64, sentences []string) (lines [][]letter) {
	for _, s := range sentences {
		lines = append(lines, l.lines(s, styleProblem, width-2*remarkPad-2)...)
	}
	return lines
}

func (l *layout) remarkHeight(width float64, sentences ...string) float64 {
	return float64(len(l.remarkLines(width, sentences)))*styleProblem.leading() + 2*remarkPad - 4
}

// remark lays out sentences in a tinted box and returns the lower edge of the box.
func (l *layout) remark(x, y, width float64, sentences ...string) float64 {
	height := l.remarkHeight(width, sentences...)
	l.addBox(x, y, width, height, amber)
	l.addBox(x, y, 2, height, signal)
	l.addLines(x+remarkPad+2, y+remarkPad-2, styleProblem, l.remarkLines(width, sentences))
	return y + height
}

// section begins a part of the cover with a heading, on a new page if the heading and the first room
// points of what follows do not fit on this one.
func (l *layout) section(title string, room float64) {
	l.y += 12
	l.ensure(styleHeading.leading() + room)
	l.addBookmark(title)
	l.addLine(margin, l.y, styleHeading, title)
	l.y += styleHeading.leading() + 4
}

// noteLines places the notes, over as many pages as they need. Lines are at most 440 points wide:
// longer ones are hard to read.
func (l *layout) noteLines(paragraphs []string) {
	measure := min(l.span, 440)
	for _, p := range paragraphs {
		for _, line := range l.lines(p, styleNotes, measure) {
			l.ensure(styleNotes.leading())
			l.addLetters(margin, l.y, styleNotes, line)
			l.y += styleNotes.leading()
		}
	}
	l.y += 4
}

// localTime is RFC 3339 without a zone.
const localTime = "2006-01-02T15:04:05"

// instant returns a time in RFC 3339 with blanks between date, time and zone. Any other text comes
// back as it is.
func instant(s string) string {
	_, zoned := time.Parse(time.RFC3339, s)
	_, plain := time.Parse(localTime, s)
	if zoned != nil && plain != nil || len(s) < len(localTime) {
		return s
	}
	date, clock := s[:10], s[11:]
	if i := strings.IndexAny(clock, "+-Z"); i >= 0 {
		clock = clock[:i] + " " + strings.Replace(clock[i:], "Z", "UTC", 1)
	}
	return date + " " + clock
}
