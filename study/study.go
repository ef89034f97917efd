// Package study implements the definitions of clinical studies: one JSON file a study, versioned by
// the people who write it and known by the SHA-256 of its bytes.
//
// A folder holds the files, {id}.json each, and other files, which are not looked at. [Load] reads
// them all at the start of the service and refuses the whole folder if one file is broken; [CheckFile]
// says the same of one file. Both name every problem with file, line and column and with what would
// be right. docs/study.md describes the members, docs/study.schema.json describes them for editors.
//
// Files are read by package jsonfile, which refuses whatever could be read in two ways.
//
// A study without a file is taken with defaults, and so is the study without a name, "": nothing is
// refused for want of a file. A change of a file counts from the next start. Nothing here is written
// to, and nothing is kept of a file but what it says and its digest.
package study

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

// MaxBytes is the size from which on a file is refused.
const MaxBytes = 1 << 20

// The limits of what a file says. They are part of the format.
const (
	maxTitle     = 200 // characters
	maxLanguages = 100
	maxSites     = 10_000
	maxFlags     = 100
	maxInside    = 100  // definitions of instruments in the file itself
	maxText      = 2000 // characters of the crisis text
	maxWindows   = 1000
	maxLateAfter = 366 * 24  // hours
	maxLimit     = 366 * 24  // hours
	maxVersion   = 1<<53 - 1 // the largest number that every reader of JSON keeps exactly
	schema       = 1         // the form of the file that this package reads
)

// Study is what the file of a study says, or, for a study without a file, its id and defaults. Its
// lists belong to the package: read them, do not change them.
type Study struct {
	// ID names the study: 1 to 64 of A-Z a-z 0-9 . _ -, in its case. It is empty for the study
	// without a name.
	ID string
	// Version counts the changes of the file, from 1; 0 means that there is no file.
	Version int64
	// Title is one line for people, up to 200 characters, empty without a file.
	Title string
	// Languages are the languages of the study's participants as BCP 47 tags in canonical form, such
	// as "en" or "zh-CN", each once, the study's main language first. None without a file.
	Languages []string
	// Sites are the sites that take part, in the order of the file. None means that any site is
	// taken; see [Study.HasSite].
	Sites []Site
	// Flags are those that the study sets on instruments, beside the instruments' own.
	Flags []instrument.Rule
	// CrisisText is what a patient reads at once whose answers raise an urgent flag, by language; nil if there is none.
	// See [Study.CrisisTextIn].
	CrisisText map[string]string
	// Windows are when answers are expected; none: at any time. See [Study.InWindow].
	Windows []Window
	// LateAfterHours is how long after they were given answers may arrive without being called late; 0: see
	// [Study.LateAfter].
	LateAfterHours int64
	// AdverseEvents says how adverse events are dealt with.
	AdverseEvents AdverseEvents
	// Visits are the schedule: the visits of each patient in the order of their days; none: there is no schedule.
	Visits []Visit
	// SHA256 is the digest of the file's bytes in lower-case hexadecimal, empty without a file.
	SHA256 string

	sites       map[string]bool
	instruments *instrument.Definitions // nil: those that casepress brings along
}

// Site is a place that takes part in a study.
type Site struct {
	// ID names the site within its study, in the same form as [Study.ID].
	ID string
	// Title is one line for people, up to 200 characters.
	Title string
}

// HasSite reports whether the study takes submissions of a site. A study that lists no sites takes
// those of any. The empty id, which stands for a submission that names no site, is always taken:
// to name one is up to the client.
func (s Study) HasSite(id string) bool {
	return id == "" || len(s.Sites) == 0 || s.sites[id]
}

// SiteIDs names the sites of the study in a sentence, in the order of the file; where there are more than 20, the first 20 and "…".
func (s Study) SiteIDs() string { return listed(s.Sites, func(site Site) string { return site.ID }) }

// listed joins the first ids.
func listed[T any](all []T, id func(T) string) string {
	const most = 20
	ids := make([]string, 0, most+1)
	for _, one := range all[:min(len(all), most)] {
		ids = append(ids, id(one))
	}
	if len(all) > most {
		ids = append(ids, "…")
	}
	return strings.Join(ids, ", ")
}

// ValidID reports whether id is in the form that ids of studies and sites have: 1 to 64 of A-Z a-z
// 0-9 . _ -, but neither "." nor "..", which mean something else in paths and addresses.
func ValidID(id string) bool { return jsonfile.ValidID(id) }

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
