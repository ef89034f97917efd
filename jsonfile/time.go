package jsonfile

import (
	"regexp"
	"strings"
	"time"
)

// rfc3339 is stricter than package time, which takes a comma for the point and a single digit for an
// hour. Lower-case t and z are allowed by RFC 3339, section 5.6.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// ParseTime reads a time as RFC 3339 writes it and reports whether it is one. A leap second, which package time does
// not know, is the second before it.
func ParseTime(s string) (time.Time, bool) {
	const second = len("2016-12-31T23:59:") // where the second begins
	if !rfc3339.MatchString(s) {
		return time.Time{}, false
	}
	s = strings.ToUpper(s)
	leap := s[second:second+2] == "60"
	if leap {
		s = s[:second] + "59" + s[second+2:]
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || leap && !endOfMonth(t.UTC()) {
		return time.Time{}, false
	}
	return t, true
}

// endOfMonth reports whether t is in the last minute of its month, the only one that a leap second may end.
func endOfMonth(t time.Time) bool {
	return t.Hour() == 23 && t.Minute() == 59 && t.AddDate(0, 0, 1).Day() == 1
}

// furthestZone is how far a zone may be from UTC. None is further, and FHIR's times go no further.
const furthestZone = 14 * 60 * 60

// YearInRange reports whether the year of t is from 0001 to 9999, also in UTC: the year 0 is none, and RFC 3339 writes no later
// one.
func YearInRange(t time.Time) bool {
	year := t.UTC().Year()
	return t.Year() >= 1 && year >= 1 && year <= 9999
}

// ZoneInRange reports whether there is a zone as far from UTC as that of t.
func ZoneInRange(t time.Time) bool {
	_, offset := t.Zone()
	return max(offset, -offset) <= furthestZone
}

// Time reads a time as RFC 3339 writes it, zone included, and returns it as it is written. It refuses years and zones that are
// not in range.
func (c *Checker) Time(n *Node) string {
	const want = `a time with its zone such as "2026-11-26T20:03:11+08:00"`
	if !c.Is(n, String, want) {
		return ""
	}
	t, ok := ParseTime(n.Text)
	switch {
	case !ok:
		c.Refuse(n, "must be %s, not %s", want, Quoted(n.Text))
		return ""
	case !YearInRange(t):
		c.Refuse(n, "must be in a year from 0001 on and up to 9999, in UTC too, not %s", Quoted(n.Text))
		return ""
	case !ZoneInRange(t):
		c.Refuse(n, "must be in a zone up to 14:00 from UTC, not %s", Quoted(n.Text))
		return ""
	}
	return n.Text
}
