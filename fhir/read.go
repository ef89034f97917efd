package fhir

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

type (
	checker = jsonfile.Checker
	node    = jsonfile.Node
)

// MaxResponseBytes is the largest QuestionnaireResponse that is read: about 280 answers as LHC-Forms
// writes them.
const MaxResponseBytes = 64 << 10

// The limits of what a QuestionnaireResponse says.
const (
	maxValues   = 8000 // with the least that an answer takes, 5 values and 46 bytes, a document has fewer
	maxItems    = 2000 // the items and scores of a definition, and more
	maxReason   = 1000 // characters of why a response was amended
	maxRevision = 999  // that can be amended, as in the native document
)

var responseFormat = jsonfile.Format{Noun: "a QuestionnaireResponse", MaxBytes: MaxResponseBytes, MaxValues: maxValues}

// ReadQuestionnaireResponse reads a response as a client writes it. id is the one in the address, which
// the resource must have too. instruments returns the definitions of a study, of none for "".
//
// What could be read in two ways is refused: a member that comes twice or that R4 does not have, a
// linkId that the definition does not have or that comes twice, an answer of another type or one that
// is no option, a version that the study does not have. So is what would change the meaning and is
// not understood: a modifierExtension, implicitRules, a status other than completed and amended. The
// problems have a pointer each. Extensions that are not
// named in docs/fhir.md and elements that say nothing of the answers are passed over.
func ReadQuestionnaireResponse(document []byte, id string, instruments func(study string) *instrument.Definitions) (Response, []jsonfile.Problem) {
	read, problems := jsonfile.Check(responseFormat, "", document, func(c *checker, n *node) Response {
		d := jsonfile.Members(c, n, responseMembers)
		d.at = n
		if n.Kind == jsonfile.Object {
			d.resolve(c, id, instruments)
		}
		return d.Response
	})
	if read == nil {
		return Response{}, problems
	}
	return *read, nil
}

// responseDocument is a QuestionnaireResponse as it is read, before its definition is known.
type responseDocument struct {
	Response
	at, atID, atQuestionnaire, atStatus, atAmends *node

	instrument, version, status string
	items                       []responseItem
}

// responseMembers are the elements of R4's QuestionnaireResponse.
var responseMembers = slices.Concat([]jsonfile.Member[responseDocument]{
	jsonfile.Required("resourceType", `"QuestionnaireResponse"`, func(c *checker, n *node, _ *responseDocument) {
		c.Choice(n, "QuestionnaireResponse")
	}),
	jsonfile.Required("id", "the id in the address", func(c *checker, n *node, d *responseDocument) { d.ID, d.atID = c.ID(n), n }),
	jsonfile.Optional("language", func(c *checker, n *node, d *responseDocument) { d.Language = c.Language(n) }),
	jsonfile.Optional("extension", func(c *checker, n *node, d *responseDocument) { d.takeExtensions(c, n) }),
	jsonfile.Required("questionnaire", "the url of the Questionnaire, a | and its version", func(c *checker, n *node, d *responseDocument) {
		d.instrument, d.version = takeCanonical(c, n)
		d.atQuestionnaire = n
	}),
	jsonfile.Required("status", "completed or amended", func(c *checker, n *node, d *responseDocument) {
		d.status, d.atStatus = c.Choice(n, statusCompleted, statusAmended), n
	}),
	jsonfile.Required("subject", "a reference to the patient", func(c *checker, n *node, d *responseDocument) {
		d.PatientID = takeReference(c, n, "Patient")
	}),
	jsonfile.Optional("encounter", func(c *checker, n *node, d *responseDocument) { d.VisitID = takeReference(c, n, "Encounter") }),
	jsonfile.Required("authored", "when the patient gave the answers, with the zone", func(c *checker, n *node, d *responseDocument) {
		d.Authored = takeTime(c, n)
	}),
	jsonfile.Optional("item", func(c *checker, n *node, d *responseDocument) { d.items = takeItems(c, n) }),
	refused[responseDocument]("implicitRules"),
	refused[responseDocument]("modifierExtension"),
}, passedOver[responseDocument](jsonfile.Object, "meta", "text", "identifier", "author", "source",
	"_implicitRules", "_language", "_questionnaire", "_status", "_authored"),
	passedOver[responseDocument](jsonfile.Array, "contained", "basedOn", "partOf"))

// passedOver are elements of which only the type is looked at.
func passedOver[T any](kind jsonfile.Kind, names ...string) []jsonfile.Member[T] {
	var all []jsonfile.Member[T]
	for _, name := range names {
		all = append(all, jsonfile.Optional(name, func(c *checker, n *node, _ *T) { c.Is(n, kind, string(kind)) }))
	}
	return all
}

// refused is an element that changes the meaning of others in a way that is not known here.
func refused[T any](name string) jsonfile.Member[T] {
	return jsonfile.Optional(name, func(c *checker, n *node, _ *T) {
		c.Refuse(n, "changes the meaning of the resource in a way that is not known here; leave it out")
	})
}

func takeCanonical(c *checker, n *node) (id, version string) {
	const want = "the url of the Questionnaire, a | and its version, such as " + questionnaires + "phq-9|1"
	if !c.Is(n, jsonfile.String, want) {
		return "", ""
	}
	url, version, _ := strings.Cut(n.Text, "|")
	id, ours := strings.CutPrefix(url, questionnaires)
	switch {
	case !ours || !jsonfile.ValidID(id):
		c.Refuse(n, "must be %s, not %s", want, jsonfile.Quoted(n.Text))
	case version == "":
		c.Refuse(n, "names no version; add the version of the Questionnaire that was answered: %s|1", url)
	default:
		return id, version
	}
	return "", ""
}

func takeTime(c *checker, n *node) string {
	written := c.Time(n)
	if written != strings.ToUpper(written) { // RFC 3339 has t and z, R4's dateTime has not
		c.Refuse(n, "must be %q: with T and Z in capitals", strings.ToUpper(written))
	}
	return written
}

type reference struct {
	identifier, reference     string
	atIdentifier, atReference *node
}

type identifier struct{ value string }

var identifierMembers = slices.Concat([]jsonfile.Member[identifier]{
	jsonfile.Required("value", "the id", func(c *checker, n *node, i *identifier) { i.value = c.ID(n) }),
}, passedOver[identifier](jsonfile.String, "id", "use", "system"),
	passedOver[identifier](jsonfile.Object, "type", "period", "assigner", "_use", "_system", "_value"),
	passedOver[identifier](jsonfile.Array, "extension"))

var referenceMembers = slices.Concat([]jsonfile.Member[reference]{
	jsonfile.Optional("reference", func(c *checker, n *node, r *reference) {
		if c.Is(n, jsonfile.String, "a string") {
			r.reference, r.atReference = n.Text, n
		}
	}),
	jsonfile.Optional("identifier", func(c *checker, n *node, r *reference) {
		r.identifier, r.atIdentifier = jsonfile.Members(c, n, identifierMembers).value, n
	}),
}, passedOver[reference](jsonfile.String, "id", "type", "display"),
	passedOver[reference](jsonfile.Object, "_reference", "_type", "_display"),
	passedOver[reference](jsonfile.Array, "extension"))

// takeReference reads the id of a resource: the value of its identifier or else what stands after the
// type in a relative reference.
func takeReference(c *checker, n *node, of string) string {
	r := jsonfile.Members(c, n, referenceMembers)
	switch {
	case n.Kind != jsonfile.Object || r.atIdentifier != nil:
		return r.identifier
	case r.atReference == nil:
		c.Refuse(n, `names nobody; give {"identifier": {"value": …}} or {"reference": "%s/…"}`, of)
		return ""
	}
	id, relative := strings.CutPrefix(r.reference, of+"/")
	if !relative || !jsonfile.ValidID(id) {
		c.Refuse(r.atReference, `must be "%s/" and an id, not %s; or give the id in {"identifier": {"value": …}}`, of, jsonfile.Quoted(r.reference))
		return ""
	}
	return id
}

// extensions calls take for each extension of a list with its url. An extension has members of very
// many types, so only the url of what nobody here knows is looked at.
func extensions(c *checker, n *node, take func(url string, e *node)) {
	seen := map[string]bool{}
	jsonfile.List(c, n, maxItems, func(e *node) struct{} {
		if !c.Is(e, jsonfile.Object, "an object") {
			return struct{}{}
		}
		url := e.Get("url")
		if url == nil {
			c.RefuseMissing(e, "url", "the url of the extension")
			return struct{}{}
		}
		if !c.Is(url, jsonfile.String, "a string") {
			return struct{}{}
		}
		switch url.Text {
		case extensionStudy, extensionSite, extensionAmends, extensionAbsentReason:
			if seen[url.Text] {
				c.Refuse(e, "comes twice; keep one")
				return struct{}{}
			}
			seen[url.Text] = true
		}
		take(url.Text, e)
		return struct{}{}
	})
}

// valueOf returns a member that an extension must have, or refuses the extension.
func valueOf(c *checker, e *node, name string) *node {
	v := e.Get(name)
	if v == nil {
		c.Refuse(e, "%q is missing", name)
	}
	return v
}

func (d *responseDocument) takeExtensions(c *checker, n *node) {
	extensions(c, n, func(url string, e *node) {
		switch url {
		case extensionStudy:
			if v := valueOf(c, e, "valueReference"); v != nil {
				d.Study = takeReference(c, v, "ResearchStudy")
			}
		case extensionSite:
			if v := valueOf(c, e, "valueString"); v != nil {
				d.Site = c.ID(v)
			}
		case extensionAmends:
			d.Amends, d.atAmends = &Amends{}, e
			if v := valueOf(c, e, "extension"); v != nil {
				extensions(c, v, d.Amends.take(c))
			}
			if d.Amends.Revision == 0 || d.Amends.Reason == "" {
				c.Refuse(e, `needs an extension "revision" with a valueInteger and an extension "reason" with a valueString`)
			}
		}
	})
}

func (a *Amends) take(c *checker) func(url string, e *node) {
	return func(url string, e *node) {
		switch {
		case url == "revision" && a.Revision == 0:
			if v := valueOf(c, e, "valueInteger"); v != nil {
				a.Revision = int(c.Integer(v, 1, maxRevision))
			}
		case url == "reason" && a.Reason == "":
			if v := valueOf(c, e, "valueString"); v != nil {
				a.Reason = c.Line(v, maxReason)
			}
		default:
			c.Refuse(e, `is not known; there are one "revision" and one "reason"`)
		}
	}
}

// take takes over a reason from a part of what has no answer. Two reasons must be the same.
func (a *absent) take(c *checker, of absent) {
	switch {
	case of.atReason == nil:
	case a.atReason == nil:
		*a = of
	case a.reason != of.reason && a.reason != "" && of.reason != "":
		c.Refuse(of.atReason, "is another reason than %s; keep one of them", a.reason)
	}
}

// responseItem is an item as it is read.
type responseItem struct {
	absent
	linkID                     string
	at, atLinkID, atItem, list *node
	answers                    []answer
}

// absent is a reason why there is no answer.
type absent struct {
	reason   string
	atReason *node
}

func (a *absent) takeExtensions(c *checker, n *node) {
	extensions(c, n, func(url string, e *node) {
		if url != extensionAbsentReason {
			return
		}
		if v := valueOf(c, e, "valueCode"); v != nil {
			a.take(c, absent{c.Choice(v, absentReasons...), e})
		}
	})
}

var itemMembers = slices.Concat([]jsonfile.Member[responseItem]{
	jsonfile.Required("linkId", "the linkId of an item of the Questionnaire", func(c *checker, n *node, i *responseItem) {
		if c.Is(n, jsonfile.String, "a string") {
			i.linkID, i.atLinkID = n.Text, n
		}
	}),
	jsonfile.Optional("extension", func(c *checker, n *node, i *responseItem) { i.takeExtensions(c, n) }),
	jsonfile.Optional("answer", func(c *checker, n *node, i *responseItem) {
		i.answers, i.list = jsonfile.List(c, n, maxItems, func(n *node) answer {
			a := jsonfile.Members(c, n, answerMembers)
			a.at = n
			return a
		}), n
	}),
	jsonfile.Optional("item", func(_ *checker, n *node, i *responseItem) { i.atItem = n }),
	refused[responseItem]("modifierExtension"),
}, passedOver[responseItem](jsonfile.String, "id", "definition", "text"),
	passedOver[responseItem](jsonfile.Object, "_linkId", "_definition", "_text"))

func takeItems(c *checker, n *node) []responseItem {
	return jsonfile.List(c, n, maxItems, func(n *node) responseItem {
		i := jsonfile.Members(c, n, itemMembers)
		i.at = n
		return i
	})
}

// answer is an answer as it is read: a value of some type, or a reason why there is none.
type answer struct {
	absent
	at, atItem   *node
	name         string // of the member: "valueCoding"
	value        *node
	system, code string // of a coding
	number       *node  // of a quantity
}

// valueMembers are the types that R4 allows, but for those that are read below.
var valueMembers = []string{
	"valueBoolean", "valueDate", "valueDateTime", "valueTime", "valueString", "valueUri", "valueAttachment", "valueReference",
}

var answerMembers = func() []jsonfile.Member[answer] {
	all := []jsonfile.Member[answer]{
		jsonfile.Optional("extension", func(c *checker, n *node, a *answer) { a.takeExtensions(c, n) }),
		jsonfile.Optional("valueCoding", func(c *checker, n *node, a *answer) {
			a.takeValue(c, n, "valueCoding")
			coding := jsonfile.Members(c, n, codingMembers)
			a.system, a.code = coding.system, coding.code
			switch {
			case coding.atReason != nil && coding.atCode != nil:
				c.Refuse(coding.atCode, "is a code beside a reason why there is none; keep one of them")
				return
			case coding.atReason != nil:
				a.take(c, coding.absent)
			case coding.system == systemAbsentReason && coding.atCode != nil:
				a.take(c, absent{c.Choice(coding.atCode, absentReasons...), n})
			default:
				return
			}
			if a.value == n {
				a.value = nil
			}
		}),
		jsonfile.Optional("valueQuantity", func(c *checker, n *node, a *answer) {
			a.takeValue(c, n, "valueQuantity")
			a.number = jsonfile.Members(c, n, quantityMembers).value
		}),
		jsonfile.Optional("item", func(_ *checker, n *node, a *answer) { a.atItem = n }),
		refused[answer]("modifierExtension"),
	}
	for _, name := range append([]string{"valueInteger", "valueDecimal"}, valueMembers...) {
		all = append(all, jsonfile.Optional(name, func(c *checker, n *node, a *answer) { a.takeValue(c, n, name) }))
		if name == "valueAttachment" || name == "valueReference" {
			continue
		}
		all = append(all, jsonfile.Optional("_"+name, func(c *checker, n *node, a *answer) {
			a.take(c, jsonfile.Members(c, n, elementMembers))
		}))
	}
	return append(all, passedOver[answer](jsonfile.String, "id")...)
}()

func (a *answer) takeValue(c *checker, n *node, name string) {
	if a.value != nil {
		c.Refuse(n, "is a second value; an answer has one")
		return
	}
	a.name, a.value = name, n
}

var elementMembers = slices.Concat([]jsonfile.Member[absent]{
	jsonfile.Optional("extension", func(c *checker, n *node, a *absent) { a.takeExtensions(c, n) }),
}, passedOver[absent](jsonfile.String, "id"))

type coding struct {
	absent
	system, code string
	atCode       *node
}

var codingMembers = slices.Concat([]jsonfile.Member[coding]{
	jsonfile.Optional("extension", func(c *checker, n *node, k *coding) { k.takeExtensions(c, n) }),
	jsonfile.Optional("system", func(c *checker, n *node, k *coding) {
		if c.Is(n, jsonfile.String, "a string") {
			k.system = n.Text
		}
	}),
	jsonfile.Optional("code", func(c *checker, n *node, k *coding) {
		if c.Is(n, jsonfile.String, "a string") {
			k.code, k.atCode = n.Text, n
		}
	}),
}, passedOver[coding](jsonfile.String, "id", "version", "display"),
	passedOver[coding](jsonfile.Boolean, "userSelected"),
	passedOver[coding](jsonfile.Object, "_system", "_version", "_code", "_display", "_userSelected"))

type quantity struct{ value *node }

var quantityMembers = slices.Concat([]jsonfile.Member[quantity]{
	jsonfile.Required("value", "a number", func(_ *checker, n *node, q *quantity) { q.value = n }),
	refused[quantity]("comparator"),
}, passedOver[quantity](jsonfile.String, "id", "unit", "system", "code"),
	passedOver[quantity](jsonfile.Object, "_value", "_unit", "_system", "_code"),
	passedOver[quantity](jsonfile.Array, "extension"))

// resolve looks up what the document names.
func (d *responseDocument) resolve(c *checker, id string, instruments func(study string) *instrument.Definitions) {
	if d.ID != "" && d.ID != id {
		c.Refuse(d.atID, "is %q, and the address says %s; they must be the same", d.ID, jsonfile.Quoted(id))
	}
	switch {
	case d.status == statusAmended && d.atAmends == nil:
		c.Refuse(d.atStatus, "an amendment needs the extension %s, which says what it amends and why", extensionAmends)
	case d.status == statusCompleted && d.atAmends != nil:
		c.Refuse(d.atStatus, "must be amended, as there is the extension %s", extensionAmends)
	}
	if d.instrument == "" {
		return // told already
	}
	all := instruments(d.Study)
	definition, ok := all.Get(d.instrument, d.version)
	if !ok {
		if latest, other := all.Get(d.instrument, ""); other {
			c.Refuse(d.atQuestionnaire, "there is no version %s of %s; the latest is %s", jsonfile.Quoted(d.version), d.instrument, latest.Version)
		} else {
			c.Refuse(d.atQuestionnaire, "there is no instrument %s; GET /instruments lists what there is", jsonfile.Quoted(d.instrument))
		}
		return
	}
	d.Definition = definition
	if d.Language == "" && d.at.Get("language") == nil {
		if len(definition.Languages) != 1 {
			c.Refuse(d.at, `"language" is missing, and the Questionnaire has no wording or several; give the language in which the patient read it`)
			return
		}
		d.Language = definition.Languages[0]
	}
	d.resolveItems(c)
}

func (d *responseDocument) resolveItems(c *checker) {
	l := linksOf(d.Definition)
	items := make(map[string]int, len(d.Definition.Items))
	for i := range d.Definition.Items {
		items[d.Definition.Items[i].LinkID] = i
	}
	scores := make(map[string]int, len(l.scores))
	for i, link := range l.scores {
		scores[link] = i
	}
	d.Answers, d.Claims = instrument.Answers{}, nil
	seen := map[string]bool{}
	for i := range d.items {
		item := &d.items[i]
		if item.atLinkID == nil {
			continue // told already
		}
		question, isQuestion := items[item.linkID]
		score, isScore := scores[item.linkID]
		switch {
		case seen[item.linkID]:
			c.Refuse(item.atLinkID, "%s comes twice; keep one", jsonfile.Quoted(item.linkID))
		case item.atItem != nil:
			c.Refuse(item.atItem, "the Questionnaire has no items within items; put them beside each other")
		case isQuestion:
			d.takeAnswer(c, item, &d.Definition.Items[question])
		case isScore:
			d.takeClaim(c, item, d.Definition.Scores[score].ID)
		case item.linkID == l.instruction || item.linkID == l.copyright:
			if item.list != nil {
				c.Refuse(item.list, "%s is a text and takes no answer", item.linkID)
			}
		default:
			c.Refuse(item.atLinkID, "%s is no linkId of %s version %s; it has %s",
				jsonfile.Quoted(item.linkID), d.Definition.ID, d.Definition.Version, listed(linkIDs(d.Definition)))
		}
		seen[item.linkID] = true
	}
}

func linkIDs(d *instrument.Definition) []string {
	all := make([]string, len(d.Items))
	for i := range d.Items {
		all[i] = d.Items[i].LinkID
	}
	return all
}

// single returns the one answer of an item; nil if there is none, or if there is something to refuse.
func (item *responseItem) single(c *checker) *answer {
	if len(item.answers) > 1 {
		c.Refuse(item.list, "has %d answers; the item takes one", len(item.answers))
		return nil
	}
	if len(item.answers) == 0 {
		return nil
	}
	a := &item.answers[0]
	switch {
	case a.atItem != nil:
		c.Refuse(a.atItem, "the Questionnaire has no items within answers; put them beside each other")
		return nil
	case a.reason == "" && a.value == nil && a.atReason == nil:
		c.Refuse(a.at, "has no value; leave the answer out if there was none")
		return nil
	case a.atReason != nil && a.value != nil, item.atReason != nil && a.value != nil:
		c.Refuse(a.value, "is a value beside a reason why there is none; keep one of them")
		return nil
	}
	item.take(c, a.absent)
	return a
}

func (d *responseDocument) takeAnswer(c *checker, item *responseItem, it *instrument.Item) {
	a := item.single(c)
	switch item.reason {
	case notAsked, notApplicable:
		if !it.MayBeNotAsked {
			c.Refuse(item.atReason, "this item is asked of everybody; leave it out if it was not answered")
			return
		}
		d.Answers[it.ID] = instrument.Answer{NotAsked: true}
		return
	}
	if a == nil || a.value == nil {
		return // unanswered
	}
	if value, ok := a.option(c, d.Definition, it); ok {
		d.Answers[it.ID] = instrument.Answer{Value: value}
	}
}

// option returns the value of the option that an answer names.
func (a *answer) option(c *checker, d *instrument.Definition, it *instrument.Item) (value int64, ok bool) {
	switch a.name {
	case "valueCoding":
		if value, ok = optionOf(d, it, a.system, a.code); !ok {
			c.Refuse(a.value, "%s|%s is no option of this item; it has %s", jsonfile.Shown(a.system), jsonfile.Shown(a.code), optionsOf(d, it))
		}
		return value, ok
	case "valueInteger":
		if !c.Is(a.value, jsonfile.Number, "a whole number") {
			return 0, false
		}
		value, err := strconv.ParseInt(a.value.Text, 10, 64)
		if err != nil || strconv.FormatInt(value, 10) != a.value.Text {
			c.Refuse(a.value, "must be a whole number, not %s", jsonfile.Shown(a.value.Text))
			return 0, false
		}
		return value, isOption(c, a.value, d, it, value)
	case "valueDecimal":
		number := c.Decimal(a.value)
		if a.value.Kind != jsonfile.Number {
			return 0, false // told already
		}
		if !number.IsInt() {
			c.Refuse(a.value, "%s is no option of this item; it has %s", jsonfile.Shown(a.value.Text), optionsOf(d, it))
			return 0, false
		}
		return number.Num().Int64(), isOption(c, a.value, d, it, number.Num().Int64())
	}
	c.Refuse(a.value, "an answer to this item is a valueCoding, or the option's value as a valueInteger, not a %s", a.name)
	return 0, false
}

func isOption(c *checker, n *node, d *instrument.Definition, it *instrument.Item, value int64) bool {
	if slices.ContainsFunc(it.Options, func(o instrument.Option) bool { return o.Value == value }) {
		return true
	}
	c.Refuse(n, "%d is no option of this item; it has %s", value, optionsOf(d, it))
	return false
}

// takeClaim reads a score that the client has computed.
func (d *responseDocument) takeClaim(c *checker, item *responseItem, score string) {
	a := item.single(c)
	if d.Claims == nil {
		d.Claims = instrument.Claims{}
	}
	if item.reason != "" {
		d.Claims[score] = "" // the client says that there is none
		return
	}
	if a == nil || a.value == nil {
		return
	}
	number := a.value
	switch a.name {
	case "valueDecimal", "valueInteger":
	case "valueQuantity":
		number = a.number
	default:
		c.Refuse(a.value, "a score is a valueDecimal, valueInteger or valueQuantity, not a %s", a.name)
		return
	}
	if number == nil || !c.Is(number, jsonfile.Number, "a number") {
		return
	}
	var claim instrument.Decimal
	if err := json.Unmarshal([]byte(number.Text), &claim); err != nil {
		c.Refuse(number, "%s", err)
		return
	}
	d.Claims[score] = claim
}
