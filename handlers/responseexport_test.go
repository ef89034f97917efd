package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

// table reads an export as a spreadsheet would: by the names of its columns.
func table(t testing.TB, body []byte) (rows []map[string]string) {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	require.NoError(t, err)
	for _, record := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			require.NotContains(t, row, name)
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestExports(t *testing.T) {
	s := open(t, withStudies(t, s1))
	s.get("/questionnaire-responses.csv").is(200)
	require.Empty(t, s.get("/questionnaire-responses.ndjson").is(200).body)
	first := responseQR1()
	s.send(http.MethodPost, "/questionnaire-responses", first).is(201)
	amended := strings.NewReplacer(`"9":1`, `"9":0`, `"scores"`, `"amends":{"revision":1,"reason":"=HYPERLINK(\"http://x\", 没有)"},"scores"`).Replace(first)
	s.send(http.MethodPut, "/questionnaire-responses/QR-1", amended).is(201)
	few := `{"id":"-A1","study":"S1","instrument":"phq-9","version":"1","patientId":"P001","language":"zh-Hans","authored":"2026-01-02T03:04:05+08:00","answers":{"1":3}}`
	s.send(http.MethodPost, "/questionnaire-responses", few).is(201)
	s.send(http.MethodPost, "/questionnaire-responses", strings.NewReplacer("-A1", "G1", "phq-9", "gad-7", "P001", "P000").Replace(few)).is(201)
	for _, id := range []string{"QR-1", "-A1", "G1"} {
		require.Equal(t, "completed", s.get("/questionnaire-responses/"+id+"?wait=20s").is(200).get("status"))
	}

	a := s.get("/questionnaire-responses.csv").is(200)
	require.Equal(t, "text/csv; charset=utf-8", a.Header.Get("Content-Type"))
	rows := table(t, a.body)
	require.Len(t, rows, 3)
	require.Equal(t, "G1", rows[0]["id"], "by patient")
	qr1 := rows[1]
	for name, want := range map[string]string{
		"id": "QR-1", "revision": "2", "study": "S1", "patientId": "P001", "visitId": "V02", "instrument": "phq-9", "version": "1", "status": "completed",
		"phq-9.answer.7": "3", "phq-9.answer.9": "0", "phq-9.answer.difficulty": "", "phq-9.score.total": "9", "phq-9.score.total.band": "mild",
		"gad-7.answer.1": "", "mismatches": "total", "sha256": digestOf(amended), "other": "",
		"amendsReason": `'=HYPERLINK("http://x", 没有)`,
	} {
		require.Contains(t, qr1, name)
		require.Equal(t, want, qr1[name], name)
	}
	require.Equal(t, "'-A1", rows[2]["id"])
	require.Equal(t, "phq-9-item-9 severe moderate", rows[2]["unknownFlags"])
	require.Equal(t, "8 of 9 answers are missing; at most 2 may be", rows[2]["phq-9.score.total.reason"])

	for query, want := range map[string]int{"?instrument=gad-7": 1, "?study=S1&patientId=P001": 2, "?to=2026-02-01T00:00:00Z": 2, "?visitId=V02": 1, "?site=101": 0, "?study=S2": 0} {
		require.Len(t, table(t, s.get("/questionnaire-responses.csv"+query).is(200).body), want, query)
		require.Equal(t, want, bytes.Count(s.get("/questionnaire-responses.ndjson"+query).is(200).body, []byte("\n")), query)
	}
	require.NotContains(t, table(t, s.get("/questionnaire-responses.csv?instrument=gad-7").is(200).body)[0], "phq-9.answer.1")

	lines := bufio.NewScanner(bytes.NewReader(s.get("/questionnaire-responses.ndjson?patientId=P001").is(200).body))
	for _, id := range []string{"QR-1", "-A1"} {
		require.True(t, lines.Scan())
		require.JSONEq(t, string(s.get("/questionnaire-responses/"+id).is(200).body), lines.Text())
	}

	sdtm := table(t, s.get("/questionnaire-responses.csv?format=sdtm-qs").is(200).body)
	require.Len(t, sdtm, 7+1+2*(10+2), "each item and each score")
	seen := map[string]bool{}
	for _, row := range sdtm {
		require.Equal(t, "QS", row["DOMAIN"])
		require.LessOrEqual(t, len(row["QSTESTCD"]), 8)
		require.LessOrEqual(t, len(row["QSTEST"]), 40)
		key := row["USUBJID"] + "/" + row["QSSEQ"]
		require.False(t, seen[key], key)
		seen[key] = true
	}
	require.Equal(t, map[string]string{
		"STUDYID": "S1", "DOMAIN": "QS", "USUBJID": "S1-P001", "QSSEQ": "7", "QSGRPID": "QR-1", "QSSPID": "7", "QSTESTCD": "PHQ9_07", "QSTEST": "phq-9 item 7", "QSCAT": "phq-9",
		"QSORRES": "Nearly every day", "QSSTRESC": "3", "QSSTRESN": "3", "QSSTAT": "", "QSREASND": "", "QSDRVFL": "", "VISIT": "V02", "QSDTC": qr1["authored"],
	}, sdtm[8+6])
	total := sdtm[8+10]
	require.Equal(t, []string{"PHQ9_S1", "phq-9 score total", "9", "9", "Y", "11"}, []string{total["QSTESTCD"], total["QSTEST"], total["QSORRES"], total["QSSTRESN"], total["QSDRVFL"], total["QSSEQ"]})
	none := sdtm[len(sdtm)-2]
	require.Equal(t, []string{"", "NOT DONE", "8 of 9 answers are missing; at most 2 may be"}, []string{none["QSSTRESN"], none["QSSTAT"], none["QSREASND"]})
	require.Equal(t, []string{"NOT DONE", ""}, []string{sdtm[8+12+1]["QSSTAT"], sdtm[8+12+1]["QSORRES"]})

	for _, query := range []string{"?status=completed", "?limit=1", "?cursor=AAAAAAAAAAE", "?format=sas", "?patientId="} {
		s.get("/questionnaire-responses.csv"+query).is(400, "invalid-input")
	}
	head := s.do(s.request(http.MethodHead, "/questionnaire-responses.csv", nil))
	require.Equal(t, 200, head.StatusCode)

	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = fmt.Fprintf(conn, "GET /questionnaire-responses.csv HTTP/1.0\r\nHost: %s\r\n\r\n", s.addr)
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "400 Bad Request")
	require.Contains(t, string(answer), "use HTTP/1.1")
}

// A client that reads slowly has two exports at most, and others have theirs.
func TestExportsOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, withStudies(t, s1), inVirtualTime, with(func(c *handlers.Config) { c.ClientHeader = "X-Forwarded-For" }))
		s.send(http.MethodPost, "/questionnaire-responses", response("R1", "")).is(201)
		var slow []net.Conn
		for range 8 {
			c := s.dial()
			_, err := fmt.Fprint(c, "GET /questionnaire-responses.csv HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
			require.NoError(t, err)
			synctest.Wait() // pipes hold nothing: nobody reads, so the answer is not over
			slow = append(slow, c)
		}
		begun := time.Now()
		s.get("/questionnaire-responses.csv", "X-Forwarded-For", "203.0.113.8").is(200)
		require.Zero(t, time.Since(begun))
		s.get("/questionnaire-responses.csv", "X-Forwarded-For", "203.0.113.7").is(503, "timeout")
		synctest.Wait() // the others gave up at the same instant
		refused, err := http.ReadResponse(bufio.NewReader(slow[7]), nil)
		require.NoError(t, err)
		require.Equal(t, 503, refused.StatusCode)
		whole, err := http.ReadResponse(bufio.NewReader(slow[0]), nil)
		require.NoError(t, err)
		require.Equal(t, 200, whole.StatusCode)
		_, err = io.Copy(io.Discard, whole.Body)
		require.NoError(t, err)
		s.get("/questionnaire-responses.csv", "X-Forwarded-For", "203.0.113.7").is(200)
		for _, c := range slow {
			require.NoError(t, c.Close())
		}
	})
}

// An export that cannot be completed never looks whole.
func TestExportThatIsCutShort(t *testing.T) {
	s := open(t, withStudies(t, s1))
	var lines []string
	for i := range 150 {
		lines = append(lines, response(fmt.Sprintf("R%03d", i), ""))
	}
	s.batch(lines...).is(207)
	for _, path := range []string{".csv", ".csv?format=sdtm-qs", ".ndjson"} {
		s.get("/questionnaire-responses" + path).is(200)
	}
	s.damageResponse("R140")
	for _, path := range []string{".csv", ".csv?format=sdtm-qs", ".ndjson"} {
		response, err := s.client.Do(s.request(http.MethodGet, "/questionnaire-responses"+path, nil))
		require.NoError(t, err)
		require.Equal(t, 200, response.StatusCode)
		body, err := io.ReadAll(response.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, path)
		require.Contains(t, string(body), "R050")
		require.NotContains(t, string(body), "R140")
		require.NoError(t, response.Body.Close())
		require.True(t, path != ".ndjson" || json.Valid(body[:bytes.IndexByte(body, '\n')]))
	}
	s.log.wait(t, "an export was cut short")
	s.damageResponse("R000")
	s.get("/questionnaire-responses.csv").is(503, "rows-damaged") // nothing was sent yet
}

// damageResponse changes the answers of a response behind the service's back.
func (s *service) damageResponse(id string) {
	s.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "casepress.db"))
	require.NoError(s, err)
	_, err = db.ExecContext(context.Background(), "PRAGMA busy_timeout = 5000; UPDATE questionnaire_responses SET content = content || ' ' WHERE id = '"+id+"'")
	require.NoError(s, err)
	require.NoError(s, db.Close())
}
