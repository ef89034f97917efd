package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"casepress/study"
)

func readDoc(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// codeBlocks returns the fenced blocks of a Markdown text, each with the line that opens it.
func codeBlocks(text string) []string {
	return regexp.MustCompile("(?ms)^```.*?^```$").FindAllString(text, -1)
}

// tables returns the tables of a Markdown text: a list of rows each, a list of cells a row. The
// header and the line below it are left out.
func tables(text string) [][][]string {
	var all [][][]string
	n := 0 // rows of the present table, with its header
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			n = 0
			continue
		}
		switch n++; {
		case n == 1:
			all = append(all, nil)
		case n > 2:
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			last := len(all) - 1
			all[last] = append(all[last], cells)
		}
	}
	return all
}

// column returns one column of a table.
func column(table [][]string, i int) []string {
	var cells []string
	for _, row := range table {
		cells = append(cells, row[i])
	}
	return cells
}

// Readers of the Chinese README get the same commands, routes, flags and documents.
func TestReadmesAgree(t *testing.T) {
	english, chinese := readDoc(t, "README.md"), readDoc(t, "README.zh-CN.md")
	require.Greater(t, len(codeBlocks(english)), 5)
	require.Equal(t, codeBlocks(english), codeBlocks(chinese))

	want, got := tables(english), tables(chinese)
	require.Len(t, want, 4, "routes, settings, folders, documents")
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, column(want[i], 0), column(got[i], 0))
	}
	words := strings.NewReplacer("one a core", "", "每核一个", "", "none", "", "无", "")
	for i, value := range column(want[1], 1) {
		require.Equal(t, words.Replace(value), words.Replace(column(got[1], 1)[i]), "default of %s", want[1][i][0])
	}

	links := regexp.MustCompile(`\]\(([^)]+)\)|src="([^"]+)"`)
	require.ElementsMatch(t,
		links.FindAllString(strings.Replace(english, "(README.zh-CN.md)", "()", 1), -1),
		links.FindAllString(strings.Replace(chinese, "(README.md)", "()", 1), -1))
	headings := regexp.MustCompile(`(?m)^#+ `)
	require.Equal(t, headings.FindAllString(english, -1), headings.FindAllString(chinese, -1))
}

// TestReadmeShowsEveryDefault compares the flags and defaults in the README's settings with those of
// the command line.
func TestReadmeShowsEveryDefault(t *testing.T) {
	parser, err := kong.New(&cli{}, defaults)
	require.NoError(t, err)
	defaults := map[string]string{}
	for _, command := range parser.Model.Children {
		if command.Name != "serve" {
			continue
		}
		for _, flag := range command.Flags {
			defaults["--"+flag.Name] = "none"
			if flag.HasDefault {
				defaults["--"+flag.Name] = flag.Default
			}
		}
	}
	require.Greater(t, len(defaults), 20)
	settings := tables(readDoc(t, "README.md"))[1]
	shown := map[string]string{}
	for _, row := range settings {
		flags, values := strings.Split(row[0], ", "), strings.Split(row[1], ", ")
		require.Len(t, values, len(flags), "a default for each of %s", row[0])
		for i, flag := range flags {
			shown[strings.Trim(flag, "`")] = values[i]
		}
	}
	require.Equal(t, defaults, shown)
}

// The example of a study's file can be used as it is, and has a bit of everything.
func TestExampleStudy(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"study", "check", "examples/studies/CP-2026-017.json"}, &out, &out))
	require.Contains(t, out.String(), "study CP-2026-017, version 1")
	studies, err := study.Load("examples/studies")
	require.NoError(t, err)
	s := studies.Get("CP-2026-017")
	require.Len(t, s.Sites, 2)
	require.Len(t, s.Visits, 3)
	require.Len(t, s.CrisisText, len(s.Languages))
	require.Len(t, s.AdverseEvents.Ladder.Rungs, 2)
}

// Links between the documents lead somewhere, headings included.
func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	paths, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for _, pattern := range []string{"docs/*.md", "docs/decisions/*.md"} {
		more, err := filepath.Glob(pattern)
		require.NoError(t, err)
		paths = append(paths, more...)
	}
	require.Greater(t, len(paths), 15)
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]+)?\)|src="([^":]+)"`)
	for _, path := range paths {
		for _, m := range link.FindAllStringSubmatch(readDoc(t, path), -1) {
			to := path
			if name := m[1] + m[3]; name != "" {
				to = filepath.Join(filepath.Dir(path), name)
			}
			_, err := os.Stat(to)
			require.NoError(t, err, "a link in %s", path)
			if m[2] != "" {
				require.Contains(t, anchors(readDoc(t, to)), m[2], "a link in %s to %s", path, to)
			}
		}
	}
}

// anchors returns the headings of a Markdown text as GitHub makes links of them.
func anchors(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, "#"+strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// TestDashboard holds that the Grafana dashboard is one that can be imported and that it asks for
// nothing but casepress' own metrics, so that it works wherever casepress is scraped.
func TestDashboard(t *testing.T) {
	type panel struct {
		ID      int
		Type    string
		Title   string
		Targets []struct{ Expr, RefID string }
	}
	var board struct {
		UID, Title    string
		SchemaVersion int
		Panels        []panel
	}
	require.NoError(t, json.Unmarshal([]byte(readDoc(t, "docs/grafana.json")), &board))
	require.NotEmpty(t, board.UID)
	require.NotEmpty(t, board.Title)
	require.Positive(t, board.SchemaVersion)

	ids := map[int]bool{}
	asked := 0
	for _, p := range board.Panels {
		require.False(t, ids[p.ID], "panel id %d is used twice", p.ID)
		ids[p.ID] = true
		require.NotEmpty(t, p.Title)
		if p.Type != "row" {
			require.NotEmpty(t, p.Targets, p.Title)
		}
		for _, target := range p.Targets {
			metrics := metricsIn(target.Expr)
			require.NotEmpty(t, metrics, "%s: %s", p.Title, target.Expr)
			for _, name := range metrics {
				require.True(t, strings.HasPrefix(name, "casepress_"), "%s asks for %s", p.Title, name)
			}
			asked++
		}
	}
	require.Greater(t, asked, 20)
}

// TestMetricsInDocumentsExist compares the metrics that the dashboard and docs/operations.md name with
// those in the source.
func TestMetricsInDocumentsExist(t *testing.T) {
	registered := map[string]bool{}
	for _, folder := range []string{"blob", "broker", "dispatcher", "handlers", "notify", "service", "store", "tasks"} {
		if _, err := os.Stat(folder); err != nil {
			continue
		}
		require.NoError(t, filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, m := range regexp.MustCompile(`"(casepress_[a-z_]+)"`).FindAllStringSubmatch(readDoc(t, path), -1) {
				registered[m[1]] = true
			}
			return nil
		}))
	}
	for _, path := range []string{"docs/grafana.json", "docs/operations.md"} {
		for _, name := range regexp.MustCompile(`casepress_[a-z_]+`).FindAllString(readDoc(t, path), -1) {
			family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			require.True(t, registered[name] || registered[family], "%s names %s, which nothing registers", path, name)
		}
	}
}

// metricsIn returns the metrics that a PromQL expression names: its words without strings, labels,
// spans of time, numbers, functions and keywords.
func metricsIn(expr string) []string {
	for _, not := range []string{
		`"[^"]*"`, `\{[^}]*\}`, `\[[^\]]*\]`,
		`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`,
		`\b(and|or|unless|bool|offset)\b`, `\b[a-z_]+\s*\(`, `\b\d[\w.]*`,
	} {
		expr = regexp.MustCompile(not).ReplaceAllString(expr, " ")
	}
	return regexp.MustCompile(`[a-zA-Z_][\w:]*`).FindAllString(expr, -1)
}

func TestMetricsIn(t *testing.T) {
	require.Equal(t, []string{"casepress_a_bucket", "go_threads"},
		metricsIn(`histogram_quantile(0.99, sum by (le, route) (rate(casepress_a_bucket{status=~"2..", x!="go_y"}[5m]))) > bool go_threads offset 1h`))
}

// TestThirdPartyListsWhatIsLinked compares THIRD_PARTY.md with the modules that are linked on this
// platform, and each licence that it names with the text that the module brings.
func TestThirdPartyListsWhatIsLinked(t *testing.T) {
	listed := map[string]string{} // licences by module
	for _, table := range tables(readDoc(t, "THIRD_PARTY.md")) {
		for _, row := range table {
			if len(row) == 3 {
				listed[row[0]] = row[1]
			}
		}
	}
	format := "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format, ".").Output()
	require.NoError(t, err)
	linked := map[string]string{} // folders by module
	for line := range strings.Lines(string(out)) {
		if module, dir, found := strings.Cut(strings.TrimSpace(line), "\t"); found {
			linked[module] = dir
		}
	}
	require.Greater(t, len(linked), 20)
	var missing []string
	for module, dir := range linked {
		if licence, ok := listed[module]; ok {
			require.Equal(t, licenceIn(t, dir), licence, module)
		} else {
			missing = append(missing, module+" "+licenceIn(t, dir))
		}
	}
	require.Empty(t, missing, "THIRD_PARTY.md lacks modules that are linked")
	goMod := readDoc(t, "go.mod")
	for module := range listed {
		require.Contains(t, goMod, "\t"+module+" v", "THIRD_PARTY.md lists what go.mod does not have")
	}
}

// licenceIn tells a module's licence by sentences that only that licence has.
func licenceIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		if !regexp.MustCompile(`^(LICEN[CS]E|COPYING)(\.(txt|md))?$`).MatchString(entry.Name()) {
			continue
		}
		text := strings.Join(strings.Fields(readDoc(t, filepath.Join(dir, entry.Name()))), " ")
		for _, licence := range []struct{ name, pattern string }{
			{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"},
			{"BSD-3-Clause", "Redistributions in binary form must reproduce .* Neither the names?"},
			{"Apache-2.0", "Apache License Version 2.0, January 2004"},
		} {
			if regexp.MustCompile(licence.pattern).MatchString(text) {
				return licence.name
			}
		}
	}
	require.Fail(t, "no licence that this test knows", dir)
	return ""
}
