package study_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/jsonfile"
	"casepress/study"
)

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "S1.json", whole)
	write(t, dir, "A.json", strings.Replace(whole, "S1", "A", 1))
	write(t, dir, "README.md", "not a study")
	write(t, dir, "S1.json~", "{")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "instruments"), 0o700))
	// A folder that Kubernetes mounts holds links.
	elsewhere := t.TempDir()
	write(t, elsewhere, "data", strings.Replace(whole, "S1", "B", 1))
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "data"), filepath.Join(dir, "B.json")))

	studies, err := study.Load(dir)
	require.NoError(t, err)
	var ids []string
	for _, s := range studies.All() {
		ids = append(ids, s.ID)
	}
	require.Equal(t, []string{"A", "B", "S1"}, ids)
	s := studies.Get("S1")
	require.EqualValues(t, 1, s.Version)
	require.True(t, s.HasSite("01"))
	require.False(t, s.HasSite("02"))

	for id, similar := range map[string]string{"s1": "S1", "unknown": ""} {
		lacks, other := studies.Lacks(id)
		require.True(t, lacks)
		require.Equal(t, similar, other)
	}
	for _, id := range []string{"", "S1", "A"} {
		lacks, _ := studies.Lacks(id)
		require.False(t, lacks)
	}
	for _, id := range []string{"", "s1", "unknown"} {
		require.Equal(t, study.Study{ID: id}, studies.Get(id))
		require.True(t, studies.Get(id).HasSite("02"))
	}
}

func TestLoadNoFolder(t *testing.T) {
	studies, err := study.Load("")
	require.NoError(t, err)
	require.Empty(t, studies.All())
	require.Equal(t, study.Study{ID: "S1"}, studies.Get("S1"))
	require.Equal(t, study.Study{ID: "S1"}, (*study.Studies)(nil).Get("S1"))
	require.Empty(t, (*study.Studies)(nil).All())
	for _, none := range []*study.Studies{studies, nil} {
		require.False(t, none.HasFolder())
		lacks, similar := none.Lacks("S1")
		require.True(t, lacks)
		require.Empty(t, similar)
		lacks, _ = none.Lacks("")
		require.False(t, lacks, "the study without a name")
	}

	_, err = study.Load(filepath.Join(t.TempDir(), "missing"))
	require.ErrorContains(t, err, "load studies: ")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestLoadRefusesWithAllProblemsOfAllFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "A.json", "{\n")
	write(t, dir, "B.json", strings.Replace(whole, `"version":1`, `"version":0,"x":1`, 1))
	write(t, dir, "S1.json", whole)
	write(t, dir, "big.json", strings.Repeat(" ", study.MaxBytes+1))
	write(t, dir, "s1.JSON", strings.Replace(whole, "S1", "s1", 1))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.json"), 0o700))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "link.json")))

	_, err := study.Load(dir)
	var problems jsonfile.Problems
	require.ErrorAs(t, err, &problems)
	require.Equal(t, `A.json:2:1: ends before its object is closed
B.json:1:18: id: is "S1", so the file must be named S1.json, not B.json
B.json:1:33: version: must be a whole number from 1 to 9007199254740991, without a fraction or exponent, not 0
B.json:1:35: x: unknown member; known are schema, id, version, title, languages, sites, instruments, flags, crisisText, windows, visits, lateAfterHours, adverseEvents
big.json: is larger than 1048576 bytes, the most that the file of a study may have
dir.json: is not a file; a study is one JSON file
link.json: cannot be read: no such file or directory
s1.JSON: the name differs from S1.json only in upper and lower case; people and some file systems take them for one: choose ids that differ in more
s1.JSON:1:18: id: is "s1", so the file must be named s1.json, not s1.JSON`, strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
}

func TestLoadCannotRead(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := t.TempDir()
	write(t, dir, "S1.json", whole)
	require.NoError(t, os.Chmod(filepath.Join(dir, "S1.json"), 0))
	_, err := study.Load(dir)
	require.ErrorContains(t, err, "S1.json: cannot be read: permission denied")
}
