package handlers_test

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

func TestUploadRefusesInvalidFields(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxImages = 3; c.MaxNotes = 10; c.MaxPixels = 100 }))
	img := file("a.jpg", photo(1))
	patient := field("patientId", "P1")
	for _, test := range []struct {
		name   string
		parts  []part
		status int
		code   string
		says   []string // in the detail
		field  string   // in errors
	}{
		{"nothing known", []part{field("x", "1")}, 400, "invalid-input", []string{"x", "patientId", "images"}, "x"},
		{"unknown field of many bytes", []part{patient, img, field("x", strings.Repeat("x", 100_000))}, 400, "invalid-input", []string{"known"}, "x"},
		{"notes too long, cut within a character", []part{patient, img, field("notes", "n"+strings.Repeat("皮", 1000))}, 400, "invalid-input", []string{"10 characters"}, "notes"},
		{"misspelt field", []part{patient, img, field("patientID", "P1")}, 400, "invalid-input", []string{"patientID"}, "patientID"},
		{"part without a name", []part{patient, img, field("", "x")}, 400, "malformed-form", nil, ""},
		{"no patient", []part{img}, 400, "invalid-input", []string{"patientId is missing"}, "patientId"},
		{"empty patient", []part{field("patientId", ""), img}, 400, "invalid-input", []string{"patientId is missing"}, "patientId"},
		{"patient twice", []part{patient, patient, img}, 400, "invalid-input", []string{"more than once"}, "patientId"},
		{"patient too long", []part{field("patientId", strings.Repeat("P", 65)), img}, 400, "invalid-input", []string{"64"}, "patientId"},
		{"patient with a blank", []part{field("patientId", "P 1"), img}, 400, "invalid-input", []string{"A-Z"}, "patientId"},
		{"patient in Chinese", []part{field("patientId", "张三"), img}, 400, "invalid-input", []string{"A-Z"}, "patientId"},
		{"patient of many bytes", []part{field("patientId", strings.Repeat("P", 2000)), img}, 400, "invalid-input", []string{"patientId"}, "patientId"},
		{"visit with a slash", []part{patient, img, field("visitId", "a/b")}, 400, "invalid-input", nil, "visitId"},
		{"report id of dots", []part{patient, img, field("reportId", "..")}, 400, "invalid-input", nil, "reportId"},
		{"report id with a slash", []part{patient, img, field("reportId", "../x")}, 400, "invalid-input", nil, "reportId"},
		{"time without a zone", []part{patient, img, field("capturedAt", "2026-11-21T20:00:00")}, 400, "invalid-input", []string{"RFC 3339"}, "capturedAt"},
		{"time with a comma", []part{patient, img, field("capturedAt", "2026-11-21T20:00:00,5Z")}, 400, "invalid-input", nil, "capturedAt"},
		{"time in the year 0", []part{patient, img, field("capturedAt", "0000-11-21T20:00:00Z")}, 400, "invalid-input", []string{"from 0001 to 9999"}, "capturedAt"},
		{"time in the year 0 of UTC", []part{patient, img, field("capturedAt", "0001-01-01T00:00:00+08:00")}, 400, "invalid-input", []string{"in UTC too"}, "capturedAt"},
		{"time in the year 10000 of UTC", []part{patient, img, field("capturedAt", "9999-12-31T23:59:59-08:00")}, 400, "invalid-input", []string{"in UTC too"}, "capturedAt"},
		{"time in a zone that there is not", []part{patient, img, field("capturedAt", "2026-11-21T20:00:00+14:01")}, 400, "invalid-input", []string{"14:00 from UTC"}, "capturedAt"},
		{"notes too long", []part{patient, img, field("notes", strings.Repeat("皮", 11))}, 400, "invalid-input", []string{"10 characters"}, "notes"},
		{"notes far too long", []part{patient, img, field("notes", strings.Repeat("n", 100_000))}, 400, "invalid-input", []string{"10 characters"}, "notes"},
		{"notes not UTF-8", []part{patient, img, field("notes", "\xc4\xe3")}, 400, "invalid-input", []string{"UTF-8"}, "notes"},
		{"notes with NUL", []part{patient, img, field("notes", "a\x00b")}, 400, "invalid-input", []string{"U+0000"}, "notes"},
		{"notes with escape", []part{patient, img, field("notes", "a\x1b[1m")}, 400, "invalid-input", []string{"U+001B"}, "notes"},
		{"notes in GBK", []part{patient, img, {name: "notes", value: "x", header: map[string]string{"Content-Type": "text/plain; charset=GBK"}}},
			400, "invalid-input", []string{"gbk"}, "notes"},
		{"notes in base64", []part{patient, img, {name: "notes", value: "eA==", header: map[string]string{"Content-Transfer-Encoding": "base64"}}},
			400, "invalid-input", []string{"base64"}, "notes"},
		{"no image", []part{patient}, 400, "invalid-input", []string{"images", "imageId"}, "images"},
		{"empty image", []part{patient, img, file("b.jpg", nil)}, 400, "invalid-input", []string{"images[2] (b.jpg)", "empty"}, "images[2]"},
		{"unknown fields, and what is missing", []part{field("patient", "P1"), field("visit", "V1"), field("patient", "P2"), field("capturedAt", "now")}, 400, "invalid-input", []string{"patient is not a known field; known are study", "visit is not a known field; patientId is missing", "RFC 3339", "at least one image"}, "patient"},
		{"the name of a file", []part{patient, {name: "images", value: "photo.jpg"}}, 415, "not-an-image", []string{"images[1] has no file name", "-F images=@photo.jpg"}, "images[1]"},
		{"text as image", []part{patient, img, file("b.jpg", []byte("no picture"))}, 415, "not-an-image", []string{"images[2] (b.jpg)"}, "images[2]"},
		{"film as image", []part{patient, file("b.mp4", []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"))}, 415, "not-an-image", nil, "images[1]"},
		{"too many pixels", []part{patient, file("b.png", pngHeader(11, 10))}, 400, "image-too-large", []string{"11 x 10", "100"}, "images[1]"},
		{"too many images", []part{img, img, field("imageId", "x"), img, patient}, 400, "too-many-images", []string{"3"}, ""},
		{"too many ids", []part{img, img, img, field("imageId", "x"), patient}, 400, "too-many-images", []string{"3"}, ""},
		{"nothing but an empty image id", []part{patient, field("imageId", "")}, 400, "invalid-input", nil, "images"},
		{"image id with a blank", []part{patient, field("imageId", "a b")}, 400, "invalid-input", nil, "imageId"},
		{"unknown image", []part{patient, img, field("imageId", "IMG9")}, 400, "invalid-input", []string{"IMG9"}, "imageId"},
		{"everything at once", []part{field("patientId", "?"), field("capturedAt", "now"), field("notes", "\x01")}, 400, "invalid-input",
			[]string{"patientId", "capturedAt", "notes", "images"}, "capturedAt"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.on(t)
			a := s.upload(test.parts...).is(test.status, test.code)
			require.Equal(t, false, a.get("stored"))
			for _, word := range test.says {
				require.Contains(t, a.get("detail"), word)
			}
			if test.field != "" {
				var fields []string
				for _, e := range a.get("errors").([]any) {
					fields = append(fields, e.(map[string]any)["field"].(string))
				}
				require.Contains(t, fields, test.field)
			}
			require.Empty(t, s.temps())
		})
	}
	require.Empty(t, s.get("/case-reports").is(200).get("items"), "a refused upload left a row")
}

// pngHeader is as much of a PNG as tells its size.
func pngHeader(width, height byte) []byte {
	return append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00"), width, 0, 0, 0, height, 8, 6, 0, 0, 0)
}

func TestUploadAcceptsEdges(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxImages = 2; c.MaxNotes = 3; c.MaxPixels = 48 }))
	img := file("a.jpg", photo(1))
	patient := field("patientId", strings.Repeat("P", 64))
	for _, test := range []struct {
		name  string
		parts []part
	}{
		{"notes of as many characters as allowed", []part{patient, img, field("notes", "皮\r\n😀")}},
		{"empty optional fields", []part{patient, img, field("notes", ""), field("visitId", ""), field("capturedAt", ""), field("reportId", "")}},
		{"as many images as allowed", []part{patient, img, img}},
		{"a picture that cannot be decoded yet", []part{patient, file("a.heic", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"))}},
		{"a picture whose header is cut", []part{patient, file("a.jpg", []byte("\xff\xd8\xff\xe0"))}},
		{"a file name of another system", []part{patient, file(`C:\photos\皮疹.jpg`, photo(1))}},
		{"quoted-printable text", []part{patient, img, {name: "notes", value: "a=3Db", header: map[string]string{"Content-Transfer-Encoding": "quoted-printable"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.on(t)
			s.final(s.upload(test.parts...).is(http.StatusAccepted).get("id").(string))
		})
	}
}

func TestUploadRefusesBodies(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxBodyBytes = 100_000 }))
	multipartType, whole := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	for _, test := range []struct {
		name, contentType string
		body              []byte
		status            int
		code              string
	}{
		{"JSON", "application/json", []byte(`{"patientId":"P1"}`), 415, "unsupported-media-type"},
		{"no type", "", []byte("patientId=P1"), 415, "unsupported-media-type"},
		{"nonsense type", "???", []byte("patientId=P1"), 415, "unsupported-media-type"},
		{"no boundary", "multipart/form-data", whole, 400, "malformed-form"},
		{"other boundary", "multipart/form-data; boundary=x", whole, 400, "malformed-form"},
		{"without its end", multipartType, whole[:len(whole)-200], 400, "malformed-form"},
		{"without the end of the last boundary", multipartType, whole[:len(whole)-4], 400, "malformed-form"},
		{"broken part header", "multipart/form-data; boundary=x", []byte("--x\r\nnonsense\r\n\r\n"), 400, "malformed-form"},
		{"bad escapes", "application/x-www-form-urlencoded", []byte("patientId=%zz"), 400, "malformed-form"},
		{"files in a plain form", "application/x-www-form-urlencoded", []byte("patientId=P1&images=a.jpg"), 400, "invalid-input"},
		{"plain form in GBK", "application/x-www-form-urlencoded; charset=GBK", []byte("patientId=P1"), 400, "invalid-input"},
		{"plain form, field twice", "application/x-www-form-urlencoded", []byte("patientId=P1&patientId=P1"), 400, "invalid-input"},
		{"plain form, unknown field", "application/x-www-form-urlencoded", []byte("patient=P1"), 400, "invalid-input"},
		{"too large", multipartType, bytes.Repeat([]byte("x"), 100_001), 413, "body-too-large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.on(t)
			r := s.request(http.MethodPost, "/upload-case-report", bytes.NewReader(test.body))
			if test.contentType != "" {
				r.Header.Set("Content-Type", test.contentType)
			}
			a := s.do(r).is(test.status, test.code)
			require.Equal(t, false, a.get("stored"))
			require.Equal(t, false, a.get("retryable"), "the whole body was read: sending it again cannot help")
			require.Empty(t, s.temps())
		})
	}
	t.Run("too large without a length", func(t *testing.T) {
		s := s.on(t)
		parts := append([]byte("--x\r\nContent-Disposition: form-data; name=images; filename=a.jpg\r\n\r\n"), bytes.Repeat([]byte("x"), 100_001)...)
		r := s.request(http.MethodPost, "/upload-case-report", struct{ *bytes.Reader }{bytes.NewReader(parts)}, "Content-Type", "multipart/form-data; boundary=x")
		r.ContentLength = -1
		a := s.do(r).is(413, "body-too-large")
		require.Equal(t, float64(100_000), a.get("limit"))
		require.Contains(t, a.get("detail"), "100,000 B")
	})
	t.Run("plain form too large", func(t *testing.T) {
		s := open(t)
		s.uploadForm("patientId="+strings.Repeat("P", 1<<20)).is(413, "body-too-large")
	})
	t.Run("fields in the address", func(t *testing.T) {
		s := s.on(t)
		a := s.do(s.request(http.MethodPost, "/upload-case-report?patientId=P1", nil)).is(400, "invalid-input")
		require.Contains(t, a.get("detail"), "body")
	})
	t.Run("compressed", func(t *testing.T) {
		s := s.on(t)
		s.uploadForm("patientId=P1", "Content-Encoding", "gzip").is(415, "unsupported-media-type")
	})
	t.Run("from another site", func(t *testing.T) {
		s := s.on(t)
		s.uploadForm("patientId=P1", "Sec-Fetch-Site", "cross-site").is(403, "cross-origin")
	})
}

// TestPartHeadersGivenTwice: one reader would take the first, another the last.
func TestPartHeadersGivenTwice(t *testing.T) {
	s := open(t)
	for name, header := range map[string]string{
		"Content-Disposition":       "Content-Disposition: form-data; name=patientId\r\nContent-Disposition: form-data; name=visitId",
		"Content-Type":              "Content-Disposition: form-data; name=patientId\r\nContent-Type: text/plain; charset=GBK\r\ncontent-type: text/plain",
		"Content-Transfer-Encoding": "Content-Disposition: form-data; name=patientId\r\nContent-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64",
	} {
		body := "--x\r\n" + header + "\r\n\r\nP1\r\n--x--\r\n"
		a := s.do(s.request(http.MethodPost, "/upload-case-report", strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=x")).is(400, "malformed-form")
		require.Contains(t, a.get("detail"), "part 1: its header has "+name+" more than once")
	}
}

// TestEncodedBodies: a body is stored as it comes, so one that is encoded is refused, and not taken for broken JSON.
func TestEncodedBodies(t *testing.T) {
	s := open(t, withCases(t, s1))
	for _, target := range []string{
		"PUT /images/i?patientId=P1", "POST /upload-case-report", "POST /questionnaire-responses", "PUT /questionnaire-responses/R1", "POST /questionnaire-responses/batch",
		"PUT /fhir/R4/QuestionnaireResponse/R1", "POST /adverse-events", "PUT /adverse-events/AE-1", "POST /adverse-events/AE-1/follow-ups", "POST /receipts/check",
	} {
		t.Run(target, func(t *testing.T) {
			s := s.on(t)
			method, path, _ := strings.Cut(target, " ")
			mediaType := "application/json"
			switch {
			case strings.HasSuffix(path, "/batch"):
				mediaType = "application/x-ndjson"
			case path == "/upload-case-report":
				mediaType = "application/x-www-form-urlencoded"
			}
			for _, encoding := range [][]string{{"gzip"}, {"identity", "gzip"}} {
				r := s.request(method, path, strings.NewReader("\x1f\x8b"), "Content-Type", mediaType)
				r.Header["Content-Encoding"] = encoding
				a := s.do(r)
				require.Equal(t, 415, a.StatusCode)
				require.Contains(t, string(a.body), "Content-Encoding gzip is not understood here; send identity")
			}
			part := s.do(s.request(method, path, strings.NewReader("{}"), "Content-Type", mediaType, "Content-Range", "bytes 0-1/9"))
			require.Equal(t, 400, part.StatusCode)
			require.Contains(t, string(part.body), "Content-Range must not be there")
			if strings.HasPrefix(path, "/images/") { // whose bytes are no text
				return
			}
			for _, charset := range []string{"utf-16", "GBK", "iso-8859-1"} {
				a := s.do(s.request(method, path, strings.NewReader("notes=\xe8"), "Content-Type", mediaType+"; charset="+charset))
				require.Equal(t, 400, a.StatusCode)
				if path != "/upload-case-report" { // of which a field that is escaped could be in it
					require.Contains(t, string(a.body), "Content-Type is declared as "+strings.ToLower(charset)+"; send UTF-8")
				}
			}
		})
	}
	s.send(http.MethodPost, "/questionnaire-responses", response("R1", ""), "Content-Encoding", "Identity").is(201)
	for i, charset := range []string{"UTF-8", "utf8", "us-ascii", "ISO-8859-1"} { // the document is ASCII
		document := strings.NewReader(response("A"+strconv.Itoa(i), ""))
		s.do(s.request(http.MethodPost, "/questionnaire-responses", document, "Content-Type", "application/json; charset="+charset)).is(201)
	}
}

func TestProblemsSpeakTheClientsLanguage(t *testing.T) {
	s := open(t)
	for _, test := range []struct{ accept, language, says string }{
		{"", "en", "patientId is missing"},
		{"zh-CN", "zh-CN", "缺少 patientId；缺少图片：请以 images 上传文件，或以 imageId 引用已上传的图片。"},
		{"zh", "zh-CN", "缺少 patientId"},
		{"fr, zh-Hans;q=0.5", "zh-CN", "缺少 patientId"},
		{"fr", "en", "patientId is missing"},
		{"en-GB, zh;q=0.9", "en", "patientId is missing"},
		{"!!!", "en", "patientId is missing"},
		{strings.Repeat("zh,", 1000), "en", "patientId is missing"},
	} {
		t.Run(test.accept[:min(len(test.accept), 20)], func(t *testing.T) {
			s := s.on(t)
			a := s.uploadForm("", "Accept-Language", test.accept).is(400, "invalid-input")
			require.Equal(t, test.language, a.Header.Get("Content-Language"))
			require.Contains(t, a.Header.Values("Vary"), "Accept-Language")
			require.Contains(t, a.get("detail"), test.says)
		})
	}
	s.put("P1", "i", photo(1)).is(201)
	a := s.uploadForm("patientId=P1&imageId=i", "Accept-Language", "zh-CN").is(202)
	require.Equal(t, "zh-CN", a.Header.Get("Content-Language"))
	require.Contains(t, a.get("message"), "病例报告已安全保存")
}

func TestAddressesThatAreNone(t *testing.T) {
	s := open(t)
	s.get("/nothing").is(404, "no-such-address")
	s.get("/case-reports/").is(404, "no-such-address")
	a := s.do(s.request(http.MethodDelete, "/case-reports", nil)).is(405, "method-not-allowed")
	require.ElementsMatch(t, []string{"GET", "HEAD"}, strings.Split(a.Header.Get("Allow"), ", "))
	a = s.get("/upload-case-report").is(405, "method-not-allowed")
	require.Equal(t, "POST", a.Header.Get("Allow"))
	require.Contains(t, a.get("detail"), "POST")
	s.do(s.request("BREW", "/", nil)).is(405, "method-not-allowed")
	require.NotContains(t, a.json(), "stored")
	require.Contains(t, s.do(s.request(http.MethodPost, "/uploads", nil)).is(404).json(), "stored")
}
