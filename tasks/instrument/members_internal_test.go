package instrument

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/jsonfile"
)

// TestMembersAreDescribed holds the members that are read against the table in docs/instruments.md.
func TestMembersAreDescribed(t *testing.T) {
	docs, err := os.ReadFile("../../docs/instruments.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(docs), "\n## The file\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	var rows, want []string
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(line, " | ")
			rows = append(rows, strings.Trim(cells[0], "| `")+" "+cells[2])
		}
	}
	want = append(want, described(fileMembers, "")...)
	want = append(want, described(setMembers, "optionSets[].")...)
	want = append(want, described(optionMembers, "optionSets[].options[].")...)
	want = append(want, described(itemMembers, "items[].")...)
	want = append(want, described(gridMembers, "grids[].")...)
	want = append(want, described(scoreMembers, "scores[].")...)
	want = append(want, described(missingMembers, "scores[].missing.")...)
	want = append(want, described(exceptionMembers, "scores[].exceptions[].")...)
	want = append(want, described(rescaleMembers, "scores[].rescale.")...)
	want = append(want, described(convertMembers, "scores[].convert.")...)
	want = append(want, described(roundMembers, "scores[].round.")...)
	want = append(want, described(bandMembers, "scores[].bands[].")...)
	want = append(want, described(flagMembers, "flags[].")...)
	require.ElementsMatch(t, want, rows)
}

func described[T any](members []jsonfile.Member[T], prefix string) (rows []string) {
	for _, m := range members {
		word := "optional"
		if m.Required {
			word = "required"
		}
		rows = append(rows, prefix+m.Name+" "+word)
	}
	return rows
}
