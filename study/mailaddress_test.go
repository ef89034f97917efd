package study_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/study"
)

func TestIsMailAddress(t *testing.T) {
	for _, good := range []string{"safety@example.org", "a.b+c@xn--fiq228c.example", "root@localhost", "o'neil@example.org"} {
		require.True(t, study.IsMailAddress(good), good)
	}
	for _, bad := range []string{
		"", "safety", "@example.org", "safety@", "a@b@c", "<safety@example.org>", "Safety <safety@example.org>", "a@example.org, b@example.org", " a@example.org",
		"a@example.org\r\nRCPT TO:<eve@example.org>", "a b@example.org", `"a b"@example.org`, `"ab"@example.org`, "jürgen@example.org", "a@例子.example", "a@example.org>",
		"a\x00@example.org", "a@example.org(comment)", "x@[192.0.2.1]", strings.Repeat("a", 250) + "@example.org",
	} {
		require.False(t, study.IsMailAddress(bad), bad)
	}
}
