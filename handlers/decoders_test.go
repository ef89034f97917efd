package handlers

import (
	"encoding/json"
	"mime"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What package mime can read is read as package mime reads it; beyond that only a boundary is taken that
// stands in the header as it is.
func FuzzContentType(f *testing.F) {
	for _, header := range []string{
		"multipart/form-data; boundary====1616056691487===", "multipart/form-data; boundary=x; charset=utf-8", `multipart/form-data; boundary="a;b"`,
		"Multipart/Form-Data ;BOUNDARY=a=b", "multipart/form-data; boundary=a=b; boundary=c=d", "application/x-www-form-urlencoded", "multipart/form-data; =; boundary=a=b;",
		"Multipart/Form-Data ;BOMu",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		mediaType, params, err := parseContentType(header)
		wantType, wantParams, wantErr := mime.ParseMediaType(header)
		if wantErr == nil {
			require.NoError(t, err)
			require.Equal(t, wantType, mediaType)
			require.Equal(t, wantParams, params)
			return
		}
		if err == nil {
			require.Equal(t, "multipart/form-data", mediaType)
			require.NotContains(t, header, `"`)
			if boundary := params["boundary"]; boundary != "" { // without one, the answer says that there is none
				require.Contains(t, header, "="+boundary)
			}
			require.LessOrEqual(t, strings.Count(strings.ToLower(header), ";boundary="), 1)
		}
	})
}

// What package mime can read of a Content-Disposition is read as package mime reads it; beyond that the
// name is what stands between the first two quotes.
func FuzzDisposition(f *testing.F) {
	for _, header := range []string{
		`form-data; name="images"; filename="rash 12" arm.jpg"`, `form-data; name="images"; filename="a.jpg"`, `form-data; name="a"; filename="b"; name="c"`,
		`form-data; name=x; filename*=UTF-8''%e7%9a%ae.jpg`, `attachment; name="x"`, `form-data; name="a\"b"; filename="c"d"`,
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		name, fileName, err := disposition(header)
		kind, params, wantErr := mime.ParseMediaType(header)
		switch {
		case err != nil || header == "":
		case wantErr == nil:
			require.Equal(t, "form-data", kind)
			require.Equal(t, params["name"], name)
			require.Equal(t, params["filename"], fileName)
		default:
			require.Equal(t, `form-data; name="`+name+`"; filename="`+fileName+`"`, header)
			require.NotContains(t, name, `"`)
		}
	})
}

// A digest that is taken has the size of its algorithm.
func FuzzDigests(f *testing.F) {
	for _, header := range []string{
		"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "SHA-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:;x=1, md5=:AAAA:", "sha-512=()", "sha-256", "sha-256=1",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		expected, err := parseDigests("Content-Digest", []string{header})
		require.Equal(t, err == nil, len(expected) > 0)
		for _, digest := range expected {
			require.Len(t, digest.sum, digest.hash.Size())
		}
	})
}

var strictTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`)

// A time that is taken is one for package time too, its leap second aside.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2026-11-21T20:00:00+08:00", "2016-12-31t23:59:60z", "2016-12-31T23:59:60.5+00:00", "2016-02-30T00:00:00Z", "2016-12-31T24:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkTime("capturedAt", s) != nil {
			return
		}
		s = strings.ToUpper(s)
		require.Regexp(t, strictTime, s)
		if s[17:19] == "60" {
			s = s[:17] + "59" + s[19:]
		}
		_, err := time.Parse(time.RFC3339, s)
		require.NoError(t, err)
	})
}

// Text that is taken as JSON is what package json makes of it, and never has a character that was not sent.
func FuzzJSONString(f *testing.F) {
	for _, s := range []string{`"a"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ufffd"`, "\"\xff\"", `null`, `"a" "b"`, `"\\ufffd\ud800"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		value, err := decodeJSONString("notes", s)
		if err != nil {
			return
		}
		var want string
		require.NoError(t, json.Unmarshal([]byte(s), &want))
		require.Equal(t, want, value)
		sent := strings.Count(s, "\uFFFD") + len(escapedFFFD.FindAllString(s, -1)) // an upper bound
		require.LessOrEqual(t, strings.Count(value, "\uFFFD"), sent)
	})
}

var escapedFFFD = regexp.MustCompile(`(?i)\\ufffd`)
