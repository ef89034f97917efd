package study

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

// This file has what a study says of questionnaires: instruments of its own, flags, the crisis text, and when answers
// are expected.

// Instruments returns the definitions that the study's responses may name: those that casepress brings along and the
// study's own.
func (s Study) Instruments() *instrument.Definitions {
	if s.instruments == nil {
		return instrument.Shipped()
	}
	return s.instruments
}

// CrisisTextIn returns the crisis text for a patient who reads the first of the languages or, if there is no text in it,
// the next, and the language that the text is in. A text is in a language if it is, in this order, in exactly this one,
// in that with fewer subtags ("zh-Hans" and then "zh" for "zh-Hans-CN"), or in the same language of another region or
// script. If there is none in any of the languages, it is that of the study's main language: a text in the wrong
// language, with a number to call in it, is better than none. Both are empty if the study has no crisis text.
func (s Study) CrisisTextIn(languages ...string) (text, in string) {
	if len(s.CrisisText) == 0 {
		return "", ""
	}
	for _, language := range languages {
		if tag := s.crisisLanguage(language); tag != "" {
			return s.CrisisText[tag], tag
		}
	}
	main := s.Languages[0]
	return s.CrisisText[main], main
}

// crisisLanguage is the language of the text for one that is the same but for its subtags, or "".
func (s Study) crisisLanguage(language string) string {
	for tag := language; tag != ""; {
		if _, ok := s.CrisisText[tag]; ok {
			return tag
		}
		cut := strings.LastIndexByte(tag, '-')
		tag = tag[:max(cut, 0)]
	}
	base := baseLanguage(language)
	for _, tag := range s.Languages {
		if baseLanguage(tag) == base {
			return tag
		}
	}
	return ""
}

// LateAfter is how long after they were given answers may arrive without being called late: a day, unless the study
// says otherwise.
func (s Study) LateAfter() time.Duration {
	if s.LateAfterHours == 0 {
		return 24 * time.Hour
	}
	return time.Duration(s.LateAfterHours) * time.Hour
}

// Window says when answers are expected, by the patient's own clock.
type Window struct {
	// VisitID and Instrument say for which responses it is; "" is for all.
	VisitID, Instrument string
	// From and To are the first and the last day, as 2026-11-26; "" is without end.
	From, To string
	// Opens and Closes are the first and the last minute of each day, as 18:00; "" is the whole day.
	Opens, Closes string
}

// InWindow reports whether answers to the instrument for the visit were expected at that time, by the clock of its
// zone. Of several windows for them one suffices; without any they are always expected.
func (s Study) InWindow(visitID, instrument string, at time.Time) bool {
	expected := true
	day, minute := at.Format(time.DateOnly), at.Format(minuteLayout)
	for _, w := range s.Windows {
		if w.VisitID != "" && w.VisitID != visitID || w.Instrument != "" && w.Instrument != instrument {
			continue
		}
		expected = false
		if (w.From == "" || day >= w.From) && (w.To == "" || day <= w.To) &&
			(w.Opens == "" || minute >= w.Opens) && (w.Closes == "" || minute <= w.Closes) {
			return true
		}
	}
	return expected
}

const minuteLayout = "15:04"

var windowMembers = []jsonfile.Member[Window]{
	jsonfile.Optional("visitId", func(c *checker, n *node, w *Window) { w.VisitID = c.ID(n) }),
	jsonfile.Optional("instrument", func(c *checker, n *node, w *Window) { w.Instrument = c.ID(n) }),
	jsonfile.Optional("from", func(c *checker, n *node, w *Window) {
		w.From = moment(c, n, time.DateOnly, `a day such as "2026-11-26"`)
	}),
	jsonfile.Optional("to", func(c *checker, n *node, w *Window) { w.To = moment(c, n, time.DateOnly, `a day such as "2026-11-26"`) }),
	jsonfile.Optional("opens", func(c *checker, n *node, w *Window) {
		w.Opens = moment(c, n, minuteLayout, `a time of day such as "18:00"`)
	}),
	jsonfile.Optional("closes", func(c *checker, n *node, w *Window) {
		w.Closes = moment(c, n, minuteLayout, `a time of day such as "18:00"`)
	}),
}

// moment reads a day or a time of day, which must be written in full so that texts compare as times do.
func moment(c *checker, n *node, layout, want string) string {
	if !c.Is(n, jsonfile.String, want) {
		return ""
	}
	t, err := time.Parse(layout, n.Text)
	if err != nil || t.Format(layout) != n.Text {
		c.Refuse(n, "must be %s, not %s", want, jsonfile.Quoted(n.Text))
		return ""
	}
	return n.Text
}

func window(c *checker, n *node) Window {
	w := jsonfile.Members(c, n, windowMembers)
	switch {
	case w.From+w.To+w.Opens+w.Closes == "" && n.Get("from") == nil && n.Get("to") == nil && n.Get("opens") == nil && n.Get("closes") == nil:
		c.Refuse(n, `has no limit; give "from", "to", "opens" or "closes"`)
	case w.From != "" && w.To != "" && w.From > w.To:
		c.Refuse(n.Get("to"), "%q is before %q; it must be the same day or a later one", w.To, w.From)
	case w.Opens != "" && w.Closes != "" && w.Opens > w.Closes:
		c.Refuse(n.Get("closes"), "%q is before %q; a window must lie within one day", w.Closes, w.Opens)
	}
	return w
}

// takeInstruments reads the name of a folder, or the places of definitions in the file itself.
func (f *file) takeInstruments(c *checker, n *node) {
	switch n.Kind {
	case jsonfile.String:
		f.folder, f.atFolder = c.ID(n), n
	case jsonfile.Array:
		f.definitions = jsonfile.List(c, n, maxInside, func(n *node) *node { return n })
	default:
		c.Refuse(n, "must be the name of a folder beside this file, or an array of definitions, not %s", n.Kind)
	}
}

// resolve loads the study's own instruments and holds what the file says against them.
func (f *file) resolve(c *checker) {
	if f.folder != "" {
		definitions, err := instrument.Load(filepath.Join(filepath.Dir(c.File()), f.folder))
		var problems jsonfile.Problems
		switch {
		case errors.As(err, &problems):
			f.inFolder = problems
			return // what names these instruments cannot be judged
		case err != nil:
			c.Refuse(f.atFolder, "the folder %q beside this file cannot be read: %v", f.folder, err)
			return
		}
		f.instruments = definitions
	}
	for _, n := range f.definitions {
		definitions, problems := f.Instruments().With(c.File(), c.Content(n))
		if len(problems) > 0 {
			c.RefuseWithin(n, problems)
			continue
		}
		f.instruments = definitions
	}
	if len(f.definitions) > 0 && !c.Clean() {
		return // what names instruments that are broken cannot be judged
	}
	for _, rule := range f.Flags {
		instrument.CheckRule(c, rule, f.Instruments())
	}
	f.checkDue(c)
	if f.CrisisText == nil {
		return
	}
	for _, language := range f.Languages {
		if _, ok := f.CrisisText[language]; !ok && language != "" {
			c.Refuse(f.atCrisisText, "has no text in %q, one of the study's languages", language)
		}
	}
	for language := range f.CrisisText {
		if !slices.Contains(f.Languages, language) && f.Languages != nil {
			c.Refuse(f.atCrisisText, "has a text in %q, which is none of the study's languages; add the language or take the text out", language)
		}
	}
}
