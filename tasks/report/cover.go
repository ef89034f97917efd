package report

import (
	"fmt"
	"time"
)

// cover lays out the front: whose report it is, when, the receipt, the notes and
// the table of images.
func (l *layout) cover(notes []string) {
	l.newPage()
	l.bookmark(l.doc.Title, 0)
	l.heading()
	l.fields()
	l.remarks()
	if l.doc.Notes != "" {
		l.section("Notes")
		l.flow(notes, styleBody)
		l.y += 10
	}
	if len(l.doc.Images) > 0 {
		l.table()
	}
}

func (l *layout) heading() {
	l.box(margin, top-8, 36, 3, accent)
	l.y = top + 8
	for _, line := range l.lines(l.doc.Title, styleTitle, width) {
		l.put(margin, l.y, styleTitle, line)
		l.y += styleTitle.leading()
	}
	for _, line := range l.lines(l.doc.whose(), styleLead, width) {
		l.put(margin, l.y, styleLead, line)
		l.y += styleLead.leading()
	}
	l.y += 14
	l.box(margin, l.y, width, 0.5, rule)
	l.y += 14
}

// field is a label and its value.
type field struct{ label, value string }

// fields lays out the facts in two columns, the long ones over both.
func (l *layout) fields() {
	d := l.doc
	bad := 0
	for _, img := range d.Images {
		if img.Problem != "" {
			bad++
		}
	}
	images := count(len(d.Images), "image")
	if bad > 0 {
		images += fmt.Sprintf(", %d not shown", bad)
	}
	l.row(field{"Captured, as the sender wrote it", orDash(d.CapturedAt)},
		field{"Received (UTC)", d.ReceivedAt.UTC().Format("2006-01-02 15:04:05.000 UTC")})
	l.row(field{"Status", "Accepted and stored"}, field{"Contents", images})
	l.row(field{"Report", d.ID}, field{"Log sequence", fmt.Sprint(d.Sequence)})
	l.row(field{"Receipt: SHA-256 of what was accepted", d.SHA256})
	l.y += 6
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// row lays out fields side by side, each over its share of the width.
func (l *layout) row(fields ...field) {
	const gutter = 16.0
	share := (width - gutter*float64(len(fields)-1)) / float64(len(fields))
	columns, lines := make([][]string, len(fields)), 1
	for i, f := range fields {
		columns[i] = l.lines(f.value, styleBody, share)
		lines = max(lines, len(columns[i]))
	}
	l.ensure(styleLabel.leading() + styleBody.leading()*float64(lines))
	for i, f := range fields {
		x, y := margin+float64(i)*(share+gutter), l.y
		l.put(x, y, styleLabel, f.label)
		y += styleLabel.leading()
		for _, line := range columns[i] {
			l.put(x, y, styleBody, line)
			y += styleBody.leading()
		}
	}
	l.y += styleLabel.leading() + styleBody.leading()*float64(lines) + 9
}

// remarks lays out what the reader must know, in a tinted box.
func (l *layout) remarks() {
	const pad = 9.0
	for _, p := range l.problems() {
		lines := l.lines(p.Detail, styleProblem, width-2*pad)
		height := float64(len(lines))*styleProblem.leading() + 2*pad
		l.ensure(height)
		l.box(margin, l.y, width, height, amber)
		l.box(margin, l.y, 2, height, warning)
		for i, line := range lines {
			l.put(margin+pad, l.y+pad+float64(i)*styleProblem.leading(), styleProblem, line)
		}
		l.y += height + 12
	}
}

// section begins a part of the cover under a heading, together with its first
// lines.
func (l *layout) section(title string) {
	l.ensure(80)
	l.bookmark(title, 1)
	l.put(margin, l.y, styleHeading, title)
	l.y += styleHeading.leading() + 3
}

// whose says whose report it is.
func (d Document) whose() string {
	if d.VisitID == "" {
		return "Patient " + d.PatientID
	}
	return "Patient " + d.PatientID + ", visit " + d.VisitID
}

// receivedAt is the time that dates the document.
func (d Document) receivedAt() time.Time {
	return d.ReceivedAt.UTC().Truncate(time.Second)
}
