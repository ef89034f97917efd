package tasks

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"casepress/jsonfile"
	"casepress/study"
	"casepress/tasks/instrument"
)

// MaxResponseBytes is the largest document of a response.
const MaxResponseBytes = 64 << 10

// maxResponseValues is more than an instrument has items and scores. What is made of a document while it is read takes up
// to 300 bytes for each.
const maxResponseValues = 4000

const maxReason = 1000 // characters of why a response was amended

type (
	checker = jsonfile.Checker
	node    = jsonfile.Node
)

var responseFormat = jsonfile.Format{Noun: "a questionnaire response", MaxBytes: MaxResponseBytes, MaxValues: maxResponseValues}

// responseDocument is a response as a client writes it.
type responseDocument struct {
	QuestionnaireResponse
	instrument, version              string
	atID, atSite                     *node
	atInstrument, atVersion, answers *node
}

// responseMembers are the members of the document. A new one is a property in handlers/openapi.yaml and a row in
// docs/questionnaires.md.
var responseMembers = []jsonfile.Member[responseDocument]{
	jsonfile.Optional("id", func(c *checker, n *node, d *responseDocument) { d.ID, d.atID = c.ID(n), n }),
	jsonfile.Optional("study", func(c *checker, n *node, d *responseDocument) { d.Study = c.ID(n) }),
	jsonfile.Optional("site", func(c *checker, n *node, d *responseDocument) { d.Site, d.atSite = c.ID(n), n }),
	jsonfile.Required("patientId", "the id of the patient", func(c *checker, n *node, d *responseDocument) { d.PatientID = c.ID(n) }),
	jsonfile.Optional("visitId", func(c *checker, n *node, d *responseDocument) { d.VisitID = c.ID(n) }),
	jsonfile.Required("instrument", `the id of the instrument, such as "phq-9"`, func(c *checker, n *node, d *responseDocument) {
		d.instrument, d.atInstrument = c.ID(n), n
	}),
	jsonfile.Required("version", `the version of the instrument in quotes, such as "1"`, func(c *checker, n *node, d *responseDocument) {
		d.version, d.atVersion = c.ID(n), n
	}),
	jsonfile.Required("language", `the language in which the patient read it, such as "en"`, func(c *checker, n *node, d *responseDocument) {
		d.Language = c.Language(n)
	}),
	jsonfile.Required("authored", "when the patient gave the answers, with the zone", func(c *checker, n *node, d *responseDocument) {
		d.Authored = c.Time(n)
	}),
	jsonfile.Optional("started", func(c *checker, n *node, d *responseDocument) { d.Started = c.Time(n) }),
	jsonfile.Optional("deviceTime", func(c *checker, n *node, d *responseDocument) { d.DeviceTime = c.Time(n) }),
	jsonfile.Required("answers", `the answers by item, such as {"1": 0}`, func(c *checker, n *node, d *responseDocument) {
		d.Answers, d.answers = instrument.TakeAnswers(c, n), n
	}),
	jsonfile.Optional("scores", func(c *checker, n *node, d *responseDocument) { d.Claims = instrument.TakeClaims(c, n) }),
	jsonfile.Optional("amends", func(c *checker, n *node, d *responseDocument) {
		amends := jsonfile.Members(c, n, amendsMembers)
		d.Amends = &amends
	}),
}

var amendsMembers = []jsonfile.Member[Amends]{
	jsonfile.Required("revision", "the number of the revision that this one takes the place of", func(c *checker, n *node, a *Amends) {
		a.Revision = int(c.Integer(n, 1, maxRevisions-1))
	}),
	jsonfile.Required("reason", "why it was changed", func(c *checker, n *node, a *Amends) { a.Reason = c.Line(n, maxReason) }),
}

// Arrival says when and with what a document came.
type Arrival struct {
	// At is the time of the server.
	At time.Time
	// Clock is what the device said its clock was at that moment; zero if it did not say.
	Clock time.Time
	// Language is the one that the client would rather read, a BCP 47 tag; "" if it did not say.
	Language string
}

// ReadQuestionnaireResponse reads a response that a client sent as JSON, which must not change afterwards. id is the one in
// the address, or "" if the document must have it. The problems name with a pointer whatever could be read in two ways,
// is unknown to the study or its instrument, or is of another type; what is merely odd becomes a [Warning].
func ReadQuestionnaireResponse(document []byte, id string, studies *study.Studies, a Arrival) (QuestionnaireResponse, []jsonfile.Problem) {
	read, problems := jsonfile.Check(responseFormat, "", document, func(c *checker, n *node) QuestionnaireResponse {
		d := jsonfile.Members(c, n, responseMembers)
		d.ID = resolveID(c, n, d.atID, d.ID, id)
		d.resolve(c, studies, a)
		return d.QuestionnaireResponse
	})
	if read == nil {
		return QuestionnaireResponse{}, problems
	}
	read.MediaType, read.Original = "application/json", string(document)
	return *read, nil
}

// resolve looks up what the document names, and decides what must be decided before the answer.
func (d *responseDocument) resolve(c *checker, studies *study.Studies, a Arrival) {
	s := studies.Get(d.Study)
	checkSite(c, d.atSite, s, d.Site)
	if d.instrument == "" || d.version == "" || d.answers == nil {
		return // told already
	}
	definition, ok := s.Instruments().Get(d.instrument, d.version)
	if !ok {
		if _, other := s.Instruments().Get(d.instrument, ""); other {
			c.Refuse(d.atVersion, "the study has %s in %s, not in %s", d.instrument, versionsOf(s.Instruments(), d.instrument), jsonfile.Quoted(d.version))
		} else {
			c.Refuse(d.atInstrument, "the study has no instrument %q; GET /instruments lists what there is", d.instrument)
		}
		return
	}
	for _, e := range d.answers.Entries {
		if unknown := definition.UnknownItem(e.Name); unknown != "" && e.Value.Kind == jsonfile.Null {
			c.Refuse(e.Value, "%s", unknown) // it is no answer, but of an item that there is not
		}
	}
	err := d.Assess(definition, studies, a)
	var faults instrument.Faults
	if errors.As(err, &faults) && d.answers.Kind == jsonfile.Object {
		for _, f := range faults {
			item := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(f.Pointer, "/"))
			c.Refuse(d.answers.Get(item), "%s", f.Detail)
		}
	}
}

// checkSite refuses a site that the study does not have.
func checkSite(c *checker, at *node, s study.Study, site string) {
	if !s.HasSite(site) {
		c.Refuse(at, "the study has no site %q; it has %s", site, s.SiteIDs())
	}
}

func versionsOf(ds *instrument.Definitions, id string) string {
	var versions []string
	for _, d := range ds.All() {
		if d.ID == id {
			versions = append(versions, `"`+d.Version+`"`)
		}
	}
	return "version " + strings.Join(versions, ", ")
}

// Assess decides all that must be decided when a response comes, and writes it into the response, which has everything
// that the client said: its revision, by which definition it is read, which flags the answers raise, the crisis text, and
// what is odd. The error is [instrument.Faults]: answers that the instrument does not have.
func (r *QuestionnaireResponse) Assess(d *instrument.Definition, studies *study.Studies, a Arrival) error {
	s := studies.Get(r.Study)
	flags, err := instrument.Flags(d, r.Answers, s.Flags)
	if err != nil {
		return err
	}
	r.Revision = 1
	if r.Amends != nil {
		r.Revision = r.Amends.Revision + 1
	}
	r.Rule, r.Flags = d.Identity, flags
	if s.Version > 0 {
		r.StudyFile = &StudyFile{s.Version, s.SHA256}
	}
	if r.DeviceTime == "" && !a.Clock.IsZero() {
		r.DeviceTime = a.Clock.UTC().Format(time.RFC3339)
	}
	r.Warnings = append(r.warnings(s, a), StudyWarnings(studies, r.Header())...)
	for _, f := range flags {
		if IsUrgent(f) {
			r.LimitHours = s.AdverseEventLimitHours()
			r.CrisisText, r.CrisisLanguage = s.CrisisTextIn(a.Language, r.Language)
			break
		}
	}
	return nil
}

// The limits of what is odd. They are documented in docs/questionnaires.md.
const (
	clockTolerance = 5 * time.Minute // how far clocks may differ without a word
	farPast        = 366 * 24 * time.Hour
	tooFast        = 2 * time.Second // for all answers
	fewAnswers     = 3               // fewer may well be the same
)

// The codes of warnings. They appear in the API and in the rows: never rename one.
const (
	warnInFuture       = "in-future"
	warnFarPast        = "far-past"
	warnLate           = "late"
	warnOutOfWindow    = "out-of-window"
	warnClockSkew      = "clock-skew"
	warnStartedAfter   = "started-after-authored"
	warnStraightLining = "straight-lining"
	warnLanguage       = "unexpected-language"
)

// warnings are what is odd about a response that is kept all the same.
func (r *QuestionnaireResponse) warnings(s study.Study, a Arrival) (all []Warning) {
	warn := func(code, format string, args ...any) { all = append(all, Warning{code, fmt.Sprintf(format, args...)}) }
	authored, ok := jsonfile.ParseTime(r.Authored)
	if !ok {
		return nil // it was refused
	}
	switch age := a.At.Sub(authored); { // the longest that there is, of 292 years, stands for anything longer
	case age < -clockTolerance:
		warn(warnInFuture, "the answers were given %s after they arrived", between(a.At, authored))
	case age > farPast:
		warn(warnFarPast, "the answers were given %s before they arrived", between(authored, a.At))
	case age > s.LateAfter():
		expected := "the study expects them within "
		if r.Study == "" {
			expected = "expected within "
		}
		warn(warnLate, "the answers arrived %s after they were given; %s%s", between(authored, a.At), expected, spoken(s.LateAfter()))
	}
	if !s.InWindow(r.VisitID, r.Rule.ID, authored) {
		warn(warnOutOfWindow, "the answers were given at a time at which the study does not expect them")
	}
	r.warnOfClock(warn, authored, a)
	if started, ok := jsonfile.ParseTime(r.Started); ok {
		switch took := authored.Sub(started); {
		case took < 0:
			warn(warnStartedAfter, "the patient began %s after the answers were given", between(authored, started))
		case took <= tooFast && r.allTheSame():
			warn(warnStraightLining, "all %d answers are the same and were given within %v", len(r.Answers), took)
		}
	}
	if len(s.Languages) > 0 && !hasLanguage(s.Languages, r.Language) {
		warn(warnLanguage, "the study has no participants who read %s", r.Language)
	}
	return all
}

// warnOfClock compares the clock of the device with that of the server. Where only the document tells of it, which may
// have waited on the device, a clock that is behind cannot be told from a document that came late.
func (r *QuestionnaireResponse) warnOfClock(warn func(code, format string, args ...any), authored time.Time, a Arrival) {
	if !a.Clock.IsZero() {
		if off := a.Clock.Sub(a.At); off.Abs() > clockTolerance {
			warn(warnClockSkew, "the clock of the device is off by %s", offBy(a.At, a.Clock))
		}
		return
	}
	device, ok := jsonfile.ParseTime(r.DeviceTime)
	if !ok {
		return
	}
	if off := device.Sub(a.At); off > clockTolerance {
		warn(warnClockSkew, "the clock of the device is off by %s or more", offBy(a.At, device))
	} else if back := authored.Sub(device); back > clockTolerance {
		warn(warnClockSkew, "by the clock of the device the answers were handed in %s before they were given", between(device, authored))
	}
}

// between says how long it is from one time to a later one. A [time.Duration] ends at 292 years, and times may be further
// apart.
func between(from, to time.Time) string {
	if seconds := to.Unix() - from.Unix(); seconds >= int64(farPast/time.Second) {
		return fmt.Sprintf("%d days", seconds/(24*60*60))
	}
	return spoken(to.Sub(from))
}

// spoken writes a duration for people: from two days on in days and hours, from an hour on in hours and minutes, else in minutes and
// seconds, without what is zero.
func spoken(d time.Duration) string {
	d = d.Round(time.Second)
	large, small, names := time.Minute, time.Second, [2]string{"min", "s"}
	switch {
	case d >= 48*time.Hour:
		large, small, names = 24*time.Hour, time.Hour, [2]string{"days", "h"}
	case d >= time.Hour:
		large, small, names = time.Hour, time.Minute, [2]string{"h", "min"}
	}
	first, second := d/large, d%large/small
	switch {
	case first == 0:
		return fmt.Sprintf("%d %s", second, names[1])
	case second == 0:
		return fmt.Sprintf("%d %s", first, names[0])
	}
	return fmt.Sprintf("%d %s %d %s", first, names[0], second, names[1])
}

// offBy says how far a clock is ahead or, with a minus, behind.
func offBy(right, clock time.Time) string {
	if clock.Before(right) {
		return "-" + between(clock, right)
	}
	return between(right, clock)
}

func (r *QuestionnaireResponse) allTheSame() bool {
	var first *int64
	for _, a := range r.Answers {
		if a.NotAsked || first != nil && *first != a.Value {
			return false
		}
		first = &a.Value
	}
	return len(r.Answers) >= fewAnswers
}

func hasLanguage(all []string, tag string) bool {
	base, _, _ := strings.Cut(tag, "-")
	for _, one := range all {
		if of, _, _ := strings.Cut(one, "-"); of == base {
			return true
		}
	}
	return false
}
