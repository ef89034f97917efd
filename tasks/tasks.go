// Package tasks keeps what is done to a submission, step by step: a case report
// becomes compressed images and a PDF. It knows nothing of queues, rows or HTTP,
// and it never changes what a client handed in.
package tasks

// Status is where a case report stands. A report moves
//
//	accepted -> processing -> completed
//	            processing -> retrying -> processing …
//	            processing -> failed    (one retry call: -> accepted)
type Status string

// The statuses. They appear in the API and in the rows: never rename one.
const (
	Accepted   Status = "accepted"
	Processing Status = "processing"
	Retrying   Status = "retrying"
	Completed  Status = "completed"
	Failed     Status = "failed"
)

// Final reports whether no more work is due unless somebody asks for a retry.
func (s Status) Final() bool { return s == Completed || s == Failed }

// Problem is something a reader of the report must know although it completed:
// an image nobody could decode, a character the font cannot show.
type Problem struct {
	// Image is the 1-based position of the image concerned, 0 for the report itself.
	Image int `json:"image,omitempty"`
	// Code is stable and machine-readable, e.g. "image-undecodable".
	Code string `json:"code"`
	// Detail is one English sentence for people, without patient data.
	Detail string `json:"detail"`
}

// Output is a derived image or document in the blob store.
type Output struct {
	// SHA256 is the blob's key: lower-case hex.
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// ImageResult is what became of one image. Full and Thumb are zero when it could
// not be decoded.
type ImageResult struct {
	Full   Output `json:"full"`
	Thumb  Output `json:"thumb"`
	Width  int    `json:"width"` // of Full, in pixels
	Height int    `json:"height"`
	// MediaType is that of Full, image/jpeg or image/png; Thumb is always a JPEG.
	// Results of earlier versions have none and mean image/jpeg.
	MediaType string `json:"mediaType,omitempty"`
	// SourceWidth and SourceHeight are the original's pixels before it was turned
	// upright, 0 if its header does not say.
	SourceWidth  int `json:"sourceWidth,omitempty"`
	SourceHeight int `json:"sourceHeight,omitempty"`
	// CapturedAt is when the camera says that it took the picture: RFC 3339, without
	// a zone if it tells none, and empty if it does not say. Where is never kept.
	CapturedAt string `json:"capturedAt,omitempty"`
	// Removed are the names of the metadata that the original has and Full has not,
	// sorted; never a value.
	Removed []string `json:"removed,omitempty"`
	// Damaged says that Full shows what could be read of a damaged original; a
	// [Problem] says more.
	Damaged bool `json:"damaged,omitempty"`
}

// Document is the rendered PDF.
type Document struct {
	Output
	Pages int `json:"pages"`
}

// Result is everything one completed run made of a case report.
type Result struct {
	// Images stand in the order of [CaseReport.Images].
	Images   []ImageResult `json:"images"`
	Report   Document      `json:"report"`
	Problems []Problem     `json:"problems"`
}
