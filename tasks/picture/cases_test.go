package picture_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// TestCases shows every file of the folder CASEPRESS_CASES, prints what became of each, and writes
// the pictures to CASEPRESS_CASES_OUT for the eye and for other programs to compare.
func TestCases(t *testing.T) {
	dir, out := os.Getenv("CASEPRESS_CASES"), os.Getenv("CASEPRESS_CASES_OUT")
	if dir == "" {
		t.Skip("CASEPRESS_CASES names no folder")
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	budget := picture.NewBudget(picture.DefaultBudget)
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		start := time.Now()
		res, err := picture.Process(t.Context(), bytes.NewReader(b), int64(len(b)), budget, picture.Options{})
		requireSettled(t, res, err)
		var notes []string
		for _, n := range res.Notes {
			notes = append(notes, n.Code)
		}
		t.Logf("%-45s %4d ms %dx%d -> %dx%d %s %v %v", f.Name(), time.Since(start).Milliseconds(), res.Source.Width, res.Source.Height, res.Full.Width, res.Full.Height, res.Full.Format, notes, err)
		if out != "" && err == nil {
			require.NoError(t, os.WriteFile(filepath.Join(out, f.Name()+"."+string(res.Full.Format)), res.Full.Data, 0o600))
		}
	}
}
