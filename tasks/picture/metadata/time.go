package metadata

import (
	"strings"
	"time"
)

// capturedAt joins EXIF's "2006:01:02 15:04:05" and "-07:00" to RFC 3339.
func capturedAt(taken, zone string) string {
	t, err := time.Parse("2006:01:02 15:04:05", taken)
	if err != nil || t.Year() == 0 {
		return ""
	}
	local := t.Format("2006-01-02T15:04:05")
	if at, err := time.Parse("2006-01-02T15:04:05-07:00", local+zone); err == nil {
		return at.Format(time.RFC3339)
	}
	return local
}

// text is the text in an EXIF value, which a 0 ends and blanks may fill.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.TrimSpace(s)
}
