package handlers

import (
	"strconv"
	"strings"

	"casepress/store"
)

// versionTag is the strong entity tag of a row's answer: the row's version says
// everything the answer depends on.
func versionTag(row store.Row) string { return `"` + strconv.FormatInt(row.Version, 36) + `"` }

// contentTag is the strong entity tag of bytes with this digest.
func contentTag(sha256 string) string { return `"` + sha256 + `"` }

// etagMatches reports whether an If-None-Match header names the tag. The
// comparison is the weak one, as RFC 9110 has it for this header.
func etagMatches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}
