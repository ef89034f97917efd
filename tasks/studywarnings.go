package tasks

import (
	"fmt"

	"casepress/study"
)

// The codes of warnings about the study that a submission names, of any kind. They appear in the API and in the rows: never
// rename one.
const (
	warnUnknownStudy = "unknown-study"
	warnUnknownVisit = "unknown-visit"
)

// StudyWarnings are what is odd about the study and the visit that a submission of any kind names: most often they are misspelt. A
// study without a file has no crisis text, so that nobody is given one; an unknown visit is on no schedule, so that nobody misses
// it. A submission that names no study or no visit is not warned of: it has said nothing that could be wrong. A site that the study
// does not have is refused, see [study.Study.HasSite].
func StudyWarnings(studies *study.Studies, h Header) (all []Warning) {
	if lacks, similar := studies.Lacks(h.Study); lacks {
		detail := fmt.Sprintf("there is no file of the study %s, so it has no crisis text, flags or sites of its own", h.Study)
		switch {
		case similar != "":
			detail += fmt.Sprintf("; ids differ in case: %s?", similar)
		case !studies.HasFolder():
			detail += "; the server was started without --studies, so no study has a file"
		}
		all = append(all, Warning{warnUnknownStudy, detail})
	}
	if s := studies.Get(h.Study); !s.Plans(h.VisitID) {
		all = append(all, Warning{warnUnknownVisit, fmt.Sprintf("the schedule of the study has no visit %s; it has %s", h.VisitID, s.VisitIDs())})
	}
	return all
}
