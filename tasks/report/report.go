// Package report keeps what turns a case report and its compressed pictures into
// a PDF that can be believed: the same input gives the same bytes, no character of
// the input is lost or boxed silently, and pictures are embedded as they are. It
// never looks at a clock and never writes a document it has not checked.
package report

import (
	"fmt"
	"io"
	"time"
)

// Document is what a report says.
type Document struct {
	// ID names the report on every page.
	ID string
	// Title is the heading; empty means "Case report".
	Title string
	// PatientID and VisitID say whose it is; VisitID may be empty.
	PatientID, VisitID string
	// CapturedAt is the client's time exactly as it was sent, or empty.
	CapturedAt string
	// ReceivedAt is when the server accepted the report. It is shown in UTC and
	// dates the document.
	ReceivedAt time.Time
	// SHA256 and Sequence are the receipt: the digest of what was accepted and its
	// place in the log.
	SHA256   string
	Sequence uint64
	// Notes are the client's words. Line ends are kept.
	Notes string
	// Images stand in the order of the report.
	Images []Image
}

// Image is one picture of the report.
type Image struct {
	// ID and Name are the client's names for it; Name may be empty.
	ID, Name string
	// SHA256 and Bytes are those of the original as received.
	SHA256 string
	Bytes  int64
	// SourceWidth and SourceHeight are the original's pixels, 0 if unknown.
	SourceWidth, SourceHeight int
	// Open returns the JPEG to show, embedded byte for byte. It is called once and
	// what it returns is closed. Not needed if Problem is set.
	Open func() (io.ReadCloser, error)
	// Width and Height are the JPEG's pixels.
	Width, Height int
	// Problem, if not empty, is the sentence that stands in place of the picture.
	Problem string
}

// Problem is something a reader of the document must know.
type Problem struct {
	// Code is stable and machine-readable.
	Code string
	// Detail is one English sentence for people.
	Detail string
}

// CodeCharacters marks characters that the typeface cannot show; they are printed
// as their code points.
const CodeCharacters = "text-characters-unshowable"

// Info is what a rendered document turned out to be.
type Info struct {
	Pages    int
	Problems []Problem
}

// Render writes doc as a PDF on A4: a cover with notes and a table of the images,
// then a page for each image. Nothing is written to w unless the whole document is
// made and its pages and pictures are counted. The error of an [Image.Open] or of
// its reader comes back wrapped.
//
// Memory: about three times the bytes of all pictures, 5 MB besides.
func Render(w io.Writer, doc Document) (Info, error) {
	if doc.Title == "" {
		doc.Title = "Case report"
	}
	l := newLayout(doc)
	pages := l.document()
	if err := draw(w, doc, pages); err != nil {
		return Info{}, fmt.Errorf("render report: %w", err)
	}
	return Info{Pages: len(pages), Problems: l.problems()}, nil
}
