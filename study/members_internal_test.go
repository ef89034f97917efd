package study

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/instrument"
)

// TestMembersAreDescribed holds the members that are read against docs/study.schema.json and against
// the table in docs/study.md.
func TestMembersAreDescribed(t *testing.T) {
	type object struct {
		Required   []string
		Properties map[string]any
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	file, err := os.ReadFile("../docs/study.schema.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(file, &schema))
	docs, err := os.ReadFile("../docs/study.md")
	require.NoError(t, err)

	described := 0
	same := func(o object, prefix string, name string, required bool) {
		described++
		require.Contains(t, o.Properties, name)
		word := "optional"
		if required {
			word = "required"
			require.Contains(t, o.Required, name)
		} else {
			require.NotContains(t, o.Required, name)
		}
		_, row, found := strings.Cut(string(docs), "\n| `"+prefix+name+"` | ")
		require.True(t, found, prefix+name)
		require.Equal(t, word, strings.Split(row, " | ")[1], prefix+name)
	}
	for _, m := range studyMembers {
		same(schema.object, "", m.Name, m.Required)
	}
	for _, m := range siteMembers {
		same(schema.Defs["site"], "sites[].", m.Name, m.Required)
	}
	for _, m := range instrument.RuleMembers {
		same(schema.Defs["flag"], "flags[].", m.Name, m.Required)
	}
	for _, m := range windowMembers {
		same(schema.Defs["window"], "windows[].", m.Name, m.Required)
	}
	for _, m := range adverseEventsMembers {
		same(schema.Defs["adverseEvents"], "adverseEvents.", m.Name, m.Required)
	}
	require.Len(t, schema.Defs["adverseEvents"].Properties, len(adverseEventsMembers))
	for _, m := range ladderMembers {
		same(schema.Defs["ladder"], "adverseEvents.ladder.", m.Name, m.Required)
	}
	require.Len(t, schema.Defs["ladder"].Properties, len(ladderMembers))
	for _, m := range rungMembers {
		same(schema.Defs["rung"], "rungs[].", m.Name, m.Required)
	}
	require.Len(t, schema.Defs["rung"].Properties, len(rungMembers))
	for _, m := range hoursMembers {
		same(schema.Defs["hours"], "hours.", m.Name, m.Required)
	}
	require.Len(t, schema.Defs["hours"].Properties, len(hoursMembers))
	for _, m := range visitMembers {
		same(schema.Defs["visit"], "visits[].", m.Name, m.Required)
	}
	require.Len(t, schema.Properties, len(studyMembers))
	require.Len(t, schema.Defs["visit"].Properties, len(visitMembers))
	require.Len(t, schema.Defs["flag"].Properties, len(instrument.RuleMembers))
	require.Len(t, schema.Defs["window"].Properties, len(windowMembers))
	require.Len(t, schema.Defs["site"].Properties, len(siteMembers))
	require.Equal(t, described, strings.Count(string(docs), "\n| `"), "rows of the table")
}
