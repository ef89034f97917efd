package handlers_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// As long as the rows cannot be written, questions end: lists show what there is and say so, and what is
// not found is not called absent.
func TestRowsBehindTheLog(t *testing.T) {
	s := open(t, func(set *settings) { set.readTimeout = 50 * time.Millisecond })
	// Where rows can be written they catch up, but a busy machine may take longer than a question waits.
	caughtUp := func(ask func() answer) answer {
		a := ask()
		for ; a.StatusCode == 503; a = ask() {
			runtime.Gosched()
		}
		return a
	}
	final := func(id string) {
		for caughtUp(func() answer { return s.get("/case-reports/" + id) }).get("status") != "completed" {
			runtime.Gosched()
		}
	}
	s.put("P1", "i", photo(1)).is(201)
	caughtUp(func() answer { return s.uploadForm("patientId=P1&imageId=i&reportId=r1") }).is(202)
	final("r1")

	unlock := s.lockRows()
	s.uploadForm("patientId=P1&imageId=i&reportId=r2").is(202)
	a := s.get("/case-reports").is(200)
	require.Equal(t, false, a.get("upToDate"))
	require.Len(t, a.get("items"), 1)
	for _, path := range []string{"/case-reports/r2", "/case-reports/r2?wait=20s", "/case-reports/r2/report.pdf", "/case-reports/none", "/images/none?patientId=P1"} {
		a := s.get(path).is(503, "rows-behind")
		require.Equal(t, "5", a.Header.Get("Retry-After"))
	}
	a = s.uploadForm("patientId=P1&imageId=none").is(503, "rows-behind")
	require.Equal(t, false, a.get("stored"))
	s.get("/case-reports/r1").is(200)

	unlock()
	final("r2") // the writer tries again a moment later
	for s.get("/case-reports").get("upToDate") != true {
		runtime.Gosched()
	}
	caughtUp(func() answer { return s.get("/case-reports/none") }).is(404, "report-not-found")
}

// lockRows keeps the service from writing its rows.
func (s *service) lockRows() (unlock func()) {
	s.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "casepress.db"))
	require.NoError(s, err)
	conn, err := db.Conn(context.Background())
	require.NoError(s, err)
	_, err = conn.ExecContext(context.Background(), "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE")
	require.NoError(s, err)
	return func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		require.NoError(s, err)
		require.NoError(s, conn.Close())
		require.NoError(s, db.Close())
	}
}

// Two answers with the same ETag have the same bytes, whatever happened in between.
func TestETagsAreOfTheBytes(t *testing.T) {
	g := newGate()
	s := gated(t, g, twice(time.Millisecond))
	s.uploadOne("r1")
	seen := map[string]string{}
	look := func() string {
		a := s.get("/case-reports/r1").is(200)
		tag := a.Header.Get("Etag")
		if body, known := seen[tag]; known {
			require.Equal(t, body, string(a.body))
		}
		seen[tag] = string(a.body)
		return tag
	}
	look()
	<-g.begun
	tag := look()
	for range 2 { // nothing has changed
		require.Equal(t, tag, look())
	}
	answered := s.later("/case-reports/r1?wait=30s", "If-None-Match", tag)
	g.pass <- struct{}{}
	a := (<-answered).is(200)
	require.NotEqual(t, tag, a.Header.Get("Etag"))
	s.final("r1")
	look()
	require.GreaterOrEqual(t, len(seen), 2)
}
