package study

import (
	"net/mail"
	"strings"
)

// maxMailAddress is the longest mail address, in bytes (RFC 5321, section 4.5.3.1.3).
const maxMailAddress = 254

// IsMailAddress reports whether a text is a mail address alone, such as safety@example.org: without a name or a comment, without
// quotes, which could be read in more than one way, and in ASCII, since not every server carries other letters (RFC 6531); a
// domain can be written as xn--….
func IsMailAddress(text string) bool {
	special := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),:;<>[\]`, r) }
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && len(text) <= maxMailAddress && !strings.ContainsFunc(text, special)
}
