package tasks

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"casepress/tasks/pdf"
)

// RenderTimeline writes the timeline of an adverse event as a PDF: the same bytes for the same steps. A panic becomes an error.
func RenderTimeline(w io.Writer, layout pdf.Options, s Submission, sequence uint64, entries []TimelineEntry) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("render pdf: it panicked with %s", PanicText(r))
		}
	}()
	e, ok := s.Content.(AdverseEvent)
	if !ok {
		return errors.New("render pdf: not an adverse event")
	}
	clock := e.Clock(s.ReceivedAt)
	t := pdf.Timeline{
		ID: e.ID, PatientID: e.PatientID, VisitID: e.VisitID, Study: e.Study, Site: e.Site,
		State: string(e.Standing().State), From: clock.From, DueAt: clock.DueAt(), Limit: "PT" + strconv.Itoa(int(clock.Limit/time.Hour)) + "H",
		ReceivedAt: s.ReceivedAt, SHA256: s.SHA256, Sequence: sequence, Options: layout, Exercise: e.Exercise,
	}
	reporter := ""
	if r := e.Report; r != nil {
		t.OnsetAt, t.KnownAt, t.Seriousness, t.Description, reporter = r.OnsetAt, r.KnownAt, r.Seriousness, r.Description, r.Reporter
	} else if e.Flag != nil && e.Source != nil && e.Rule != nil {
		t.Description = strings.Join([]string{e.Flag.Code, e.Rule.ID + " " + e.Rule.Version, e.Source.Kind + " " + RevisionID(e.Source.ID, e.Source.Revision)}, " · ")
	}
	for _, entry := range entries {
		step := pdf.Step{
			At: entry.At, Name: string(entry.Outcome), Who: entry.Name, Decision: string(entry.Decision), Of: entry.Of, After: entry.After, Elapsed: entry.Elapsed,
			Channel: entry.Channel,
			Text:    cmp.Or(entry.Note, entry.Description, entry.Reason), // a step has one of them at most
		}
		switch entry.Outcome {
		case Received:
			step.Who = reporter
		case Acknowledged:
			t.AcknowledgedAt = entry.At
		}
		t.Steps = append(t.Steps, step)
	}
	_, err = pdf.RenderTimeline(w, t)
	return err
}
