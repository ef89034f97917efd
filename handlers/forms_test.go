package handlers_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

// typed is a text part with a Content-Type.
func typed(name, value, contentType string) part {
	return part{name: name, value: value, header: map[string]string{"Content-Type": contentType}}
}

// What HTTP clients send in fact, and what it has to be read as.
func TestFormsOfOtherClients(t *testing.T) {
	s := open(t)
	s.put("P1", "IMGX1", photo(9)).is(201)
	patient, img := field("patientId", "P1"), file("a.jpg", photo(1))
	notes := func(want string) map[string]any { return map[string]any{"notes": want} }
	for _, test := range []struct {
		name  string
		parts []part
		want  map[string]any // of the stored report
	}{
		{"text declared as ISO-8859-1 that is ASCII", []part{typed("patientId", "P1", "text/plain; charset=ISO-8859-1"), img}, map[string]any{"patientId": "P1"}},
		{"JSON text", []part{typed("patientId", `"P1"`, "application/json"), typed("notes", `"a\n\"b\" \u76ae\ud83d\ude00"`, "application/json; charset=UTF-8"), img},
			notes("a\n\"b\" 皮😀")},
		{"JSON text of escapes only", []part{patient, img, typed("notes", `"`+strings.Repeat(`\ud83d\ude00`, 4000)+`"`, "application/json")}, notes(strings.Repeat("😀", 4000))},
		{"an empty imageId", []part{patient, field("imageId", ""), img}, nil},
		{"an empty images part without a file name", []part{patient, img, field("images", "")}, nil},
		{"an empty file input", []part{patient, {name: "images", file: "", header: map[string]string{"Content-Disposition": `form-data; name="images"; filename=""`, "Content-Type": "application/octet-stream"}}, img}, nil},
		{"brackets", []part{patient, {name: "images[]", value: string(photo(1)), file: "a.jpg"}, field("imageId[]", "IMGX1")}, nil},
		{"a leap second", []part{patient, img, field("capturedAt", "2016-12-31T23:59:60Z")}, map[string]any{"capturedAt": "2016-12-31T23:59:60Z"}},
		{"a leap second elsewhere", []part{patient, img, field("capturedAt", "1990-12-31T15:59:60.5-08:00")}, nil},
		{"lower case in a time", []part{patient, img, field("capturedAt", "2026-11-21t20:00:00z")}, map[string]any{"capturedAt": "2026-11-21t20:00:00z"}},
		{"a quote in a file's name", []part{patient, {name: "images", value: string(photo(1)), header: map[string]string{"Content-Disposition": `form-data; name="images"; filename="rash 12" arm.jpg"`}}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.on(t)
			a := s.get("/case-reports/" + s.upload(test.parts...).is(http.StatusAccepted).get("id").(string)).is(200)
			for name, want := range test.want {
				require.Equal(t, want, a.get(name))
			}
			require.Equal(t, hexSum(photo(1)), a.get("images").([]any)[0].(map[string]any)["sha256"])
			if test.name == "a quote in a file's name" {
				require.Equal(t, `rash 12" arm.jpg`, a.get("images").([]any)[0].(map[string]any)["name"])
			}
			wantImages := 1
			if test.name == "brackets" {
				wantImages = 2
			}
			require.Len(t, a.get("images"), wantImages)
		})
	}
	t.Run("plain form with a raw semicolon", func(t *testing.T) {
		s := s.on(t)
		a := s.uploadForm("patientId=P1&imageId=IMGX1&imageId=&notes=fever 39C; rash on arm").is(202)
		require.Equal(t, "fever 39C; rash on arm", s.get("/case-reports/"+a.get("id").(string)).get("notes"))
	})
	t.Run("plain form in ISO-8859-1 that is ASCII", func(t *testing.T) {
		s := s.on(t)
		r := s.request(http.MethodPost, "/upload-case-report", strings.NewReader("patientId=P1&imageId=IMGX1&images="),
			"Content-Type", "application/x-www-form-urlencoded; charset=ISO-8859-1")
		s.do(r).is(202)
	})
	t.Run("unquoted boundary", func(t *testing.T) {
		for _, boundary := range []string{"===1616056691487===", "a=b", "(x)/y:z?"} {
			s := s.on(t)
			body := strings.ReplaceAll("--B\r\nContent-Disposition: form-data; name=patientId\r\n\r\nP1\r\n--B\r\nContent-Disposition: form-data; name=imageId\r\n\r\nIMGX1\r\n--B--\r\n", "--B", "--"+boundary)
			s.do(s.request(http.MethodPost, "/upload-case-report", strings.NewReader(body), "Content-Type", "multipart/form-data; boundary="+boundary)).is(202)
		}
	})
}

func TestFormsThatCouldBeMisread(t *testing.T) {
	s := open(t)
	patient, img := field("patientId", "P1"), file("a.jpg", photo(1))
	for _, test := range []struct {
		name  string
		parts []part
		says  string
	}{
		{"ISO-8859-1 beyond ASCII", []part{patient, img, typed("notes", "fi\xe8vre", "text/plain; charset=ISO-8859-1")}, "iso-8859-1"},
		{"UTF-8 declared as ISO-8859-1", []part{patient, img, typed("notes", "fièvre", "text/plain; charset=ISO-8859-1")}, "iso-8859-1"},
		{"a charset that is unknown", []part{patient, img, typed("notes", "x", "text/plain; charset=utf-16")}, "utf-16"},
		{"a JSON number", []part{patient, img, typed("visitId", "2", "application/json")}, "JSON string"},
		{"a JSON array", []part{patient, img, typed("imageId", `["a"]`, "application/json")}, "JSON string"},
		{"JSON null", []part{patient, img, typed("visitId", "null", "application/json")}, "JSON string"},
		{"half a character in JSON", []part{patient, img, typed("notes", `"\ud83d"`, "application/json")}, "JSON string"},
		{"half a character beside an escaped backslash", []part{patient, img, typed("notes", `"\\ufffd\ud83d"`, "application/json")}, "JSON string"},
		{"two second halves", []part{patient, img, typed("notes", `"\ude00\ude00"`, "application/json")}, "JSON string"},
		{"JSON and more", []part{patient, img, typed("notes", `"a" "b"`, "application/json")}, "JSON string"},
		{"an index in brackets", []part{patient, {name: "images[0]", value: string(photo(1)), file: "a.jpg"}}, "without brackets"},
		{"brackets at a single field", []part{field("patientId[]", "P1"), img}, "without brackets"},
		{"an empty file with a name", []part{patient, img, file("b.jpg", nil)}, "empty"},
		{"a second that is none", []part{patient, img, field("capturedAt", "2026-11-21T23:59:60Z")}, "RFC 3339"},
		{"second 61", []part{patient, img, field("capturedAt", "2016-12-31T23:59:61Z")}, "RFC 3339"},
		{"a leap second at noon", []part{patient, img, field("capturedAt", "2016-12-31T12:00:60Z")}, "RFC 3339"},
		{"an offset of a day", []part{patient, img, field("capturedAt", "2016-12-31T12:00:00+24:00")}, "RFC 3339"},
		{"a disposition that is none", []part{patient, {name: "x", value: "x", header: map[string]string{"Content-Disposition": `form-data; name="a"b"`}}}, "part 2"},
		{"a part without a name", []part{patient, {name: "x", value: "x", header: map[string]string{"Content-Disposition": `form-data`}}}, "part 2"},
		{"another disposition", []part{{name: "x", value: "x", header: map[string]string{"Content-Disposition": `attachment; name=notes`}}}, "part 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.on(t)
			a := s.upload(test.parts...)
			require.Equal(t, 400, a.StatusCode, "%s", a.body)
			require.Contains(t, a.get("detail"), test.says)
			require.Equal(t, false, a.get("retryable"))
			require.Empty(t, s.temps())
		})
	}
	for contentType, says := range map[string]string{
		"multipart/form-data":                            "boundary",
		"multipart/form-data; boundary=":                 "boundary",
		"multipart/form-data; boundary=other":            "boundary",
		"multipart/form-data; boundary=a=b; boundary=c":  "Content-Type",
		"multipart/form-data; boundary=a=b c":            "Content-Type",
		`multipart/form-data; boundary="a=b; boundary=c`: "Content-Type",
	} {
		t.Run(contentType, func(t *testing.T) {
			s := s.on(t)
			_, body := encode(patient, img)
			a := s.do(s.request(http.MethodPost, "/upload-case-report", bytes.NewReader(body), "Content-Type", contentType))
			require.Contains(t, []int{400, 415}, a.StatusCode)
			require.Contains(t, a.get("detail"), says)
			require.Equal(t, false, a.get("retryable"))
		})
	}
}

// A header of a part is bounded: 40 uploads that each hold a long one must not fill the memory.
func TestLongPartHeaders(t *testing.T) {
	s := open(t, alone)
	const uploads, header = 40, 9_900_000
	before := heap()
	for range uploads {
		c := s.dial()
		_, err := fmt.Fprintf(c, "POST /upload-case-report HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 20000000\r\n\r\n"+
			"--x\r\nContent-Disposition: form-data; name=\"patientId\"\r\n\r\nP1\r\n--x\r\nContent-Disposition: form-data; name=\"visitId\"\r\nX: ")
		require.NoError(t, err)
		go func() { _, _ = io.CopyN(c, letters{}, header) }() // ends with the connection
		a := s.answerOn(c).is(400, "malformed-form")
		require.Contains(t, a.get("detail"), "16 KiB")
		require.Equal(t, "part 2", a.get("errors").([]any)[0].(map[string]any)["field"])
	}
	require.Less(t, heap(), before+32<<20)
	long := part{name: "notes", value: "x", header: map[string]string{"X-Comment": strings.Repeat("a", 10<<10)}}
	s.upload(field("patientId", "P1"), long, long, file("a.jpg", photo(1))).is(400, "invalid-input") // repeated, but read
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestUploadsAtOnce(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxUploads = 2 }))
	contentType, body := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	first, second := s.dial(), s.dial()
	s.begin(first, contentType, len(body), body[:len(body)-1])
	s.begin(second, contentType, len(body), body[:len(body)-1])
	for handlers.UploadsUnderWay(s.API) < 2 {
		runtime.Gosched()
	}
	for _, a := range []answer{s.upload(field("patientId", "P1"), file("a.jpg", photo(1))), s.put("P1", "i", photo(1))} {
		a.is(503, "too-many-uploads")
		require.Equal(t, float64(2), a.get("limit"))
		require.Equal(t, true, a.get("retryable"))
		require.Equal(t, "5", a.Header.Get("Retry-After"))
	}
	s.get("/case-reports").is(200)
	_, err := first.Write(body[len(body)-1:])
	require.NoError(t, err)
	s.answerOn(first).is(202)
	s.put("P1", "i", photo(1)).is(201)
	require.NoError(t, second.Close())
	s.log.wait(t, "incomplete-body")
	require.Equal(t, 0, handlers.UploadsUnderWay(s.API))
}

// The room of uploads under way is taken, however little of them has arrived.
func TestUploadsUnderWayCountAsStored(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) {
		c.MinFreeDisk, c.MaxBodyBytes, c.ClientHeader = 1<<30, 300<<20, "X-Forwarded-For"
	}))
	handlers.SetFreeDisk(s.API, 1<<30+400<<20)
	c := s.dial()
	_, err := fmt.Fprintf(c, "POST /upload-case-report HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", 300<<20)
	require.NoError(t, err)
	line, err := bufio.NewReader(c).ReadString('\n') // comes when the body is read, after admission
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	d := s.dial()
	s.begin(d, "multipart/form-data; boundary=x", 300<<20, nil)
	s.answerOn(d).is(507, "disk-full")
	require.NoError(t, c.Close())
	s.log.wait(t, "incomplete-body")
}
