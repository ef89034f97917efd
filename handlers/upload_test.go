package handlers_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

func isPage(path string) bool { return slices.Contains(handlers.PagePaths(), path) }

// part is one part of a multipart form: a file if it has a file name.
type part struct {
	name, value, file string
	header            map[string]string
}

func field(name, value string) part { return part{name: name, value: value} }

func file(name string, content []byte) part {
	return part{name: "images", value: string(content), file: name}
}

// encode writes the parts as a browser does.
func encode(parts ...part) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		value := `form-data; name="` + p.name + `"`
		if p.file != "" {
			value += `; filename="` + p.file + `"`
		}
		h.Set("Content-Disposition", value)
		for k, v := range p.header {
			h.Set(k, v)
		}
		out, err := w.CreatePart(h)
		if err != nil {
			panic(err)
		}
		if _, err := io.WriteString(out, p.value); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

func (s *service) request(method, path string, body io.Reader, header ...string) *http.Request {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, body)
	require.NoError(s, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func (s *service) get(path string, header ...string) answer {
	s.Helper()
	return s.do(s.request(http.MethodGet, path, nil, header...))
}

func (s *service) upload(parts ...part) answer {
	s.Helper()
	contentType, body := encode(parts...)
	return s.do(s.request(http.MethodPost, "/upload-case-report", bytes.NewReader(body), "Content-Type", contentType))
}

func (s *service) uploadForm(form string, header ...string) answer {
	s.Helper()
	header = append(header, "Content-Type", "application/x-www-form-urlencoded")
	return s.do(s.request(http.MethodPost, "/upload-case-report", strings.NewReader(form), header...))
}

func (s *service) put(patientID, imageID string, content []byte, header ...string) answer {
	s.Helper()
	return s.do(s.request(http.MethodPut, "/images/"+imageID+"?patientId="+url.QueryEscape(patientID), bytes.NewReader(content), header...))
}

// final waits until a report is completed or failed.
func (s *service) final(id string) answer {
	s.Helper()
	for {
		a := s.get("/case-reports/" + id + "?wait=20s").is(http.StatusOK)
		if status := a.get("status"); status == "completed" || status == "failed" {
			return a
		}
	}
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestUploadAnswersWithReceipt(t *testing.T) {
	s := open(t)
	one, two := photo(10), photo(20)
	a := s.upload(
		file("a/b/arm.jpg", one), field("notes", "rash\r\non the arm\t皮疹"), field("patientId", "P001"),
		file("hand.jpg", two), field("visitId", "V2"), field("capturedAt", "2026-11-21T20:00:00+08:00"),
	).is(http.StatusAccepted)
	id := a.get("id").(string)
	require.Len(t, id, 36)
	require.Equal(t, "/case-reports/"+id, a.Header.Get("Location"))
	require.Equal(t, "/case-reports/"+id, a.get("statusUrl"))
	require.Equal(t, "accepted", a.get("status"))
	require.Empty(t, a.Header.Get("Idempotency-Replayed"))
	require.Equal(t, []any{
		map[string]any{"imageId": "sha256-" + hexSum(one)[:32], "sha256": hexSum(one), "bytes": float64(len(one))},
		map[string]any{"imageId": "sha256-" + hexSum(two)[:32], "sha256": hexSum(two), "bytes": float64(len(two))},
	}, a.get("images"))

	done := s.final(id)
	require.Equal(t, "completed", done.get("status"))
	require.Equal(t, "P001", done.get("patientId"))
	require.Equal(t, "V2", done.get("visitId"))
	require.Equal(t, "rash\non the arm\t皮疹", done.get("notes"))
	require.Equal(t, "2026-11-21T20:00:00+08:00", done.get("capturedAt"))
	require.Equal(t, a.get("receipt"), done.get("receipt"))
	require.Equal(t, "arm.jpg", done.get("images").([]any)[0].(map[string]any)["name"])
	require.Empty(t, done.Header.Get("Retry-After"))
}

// The call of the article that casepress grew out of.
func TestUploadNamesImagePutBefore(t *testing.T) {
	s := open(t)
	a := s.uploadForm("patientId=P001&imageId=IMG007").is(http.StatusBadRequest, "invalid-input")
	require.Contains(t, a.get("detail"), "IMG007")
	s.put("P002", "IMG007", photo(1)).is(http.StatusCreated)
	s.uploadForm("patientId=P001&imageId=IMG007").is(http.StatusBadRequest, "invalid-input")

	s.put("P001", "IMG007", photo(2)).is(http.StatusCreated)
	a = s.uploadForm("patientId=P001&imageId=IMG007").is(http.StatusAccepted)
	require.Equal(t, hexSum(photo(2)), a.get("images").([]any)[0].(map[string]any)["sha256"])
	s.final(a.get("id").(string))
}

func TestUploadWithoutParametersNamesBoth(t *testing.T) {
	s := open(t)
	for name, r := range map[string]*http.Request{
		"no body":    s.request(http.MethodPost, "/upload-case-report", nil),
		"empty form": s.request(http.MethodPost, "/upload-case-report", strings.NewReader(""), "Content-Type", "application/x-www-form-urlencoded"),
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			a := s.do(r).is(http.StatusBadRequest, "invalid-input")
			require.Contains(t, a.get("detail"), "patientId")
			require.Contains(t, a.get("detail"), "images")
			require.Contains(t, a.get("detail"), "imageId")
			require.Equal(t, false, a.get("stored"))
		})
	}
}

// Images of one form keep its order, files and references mixed.
func TestUploadKeepsOrderOfImages(t *testing.T) {
	s := open(t)
	s.put("P1", "early", photo(3)).is(http.StatusCreated)
	a := s.upload(file("1.jpg", photo(1)), field("imageId", "early"), file("2.jpg", photo(2)), file("1.jpg", photo(1)), field("patientId", "P1")).
		is(http.StatusAccepted)
	var got []string
	for _, img := range a.get("images").([]any) {
		got = append(got, img.(map[string]any)["sha256"].(string))
	}
	require.Equal(t, []string{hexSum(photo(1)), hexSum(photo(3)), hexSum(photo(2)), hexSum(photo(1))}, got)
}

// An image that came with one report can be named by the next one at once.
func TestUploadNamesImageOfEarlierReport(t *testing.T) {
	s := open(t)
	s.upload(field("patientId", "P1"), file("a.jpg", photo(1))).is(http.StatusAccepted)
	s.uploadForm("patientId=P1&imageId=sha256-" + hexSum(photo(1))[:32]).is(http.StatusAccepted)
}

func TestUploadAgain(t *testing.T) {
	s := open(t)
	send := func(notes string, name string) answer {
		return s.upload(field("reportId", "r-1"), field("patientId", "P1"), field("notes", notes), file(name, photo(1)))
	}
	first := send("one", "a.jpg").is(http.StatusAccepted)
	require.Equal(t, "r-1", first.get("id"))
	again := send("one", "renamed.jpg").is(http.StatusAccepted)
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	require.Equal(t, first.get("receipt"), again.get("receipt"))
	require.Equal(t, first.get("images"), again.get("images"))

	s.final("r-1")
	again = send("one", "a.jpg").is(http.StatusAccepted)
	require.Equal(t, "completed", again.get("status"))
	require.Equal(t, first.get("receipt"), again.get("receipt"))

	conflict := send("two", "a.jpg").is(http.StatusConflict, "report-id-conflict")
	require.Equal(t, first.get("receipt.sha256"), conflict.get("storedSha256"))
	require.NotEqual(t, conflict.get("storedSha256"), conflict.get("offeredSha256"))
	require.Equal(t, false, conflict.get("stored"))
	require.Equal(t, false, conflict.get("retryable"))
}

func TestUploadIdempotencyKey(t *testing.T) {
	s := open(t)
	s.put("P1", "i", photo(1)).is(http.StatusCreated)
	const form = "patientId=P1&imageId=i"
	require.Equal(t, "k-1", s.uploadForm(form, "Idempotency-Key", `"k-1"`).is(http.StatusAccepted).get("id"))
	a := s.uploadForm(form, "Idempotency-Key", `k-1`).is(http.StatusAccepted)
	require.Equal(t, "true", a.Header.Get("Idempotency-Replayed"))
	a = s.uploadForm(form+"&reportId=k-1", "Idempotency-Key", `"k-1"`).is(http.StatusAccepted)
	require.Equal(t, "true", a.Header.Get("Idempotency-Replayed"))
	s.uploadForm(form+"&reportId=k-2", "Idempotency-Key", "k-1").is(http.StatusBadRequest, "invalid-input")
	s.uploadForm(form, "Idempotency-Key", "a", "Idempotency-Key", "b").is(http.StatusBadRequest, "invalid-input")
	s.uploadForm(form, "Idempotency-Key", `""`).is(http.StatusBadRequest, "invalid-input")
	s.uploadForm(form, "Idempotency-Key", "a b").is(http.StatusBadRequest, "invalid-input")
}

// A report of a study or a visit that the server does not know is stored, and says so; a site is refused with those that there are.
func TestUploadWarnsOfWhatTheStudyDoesNotHave(t *testing.T) {
	const planned = `{"schema":1,"id":"P1","version":1,"title":"Planned","languages":["en"],"sites":[{"id":"101","title":"One"},{"id":"102","title":"Two"}],
		"visits":[{"id":"V01","title":"Day 1","day":1,"due":["case-report"]}]}`
	s := open(t, withCases(t, planned))
	upload := func(study, site, visit string) answer {
		parts := []part{field("patientId", "P001"), field("study", study), field("visitId", visit), file("a.jpg", photo(1))}
		if site != "" {
			parts = append(parts, field("site", site))
		}
		return s.upload(parts...)
	}
	require.Equal(t, []any{}, upload("P1", "101", "V01").is(202).get("warnings"))
	for code, of := range map[string][]string{"unknown-study": {"p1", "V01", "P1?"}, "unknown-visit": {"P1", "V1", "V01"}} {
		warnings := upload(of[0], "", of[1]).is(202).get("warnings").([]any)
		require.Len(t, warnings, 1)
		require.Equal(t, code, warnings[0].(map[string]any)["code"])
		require.Contains(t, warnings[0].(map[string]any)["detail"], of[2])
	}
	require.Contains(t, upload("P1", "103", "V01").is(400, "invalid-input").get("detail"), "it has 101, 102")
	a := s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":"AE-V","study":"P1","site":"103","patientId":"P001","visitId":"V9","description":"a rash","knownAt":%q}`, ago(time.Hour)))
	require.Contains(t, a.is(400).get("detail"), `/site: the study has no site "103"; it has 101, 102`)
	a = s.send(http.MethodPost, "/adverse-events", fmt.Sprintf(`{"id":"AE-V","study":"P1","patientId":"P001","visitId":"V9","description":"a rash","knownAt":%q}`, ago(time.Hour)))
	require.Equal(t, "unknown-visit", a.is(201).get("warnings").([]any)[0].(map[string]any)["code"])
}
