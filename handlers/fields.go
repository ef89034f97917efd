package handlers

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"casepress/jsonfile"
	"casepress/study"
	"casepress/tasks"
)

// Limits of identifiers: part of the API.
const (
	idCharset = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	maxID     = 64
)

// checkID returns a fault unless id is 1 to 64 of A-Za-z0-9._-.
func checkID(field, id string) *fieldFault {
	switch {
	case id == "":
		return &fieldFault{field: field, detail: textMissing}
	case len(id) > maxID || !inCharset(id, idCharset):
		return &fieldFault{field: field, detail: textIDCharset}
	}
	return nil
}

// checkPathID is [checkID] for ids that appear in addresses, where "." and ".." would mean something else.
func checkPathID(field, id string) *fieldFault {
	if id == "." || id == ".." {
		return &fieldFault{field: field, detail: textIDDots}
	}
	return checkID(field, id)
}

// checkStudy returns a fault unless id is "" or may be a study's.
func checkStudy(id string) *fieldFault {
	if id == "" {
		return nil
	}
	return checkPathID("study", id)
}

// checkSite returns a fault unless site is "" or one that the study takes.
func checkSite(studies *study.Studies, studyID, site string) *fieldFault {
	if site == "" {
		return nil
	}
	if wrong := checkPathID("site", site); wrong != nil {
		return wrong
	}
	if s := studies.Get(studyID); !s.HasSite(site) {
		return &fieldFault{field: "site", detail: textUnknownSite, args: []any{site, studyID, s.SiteIDs()}}
	}
	return nil
}

func inCharset(s, charset string) bool {
	for i := range len(s) {
		if strings.IndexByte(charset, s[i]) < 0 {
			return false
		}
	}
	return true
}

// imageIDAllowed reports whether a client may give an image this imageId. One that begins as the ids do
// that the server derives from digests must be the id derived from this image's digest; otherwise the
// image whose id it really is could not be stored.
func imageIDAllowed(imageID, sha256 string) bool {
	return !strings.HasPrefix(imageID, tasks.DerivedPrefix) || imageID == tasks.DerivedImageID(sha256)
}

// normalNotes returns the notes with every kind of line end as \n, which is how they are kept: browsers send
// \r\n, whatever was typed.
func normalNotes(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// checkText returns a fault unless s is UTF-8 of at most limit characters without control characters other
// than line breaks and tabs.
func checkText(field, s string, limit int) *fieldFault {
	if utf8.RuneCountInString(s) > limit { // first, because a text that is too long was cut and may end in half a character
		return &fieldFault{field: field, detail: textTooLong, args: []any{grouped(int64(limit))}}
	}
	if !utf8.ValidString(s) {
		return &fieldFault{field: field, detail: textNotUTF8}
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return &fieldFault{field: field, detail: textControl, args: []any{r}}
		}
	}
	return nil
}

// checkTime returns a fault unless s is a time as RFC 3339 writes it, leap seconds included, that documents may have too.
func checkTime(field, s string) *fieldFault {
	t, ok := jsonfile.ParseTime(s)
	switch {
	case !ok:
		return &fieldFault{field: field, detail: textNotTime}
	case !jsonfile.YearInRange(t):
		return &fieldFault{field: field, detail: textTimeYear}
	case !jsonfile.ZoneInRange(t):
		return &fieldFault{field: field, detail: textTimeZone}
	}
	return nil
}

// report checks the form's own fields and returns them as a case report without images, or a fault that names
// everything that is wrong.
func (f *form) report(header http.Header, maxNotes int, studies *study.Studies) (tasks.CaseReport, error) {
	faults := f.unknown
	add := func(wrong *fieldFault) {
		if wrong != nil {
			faults = append(faults, *wrong)
		}
	}
	r := tasks.CaseReport{
		Study: f.values["study"], Site: f.values["site"], PatientID: f.values["patientId"], VisitID: f.values["visitId"],
		Notes: normalNotes(f.values["notes"]), CapturedAt: f.values["capturedAt"],
	}
	add(checkID("patientId", r.PatientID))
	if r.VisitID != "" {
		add(checkID("visitId", r.VisitID))
	}
	add(checkStudy(r.Study))
	add(checkSite(studies, r.Study, r.Site))
	add(checkText("notes", r.Notes, maxNotes))
	if r.CapturedAt != "" {
		add(checkTime("capturedAt", r.CapturedAt))
	}
	id, wrong := f.reportID(header)
	add(wrong)
	r.ID = id
	if len(f.images) == 0 {
		add(&fieldFault{field: "images", detail: textMissingImages})
	}
	for _, img := range f.images {
		switch {
		case img.staged != nil:
		case img.image.ImageID == "":
			add(&fieldFault{field: "imageId", detail: textEmpty})
		default:
			add(checkPathID("imageId", img.image.ImageID))
		}
	}
	if len(faults) > 0 {
		return tasks.CaseReport{}, &fault{code: codeInvalidInput, fields: faults}
	}
	return r, nil
}

// reportID returns the client-made id, which may come as a field or as the header Idempotency-Key, bare or
// quoted as its draft wants it; "" if there is none.
func (f *form) reportID(header http.Header) (string, *fieldFault) {
	id := f.values["reportId"]
	keys := header.Values("Idempotency-Key")
	switch {
	case len(keys) > 1:
		return "", &fieldFault{field: "Idempotency-Key", detail: textRepeated}
	case len(keys) == 0 && id == "":
		return "", nil
	case len(keys) == 0:
		return id, checkPathID("reportId", id)
	}
	key := strings.TrimSpace(keys[0])
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if id != "" && id != key {
		return "", &fieldFault{field: "reportId", detail: textIDsDiffer}
	}
	return key, checkPathID("Idempotency-Key", key)
}
