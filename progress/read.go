package progress

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"casepress/study"
)

// Limits of a page.
const (
	DefaultLimit = 50  // patients
	MaxLimit     = 200 // patients
	maxShown     = 20  // submissions of one item

	// enoughItems is from how many items on a page takes up no further patient: about 1 MiB.
	enoughItems = 10_000
)

// ErrBadCursor refuses a cursor that [Rows.Read] did not make.
var ErrBadCursor = errors.New("progress: bad cursor")

// Query says what to read. "" is no filter.
type Query struct {
	Site, PatientID, VisitID string
	Limit                    int    // patients, 1 to [MaxLimit]
	Cursor                   string // of the page before; "" is the first page
}

// Page is where the visits of some patients stand.
type Page struct {
	// Today is the day by which it was judged, a day of UTC.
	Today string `json:"today"`
	// Totals and Sites are the figures of all patients that the query is for, whatever the page. They are nil on pages after
	// the first.
	Totals *SiteFigures  `json:"totals"`
	Sites  []SiteFigures `json:"sites"`
	// Patients are in the order of their ids.
	Patients []Patient `json:"patients"`
	// Next is the cursor of the page that follows, nil on the last one.
	Next *string `json:"next"`
}

// SiteFigures are the figures of one site; those of all sites have none. Site is "" for patients of whom no event names one.
type SiteFigures struct {
	Site     string `json:"site"`
	Patients int    `json:"patients"`
	Figures
}

// Patient is one patient.
type Patient struct {
	PatientID string `json:"patientId"`
	// Site is the one that the latest event names, "" if none does.
	Site string `json:"site"`
	// Day1 is the patient's day 1, "" until it is known.
	Day1 string `json:"day1,omitempty"`
	Figures
	Visits []Visit `json:"visits"`
}

// Read returns a page of a study's patients as they stand at a time. Where one patient is asked for, items have their
// submissions.
func (r *Rows) Read(ctx context.Context, s study.Study, q Query, now time.Time) (Page, error) {
	after, err := afterCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	today := dayOf(now.UnixMicro())
	page := Page{Today: today.String(), Patients: []Patient{}}
	selected := selection{study: s.ID, q: q, after: after, limit: q.Limit + 1}
	more, items := false, 0
	err = r.eachSubject(ctx, selected, func(sub subject) {
		if more = more || len(page.Patients) == q.Limit || items >= enoughItems; more {
			return
		}
		t := timetableOf(s, today, sub.cells)
		p := Patient{PatientID: sub.patientID, Site: sub.site, Figures: t.figures(sub.cells, q.VisitID).rate(), Visits: t.show(sub.cells, q.VisitID)}
		if t.begun {
			p.Day1 = t.start.String()
		}
		for _, v := range p.Visits {
			items += len(v.Items)
		}
		page.Patients = append(page.Patients, p)
	})
	if err == nil && q.PatientID != "" && len(page.Patients) > 0 {
		err = r.addSubmissions(ctx, s.ID, &page.Patients[0])
	}
	if err != nil {
		return Page{}, r.explain("read", err)
	}
	if q.Cursor == "" { // after the patients: figures without somebody who is listed would be wrong
		if page.Sites, err = r.sum.of(ctx, r, s, q, today); err != nil {
			return Page{}, r.explain("figures", err)
		}
		page.Totals = total(page.Sites)
	}
	if more {
		next := cursorAfter(page.Patients[len(page.Patients)-1].PatientID)
		page.Next = &next
	}
	return page, nil
}

func afterCursor(cursor string) (string, error) {
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || cursor != "" && !validID(string(after)) || cursorAfter(string(after)) != cursor {
		return "", ErrBadCursor // the decoder reads over line breaks and bits that are left over
	}
	return string(after), nil
}

func cursorAfter(patientID string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(patientID))
}

// selection says which patients to read. limit 0 is all.
type selection struct {
	study string
	q     Query
	after string
	limit int
}

// subject is a patient with all that has come.
type subject struct {
	patientID, site string
	cells           []cell // by visit and item
}

// eachSubject calls do with each patient, in the order of their ids. The subject is do's only until it returns.
func (r *Rows) eachSubject(ctx context.Context, sel selection, do func(subject)) error {
	chosen := "SELECT study, patient_id, site FROM subjects WHERE study = $1 AND patient_id > $2"
	args := []any{sel.study, sel.after}
	for _, filter := range []struct{ column, value string }{{"site", sel.q.Site}, {"patient_id", sel.q.PatientID}} {
		if filter.value != "" {
			args = append(args, filter.value)
			chosen += " AND " + filter.column + " = $" + string(rune('0'+len(args)))
		}
	}
	chosen += " ORDER BY patient_id"
	if sel.limit > 0 {
		args = append(args, sel.limit)
		chosen += " LIMIT $" + string(rune('0'+len(args)))
	}
	rows, err := r.db.Reads.QueryContext(ctx, `SELECT s.patient_id, s.site, c.visit_id, c.item, MIN(c.since), MIN(c.completed_at), MAX(c.completed_at IS NULL)
		FROM (`+chosen+`) s LEFT JOIN submissions c ON c.study = s.study AND c.patient_id = s.patient_id AND c.counts = 1
		GROUP BY s.patient_id, c.visit_id, c.item ORDER BY s.patient_id, c.visit_id, c.item`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var current subject
	begun := false
	for rows.Next() {
		var patientID, site string
		var visitID, item sql.NullString
		var since, completedAt sql.NullInt64
		var unfinished sql.NullBool
		if err := rows.Scan(&patientID, &site, &visitID, &item, &since, &completedAt, &unfinished); err != nil {
			return err
		}
		if !begun || patientID != current.patientID {
			if begun {
				do(current)
			}
			current, begun = subject{patientID, site, current.cells[:0]}, true
		}
		if item.Valid {
			current.cells = append(current.cells, cell{
				visitID.String, item.String, since.Int64, completedAt.Int64, completedAt.Valid, unfinished.Bool,
			})
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if begun {
		do(current)
	}
	return nil
}

// addSubmissions adds to each item of a patient what has come.
func (r *Rows) addSubmissions(ctx context.Context, studyID string, p *Patient) error {
	for i := range p.Visits {
		v := &p.Visits[i]
		for j := range v.Items {
			if err := r.addSubmissionsOf(ctx, studyID, p.PatientID, v.VisitID, &v.Items[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Rows) addSubmissionsOf(ctx context.Context, studyID, patientID, visitID string, item *Item) error {
	rows, err := r.db.Reads.QueryContext(ctx, `SELECT kind, id, revision, completed, occurred_at, finished_at, event_id, url, COUNT(*) OVER () FROM submissions
		WHERE study = $1 AND patient_id = $2 AND visit_id = $3 AND item = $4 AND counts = 1 ORDER BY occurred_at DESC, id LIMIT $5`,
		studyID, patientID, visitID, item.Item, maxShown)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s Submission
		var completed bool
		var occurred, finished int64
		if err := rows.Scan(&s.Kind, &s.ID, &s.Revision, &completed, &occurred, &finished, &s.EventID, &s.URL, &item.SubmissionCount); err != nil {
			return err
		}
		s.OccurredAt, s.FinishedAt, s.Status = timeText(occurred), timeText(finished), "failed"
		if completed {
			s.Status = "completed"
		}
		item.Submissions = append(item.Submissions, s)
	}
	return rows.Err()
}

func timeText(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// sums keeps the last figures by site, which are made of all rows of a study: one at a time makes them, and whoever
// asks the same meanwhile, or before anything has changed, gets them too.
type sums struct {
	turn    chan struct{} // has one while figures are made
	changed sync.Mutex    // guards version
	version uint64        // of the rows; odd while they are being written: then others may see them already, or not yet
	kept    struct {
		query   Query
		study   string
		sha256  string
		today   day
		version uint64
		figures []SiteFigures
	}
}

// change says that rows are going to be written, and again that they are.
func (s *sums) change() {
	s.changed.Lock()
	s.version++
	s.changed.Unlock()
}

func (s *sums) of(ctx context.Context, r *Rows, of study.Study, q Query, today day) ([]SiteFigures, error) {
	q.Limit, q.Cursor = 0, ""
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.changed.Lock()
	version := s.version
	s.changed.Unlock()
	if k := &s.kept; version%2 == 0 && k.figures != nil && k.query == q && k.study == of.ID && k.sha256 == of.SHA256 && k.today == today && k.version == version {
		return k.figures, nil
	}
	bySite := map[string]*SiteFigures{}
	err := r.eachSubject(ctx, selection{study: of.ID, q: q}, func(sub subject) {
		f := bySite[sub.site]
		if f == nil {
			f = &SiteFigures{Site: sub.site}
			bySite[sub.site] = f
		}
		f.Patients++
		f.add(timetableOf(of, today, sub.cells).figures(sub.cells, q.VisitID))
	})
	if err != nil {
		return nil, err
	}
	figures := []SiteFigures{}
	for _, f := range bySite {
		f.Figures = f.rate()
		figures = append(figures, *f)
	}
	slices.SortFunc(figures, func(a, b SiteFigures) int { return strings.Compare(a.Site, b.Site) })
	s.kept.query, s.kept.study, s.kept.sha256, s.kept.today, s.kept.version, s.kept.figures = q, of.ID, of.SHA256, today, version, figures
	return figures, nil
}

func total(sites []SiteFigures) *SiteFigures {
	t := &SiteFigures{}
	for _, s := range sites {
		t.Patients += s.Patients
		t.add(s.Figures)
	}
	t.Figures = t.rate()
	return t
}
