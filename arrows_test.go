package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// arrows are the imports between our own packages that the design allows.
// A new one is a decision: change docs/ARCHITECTURE.md with it.
var arrows = map[string]string{
	"casepress":                 "blob broker broker/brokerpb client disk dispatcher handlers store tasks tasks/picture tasks/pdf",
	"casepress/handlers":        "blob broker disk dispatcher static store tasks tasks/picture",
	"casepress/dispatcher":      "blob broker commitlog store tasks",
	"casepress/tasks":           "blob tasks/picture tasks/pdf",
	"casepress/store":           "tasks",
	"casepress/broker":          "broker/brokerpb commitlog disk",
	"casepress/broker/brokerpb": "",
	"casepress/client":          "broker/brokerpb",
	"casepress/commitlog":       "disk",
	"casepress/blob":            "disk",
	"casepress/disk":            "",
	"casepress/disk/disktest":   "disk",
	"casepress/static":          "",

	"casepress/tasks/picture":           "tasks/picture/container tasks/picture/heif tasks/picture/icc tasks/picture/jpeg tasks/picture/memory tasks/picture/metadata tasks/picture/planar tasks/picture/tiff",
	"casepress/tasks/picture/container": "",
	"casepress/tasks/picture/heif":      "tasks/picture/container",
	"casepress/tasks/picture/icc":       "tasks/picture/planar",
	"casepress/tasks/picture/jpeg":      "tasks/picture/container tasks/picture/planar",
	"casepress/tasks/picture/memory":    "",
	"casepress/tasks/picture/metadata":  "tasks/picture/container",
	"casepress/tasks/picture/planar":    "tasks/picture/memory",
	"casepress/tasks/picture/tiff":      "tasks/picture/container",

	"casepress/tasks/pdf": "tasks/pdf/font", "casepress/tasks/pdf/font": "",
}

// onlyIn names libraries that one package alone may import.
var onlyIn = map[string]string{
	"github.com/gin-gonic/gin":          "casepress/handlers",
	"github.com/disintegration/imaging": "casepress/tasks/picture",
	"github.com/jsummers/gobmp":         "casepress/tasks/picture",
	"github.com/jung-kurt/gofpdf":       "casepress/tasks/pdf",
	"github.com/tetratelabs/wazero":     "casepress/tasks/picture/heif",
	"modernc.org/sqlite":                "casepress/store",
	"filippo.io/age":                    "casepress/blob",
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

func TestArrows(t *testing.T) {
	for _, p := range listPackages(t) {
		allowed, known := arrows[p.ImportPath]
		require.True(t, known, "package %s has no place in the house yet", p.ImportPath)
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, "casepress/"); ok {
				require.Contains(t, strings.Fields(allowed), ours, "%s must not import %s", p.ImportPath, imported)
			}
			if owner, ok := onlyIn[imported]; ok {
				require.Equal(t, owner, p.ImportPath, "%s belongs to %s alone", imported, owner)
			}
		}
		if p.ImportPath == "casepress/commitlog" || p.ImportPath == "casepress/disk" {
			require.False(t, slices.ContainsFunc(p.Imports, isThirdParty), "%s uses the standard library only", p.ImportPath)
		}
	}
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
