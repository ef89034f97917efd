package fhir

import (
	"strconv"
	"time"
)

// Case is an adverse event and where it stands, as far as R4 has a place for it.
type Case struct {
	ID, Study, Site, PatientID, VisitID string
	// Description is what was reported; "" if a flag was raised.
	Description string
	// Flag is the code of the flag that was raised, by the answers of this revision of the response Response; "" if it was
	// reported.
	Flag, Response string
	Revision       int
	// Onset is when it began, zero if nobody said; Known when it became known, Received when it was stored.
	Onset, Known, Received time.Time
	// Seriousness are the criteria of ICH E2A that it meets, as whoever reported it says.
	Seriousness []Criterion
	Reporter    string
	// State is that of the case, Decision what whoever acknowledged it has decided; "" if nobody has.
	State, Decision string
}

// Criterion is a code of the NCI Thesaurus and what it says.
type Criterion struct {
	Code, Name string
}

// NewAdverseEvent writes a case. R4 has one seriousness, whose codings are all criteria that it meets; none: nobody named one, which
// does not say that it is not serious. What a person has decided is an extension, as is the state of the case. There are
// no names in it but the reporter's.
func NewAdverseEvent(c Case) *AdverseEvent {
	e := &AdverseEvent{
		ResourceType: "AdverseEvent",
		ID:           c.ID,
		Extension:    []Extension{{URL: extensionState, ValueCode: c.State}},
		Actuality:    "actual",
		Event:        &CodeableConcept{Text: c.Description},
		Subject:      patient(c.PatientID),
		Encounter:    visit(c.VisitID),
		Date:         instantOrNone(c.Onset),
		Detected:     instantOrNone(c.Known),
		RecordedDate: instantOrNone(c.Received),
	}
	if c.Decision != "" {
		e.Extension = append(e.Extension, Extension{URL: extensionDecision, ValueCode: c.Decision})
	}
	if c.Site != "" {
		e.Extension = append(e.Extension, Extension{URL: extensionSite, ValueString: c.Site})
	}
	if c.Flag != "" {
		e.Event = coded(systemFlag, c.Flag)
		source := derivedFrom(c.Response)
		if source.Reference != "" { // another revision may have other answers
			source.Reference += "/_history/" + strconv.Itoa(c.Revision)
		}
		e.Extension = append(e.Extension, Extension{URL: extensionDerivedFrom, ValueReference: &source})
	}
	if len(c.Seriousness) > 0 {
		e.Seriousness = &CodeableConcept{}
		for _, one := range c.Seriousness {
			e.Seriousness.Coding = append(e.Seriousness.Coding, Coding{System: systemNCI, Code: one.Code, Display: one.Name})
		}
	}
	if c.Reporter != "" {
		e.Recorder = &Reference{Display: c.Reporter}
	}
	if c.Study != "" {
		e.Study = []Reference{*study(c.Study)}
	}
	return e
}

func instantOrNone(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return instant(t)
}
