package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Header is what every submission has. Only ID is always set.
type Header struct {
	// ID is unique among the submissions of one kind, over all studies.
	ID string
	// Study and Site say where it belongs; "" is the study, or the site, without a name.
	Study, Site string
	// PatientID names the patient within the study: a subject is (Study, PatientID).
	PatientID string
	VisitID   string
}

// Subject is whose data a submission holds.
type Subject struct{ Study, PatientID string }

// Subject returns whose data it is.
func (h Header) Subject() Subject { return Subject{h.Study, h.PatientID} }

// Key names the subject in events, whose order is kept per key. Without a study it is the patient id alone,
// as it was before there were studies. Ids never contain a slash.
func (s Subject) Key() string {
	if s.Study == "" {
		return s.PatientID
	}
	return s.Study + "/" + s.PatientID
}

// Content is what a submission carries, a value of its kind's own type. It never changes once accepted.
type Content interface {
	Header() Header
	// Digest is the lower-case hex SHA-256 of the content's canonical form; "" for a kind whose records
	// are not compared. Two submissions with the same id are the same if and only if their digests are equal.
	Digest() string
	// Key names the content within its kind: two records with one key are one submission, handed in twice.
	Key() string
}

// Submission is one record of the log: what was accepted and when.
//
//	{"v":1,"kind":"case-report","receivedAt":"2026-11-26T20:03:11.000001Z","sha256":"…","caseReport":{…}}
//
// The member that holds the content is the kind's [Kind.Member].
type Submission struct {
	Kind       *Kind
	ReceivedAt time.Time
	// SHA256 is the content's digest, "" where a kind has none.
	SHA256 string
	// ImagesEnd is set for a case report in the log: images put ahead at or beyond this offset of their
	// topic were put after it, and so for another report.
	ImagesEnd uint64
	Content   Content
	// Fresh says that the id was made for this submission a moment ago, so that nobody can have used it before.
	// It is not kept.
	Fresh bool
}

// submissionVersion is the version of the record that [Submission.Encode] writes.
const submissionVersion = 1

// envelope is the part of a record that all kinds share. Its members are part of the log's format.
type envelope struct {
	Version    int       `json:"v"`
	Kind       string    `json:"kind"`
	ReceivedAt time.Time `json:"receivedAt"`
	SHA256     string    `json:"sha256,omitempty"`
	ImagesEnd  uint64    `json:"imagesEnd,omitempty"`
}

// NewSubmission returns the content as a submission that is not accepted yet.
func NewSubmission(k *Kind, c Content) Submission {
	return Submission{Kind: k, SHA256: c.Digest(), Content: c}
}

// Ref names the submission.
func (s Submission) Ref() Ref { return Ref{s.Kind.Name, s.Content.Header().ID} }

// About names the submission that the record is about: itself, or the one whose rows it changes.
func (s Submission) About() (Ref, error) {
	switch {
	case s.Kind.IsSubmission():
		return s.Ref(), nil
	case s.Kind.Rows.Changed != nil:
		return s.Kind.Rows.Changed(s.Content), nil
	}
	return Ref{}, fmt.Errorf("a %s is no work", s.Kind.Name)
}

// Encode returns the submission as the log keeps it.
func (s Submission) Encode() ([]byte, error) {
	const usual = 1536 // bytes
	return s.Append(make([]byte, 0, usual))
}

// Append is Encode that appends to b.
func (s Submission) Append(b []byte) ([]byte, error) {
	record, err := s.append(b)
	if err != nil {
		return nil, fmt.Errorf("encode submission: %w", err)
	}
	return record, nil
}

func (s Submission) append(b []byte) ([]byte, error) {
	record, err := envelope{submissionVersion, s.Kind.Name, s.ReceivedAt, s.SHA256, s.ImagesEnd}.appendHead(b, s.Kind)
	if err != nil {
		return nil, err
	}
	if s.Kind.Append != nil {
		record, err = s.Kind.Append(record, s.Content)
	} else {
		var content []byte
		content, err = json.Marshal(s.Content)
		record = append(record, content...)
	}
	if err != nil {
		return nil, err
	}
	return append(record, '}'), nil
}

// appendHead appends what a record of the kind with this envelope begins with, up to its content, as encoding/json writes it.
func (e envelope) appendHead(b []byte, k *Kind) ([]byte, error) {
	b = strconv.AppendInt(append(b, `{"v":`...), int64(e.Version), 10)
	b = appendText(append(b, `,"kind":`...), e.Kind)
	b, err := e.ReceivedAt.AppendText(append(b, `,"receivedAt":"`...))
	if err != nil {
		return nil, err
	}
	b = appendMember(append(b, '"'), "sha256", e.SHA256)
	if e.ImagesEnd > 0 {
		b = strconv.AppendUint(append(b, `,"imagesEnd":`...), e.ImagesEnd, 10)
	}
	return append(append(append(b, `,"`...), k.Member...), `":`...), nil
}

// DecodeSubmission reads what [Submission.Encode] wrote. It refuses a version or kind it does not know and
// a record without its content.
func DecodeSubmission(record []byte) (Submission, error) {
	s, err := decodeSubmission(record)
	if err != nil {
		return Submission{}, fmt.Errorf("decode submission: %w", err)
	}
	return s, nil
}

func decodeSubmission(record []byte) (Submission, error) {
	if s, ok := decodeAsWritten(record); ok {
		return s, nil
	}
	return decodeMembers(record)
}

// decodeAsWritten reads a record if it is byte for byte as Encode writes it. That takes half the time of decodeMembers,
// with the same outcome.
func decodeAsWritten(record []byte) (s Submission, ok bool) {
	e, k, content, ok := cutHead(record)
	content, ends := bytes.CutSuffix(content, []byte("}"))
	if !ok || !ends {
		return s, false
	}
	c, err := k.Decode(content)
	if err != nil { // also if another member follows
		return s, false
	}
	return Submission{Kind: k, ReceivedAt: e.ReceivedAt, SHA256: e.SHA256, ImagesEnd: e.ImagesEnd, Content: c}, true
}

// maxHead is more than a head has.
const maxHead = 512

// cutHead takes the head off a record if it is as appendHead writes it.
func cutHead(record []byte) (e envelope, k *Kind, content []byte, ok bool) {
	s := scanner{rest: string(record[:min(len(record), maxHead)])}
	e.Version = int(s.integer(`{"v":`))
	e.Kind = s.text(`,"kind":`)
	receivedAt := s.text(`,"receivedAt":`)
	e.SHA256 = s.optionalText(`,"sha256":`)
	if s.has(`,"imagesEnd":`) {
		e.ImagesEnd = uint64(s.integer("")) // beyond what fits, it is read in the other way
	}
	k, err := KindOf(e.Kind)
	if s.failed || err != nil || e.Version != submissionVersion || e.ReceivedAt.UnmarshalText([]byte(receivedAt)) != nil {
		return e, nil, nil, false
	}
	var room [maxHead]byte
	head, err := e.appendHead(room[:0], k)
	if err != nil {
		return e, nil, nil, false
	}
	content, ok = bytes.CutPrefix(record, head)
	return e, k, content, ok
}

func decodeMembers(record []byte) (Submission, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(record, &members); err != nil {
		return Submission{}, err
	}
	var e envelope
	for name, to := range map[string]any{"v": &e.Version, "kind": &e.Kind, "receivedAt": &e.ReceivedAt, "sha256": &e.SHA256, "imagesEnd": &e.ImagesEnd} {
		if value, ok := members[name]; ok {
			if err := json.Unmarshal(value, to); err != nil {
				return Submission{}, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if e.Version != submissionVersion {
		return Submission{}, fmt.Errorf("version %d, this program reads %d", e.Version, submissionVersion)
	}
	k, err := KindOf(e.Kind)
	if err != nil {
		return Submission{}, err
	}
	content, ok := members[k.Member]
	if !ok {
		return Submission{}, fmt.Errorf("kind %q without its content in %q", k.Name, k.Member)
	}
	c, err := k.Decode(content)
	if err != nil {
		return Submission{}, fmt.Errorf("content of a %s: %w", k.Name, err)
	}
	return Submission{Kind: k, ReceivedAt: e.ReceivedAt, SHA256: e.SHA256, ImagesEnd: e.ImagesEnd, Content: c}, nil
}

// decodeAs reads content of one type.
func decodeAs[C Content](content json.RawMessage) (Content, error) {
	var c *C
	if err := json.Unmarshal(content, &c); err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fmt.Errorf("it is null")
	}
	return *c, nil
}
