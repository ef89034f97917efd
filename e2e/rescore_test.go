package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// own is an instrument of a study: a sum of two items, and where it becomes high.
const own = `{"schema":1,"id":"own","version":"%s","title":{"en":"Own"},"copyright":["c"],"licence":"l","source":["s"],
"optionSets":[{"id":"o","options":[{"value":0},{"value":1},{"value":2}%s]}],"items":[{"id":"1","options":"o"},{"id":"2","options":"o"}],
"scores":[{"id":"sum","title":{"en":"Sum"},"op":"sum","items":["1","2"],"missing":{"method":"none"},"range":[0,%d],
"bands":[{"code":"low","from":0,"to":%d,"text":{"en":"low"}},{"code":"high","from":%d,"to":%d,"text":{"en":"high"}}]}]}`

// A rule changes: answers are scored by the new one beside the old scores, what changes is printed, and it survives the loss
// of the rows.
func TestRescore(t *testing.T) {
	data, studies := t.TempDir(), t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.MkdirAll(filepath.Join(studies, filepath.Dir(name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(studies, name), []byte(content), 0o600))
	}
	write("S1.json", `{"schema":1,"id":"S1","version":1,"title":"A","languages":["en"],"instruments":"S1-instruments"}`)
	write("S1-instruments/own-1.json", fmt.Sprintf(own, "1", `,{"value":3}`, 6, 2, 3, 6))
	s := start(t, data, "--studies="+studies)
	for i, answers := range []string{`{"1":0,"2":0}`, `{"1":1,"2":1}`, `{"1":2,"2":2}`, `{"1":3,"2":0}`, `{"1":1}`} {
		body := fmt.Sprintf(`{"study":"S1","instrument":"own","version":"1","patientId":"P1","language":"en","authored":"2026-11-26T20:03:11+08:00","answers":%s}`, answers)
		code, _, answer, err := send(t.Context(), http.MethodPut, fmt.Sprintf("%s/questionnaire-responses/Q%d", s.url, i), "application/json", []byte(body))
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, code, "%s", answer)
		code, _, _ = s.get(t, fmt.Sprintf("/questionnaire-responses/Q%d?wait=20s", i))
		require.Equal(t, http.StatusOK, code)
	}
	out, err := runCommand(t, "rescore", "--admin-url="+s.admin, "--study=S1", "own", "2")
	require.Error(t, err)
	require.Contains(t, out, "The study S1 has no instrument own in version 2")
	out, err = runCommand(t, "rescore", "--admin-url="+s.admin, "own", "2")
	require.Error(t, err)
	require.Contains(t, out, "The study without a name has no instrument own in version 2; name the study with --study")
	s.stop(t)

	write("S1-instruments/own-2.json", fmt.Sprintf(own, "2", ``, 4, 1, 2, 4)) // without the option 3, and high from 2 on
	s = start(t, data, "--studies="+studies)
	for _, counted := range []string{"4 scored now, 0 were already", "0 scored now, 4 were already"} { // the second time finds all done
		out, err = runCommand(t, "rescore", "--admin-url="+s.admin, "--study=S1", "own", "2")
		require.Error(t, err, "one cannot be scored")
		require.Equal(t, []string{
			"Q3 revision 1: cannot be scored: /1: 3 is not an option of this item; it has 0, 1, 2",
			"Q1 revision 1: sum: 2 low -> 2 high",
			counted + "; 1 of all changed; 1 could not be; 0 have no scores of their own yet",
			"casepress: 1 responses could not be scored by this version", "",
		}, strings.Split(out, "\n"))
	}
	check := func() {
		var shown struct {
			Scores   []struct{ Band string }
			Rescores []struct {
				Rule   struct{ ID, Version, SHA256 string }
				Scores []struct {
					Band string
					Rule struct{ Version string }
				}
			}
		}
		code, _, body := s.get(t, "/questionnaire-responses/Q1?wait=20s")
		require.Equal(t, http.StatusOK, code)
		require.NoError(t, json.Unmarshal(body, &shown))
		require.Equal(t, "low", shown.Scores[0].Band, "what was, stays")
		require.Len(t, shown.Rescores, 1)
		require.Equal(t, "high", shown.Rescores[0].Scores[0].Band)
		require.Equal(t, "2", shown.Rescores[0].Scores[0].Rule.Version)
		require.Equal(t, "own", shown.Rescores[0].Rule.ID)
		require.Len(t, shown.Rescores[0].Rule.SHA256, 64)
	}
	check()
	s.stop(t)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		require.NoError(t, os.RemoveAll(filepath.Join(data, "casepress.db"+suffix)))
	}
	s = start(t, data, "--studies="+studies)
	check()
	s.stop(t)
}

// runCommand runs one of the binary's commands and returns all that it prints.
func runCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary(t), args...).CombinedOutput()
	return string(out), err
}
