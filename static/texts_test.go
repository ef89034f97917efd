package static_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/static"
)

var textFiles = []string{"texts.js", "questionnairetexts.js", "desktexts.js", "progresstexts.js"}

var textLine = regexp.MustCompile(`(?m)^  '?([A-Za-z0-9-]+)'?: (.*),$`)

// texts reads one language of the files that have texts: each key with the JavaScript that gives its text.
func texts(t *testing.T, constant string) map[string]string {
	all := map[string]string{}
	lines := 0
	for _, file := range textFiles {
		_, rest, found := strings.Cut(read(t, file), "const "+constant+" = {\n")
		require.True(t, found)
		body, _, found := strings.Cut(rest, "\n};")
		require.True(t, found)
		for _, m := range textLine.FindAllStringSubmatch(body, -1) {
			require.NotContains(t, all, m[1], "twice")
			all[m[1]] = m[2]
		}
		for line := range strings.SplitSeq(body, "\n") {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
	}
	require.Len(t, all, lines, "a line that this test does not read")
	return all
}

func read(t *testing.T, name string) string {
	content, err := static.Files.ReadFile(name)
	require.NoError(t, err)
	return string(content)
}

var (
	chinese = regexp.MustCompile(`\p{Han}`)
	values  = regexp.MustCompile(`\bp\.\w+|\bc\.\w+`)
	words   = regexp.MustCompile(`[A-Za-z]{4,}`)
)

// Every text exists in both languages, with the same values in it, and the Chinese one is Chinese.
func TestTextsAreComplete(t *testing.T) {
	en, zh := texts(t, "en"), texts(t, "zh")
	require.Greater(t, len(en), 100)
	for key, english := range en {
		require.Contains(t, zh, key)
		require.NotRegexp(t, chinese, english, key)
		used, alsoUsed := map[string]bool{}, map[string]bool{}
		for _, v := range values.FindAllString(english, -1) {
			used[v] = true
		}
		for _, v := range values.FindAllString(zh[key], -1) {
			alsoUsed[v] = true
		}
		require.Equal(t, used, alsoUsed, key)
		if words.MatchString(values.ReplaceAllString(english, "")) {
			require.Regexp(t, chinese, zh[key], key)
		}
	}
	require.Len(t, zh, len(en))
}

// TestWhenACopyMayBeDeleted is said in the same words wherever programmers are told; people need not compare digests: the page does it.
func TestWhenACopyMayBeDeleted(t *testing.T) {
	const rule = "Delete your copy of a photo only when the SHA-256 in the answer is that of your copy."
	for _, path := range []string{"../handlers/openapi.yaml", "../docs/http.md"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, strings.Join(strings.Fields(string(text)), " "), rule, path)
	}
	en, zh := texts(t, "en"), texts(t, "zh")
	require.Contains(t, read(t, "index.html"), strings.Trim(en["lead"], "'"))
	for _, key := range []string{"lead", "deviceKept", "deviceKeep", "unchecked"} {
		require.NotContains(t, en[key], "SHA-256", key)
		require.NotContains(t, zh[key], "SHA-256", key)
	}
}

var (
	marked = regexp.MustCompile(`data-t="([A-Za-z0-9-]+)"`)
	called = regexp.MustCompile(`\bt\('([A-Za-z0-9-]+)'`)
)

// What the pages ask for by name exists, and every text is used.
func TestTextsAreThoseOfThePage(t *testing.T) {
	en := texts(t, "en")
	pages, err := fs.Glob(static.Files, "*.html")
	require.NoError(t, err)
	require.Greater(t, len(pages), 2)
	var all strings.Builder
	for _, page := range pages {
		source := read(t, page)
		for _, m := range marked.FindAllStringSubmatch(source, -1) {
			require.Contains(t, en, m[1], page)
		}
		all.WriteString(source)
	}
	names, err := fs.Glob(static.Files, "*.js")
	require.NoError(t, err)
	for _, name := range names {
		source := read(t, name)
		for _, m := range called.FindAllStringSubmatch(source, -1) {
			require.Contains(t, en, m[1], name)
		}
		if !slices.Contains(textFiles, name) {
			all.WriteString(source)
		}
	}
	source := all.String()
	for key := range en {
		used := strings.Contains(source, "'"+key+"'") || strings.Contains(source, `"`+key+`"`)
		require.True(t, used || problemCode.MatchString(key), "nobody uses %s", key)
	}
}

var (
	problemCode = regexp.MustCompile(`^(image|text|warning|state|step|decision|decisionShort|seriousness|seriousnessShort|caseWarning)-`)
	constant    = regexp.MustCompile(`\b(Code|warn)\w*\s*=\s*"([a-z-]+)"`)
)

// Every problem that a report can have, and every warning of a response, is said in both languages: the server's own words are English.
func TestProblemsHaveTexts(t *testing.T) {
	en, zh := texts(t, "en"), texts(t, "zh")
	codes := 0
	err := filepath.WalkDir("../tasks", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range constant.FindAllStringSubmatch(string(source), -1) {
			codes++
			key := m[2]
			if m[1] == "warn" {
				key = "warning-" + key
			}
			require.Contains(t, en, key, path)
			require.Contains(t, zh, key, path)
		}
		return err
	})
	require.NoError(t, err)
	require.Greater(t, codes, 16)
}
