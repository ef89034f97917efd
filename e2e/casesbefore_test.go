package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCasesOfBefore opens a data folder of before adverse events were cases, with its rows and with the log alone: what was told of
// them still holds, and they can be acknowledged and closed.
func TestCasesOfBefore(t *testing.T) {
	t.Parallel()
	for _, withRows := range []bool{true, false} {
		dir := t.TempDir()
		unpack(t, "testdata/cases-before.tar.gz", dir)
		text, err := os.ReadFile(filepath.Join(dir, "told.json"))
		require.NoError(t, err)
		var told []json.RawMessage
		require.NoError(t, json.Unmarshal(text, &told))
		require.Len(t, told, 3)
		data := filepath.Join(dir, "data")
		if !withRows {
			removeRows(t, data)
		}
		s := open(t, config(data))
		for _, was := range told {
			var before struct{ ID string }
			require.NoError(t, json.Unmarshal(was, &before))
			shown := caseOf(t, s, before.ID)
			answer := do(s.API, http.MethodGet, "/adverse-events/"+before.ID, "", nil)
			if withRows {
				requireHas(t, was, answer.Body.Bytes(), before.ID)
				require.Equal(t, []line{{Step: "received"}}, shown.lines(t), "who took it over nobody knows any more")
			} else {
				require.Equal(t, "received", shown.lines(t)[0].Step)
			}
			require.Equal(t, "open", shown.State)
			require.Contains(t, answer.Body.String(), `"limit":"PT24H"`)
		}
		listed := do(s.API, http.MethodGet, "/adverse-events?state=open", "", nil)
		var page struct{ Items []struct{ ID string } }
		require.NoError(t, json.Unmarshal(listed.Body.Bytes(), &page))
		require.Len(t, page.Items, 3)
		require.Len(t, caseEvents(t, s, 3), 3)
		id := page.Items[0].ID
		code, body := post(s, "/adverse-events/"+id+"/acknowledge", `{"name":"Ann","decision":"sae"}`)
		require.Equal(t, http.StatusOK, code, "%s", body)
		code, body = post(s, "/adverse-events/"+id+"/close", `{"name":"Ann","reason":"x"}`)
		require.Equal(t, http.StatusOK, code, "%s", body)
		require.NoError(t, s.Rows.Check(t.Context()))
		was := caseOf(t, s, id)
		require.NoError(t, s.Close(t.Context()))
		s = open(t, config(data))
		require.Equal(t, was, caseOf(t, s, id))
		require.NoError(t, closeNow(s))
	}
}
