package study

import (
	"fmt"
	"slices"
	"strings"
)

// MissingWording is an instrument that is due and that participants of a language cannot read in it.
type MissingWording struct {
	// Instrument is its id.
	Instrument string
	// Languages are those of the study in which it has no wording, in the order of the study's file.
	Languages []string
}

// String says it in a sentence without a full stop.
func (m MissingWording) String() string {
	return fmt.Sprintf("%s is due, and has no wording in %s: see docs/instruments.md", m.Instrument, strings.Join(m.Languages, ", "))
}

// MissingWording returns the instruments that are due at visits and have no wording in a language of the study, in the order of the
// schedule. Wording in the same language of another region or script counts, as patients are shown it. It is nothing that makes a file
// wrong: the patient may read the wording elsewhere.
func (s Study) MissingWording() (all []MissingWording) {
	var seen []string
	for _, v := range s.Visits {
		for _, id := range v.Due {
			if id == CaseReport || slices.Contains(seen, id) {
				continue
			}
			seen = append(seen, id)
			d, ok := s.Instruments().Get(id, "")
			if !ok {
				continue // Check refuses such a file
			}
			missing := slices.DeleteFunc(slices.Clone(s.Languages), func(language string) bool {
				return slices.ContainsFunc(d.Languages, func(other string) bool { return baseLanguage(other) == baseLanguage(language) })
			})
			if len(missing) > 0 {
				all = append(all, MissingWording{id, missing})
			}
		}
	}
	return all
}

// baseLanguage is "zh" of "zh-Hans-CN".
func baseLanguage(tag string) string {
	base, _, _ := strings.Cut(tag, "-")
	return base
}
