package tasks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"casepress/jsonfile"
	"casepress/study"
)

// The limits of what is said about an adverse event. They are documented in docs/adverse-events.md.
const (
	// MaxAdverseEventBytes is the largest document of an adverse event, MaxStepBytes that of a step.
	MaxAdverseEventBytes = 64 << 10
	MaxStepBytes         = 32 << 10

	maxAdverseEventValues = 200
	maxDescription        = 10_000 // characters
	maxNote               = 4000
	maxPerson             = 200
	maxAdverseEventImages = 50
)

// SeriousnessCriterion is a reason for which an adverse event is serious.
type SeriousnessCriterion struct {
	// Code is that of the NCI Thesaurus.
	Code string
	// Name is what it says, in English.
	Name string
}

// seriousnessCriteria are those of ICH E2A, section II.B, by the codes of the value set
// adverse-event-clinical-research-seriousness-criteria of HL7 Terminology.
var seriousnessCriteria = []SeriousnessCriterion{
	{"C48275", "results in death"},
	{"C84266", "is life-threatening"},
	{"C83052", "requires inpatient hospitalisation"},
	{"C11338", "results in persistent or significant disability"},
	{"C83117", "is a congenital anomaly or birth defect"},
	{"C82521", "other medically important condition"},
}

// SeriousnessCriteria are the criteria of ICH E2A for an adverse event to be serious. They must not be changed.
func SeriousnessCriteria() []SeriousnessCriterion { return seriousnessCriteria }

var (
	adverseEventFormat = jsonfile.Format{Noun: "an adverse event", MaxBytes: MaxAdverseEventBytes, MaxValues: maxAdverseEventValues}
	stepFormat         = jsonfile.Format{Noun: "a step of an adverse event", MaxBytes: MaxStepBytes, MaxValues: maxAdverseEventValues}
)

// adverseEventDocument is an adverse event as a client writes it.
type adverseEventDocument struct {
	AdverseEvent
	Report
	at, atID, atSite *node
}

// adverseEventMembers are the members of the document. A new one is a property in handlers/openapi.yaml and a row in
// docs/adverse-events.md.
var adverseEventMembers = []jsonfile.Member[adverseEventDocument]{
	jsonfile.Optional("id", func(c *checker, n *node, d *adverseEventDocument) { d.ID, d.atID = c.ID(n), n }),
	jsonfile.Optional("study", func(c *checker, n *node, d *adverseEventDocument) { d.Study = c.ID(n) }),
	jsonfile.Optional("site", func(c *checker, n *node, d *adverseEventDocument) { d.Site, d.atSite = c.ID(n), n }),
	jsonfile.Required("patientId", "the id of the patient", func(c *checker, n *node, d *adverseEventDocument) { d.PatientID = c.ID(n) }),
	jsonfile.Optional("visitId", func(c *checker, n *node, d *adverseEventDocument) { d.VisitID = c.ID(n) }),
	jsonfile.Required("description", "what happened", func(c *checker, n *node, d *adverseEventDocument) {
		d.Description = c.Text(n, maxDescription)
	}),
	jsonfile.Required("knownAt", "when it became known, with the zone", func(c *checker, n *node, d *adverseEventDocument) { d.KnownAt = c.Time(n) }),
	jsonfile.Optional("onsetAt", func(c *checker, n *node, d *adverseEventDocument) { d.OnsetAt = c.Time(n) }),
	jsonfile.Optional("seriousness", func(c *checker, n *node, d *adverseEventDocument) { d.Seriousness = takeSeriousness(c, n) }),
	jsonfile.Optional("reporter", func(c *checker, n *node, d *adverseEventDocument) { d.Reporter = c.Line(n, maxPerson) }),
	jsonfile.Optional("deviceTime", func(c *checker, n *node, d *adverseEventDocument) { d.DeviceTime = c.Time(n) }),
	jsonfile.Optional("exercise", func(c *checker, n *node, d *adverseEventDocument) {
		d.Exercise = c.Is(n, jsonfile.Boolean, "true or false") && n.Text == "true"
	}),
	jsonfile.Optional("imageIds", func(c *checker, n *node, d *adverseEventDocument) {
		ids := jsonfile.List(c, n, maxAdverseEventImages, c.ID)
		for i, id := range ids {
			if first := slices.Index(ids, id); first < i && id != "" {
				c.Refuse(n.Items[i], "%q was listed before, in item [%d]; keep one", id, first)
			}
			d.Images = append(d.Images, Image{ImageID: id})
		}
	}),
}

func takeSeriousness(c *checker, n *node) []string {
	var known []string
	codes := make([]string, len(seriousnessCriteria))
	for i, criterion := range seriousnessCriteria {
		codes[i] = criterion.Code
		known = append(known, criterion.Code+" ("+criterion.Name+")")
	}
	want := "a code of the NCI Thesaurus: " + strings.Join(known, ", ")
	taken := jsonfile.List(c, n, len(codes), func(n *node) string {
		if !c.Is(n, jsonfile.String, want) {
			return ""
		}
		if !slices.Contains(codes, n.Text) {
			c.Refuse(n, "must be %s, not %s", want, jsonfile.Quoted(n.Text))
			return ""
		}
		return n.Text
	})
	c.Unique(n.Items, taken)
	return taken
}

// ReadAdverseEvent reads an adverse event that a client sent as JSON, which must not change afterwards. id is the one in the
// address, which must be a [jsonfile.ValidID], or "" if the document must have it. The problems name with a pointer whatever could be read in two ways, is unknown
// to the study, or is of another type; what is merely odd becomes a [Warning]. Of its images only the ids are known.
func ReadAdverseEvent(document []byte, id string, studies *study.Studies, a Arrival) (AdverseEvent, []jsonfile.Problem) {
	read, problems := jsonfile.Check(adverseEventFormat, "", document, func(c *checker, n *node) AdverseEvent {
		d := jsonfile.Members(c, n, adverseEventMembers)
		d.at = n
		d.resolve(c, id, studies, a)
		d.Original = string(document)
		d.AdverseEvent.Report = &d.Report
		return d.AdverseEvent
	})
	if read == nil {
		return AdverseEvent{}, problems
	}
	return *read, nil
}

func (d *adverseEventDocument) resolve(c *checker, id string, studies *study.Studies, a Arrival) {
	d.AdverseEvent.ID = resolveID(c, d.at, d.atID, d.AdverseEvent.ID, id)
	if strings.HasPrefix(d.AdverseEvent.ID, FlagPrefix) {
		at := d.atID
		if at == nil {
			at = d.at
		}
		c.Refuse(at, "must not begin with %q: such ids are those of adverse events that follow from flags", FlagPrefix)
	}
	s := studies.Get(d.Study)
	checkSite(c, d.atSite, s, d.Site)
	if s.Version > 0 {
		d.StudyFile = &StudyFile{s.Version, s.SHA256}
	}
	if d.DeviceTime == "" && !a.Clock.IsZero() {
		d.DeviceTime = a.Clock.UTC().Format(time.RFC3339)
	}
	d.LimitHours = s.AdverseEventLimitHours()
	d.Warnings = append(d.warnings(a), StudyWarnings(studies, d.AdverseEvent.Header())...)
}

// resolveID returns the id of a document, which it has or the address does.
func resolveID(c *checker, root, at *node, inDocument, inAddress string) string {
	switch {
	case root.Kind != jsonfile.Object:
	case at == nil && inAddress == "":
		c.RefuseMissing(root, "id", "an id of your own")
	case at == nil:
		return inAddress
	case inAddress != "" && inDocument != inAddress && inDocument != "":
		c.Refuse(at, "is %q, and the address says %q; they must be the same, or leave it out here", inDocument, inAddress)
	}
	return inDocument
}

// The codes of warnings that only adverse events have. They appear in the API and in the rows: never rename one.
const warnOnsetAfterKnown = "onset-after-known"

// warnings are what is odd about an adverse event that is kept all the same.
func (d *adverseEventDocument) warnings(a Arrival) (all []Warning) {
	warn := func(code, format string, args ...any) { all = append(all, Warning{code, fmt.Sprintf(format, args...)}) }
	known, ok := jsonfile.ParseTime(d.KnownAt)
	if !ok {
		return nil // it was refused
	}
	limit := time.Duration(d.LimitHours) * time.Hour
	switch age := a.At.Sub(known); {
	case age < -clockTolerance:
		warn(warnInFuture, "it became known %s after it arrived; the clock of the case runs from when it arrived", between(a.At, known))
	case age > farPast:
		warn(warnFarPast, "it became known %s before it arrived", between(known, a.At))
	case age > limit:
		expected := "the study's limit is "
		if d.Study == "" {
			expected = "expected within "
		}
		warn(warnLate, "it arrived %s after it became known; %s%s", between(known, a.At), expected, spoken(limit))
	}
	if onset, ok := jsonfile.ParseTime(d.OnsetAt); ok && onset.After(known) {
		warn(warnOnsetAfterKnown, "it began %s after it became known", between(known, onset))
	}
	if a.Clock.IsZero() {
		if device, ok := jsonfile.ParseTime(d.DeviceTime); ok && device.Sub(a.At) > clockTolerance {
			warn(warnClockSkew, "the clock of the device is off by %s or more", offBy(a.At, device))
		}
	} else if off := a.Clock.Sub(a.At); off.Abs() > clockTolerance {
		warn(warnClockSkew, "the clock of the device is off by %s", offBy(a.At, a.Clock))
	}
	return all
}

// stepDocument is a step as a client writes it.
type stepDocument struct {
	AdverseEventStep
	atOf *node
}

var nameMember = jsonfile.Required("name", "the name of the person who does it", func(c *checker, n *node, d *stepDocument) { d.Name = c.Line(n, maxPerson) })

// The members of the documents of steps. A new one is a property in handlers/openapi.yaml and a row in docs/adverse-events.md.
var (
	acknowledgementMembers = []jsonfile.Member[stepDocument]{
		nameMember,
		jsonfile.Required("decision", "one of "+strings.Join(Decisions(), ", "), func(c *checker, n *node, d *stepDocument) {
			d.Decision = Decision(c.Choice(n, Decisions()...))
		}),
		jsonfile.Optional("of", func(c *checker, n *node, d *stepDocument) { d.Of, d.atOf = c.ID(n), n }),
		jsonfile.Optional("note", func(c *checker, n *node, d *stepDocument) { d.Note = c.Text(n, maxNote) }),
	}
	followUpMembers = []jsonfile.Member[stepDocument]{
		jsonfile.Optional("id", func(c *checker, n *node, d *stepDocument) { d.FollowUpID = c.ID(n) }),
		jsonfile.Required("description", "what became known", func(c *checker, n *node, d *stepDocument) { d.Description = c.Text(n, maxNote) }),
		jsonfile.Optional("name", func(c *checker, n *node, d *stepDocument) { d.Name = c.Line(n, maxPerson) }),
	}
	closingMembers = []jsonfile.Member[stepDocument]{
		nameMember,
		jsonfile.Required("reason", "why the case is closed", func(c *checker, n *node, d *stepDocument) { d.Reason = c.Text(n, maxNote) }),
	}
)

// ReadStep reads what a client says of a step of this kind, one of [StepAcknowledgement], [StepFollowUp] and [StepClosing], with
// the adverse event of that id. Whether the case that Of names is there it does not know.
func ReadStep(document []byte, step StepKind, id string) (AdverseEventStep, []jsonfile.Problem) {
	members := map[StepKind][]jsonfile.Member[stepDocument]{
		StepAcknowledgement: acknowledgementMembers, StepFollowUp: followUpMembers, StepClosing: closingMembers,
	}[step]
	read, problems := jsonfile.Check(stepFormat, "", document, func(c *checker, n *node) AdverseEventStep {
		d := jsonfile.Members(c, n, members)
		d.ID, d.Step = id, step
		switch {
		case n.Kind != jsonfile.Object:
		case d.Decision == DecisionDuplicate && d.atOf == nil:
			c.RefuseMissing(n, "of", "the id of the case that this one is a duplicate of")
		case d.atOf != nil && d.Decision != DecisionDuplicate && d.Decision != "":
			c.Refuse(d.atOf, "is only for the decision %q; leave it out", DecisionDuplicate)
		case d.atOf != nil && d.Of == id:
			c.Refuse(d.atOf, "is this case; name another one")
		}
		return d.AdverseEventStep
	})
	if read == nil {
		return AdverseEventStep{}, problems
	}
	return *read, nil
}
