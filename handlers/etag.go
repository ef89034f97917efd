package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// bodyTag is the strong entity tag of an answer's body: made of its bytes, so that it changes with them
// and with nothing else.
func bodyTag(body []byte) string {
	sum := sha256.Sum256(body)
	return contentTag(hex.EncodeToString(sum[:16]))
}

// contentTag is the strong entity tag of bytes with this digest.
func contentTag(sha256 string) string { return `"` + sha256 + `"` }

// etagMatches reports whether an If-None-Match header names the tag. The comparison is the weak one, as RFC
// 9110 has it for this header.
func etagMatches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}
