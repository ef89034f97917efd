package store_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"casepress/store"
	"casepress/tasks"
)

// old is a database as the version before there were kinds wrote it, with a report of every status.
type old struct {
	path string
	db   *sql.DB
}

// makeOld makes the database with the migrations of that version, and leaves it open.
func makeOld(t *testing.T, upTo int) *old {
	t.Helper()
	path := filepath.Join(t.TempDir(), "casepress.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=cache_size(10)&_pragma=synchronous(OFF)")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	o := &old{path, db}
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	o.exec(t, `CREATE TABLE schema_migrations (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL,
		applied_at BIGINT NOT NULL, probed_at BIGINT NOT NULL DEFAULT 0)`)
	for version := 1; version <= upTo; version++ {
		text, err := store.MigrationText(version)
		require.NoError(t, err)
		o.exec(t, text)
		o.exec(t, "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, 'old', 1)", version)
	}
	return o
}

func (o *old) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := o.db.Exec(query, args...)
	require.NoError(t, err)
}

// oldRow is the row of report n as the old version would have had it.
func oldRow(n int, status tasks.Status) store.Row {
	r := report(n)
	row := store.Row{
		Kind: caseReports, Header: r.Header(), Content: r, SHA256: r.Digest(), Sequence: uint64(10 * n),
		ReceivedAt: received, CreatedAt: received.Add(time.Second), Status: status, Version: int64(n+2) << 20,
	}
	if status == tasks.Accepted {
		return row
	}
	row.StartedAt, row.Attempts, row.BaseAttempts = received.Add(2*time.Second), 3, 1
	row.Done, row.Total = 1, len(r.Images)+1
	switch status {
	case tasks.Retrying:
		row.Error, row.NextAttempt = "busy", received.Add(time.Hour)
	case tasks.Failed:
		row.Error, row.FinishedAt = "gave up", received.Add(3*time.Second)
	case tasks.Completed:
		row.FinishedAt, row.Done = received.Add(3*time.Second), row.Total
		row.Result = result(r)
	}
	return row
}

func (o *old) insert(t *testing.T, row store.Row) {
	t.Helper()
	r := reportOf(row)
	us := func(at time.Time) int64 {
		if at.IsZero() {
			return 0
		}
		return at.UnixMicro()
	}
	made, completed := row.Result.(tasks.CaseReportResult)
	problems := "[]"
	if completed {
		problems = `[{"image":1,"code":"image-undecodable","detail":"The image cannot be decoded."}]`
	}
	o.exec(t, `INSERT INTO case_reports (id, sequence, sha256, patient_id, visit_id, notes, captured_at, received_at, created_at,
			started_at, finished_at, next_attempt_at, status, attempts, base_attempts, done, total, error,
			pdf_sha256, pdf_bytes, pdf_pages, problems, version, images_end)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, 1000)`,
		r.ID, int64(row.Sequence), row.SHA256, r.PatientID, r.VisitID, r.Notes, r.CapturedAt, us(row.ReceivedAt), us(row.CreatedAt),
		us(row.StartedAt), us(row.FinishedAt), us(row.NextAttempt), row.Status, row.Attempts, row.BaseAttempts, row.Done, row.Total, row.Error,
		made.PDF.SHA256, made.PDF.Bytes, made.PDF.Pages, problems, row.Version>>20)
	for i, img := range r.Images {
		var of tasks.ImageResult
		removed := "[]"
		if completed {
			of, removed = made.Images[i], `["GPSLatitude","Model"]`
		}
		o.exec(t, `INSERT INTO case_report_images (report_id, n, image_id, sha256, bytes, media_type, name, full_sha256, full_bytes,
				thumb_sha256, thumb_bytes, width, height, released, full_media_type, source_width, source_height, taken_at, removed, damaged)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
			r.ID, i+1, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name, of.Full.SHA256, of.Full.Bytes,
			of.Thumb.SHA256, of.Thumb.Bytes, of.Width, of.Height, completed, of.MediaType, of.SourceWidth, of.SourceHeight,
			of.CapturedAt, removed, of.Damaged)
		o.putImage(t, r.PatientID, img, 0)
	}
}

func (o *old) putImage(t *testing.T, patientID string, img tasks.Image, putEnd int) {
	t.Helper()
	o.exec(t, `INSERT INTO patient_images (patient_id, image_id, sha256, bytes, media_type, name, put_end) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		patientID, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name, putEnd)
}

// fill inserts reports of every status, and an image that waits for its report.
func (o *old) fill(t *testing.T) {
	t.Helper()
	for n, status := range tasks.Statuses() {
		o.insert(t, oldRow(n, status))
	}
	o.putImage(t, "P001", image(500), 7)
}

// killedBy returns a copy of the database as a kill in the middle of a migration leaves it.
func (o *old) killedBy(t *testing.T, version int) (path string) {
	t.Helper()
	text, err := store.MigrationText(version)
	require.NoError(t, err)
	tx, err := o.db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec(text)
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "casepress.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(o.path + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path+suffix, content, 0o600))
	}
	require.NoError(t, tx.Rollback())
	return path
}

// requireServed checks that all of fill is served, and that work goes on.
func requireServed(t *testing.T, s *store.Store) {
	t.Helper()
	requireSound(t, s)
	for n, status := range tasks.Statuses() {
		want := oldRow(n, status)
		row, err := get(s, want.ID)
		require.NoError(t, err)
		require.Equal(t, want, row)
		rows, _, err := s.List(t.Context(), caseReports, store.Filter{Status: string(status)})
		require.NoError(t, err)
		require.Equal(t, []store.Row{want}, rows)
		for _, img := range report(n).Images {
			got, err := s.Image(t.Context(), report(n).Header().Subject(), img.ImageID)
			require.NoError(t, err)
			require.Equal(t, img, got)
			unneeded, err := s.Unneeded(t.Context(), []string{img.SHA256})
			require.NoError(t, err)
			require.Equal(t, status == tasks.Completed, len(unneeded) == 1, "released")
		}
	}
	waiting, err := s.Original(t.Context(), image(500).SHA256)
	require.NoError(t, err)
	require.Equal(t, image(500), waiting)
	_, known, err := s.Watermark(t.Context(), tasks.TopicCaseReports)
	require.NoError(t, err)
	require.False(t, known)

	due, err := s.Unfinished(t.Context(), caseReports, store.FromStart, 10)
	require.NoError(t, err)
	require.Equal(t, []store.Due{
		{Ref: refOf(report(0).ID), DueSequence: 0}, {Ref: refOf(report(1).ID), Sequence: 10, DueSequence: 10, Attempts: 3},
		{Ref: refOf(report(2).ID), Sequence: 20, DueSequence: 20, Attempts: 3},
	}, due)
	recovered, err := s.Recover(t.Context(), 3)
	require.NoError(t, err)
	require.Equal(t, store.Recovered{Interrupted: 1, Suspects: 1}, recovered)
	for n := range 3 {
		row, err := claim(t.Context(), s, report(n).ID)
		require.NoError(t, err)
		require.NoError(t, complete(t.Context(), s, row.ID, row.Attempts, result(report(n))))
	}
	require.NoError(t, recordBatch(t.Context(), s, retry(41, report(4).ID, 3), accepted(50, report(5)), accepted(0, report(0))))
	row, err := claim(t.Context(), s, report(4).ID)
	require.NoError(t, err)
	require.Equal(t, 4, row.Attempts)
	// What the old version wrote as a record comes again: an id is never taken for other content.
	found, err := s.Find(t.Context(), accepted(99, report(3)).Submission)
	require.NoError(t, err)
	require.Equal(t, report(3).Digest(), found.SHA256)
}

func TestOpenServesADatabaseOfBefore(t *testing.T) {
	o := makeOld(t, 3)
	o.fill(t)
	requireServed(t, openAt(t, o.path))
}

// Rows of the version that had an index of its own for what is unfinished.
func TestOpenServesTheFourthSchema(t *testing.T) {
	o := makeOld(t, 3)
	o.fill(t)
	text, err := store.MigrationText(4)
	require.NoError(t, err)
	o.exec(t, text)
	o.exec(t, "INSERT INTO schema_migrations (version, name, applied_at) VALUES (4, 'old', 1)")
	// A retry has moved the work on one, and the process has died of another before.
	o.exec(t, "UPDATE submissions SET due_sequence = 77 WHERE id = $1", report(0).ID)
	o.exec(t, "UPDATE submissions SET suspect = 1 WHERE id IN ($1, $2)", report(2).ID, report(4).ID)
	s := openAt(t, o.path)
	due, err := s.Unfinished(t.Context(), caseReports, store.FromStart, 2)
	require.NoError(t, err)
	require.Equal(t, []store.Due{
		{Ref: refOf(report(0).ID), DueSequence: 77}, {Ref: refOf(report(1).ID), Sequence: 10, DueSequence: 10, Attempts: 3},
	}, due)
	suspects, err := s.Suspects(t.Context())
	require.NoError(t, err)
	require.Equal(t, []tasks.Ref{refOf(report(2).ID)}, suspects, "what has failed is not begun")
	o.exec(t, "UPDATE submissions SET due_sequence = sequence, suspect = 0")
	requireServed(t, s)
}

// migrate applies the migrations behind the third to one that has those, up to a version.
func (o *old) migrate(t *testing.T, upTo int) {
	t.Helper()
	for version := 4; version <= upTo; version++ {
		text, err := store.MigrationText(version)
		require.NoError(t, err)
		o.exec(t, text)
		o.exec(t, "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, 'old', 1)", version)
	}
}

// A database of the version before migration 8, to which that and all later ones have to be applied, whether the program was killed
// in the middle of it or not.
func TestOpenServesTheSeventhSchema(t *testing.T) {
	for name, killed := range map[string]bool{"at once": false, "killed in the middle": true} {
		t.Run(name, func(t *testing.T) {
			o := makeOld(t, 3)
			o.fill(t)
			o.migrate(t, 7)
			path := o.path
			if killed {
				path = o.killedBy(t, 8)
			}
			s := openAt(t, path)
			var unchecked int
			require.NoError(t, store.Reads(s).QueryRow(`SELECT (SELECT COUNT(*) FROM case_reports WHERE images_end = 0) +
				(SELECT COUNT(*) FROM patient_images WHERE put_end = 0 AND image_id = 'IMG500')`).Scan(&unchecked))
			require.Zero(t, unchecked, "there is something to check")
			requireServed(t, s)
			_, err := s.Original(t.Context(), report(3).Images[0].SHA256)
			require.NoError(t, err, "of a report that is completed")
			named, err := s.NamedBlobs(t.Context())
			require.NoError(t, err)
			for _, made := range result(report(3)).Images {
				require.True(t, named.Has(made.Full.SHA256) && named.Has(made.Thumb.SHA256))
			}
		})
	}
}

// A database of the version before migration 13, whose results stand with the reports and images, whether the program was killed in
// the middle of the migration or not. It is not rewritten: a result is read where it stands.
func TestOpenServesTheTwelfthSchema(t *testing.T) {
	for name, killed := range map[string]bool{"at once": false, "killed in the middle": true} {
		t.Run(name, func(t *testing.T) {
			o := makeOld(t, 3)
			o.fill(t)
			o.migrate(t, 12)
			path := o.path
			if killed {
				path = o.killedBy(t, 13)
			}
			s := openAt(t, path)
			requireServed(t, s)
			named, err := s.NamedBlobs(t.Context())
			require.NoError(t, err)
			for n := range 4 { // three were completed by now, the fourth by the earlier version
				for _, made := range result(report(n)).Images {
					require.True(t, named.Has(made.Full.SHA256) && named.Has(made.Thumb.SHA256))
				}
			}
			require.True(t, named.Has(result(report(0)).PDF.SHA256))
			rows := listAll(t, s, store.Filter{Status: string(tasks.Completed)})
			require.Len(t, rows, 4)
			for _, row := range rows { // some of either, in one page
				require.Equal(t, result(reportOf(row)), row.Result)
			}
		})
	}
}

// An image that was put ahead before it was kept how far waits for a report, as one does that was put ahead since.
func TestAnImageOfTheFirstSchemaWaits(t *testing.T) {
	o := makeOld(t, 1)
	img := image(3)
	o.exec(t, "INSERT INTO patient_images (patient_id, image_id, sha256, bytes, media_type, name) VALUES ('P001', $1, $2, $3, $4, $5)",
		img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name)
	s := openAt(t, o.path)
	found, err := s.Original(t.Context(), img.SHA256)
	require.NoError(t, err)
	require.Equal(t, img, found)
	unneeded, err := s.Unneeded(t.Context(), []string{img.SHA256})
	require.NoError(t, err)
	require.Empty(t, unneeded)
}

// A kill in the middle of the migration changes nothing: it is one transaction.
func TestMigrationKilledHalfWay(t *testing.T) {
	o := makeOld(t, 3)
	o.fill(t)
	for n := 10; n < 600; n++ { // too much for the cache, so that some of it is written before the commit
		o.insert(t, oldRow(n, tasks.Completed))
	}
	_, err := o.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	killed := o.killedBy(t, 4)
	info, err := os.Stat(killed + "-wal")
	require.NoError(t, err)
	require.Greater(t, info.Size(), int64(500_000), "a part of the migration is in the file")

	s := openAt(t, killed)
	require.Len(t, listAll(t, s, store.Filter{}), 595)
	for n := 10; n < 600; n++ {
		row, err := get(s, report(n).ID)
		require.NoError(t, err)
		require.Equal(t, oldRow(n, tasks.Completed), row)
	}
}

// Rows from before pictures had more to tell, and before originals could be dropped.
func TestOpenServesTheFirstSchema(t *testing.T) {
	o := makeOld(t, 1)
	r := report(1)
	o.exec(t, `INSERT INTO case_reports (id, sequence, sha256, patient_id, visit_id, notes, captured_at, received_at, created_at,
			started_at, finished_at, status, attempts, pdf_sha256, pdf_bytes, pdf_pages)
		VALUES ($1, 0, $2, $3, $4, $5, $6, 1, 1, 1, 1, 'completed', 1, 'pdf', 1, 1)`, r.ID, r.Digest(), r.PatientID, r.VisitID, r.Notes, r.CapturedAt)
	var want []tasks.ImageResult
	for i, img := range r.Images {
		made := tasks.ImageResult{Full: tasks.Output{SHA256: fmt.Sprint("full", i), Bytes: 2}, Thumb: tasks.Output{SHA256: "thumb", Bytes: 1}, Width: 4, Height: 3}
		want = append(want, made)
		o.exec(t, `INSERT INTO case_report_images (report_id, n, image_id, sha256, bytes, media_type, name,
				full_sha256, full_bytes, thumb_sha256, thumb_bytes, width, height) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 2, 'thumb', 1, 4, 3)`,
			r.ID, i+1, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name, made.Full.SHA256)
		o.exec(t, "INSERT INTO patient_images (patient_id, image_id, sha256, bytes, media_type, name) VALUES ($1, $2, $3, $4, $5, $6)",
			r.PatientID, img.ImageID, img.SHA256, img.Bytes, img.MediaType, img.Name)
	}
	row, err := get(openAt(t, o.path), r.ID)
	require.NoError(t, err)
	require.Equal(t, r, row.Content)
	require.Equal(t, want, row.Result.(tasks.CaseReportResult).Images)
}
