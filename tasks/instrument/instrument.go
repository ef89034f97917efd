// Package instrument implements questionnaires that are scored: the files that define them, and the
// rules that make scores and flags of a patient's answers.
//
// A [Definition] is one JSON file, versioned by the people who write it and known by the SHA-256 of
// its bytes. It says which items there are, what each option weighs, how answers become scores, what
// becomes of a score when answers are missing, how it is rounded, which bands it falls into and which
// answers raise a flag. There is no expression language: sums, means, counts, grids, linear scales and
// tables are all there is. docs/instruments.md describes the members. [Check] refuses a file in which a
// band overlaps another or leaves a gap, a range is not that which the options give, or a fraction may
// arise that nothing rounds.
//
// [Score] is a pure function: the same definition and the same answers make the same result, in
// whatever order the answers were written. It counts exactly, in fractions, and rounds once, at the
// end, as the definition says. A missing answer is never counted as 0 unless the definition says so; a
// score that may not be made of what is there has no value and says why. Each result carries the id,
// version and digest of the definition that made it.
//
// Nothing here keeps answers, knows patients or decides what a flag leads to.
package instrument

import (
	"maps"
	"slices"
	"strings"
)

// MaxBytes is the largest size of the file of a definition.
const MaxBytes = 1 << 20

// The limits of what a file says. They are part of the format.
const (
	schema       = 1 // the form of the file that this package reads
	maxText      = 2000
	maxLanguages = 100
	maxCodes     = 20
	maxLines     = 20 // of the copyright and the source
	maxSets      = 100
	maxOptions   = 100 // of one set
	maxItems     = 1000
	maxScores    = 500
	maxGrids     = 100
	maxCells     = 10_000 // of one grid, rows of one table
	maxBands     = 100
	maxFlags     = 100
	maxValue     = 1_000_000 // of an answer
	maxPlaces    = 6
)

// Text is what people read, by language: BCP 47 tags in canonical form.
type Text map[string]string

// Code is what a code system calls a thing.
type Code struct {
	// System is the address of the code system, such as "http://loinc.org".
	System string `json:"system"`
	// Code is the code in that system.
	Code string `json:"code"`
}

// Identity names a definition exactly.
type Identity struct {
	// ID is the id of the instrument: 1 to 64 of A-Z a-z 0-9 . _ -.
	ID string `json:"id"`
	// Version counts the changes of the definition, from "1".
	Version string `json:"version"`
	// SHA256 is the digest of the definition's file in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// Definition is what the file of an instrument says. It never changes, and any number of goroutines
// may use it. Its lists belong to the package: read them, do not change them.
type Definition struct {
	Identity
	// Content is the file itself.
	Content []byte

	// Title is the instrument's name.
	Title Text
	// Languages are those in which the wording is there, the main one first. None means that the
	// definition has no wording at all: the patient reads it elsewhere.
	Languages []string
	// Instruction is what the patient reads before the items; nil if there is none.
	Instruction Text
	// Codes are those of the instrument as a whole.
	Codes []Code
	// Copyright is what must be printed wherever the wording is shown, line by line.
	Copyright []string
	// Licence says what may be done with the instrument.
	Licence string
	// Source says where the wording and the rules come from.
	Source []string

	// Items are the questions, in the order of the form.
	Items []Item
	// Scores are the scores, in the order of the file.
	Scores []ScoreRule
	// Flags are the rules that call for attention, in the order of the file.
	Flags []Flag

	items map[string]int // where each item stands in Items, by id
}

// Item is one question.
type Item struct {
	// ID is the item's number on the paper form.
	ID string
	// LinkID ties it to FHIR: the linkId of this version. The id, unless the file says otherwise.
	LinkID string
	// Codes are its codes.
	Codes []Code
	// Text is the question; nil in a definition without wording.
	Text Text
	// OptionSet is the id of the set that Options are, which other items may share.
	OptionSet string
	// Options are the answers that may be chosen, in the order of the form.
	Options []Option
	// MayBeNotAsked says that "not-asked" is an answer, too: of a question for women alone, for example.
	MayBeNotAsked bool

	notAsked  number // what it weighs when it was not asked
	low, high number // the smallest and the largest weight
	places    int    // how many digits weights have after the point
}

// option returns the option with a value.
func (it *Item) option(value int64) (*Option, bool) {
	for i := range it.Options {
		if it.Options[i].Value == value {
			return &it.Options[i], true
		}
	}
	return nil, false
}

// Option is one answer that may be chosen.
type Option struct {
	// Value is how an answer names it.
	Value int64
	// Text is what the patient reads; nil in a definition without wording.
	Text Text
	// Codes are its codes.
	Codes []Code

	weight number // what it counts in scores
}

// ScoreRule says how one score is made.
type ScoreRule struct {
	// ID names the score within its instrument.
	ID string
	// Title is the score's name.
	Title Text
	// Codes are its codes.
	Codes []Code
	// Items are the ids of the items that it is made of.
	Items []string
	// Least and Most are the smallest and the largest value.
	Least, Most Decimal
	// Bands divide the range from Least to Most without gap or overlap. Empty if there are none.
	Bands []Band

	rule
}

// Band is a part of a score's range that has a name.
type Band struct {
	// Code names the band within its score.
	Code string
	// Text is the band's name for people.
	Text Text
	// From and To are its first and last value.
	From, To Decimal

	from, to number
}

// Flag is a rule that calls for attention when an answer or a score reaches a threshold.
type Flag struct {
	// Code names the flag.
	Code string
	// Item is the id of the item whose answer is looked at, by the value of the option; or it is empty and
	// Score is the id of the score, by its rounded value.
	Item, Score string
	// Urgent says that somebody must look at once.
	Urgent bool
	// Text says what was found, for people.
	Text Text

	atLeast, atMost *number // one of them
}

// item returns an item by its id.
func (d *Definition) item(id string) (*Item, bool) {
	i, ok := d.items[id]
	if !ok {
		return nil, false
	}
	return &d.Items[i], true
}

// Definitions are the definitions of a service or a study. They never change, and any number of
// goroutines may use them.
type Definitions struct {
	byID map[string][]*Definition // versions in ascending order
}

// Get returns the definition of an id in a version; an empty version stands for the highest.
func (ds *Definitions) Get(id, version string) (*Definition, bool) {
	versions := ds.byID[id]
	if len(versions) == 0 {
		return nil, false
	}
	if version == "" {
		return versions[len(versions)-1], true
	}
	for _, d := range versions {
		if d.Version == version {
			return d, true
		}
	}
	return nil, false
}

// All returns all versions of all definitions, by id and then by version, both ascending.
func (ds *Definitions) All() []*Definition {
	var all []*Definition
	for _, id := range slices.Sorted(maps.Keys(ds.byID)) {
		all = append(all, ds.byID[id]...)
	}
	return all
}

// compareVersions orders versions, which are whole numbers without leading zeros.
func compareVersions(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
