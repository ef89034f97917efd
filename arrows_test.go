package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// onlyIn names libraries that one package alone may import.
var onlyIn = map[string]string{
	"github.com/gin-gonic/gin":          "casepress/handlers",
	"github.com/disintegration/imaging": "casepress/tasks/picture",
	"github.com/jsummers/gobmp":         "casepress/tasks/picture",
	"github.com/jung-kurt/gofpdf":       "casepress/tasks/pdf",
	"github.com/tetratelabs/wazero":     "casepress/tasks/picture/heif",
	"modernc.org/sqlite":                "casepress/store",
	"filippo.io/age":                    "casepress/blob",
	"github.com/twmb/franz-go/pkg/kgo":  "casepress/kafka",
	"github.com/wneessen/go-mail":       "casepress/notify/mail",
	"github.com/wneessen/go-mail/smtp":  "casepress/notify/mail",
}

type goPackage struct {
	ImportPath, Doc string
	Imports         []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports", "./...").Output()
	require.NoError(t, err)
	var packages []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

// listedArrows reads the list of arrows in docs/ARCHITECTURE.md: what each package may import of ours. A new one
// is a decision.
func listedArrows(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("docs/ARCHITECTURE.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Arrows\n")
	require.True(t, found)
	parts := strings.Split(section, "```")
	require.Greater(t, len(parts), 2, "there is no list in a block")
	arrows := map[string][]string{}
	for line := range strings.Lines(parts[1]) {
		from, to, ok := strings.Cut(strings.TrimSpace(line), "->")
		if !ok {
			require.Empty(t, strings.TrimSpace(line), "not an arrow")
			continue
		}
		from = strings.TrimSpace(from)
		require.NotContains(t, arrows, from, "it is listed twice")
		arrows[from] = strings.Fields(to)
		require.True(t, slices.IsSorted(arrows[from]), "what %s imports is not in order", from)
	}
	return arrows
}

// ours is the package's path within the module.
func ours(path string) (string, bool) {
	if path == "casepress" {
		return path, true
	}
	return strings.CutPrefix(path, "casepress/")
}

func TestArrows(t *testing.T) {
	listed := listedArrows(t)
	for _, p := range listPackages(t) {
		name, _ := ours(p.ImportPath)
		allowed, known := listed[name]
		require.True(t, known, "package %s is not in docs/ARCHITECTURE.md", name)
		delete(listed, name)
		imports := []string{}
		for _, imported := range p.Imports {
			if path, ok := ours(imported); ok {
				imports = append(imports, path)
			}
			if owner, ok := onlyIn[imported]; ok {
				require.Equal(t, owner, p.ImportPath, "%s belongs to %s alone", imported, owner)
			}
		}
		require.Empty(t, without(imports, allowed), "%s must not import these", name)
		require.Empty(t, without(allowed, imports), "%s may import these and does not: strike them out", name)
		if name == "commitlog" || name == "disk" {
			require.False(t, slices.ContainsFunc(p.Imports, isThirdParty), "%s uses the standard library only", name)
		}
	}
	require.Empty(t, listed, "docs/ARCHITECTURE.md lists packages that are gone")
}

// without is all that is not among others.
func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}

// TestLibrariesHaveAnOwner fails on an owner that uses its library no more.
func TestLibrariesHaveAnOwner(t *testing.T) {
	packages := listPackages(t)
	for library, owner := range onlyIn {
		i := slices.IndexFunc(packages, func(p goPackage) bool { return p.ImportPath == owner })
		require.GreaterOrEqual(t, i, 0, "there is no package %s", owner)
		require.Contains(t, packages[i].Imports, library, "%s does not import it", owner)
	}
}

// TestInvariantsAreTested fails on a test that docs/ARCHITECTURE.md names and that is not there. "a/b: TestX" is
// in package a/b, as are the names after it up to a semicolon; a name without a package is in e2e. Each of I1 to I10
// is there.
func TestInvariantsAreTested(t *testing.T) {
	text, err := os.ReadFile("docs/ARCHITECTURE.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## What holds what\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	named := regexp.MustCompile("`(?:([a-z/]+): )?(Test[A-Za-z]+)`")
	count := 0
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		for group := range strings.SplitSeq(line, ";") {
			dir := "e2e"
			for _, m := range named.FindAllStringSubmatch(group, -1) {
				dir = cmp.Or(m[1], dir)
				require.True(t, hasTest(t, dir, m[2]), "there is no %s in %s", m[2], dir)
				count++
			}
		}
	}
	require.Greater(t, count, 20)
	for i := range 10 {
		require.Contains(t, section, fmt.Sprintf("\n| I%d |", i+1))
	}
}

// TestWalksAreInTheCode fails on a file or a function that a walk in docs/ARCHITECTURE.md names and that is not there.
func TestWalksAreInTheCode(t *testing.T) {
	steps := 0
	for line := range strings.Lines(readDoc(t, "docs/ARCHITECTURE.md")) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(cells[1], " `") || !strings.Contains(cells[1], ".go`") {
			continue
		}
		file := strings.Trim(cells[1], " `")
		text := readDoc(t, file)
		for function := range strings.SplitSeq(cells[2], ",") {
			name := strings.Trim(function, " `")
			declared := regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + regexp.QuoteMeta(name) + `[(\[]`)
			require.Regexp(t, declared, text, "%s has no function %s", file, name)
			steps++
		}
	}
	require.Greater(t, steps, 60)
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(dir + "/*_test.go")
	require.NoError(t, err)
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return bytes.Contains(text, []byte("\nfunc "+name+"(t *testing.T)"))
	})
}

func isThirdParty(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

func TestEveryPackageSaysWhatItKeeps(t *testing.T) {
	for _, p := range listPackages(t) {
		require.NotEmpty(t, p.Doc, "%s has no package comment", p.ImportPath)
	}
}
