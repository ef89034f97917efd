package handlers_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/handlers"
	"casepress/study"
)

func TestPutImage(t *testing.T) {
	s := open(t)
	a := s.put("P1", "IMG007", photo(1)).is(http.StatusCreated)
	require.Equal(t, map[string]any{
		"study": nil, "patientId": "P1", "imageId": "IMG007", "sha256": hexSum(photo(1)), "bytes": float64(len(photo(1))), "mediaType": "image/jpeg",
	}, a.json())
	s.put("P1", "IMG007", photo(1)).is(http.StatusOK)
	a = s.put("P1", "IMG007", photo(2)).is(http.StatusConflict, "image-id-conflict")
	require.Equal(t, hexSum(photo(1)), a.get("storedSha256"))
	require.Equal(t, hexSum(photo(2)), a.get("offeredSha256"))
	s.put("P2", "IMG007", photo(2)).is(http.StatusCreated)
}

func TestPutImageVerifiesDigest(t *testing.T) {
	s := open(t)
	img := photo(1)
	sum256, sum512 := sha256.Sum256(img), sha512.Sum512(img)
	member := func(name string, sum []byte) string {
		return name + "=:" + base64.StdEncoding.EncodeToString(sum) + ":"
	}
	good256, good512 := member("sha-256", sum256[:]), member("sha-512", sum512[:])
	bad256, bad512 := member("sha-256", make([]byte, 32)), member("sha-512", make([]byte, 64))
	s.put("P1", "i", img).is(http.StatusCreated)
	for _, test := range []struct {
		name, digest string
		status       int
		code         string
	}{
		{"sha-256", good256, 200, ""},
		{"sha-512", good512, 200, ""},
		{"both", good256 + ", " + good512, 200, ""},
		{"with a parameter", good256 + ";x=1", 200, ""},
		{"beside an unknown algorithm", "md5=:AAAA:, " + good256, 200, ""},
		{"in capitals", strings.Replace(good256, "sha", "SHA", 1), 200, ""},
		{"wrong in capitals", strings.Replace(bad256, "sha", "SHA", 1), 400, "digest-mismatch"},
		{"only an unknown algorithm", "md5=:AAAA:", 400, "invalid-input"},
		{"empty", "", 400, "invalid-input"},
		{"no dictionary", good256 + ",,", 400, "invalid-input"},
		{"wrong sha-256", bad256, 400, "digest-mismatch"},
		{"wrong sha-512", bad512, 400, "digest-mismatch"},
		{"one of two wrong", good256 + "," + bad512, 400, "digest-mismatch"},
		{"not base64", "sha-256=:%%%:", 400, "invalid-input"},
		{"too short", "sha-256=:AAAA:", 400, "invalid-input"},
		{"no colons", "sha-256=abc", 400, "invalid-input"},
		{"no value", "sha-256", 400, "invalid-input"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.on(t)
			contentType, form := encode(field("patientId", "P1"), file("a.jpg", img))
			for _, header := range []string{"Content-Digest", "Repr-Digest"} {
				a := s.put("P1", "i", img, header, test.digest)
				if test.code == "" {
					a.is(test.status)
				} else {
					a.is(test.status, test.code)
					require.Contains(t, a.get("detail"), header)
				}
				// A report's body is another one, so the same header is wrong or malformed for it.
				a = s.do(s.request(http.MethodPost, "/upload-case-report", bytes.NewReader(form), "Content-Type", contentType, header, test.digest))
				require.Equal(t, 400, a.StatusCode)
				require.Contains(t, a.get("detail"), header)
			}
			require.Empty(t, s.temps())
		})
	}
}

func TestUploadVerifiesDigest(t *testing.T) {
	s := open(t)
	contentType, form := encode(field("patientId", "P1"), file("a.jpg", photo(1)))
	sum := sha256.Sum256(form)
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	s.do(s.request(http.MethodPost, "/upload-case-report", bytes.NewReader(form), "Content-Type", contentType, "Repr-Digest", digest)).is(202)
	s.do(s.request(http.MethodPost, "/upload-case-report", bytes.NewReader(append(form, '\n')), "Content-Type", contentType, "Content-Digest", digest)).
		is(400, "digest-mismatch")
	s.put("P1", "i", photo(1)).is(201)
	body := "patientId=P1&imageId=i"
	sum = sha256.Sum256([]byte(body))
	s.uploadForm(body, "Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":").is(202)
	s.uploadForm(body, "Content-Digest", digest).is(400, "digest-mismatch")
}

// A client that lost the answer to its PUT can ask.
func TestStoredImage(t *testing.T) {
	s := open(t)
	s.get("/images/i?patientId=P1").is(404, "image-not-stored")
	put := s.put("P1", "i", photo(1)).is(201)
	a := s.get("/images/i?patientId=P1").is(200)
	require.Equal(t, put.json(), a.json())
	require.Equal(t, `"`+hexSum(photo(1))+`"`, a.Header.Get("Etag"))
	head := s.do(s.request(http.MethodHead, "/images/i?patientId=P1", nil)).is(200)
	require.Equal(t, a.Header.Get("Etag"), head.Header.Get("Etag"))
	s.do(s.request(http.MethodHead, "/images/other?patientId=P1", nil)).is(404)
	s.get("/images/i?patientId=P1", "If-None-Match", a.Header.Get("Etag")).is(304)
	s.get("/images/i?patientId=P2").is(404, "image-not-stored")
	s.get("/images/i").is(400, "invalid-input")
	s.get("/images/i?patientId=").is(400, "invalid-input")
	s.uploadOne("r1")
	s.get("/images/sha256-" + hexSum(photo(1))[:32] + "?patientId=P1").is(200)
}

// A stored image is there in whatever way originals are kept.
func TestStoredImageHoweverItIsKept(t *testing.T) {
	var key strings.Builder
	_, err := blob.NewKey(&key)
	require.NoError(t, err)
	keys, err := blob.ParseKeys(strings.NewReader(key.String()))
	require.NoError(t, err)
	for _, originals := range []blob.Originals{blob.Keep, blob.Vault, blob.Drop} {
		t.Run(string(originals), func(t *testing.T) {
			s := open(t, func(set *settings) { set.originals, set.keys = originals, keys })
			s.put("P1", "i", photo(1)).is(201)
			s.get("/images/i?patientId=P1").is(200)
		})
	}
}

// A client may delete its copy by the answer, so the bytes are looked at: a file that is cut short, altered or gone is
// not there, and is not one that was dropped on purpose. The same bytes sent again mend it.
func TestStoredImageIsReadThrough(t *testing.T) {
	s := open(t)
	sum := hexSum(photo(1))
	file := filepath.Join(s.dir, "blobs", sum[:2], sum)
	s.put("P1", "i", photo(1)).is(201)
	for name, harm := range map[string]func() error{
		"empty":   func() error { return os.Truncate(file, 0) },
		"cut":     func() error { return os.Truncate(file, 100) },
		"altered": func() error { return os.WriteFile(file, bytes.ToUpper(photo(1)), 0o600) },
		"gone":    func() error { return os.Remove(file) },
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			require.NoError(t, os.Chmod(file, 0o600))
			require.NoError(t, harm())
			code := "stored-bytes-damaged"
			if name == "gone" {
				code = "stored-bytes-missing"
			}
			s.get("/images/i?patientId=P1").is(500, code)
			s.do(s.request(http.MethodHead, "/images/i?patientId=P1", nil)).is(500)
			s.put("P1", "i", photo(1)).is(200)
			s.get("/images/i?patientId=P1").is(200)
		})
	}
}

func TestPutImageRefuses(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxBodyBytes = 10_000; c.MaxPixels = 100 }))
	for _, test := range []struct {
		name, path string
		body       []byte
		header     []string
		status     int
		code, says string
	}{
		{"no patient", "/images/i", photo(1), nil, 400, "invalid-input", "patientId"},
		{"bad patient", "/images/i?patientId=a/b", photo(1), nil, 400, "invalid-input", "patientId"},
		{"patient twice", "/images/i?patientId=a&patientId=b", photo(1), nil, 400, "invalid-input", "patientId"},
		{"unknown parameter", "/images/i?patient=a", photo(1), nil, 400, "invalid-input", "patient"},
		{"bad id", "/images/a%20b?patientId=P1", photo(1), nil, 400, "invalid-input", "imageId"},
		{"long id", "/images/" + strings.Repeat("i", 65) + "?patientId=P1", photo(1), nil, 400, "invalid-input", "64"},
		{"id of dots", "/images/%2e%2e?patientId=P1", photo(1), nil, 400, "invalid-input", "imageId"},
		{"derived id of another image", "/images/sha256-" + hexSum(photo(2))[:32] + "?patientId=P1", photo(1), nil, 400, "invalid-input", "imageId"},
		{"no bytes", "/images/i?patientId=P1", nil, nil, 400, "invalid-input", "empty"},
		{"no image", "/images/i?patientId=P1", []byte("text"), nil, 415, "not-an-image", "image"},
		{"too many pixels", "/images/i?patientId=P1", pngHeader(100, 2), nil, 400, "image-too-large", "100"},
		{"too large", "/images/i?patientId=P1", bytes.Repeat([]byte("x"), 10_001), nil, 413, "body-too-large", "10,000 B"},
		{"compressed", "/images/i?patientId=P1", photo(1), []string{"Content-Encoding", "gzip"}, 415, "unsupported-media-type", "gzip"},
		{"a part", "/images/i?patientId=P1", photo(1)[:300], []string{"Content-Range", "bytes 0-299/600"}, 400, "invalid-input", "Content-Range"},
		{"from another site", "/images/i?patientId=P1", photo(1), []string{"Origin", "https://elsewhere.example"}, 403, "cross-origin", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.on(t)
			a := s.do(s.request(http.MethodPut, test.path, bytes.NewReader(test.body), test.header...)).is(test.status, test.code)
			require.Contains(t, a.get("detail"), test.says)
			require.Equal(t, false, a.get("stored"))
			require.Empty(t, s.temps())
		})
	}
	t.Run("derived id of this image", func(t *testing.T) {
		s.on(t).put("P1", "sha256-"+hexSum(photo(1))[:32], photo(1)).is(201)
	})
}

// A subject is a study and a patient: the same ids in another study are somebody else's.
func TestStudyAndSite(t *testing.T) {
	s := open(t)
	s.do(s.request(http.MethodPut, "/images/i?study=S1&patientId=P1", bytes.NewReader(photo(1)))).is(http.StatusCreated)
	s.do(s.request(http.MethodPut, "/images/i?study=S2&patientId=P1", bytes.NewReader(photo(2)))).is(http.StatusCreated)
	s.do(s.request(http.MethodPut, "/images/i?study=S1&patientId=P1", bytes.NewReader(photo(2)))).is(http.StatusConflict, "image-id-conflict")
	s.uploadForm("patientId=P1&imageId=i&reportId=r0").is(http.StatusBadRequest, "invalid-input") // the study without a name has none
	s.uploadForm("study=S1&site=DE-01&patientId=P1&imageId=i&reportId=r1").is(http.StatusAccepted)
	s.uploadForm("study=S2&patientId=P1&imageId=i&reportId=r2").is(http.StatusAccepted)

	r := s.final("r1")
	require.Equal(t, "S1", r.get("study"))
	require.Equal(t, "DE-01", r.get("site"))
	require.Equal(t, hexSum(photo(1)), r.get("images").([]any)[0].(map[string]any)["sha256"])
	require.Nil(t, s.final("r2").get("site"))
	for query, want := range map[string][]string{
		"study=S1": {"r1"}, "study=S2&patientId=P1": {"r2"}, "site=DE-01": {"r1"}, "patientId=P1": {"r2", "r1"}, "study=S3": nil,
	} {
		var got []string
		for _, item := range s.get("/case-reports?" + query).is(200).get("items").([]any) {
			got = append(got, item.(map[string]any)["id"].(string))
		}
		require.Equal(t, want, got, query)
	}
	s.uploadForm("study=..&patientId=P1&imageId=i").is(http.StatusBadRequest, "invalid-input")
}

func TestSiteOfAnotherStudyIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "S1.json"), []byte(`{"schema":1,"id":"S1","version":1,"title":"T","languages":["en"],"sites":[{"id":"DE-01","title":"Berlin"}]}`), 0o600))
	studies, err := study.Load(dir)
	require.NoError(t, err)
	s := open(t, func(set *settings) { set.studies = studies })
	s.do(s.request(http.MethodPut, "/images/i?study=S1&patientId=P1", bytes.NewReader(photo(1)))).is(http.StatusCreated)
	a := s.uploadForm("study=S1&site=FR-01&patientId=P1&imageId=i").is(http.StatusBadRequest, "invalid-input")
	require.Equal(t, "site", a.get("errors").([]any)[0].(map[string]any)["field"])
	s.uploadForm("study=S1&site=DE-01&patientId=P1&imageId=i").is(http.StatusAccepted)
}

func TestLanes(t *testing.T) {
	s := open(t)
	s.serve(s.API.AdminServer())
	lanes := func() map[string]any { return s.get("/lanes").is(200).get("items").([]any)[0].(map[string]any) }
	require.Equal(t, map[string]any{"name": "case-reports", "workers": float64(2), "busy": float64(0), "waiting": float64(0)}, lanes())
	put := func(name, body string) answer {
		return s.do(s.request(http.MethodPut, "/lanes/"+name, strings.NewReader(body)))
	}
	require.Equal(t, float64(5), put("case-reports", `{"workers":5}`).is(200).get("workers"))
	require.Equal(t, float64(5), lanes()["workers"])
	for _, bad := range []string{`{"workers":3,"workers":4}`, `{"Workers":3}`, `{"workers":3.0}`, `{"workers":3}{}`, `[3]`, `{"workers":null}`, "{\"workers\":\"\xff\"}", `{"workers":0}`, `{"workers":1025}`, `{}`, `{"workers":"2"}`, `{"worker":2}`, ``} {
		put("case-reports", bad).is(http.StatusBadRequest, "invalid-input")
		require.Equal(t, float64(5), lanes()["workers"], bad)
	}
	put("none", `{"workers":1}`).is(http.StatusNotFound, "lane-not-found")
}
