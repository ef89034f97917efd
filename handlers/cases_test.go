package handlers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCases sends each whole request (http-*.raw) of the folder CASEPRESS_CASES, or of shared/cases beside
// the repository, and compares what is stored with what was sent. A request that is not named here fails.
func TestCases(t *testing.T) {
	dir := os.Getenv("CASEPRESS_CASES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "cases")
	}
	files, err := filepath.Glob(filepath.Join(dir, "http-*.raw"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("there is no folder of cases: name one in CASEPRESS_CASES")
	}
	want := map[string]map[string]any{ // members of the report, beside patientId and the digest of its only image
		"http-boundary-unquoted-equals":   {"notes": nil},
		"http-capturedAt-leap-second":     {"capturedAt": "2016-12-31T23:59:60Z"},
		"http-empty-optional-file-slot":   {"notes": nil},
		"http-filename-unescaped-quote":   {"notes": nil},
		"http-text-part-iso-8859-1-ascii": {"notes": nil},
		"http-urlencoded-raw-semicolon":   {"notes": "fever 39C; rash on arm"},
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".raw")
		t.Run(name, func(t *testing.T) {
			require.Contains(t, want, name, "say here what is right")
			s := open(t)
			s.put("P001", "IMGX1", photo(1)).is(201)
			request, err := os.ReadFile(path)
			require.NoError(t, err)
			image := photo(1)
			if start, end := bytes.Index(request, []byte("\xff\xd8\xff")), bytes.LastIndex(request, []byte("\xff\xd9")); start >= 0 {
				image = request[start : end+2]
			}
			c := s.dial()
			_, err = c.Write(request)
			require.NoError(t, err)
			report := s.get("/case-reports/" + s.answerOn(c).is(202).get("id").(string)).is(200)
			require.Equal(t, "P001", report.get("patientId"))
			for member, value := range want[name] {
				require.Equal(t, value, report.get(member), member)
			}
			images := report.get("images").([]any)
			require.Len(t, images, 1)
			require.Equal(t, hexSum(image), images[0].(map[string]any)["sha256"])
			if name == "http-filename-unescaped-quote" {
				require.Equal(t, `rash 12" arm.jpg`, images[0].(map[string]any)["name"])
			}
		})
	}
	for name := range want {
		require.FileExists(t, filepath.Join(dir, name+".raw"))
	}
}
