// Package pdf implements the PDF of a case report: a cover with the notes and a table of the
// images, then the images.
//
// It promises that the same input gives the same bytes, that no character of the input is lost or
// replaced without a word, that pictures are embedded as they are, and that a PDF without an error
// was read back from the bytes that were written. It asks no clock and holds no picture in memory.
// It does not decode pictures: it takes JPEG and PNG in the forms that [Image.Open] names.
// docs/pdf.md shows what is on the pages and what the characters are set in.
package pdf

import (
	"fmt"
	"io"
	"time"
)

// Document is what the PDF of a case report says.
type Document struct {
	// ID is the id of the case report, which stands on every page.
	ID string
	// Title is the heading; empty means "Case report" in the language of the PDF.
	Title string
	// PatientID and VisitID say whose case report it is; VisitID may be empty.
	PatientID, VisitID string
	// Study and Site are the ids of the study and of the site within it. What is empty leaves no
	// trace in the PDF.
	Study, Site string
	// Status is that of the case report, such as "completed"; empty means that it is accepted and
	// stored.
	Status string
	// CapturedAt is the client's time exactly as it was sent, or empty.
	CapturedAt string
	// ReceivedAt is when the server accepted the case report. It is shown in UTC and dates the PDF.
	ReceivedAt time.Time
	// SHA256 and Sequence are the receipt: the digest of what was accepted and its place in the log.
	SHA256   string
	Sequence uint64
	// Notes are the client's words. Line ends are kept. A PDF with more than 30,000 different letters
	// of one typeface is an error.
	Notes string
	// Images stand in the order of the case report.
	Images []Image
	// Options are how the PDF looks; the zero value is A4, English, one image a page.
	Options Options
}

// Options are how a PDF looks.
type Options struct {
	// PerPage is how many images share a page: 1, 2 or 4; 0 means 1.
	PerPage int
	// Paper is the size of the pages; empty means [A4].
	Paper Paper
	// Language is that of the PDF's own words; empty means [English]. What the client wrote, and the
	// sentences of an [Image], stay as they are.
	Language Language
}

// Paper is a size of paper.
type Paper string

// The sizes of paper.
const (
	A4     Paper = "A4"
	Letter Paper = "Letter"
)

// Language is a language of the PDF's own words.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Validate returns an error that names the first option with an unknown value and the known ones.
func (o Options) Validate() error {
	switch {
	case o.PerPage != 0 && o.PerPage != 1 && o.PerPage != 2 && o.PerPage != 4:
		return fmt.Errorf("render pdf: %d images a page; 1, 2 or 4 fit", o.PerPage)
	case o.Paper != "" && o.Paper != A4 && o.Paper != Letter:
		return fmt.Errorf("render pdf: paper %q; %q and %q are known", o.Paper, A4, Letter)
	case o.Language != "" && o.Language != English && o.Language != Chinese:
		return fmt.Errorf("render pdf: language %q; %q and %q are known", o.Language, English, Chinese)
	}
	return nil
}

// Image is one image of the case report.
type Image struct {
	// ID and Name are the client's names for it; Name may be empty.
	ID, Name string
	// SHA256 and Bytes are those of the original as received.
	SHA256 string
	Bytes  int64
	// SourceWidth and SourceHeight are the original's pixels, 0 if unknown.
	SourceWidth, SourceHeight int
	// CapturedAt is the camera's time, RFC 3339 with or without a zone, or empty.
	CapturedAt string
	// Open returns the picture to show: a JPEG (grey or colour), embedded byte for byte, or a PNG
	// (8-bit grey or RGB, not interlaced, no transparency), whose samples are embedded as they are. It
	// is called once; what it returns is read once, front to back, and closed. It may be nil if
	// Problem is set.
	Open func() (io.ReadCloser, error)
	// Key, if not empty, names the bytes that Open returns, e.g. by their digest. Of images that share
	// a key, only the first is opened and embedded.
	Key string
	// Width and Height are the pixels of what Open returns.
	Width, Height int
	// Damaged, if not empty, is one sentence that says what is wrong with the picture, which is shown
	// and marked.
	Damaged string
	// Notes are further sentences that whoever looks at the picture must know, such as that it is the
	// first of several pages. They stand in the table and in its caption, each from a line of its own
	// on; where Problem is set, there is no picture, and they are left out. A few short ones have room
	// beside or below a picture, which gets smaller for them; they never go on to another page.
	Notes []string
	// Problem, if not empty, is the sentence that stands in place of the picture.
	Problem string
}

// Problem is something that a reader of the PDF must know.
type Problem struct {
	// Code is stable and machine-readable.
	Code string
	// Detail is one English sentence for people.
	Detail string
}

// CodeCharacters marks characters that no typeface here can show; they are printed as their code
// points.
const CodeCharacters = "text-characters-unshowable"

// CodeUnshaped marks text whose letters should join but are printed one by one.
const CodeUnshaped = "text-letters-not-joined"

// Info is what Render made.
type Info struct {
	// Pages and Bytes are the number of pages and the size of the file.
	Pages int
	Bytes int64
	// Problems are what the cover tells the reader of the PDF itself; those of images are not among
	// them.
	Problems []Problem
}

// Render writes doc as a PDF: a cover with notes and a table of the images, then the images. The
// error of an [Image.Open] or of its reader comes back wrapped.
//
// Pictures go straight from their readers to w, so w gets bytes before it is certain that all is
// well: after an error, throw away what it got. Without an error the PDF was read back from the bytes
// that were written, and its pages, pictures and text are those that were laid out.
//
// Memory: about 2 MB, and 6 kB a page; none of it grows with the pictures' bytes.
func Render(w io.Writer, doc Document) (Info, error) {
	if err := doc.Options.Validate(); err != nil {
		return Info{}, err
	}
	l := newLayout(doc)
	pages := l.document()
	size, err := write(w, l.doc, pages)
	if err != nil {
		return Info{}, fmt.Errorf("render pdf: %w", err)
	}
	return Info{Pages: len(pages), Bytes: size, Problems: l.problems()}, nil
}
