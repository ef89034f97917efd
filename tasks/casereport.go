package tasks

import (
	"encoding/json"
	"strconv"
)

var caseReportKind = &Kind{
	Name:      "case-report",
	Member:    "caseReport",
	Topic:     TopicCaseReports,
	ChangedBy: []string{TopicImages, TopicCompletions},
	Lane:      "case-reports",
	Path:      "/case-reports",
	Decode:    func(content json.RawMessage) (Content, error) { return decodeAs[CaseReport](content) },
	Rows:      Rows{Blobs: caseReportBlobs, Insert: insertCaseReport, Complete: completeCaseReport, Forget: forgetFinishedPictures, Load: loadCaseReports, Verify: verifyReleases},
	NewTask: func(p *Processor, w Work) Task {
		return ImageProcessingTask{Processor: p, Work: w, Report: w.Content.(CaseReport)}
	},
	Event: func(f Finished) Update {
		u := NewUpdate(f)
		u.ID = f.ID + "/" + strconv.Itoa(f.Attempt) // as it was when there was one kind
		u.ReportID = f.ID
		if r, ok := f.Content.(CaseReport); ok {
			u.OccurredAt = f.occurredAt(r.CapturedAt)
		}
		return u
	},
}

// KindCaseReport is the kind of an upload of pictures with a form.
func KindCaseReport() *Kind { return caseReportKind }

// TopicCaseReports holds case reports and requests to retry one.
const TopicCaseReports = "case-reports"

// CaseReport is the content of one upload. It never changes once accepted.
type CaseReport struct {
	ID        string `json:"id"`
	Study     string `json:"study,omitempty"`
	Site      string `json:"site,omitempty"`
	PatientID string `json:"patientId"`
	VisitID   string `json:"visitId,omitempty"`
	Notes     string `json:"notes,omitempty"`
	// CapturedAt is RFC 3339 exactly as the client sent it, zone included; empty if it sent none.
	CapturedAt string  `json:"capturedAt,omitempty"`
	Images     []Image `json:"images"`
}

// Header says whose the report is.
func (r CaseReport) Header() Header {
	return Header{ID: r.ID, Study: r.Study, Site: r.Site, PatientID: r.PatientID, VisitID: r.VisitID}
}

// Originals are the digests of the images.
func (r CaseReport) Originals() []string {
	all := make([]string, len(r.Images))
	for i, img := range r.Images {
		all[i] = img.SHA256
	}
	return all
}

// Key is the report's id.
func (r CaseReport) Key() string { return r.ID }

// Digest is the lower-case hex SHA-256 of the report's canonical form: its JSON with the keys in the order
// of the struct, no white space, no HTML escaping beyond encoding/json's default, and without file names.
// The receipt repeats it.
func (r CaseReport) Digest() string {
	images := make([]Image, len(r.Images))
	for i, img := range r.Images {
		img.Name = ""
		images[i] = img
	}
	r.Images = images
	return digestJSON(r)
}

// CaseReportResult is everything one completed attempt made of a case report.
type CaseReportResult struct {
	// Images stand in the order of [CaseReport.Images].
	Images   []ImageResult `json:"images"`
	PDF      PDF           `json:"report"` // the name is part of the log's format
	Problems []Problem     `json:"problems"`
}

// ImageResult is what became of one image. Full and Thumb are zero when it could not be decoded.
type ImageResult struct {
	Full   Output `json:"full"`
	Thumb  Output `json:"thumb"`
	Width  int    `json:"width"` // of Full, in pixels
	Height int    `json:"height"`
	// MediaType is that of Full, image/jpeg or image/png; Thumb is always a JPEG. Results of earlier versions
	// have none and mean image/jpeg.
	MediaType string `json:"mediaType,omitempty"`
	// SourceWidth and SourceHeight are the original's pixels before it was turned upright, 0 if its header
	// does not say.
	SourceWidth  int `json:"sourceWidth,omitempty"`
	SourceHeight int `json:"sourceHeight,omitempty"`
	// CapturedAt is when the camera says that it took the picture: RFC 3339, without a zone if it tells none,
	// and empty if it does not say. Where is never kept.
	CapturedAt string `json:"capturedAt,omitempty"`
	// Removed are the names of the metadata that the original has and Full has not, sorted; never a value.
	Removed []string `json:"removed,omitempty"`
	// Damaged says that Full shows what could be read of a damaged original; a [Problem] says more.
	Damaged bool `json:"damaged,omitempty"`
}

// Output is a derived image or PDF in the blob store.
type Output struct {
	// SHA256 is the blob's key: lower-case hex.
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// PDF is the rendered PDF of a case report.
type PDF struct {
	Output
	Pages int `json:"pages"`
}

// Problem is something a reader of the report must know although it completed: an image nobody could decode,
// a character the font cannot show.
type Problem struct {
	// Image is the 1-based position of the image concerned, 0 for the report itself.
	Image int `json:"image,omitempty"`
	// Code is stable and machine-readable, e.g. "image-undecodable".
	Code string `json:"code"`
	// Detail is one English sentence for people, without patient data.
	Detail string `json:"detail"`
}
