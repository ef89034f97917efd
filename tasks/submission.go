package tasks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Kind says what a [Submission] carries.
type Kind string

// The kinds of submission. They are part of the log's format: never rename one.
const (
	KindCaseReport Kind = "case-report"
	KindImage      Kind = "image"
	KindRetry      Kind = "retry"
	KindCompletion Kind = "completion"
)

// submissionVersion is the version of the JSON that [Submission.Encode] writes.
const submissionVersion = 1

// Image is one image of a case report as the client handed it in. The bytes
// themselves lie in the blob store under SHA256.
type Image struct {
	// ImageID names the image within one patient: 1-64 of A-Za-z0-9._-.
	ImageID string `json:"imageId"`
	// SHA256 is the lower-case hex digest of the bytes as received.
	SHA256 string `json:"sha256"`
	// Bytes is the size as received.
	Bytes int64 `json:"bytes"`
	// MediaType is what the leading bytes say, never what the client said.
	MediaType string `json:"mediaType"`
	// Name is the client's file name, a label only: it is not part of the
	// report's digest, because phones rename files between two tries.
	Name string `json:"name,omitempty"`
}

// DerivedPrefix begins the ImageID of a file that came without one.
const DerivedPrefix = "sha256-"

// DerivedImageID is the ImageID of a file that came without one: a part of its digest.
func DerivedImageID(sha256 string) string { return DerivedPrefix + sha256[:32] }

// CaseReport is the content of one upload. It never changes once accepted.
type CaseReport struct {
	ID        string `json:"id"`
	PatientID string `json:"patientId"`
	VisitID   string `json:"visitId,omitempty"`
	Notes     string `json:"notes,omitempty"`
	// CapturedAt is RFC 3339 exactly as the client sent it, zone included;
	// empty if it sent none.
	CapturedAt string  `json:"capturedAt,omitempty"`
	Images     []Image `json:"images"`
}

// Digest is the lower-case hex SHA-256 of the report's canonical form: its JSON
// with the keys in the order of the struct, no white space, no HTML escaping
// beyond encoding/json's default, and without file names. Two uploads with the
// same id are the same report if and only if their digests are equal; the
// receipt repeats it.
func (r CaseReport) Digest() string {
	images := make([]Image, len(r.Images))
	for i, img := range r.Images {
		img.Name = ""
		images[i] = img
	}
	r.Images = images
	canonical, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and integers always marshal
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// PatientImage is an image put ahead of the report that will name it.
type PatientImage struct {
	PatientID string `json:"patientId"`
	Image
}

// Retry asks for a failed report to run again. It only counts while the row
// still stands at Attempt, so that a repeated click is one retry.
type Retry struct {
	ID      string `json:"id"`
	Attempt int    `json:"attempt"`
}

// Completion is what became of a report whose originals are about to be dropped:
// once they are, its row cannot be made again in any other way.
type Completion struct {
	ID string `json:"id"`
	// Sequence is the offset of the report's record.
	Sequence   uint64    `json:"sequence"`
	Attempt    int       `json:"attempt"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	Result     Result    `json:"result"`
	// Released are the 1-based positions of the images whose originals the report
	// needs no more.
	Released []int `json:"released"`
}

// Submission is one record of the log: what was accepted and when, or a
// completion. Exactly one of CaseReport, Image, Retry and Completion is set, as
// Kind says.
type Submission struct {
	Version    int       `json:"v"`
	Kind       Kind      `json:"kind"`
	ReceivedAt time.Time `json:"receivedAt"`
	// SHA256 is [CaseReport.Digest] for a case report, else empty.
	SHA256 string `json:"sha256,omitempty"`
	// ImagesEnd is set for a case report: images put ahead at or beyond this offset
	// of their topic were put after it, and so for another report.
	ImagesEnd  uint64        `json:"imagesEnd,omitempty"`
	CaseReport *CaseReport   `json:"caseReport,omitempty"`
	Image      *PatientImage `json:"image,omitempty"`
	Retry      *Retry        `json:"retry,omitempty"`
	Completion *Completion   `json:"completion,omitempty"`
}

// Encode returns the submission as the log keeps it. It sets Version.
func (s Submission) Encode() ([]byte, error) {
	s.Version = submissionVersion
	return json.Marshal(s)
}

// DecodeSubmission reads what [Submission.Encode] wrote. It refuses a version or
// kind it does not know and a record without the part its kind names.
func DecodeSubmission(b []byte) (Submission, error) {
	var s Submission
	if err := json.Unmarshal(b, &s); err != nil {
		return Submission{}, fmt.Errorf("decode submission: %w", err)
	}
	if s.Version != submissionVersion {
		return Submission{}, fmt.Errorf("decode submission: version %d, this build reads %d", s.Version, submissionVersion)
	}
	switch {
	case s.Kind == KindCaseReport && s.CaseReport != nil:
	case s.Kind == KindImage && s.Image != nil:
	case s.Kind == KindRetry && s.Retry != nil:
	case s.Kind == KindCompletion && s.Completion != nil:
	default:
		return Submission{}, fmt.Errorf("decode submission: kind %q without its content", s.Kind)
	}
	return s, nil
}
