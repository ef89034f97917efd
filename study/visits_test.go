package study_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/jsonfile"
	"casepress/study"
)

const withVisits = `{"schema":1,"id":"S1","version":1,"title":"One","languages":["en"],
"visits":[
{"id":"V00","title":"Screening","day":-14,"before":14,"after":13,"due":["phq-9"]},
{"id":"V01","title":"Baseline","day":1,"after":1,"due":["phq-9","gad-7","case-report"]},
{"id":"V02","title":"Week 4","day":29,"before":3,"after":3,"due":["phq-9","case-report"]}]}`

func TestVisits(t *testing.T) {
	s, problems := study.Check("S1.json", []byte(withVisits))
	require.Empty(t, problems)
	require.Equal(t, []study.Visit{
		{ID: "V00", Title: "Screening", Day: -14, Before: 14, After: 13, Due: []string{"phq-9"}},
		{ID: "V01", Title: "Baseline", Day: 1, After: 1, Due: []string{"phq-9", "gad-7", study.CaseReport}},
		{ID: "V02", Title: "Week 4", Day: 29, Before: 3, After: 3, Due: []string{"phq-9", study.CaseReport}},
	}, s.Visits)
	first, ok := s.FirstVisit()
	require.True(t, ok)
	require.Equal(t, "V01", first.ID)
	for day, offset := range map[int64]int64{-14: -14, -1: -1, 1: 0, 2: 1, 29: 28} {
		require.Equal(t, offset, study.Visit{Day: day}.Offset(), day)
	}
	_, ok = study.Study{}.FirstVisit()
	require.False(t, ok)
}

// A study's own instruments may be due, those of its folder and those of the file.
func TestOwnInstrumentsAreDue(t *testing.T) {
	due := strings.Replace(withVisits, `"gad-7"`, `"own"`, 1)
	_, err := study.Load(folderOf(t, due, ""))
	require.ErrorContains(t, err, `4:65: visits[1].due[1]: there is no instrument "own"; there are gad-2, `)
	_, err = study.Load(folderOf(t, strings.Replace(due, `"visits":`, `"instruments":"S1-instruments","visits":`, 1), own))
	require.NoError(t, err)
}

func TestVisitsThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"day 0":              {`"day":1,`, `"day":0,`, `4:38: visits[1].day: must not be 0: as in SDTM, day 1 is the first day`},
		"no day 1":           {`"day":1,`, `"day":2,`, `2:10: visits: has no visit of day 1`},
		"day 1 twice":        {`"day":29,"before":3,`, `"day":1,`, `5:36: visits[2].day: is 1, as that of visits[1]`},
		"out of order":       {`"day":29`, `"day":-1`, `5:36: visits[2].day: is before day 1 of the visit above`},
		"a day and a half":   {`"day":29`, `"day":28.5`, `visits[2].day: must be a whole number from -9999 to 9999`},
		"no day":             {`"day":29,`, ``, `5:1: visits[2]: "day" is missing`},
		"before day 1":       {`"day":1,`, `"day":1,"before":1,`, `4:49: visits[1].before: must be 0 or left out at the visit of day 1`},
		"a negative window":  {`"after":3`, `"after":-3`, `visits[2].after: must be a whole number from 0 to 999`},
		"an id twice":        {`"id":"V02"`, `"id":"v01"`, `5:1: visits[2]: "v01" was listed before`},
		"nothing due":        {`"due":["phq-9"]`, `"due":[]`, `visits[0].due: has 0 items`},
		"due missing":        {`,"due":["phq-9"]`, ``, `3:1: visits[0]: "due" is missing`},
		"due twice":          {`"due":["phq-9","case-report"]`, `"due":["phq-9","PHQ-9"]`, `visits[2].due[1]: "PHQ-9" was listed before`},
		"no such instrument": {`"gad-7"`, `"gad-8"`, `4:65: visits[1].due[1]: there is no instrument "gad-8"; there are`},
		"unknown member":     {`"title":"Week 4"`, `"label":"x"`, `visits[2].label: unknown member; known are id, title, day, before, after, due`},
		"no visits":          {"[\n", "[],\"x\":[\n", `2:10: visits: has 0 items`},
		"not an array":       {"[\n", "{},\"x\":[\n", `2:10: visits: must be an array, not an object`},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, withVisits, tc.old)
			_, problems := study.Check("S1.json", []byte(strings.Replace(withVisits, tc.old, tc.new, 1)))
			require.ErrorContains(t, jsonfile.Problems(problems), tc.want)
		})
	}
}

// The schedule that the documents show is one, for us and for editors.
func TestVisitsInTheDocs(t *testing.T) {
	docs, err := os.ReadFile("../docs/study.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(docs), "## Days of the study\n\n```json\n")
	example, _, found := strings.Cut(rest, "```\n")
	require.True(t, found)
	content := `{"schema":1,"id":"S1","version":1,"title":"One","languages":["en"],` + example + "}"
	for _, content := range []string{content, withVisits} {
		got, problems := study.Check("S1.json", []byte(content))
		require.Empty(t, problems)
		require.Len(t, got.Visits, 3)
		require.True(t, schemaTakes(schema(t), content))
	}
	require.False(t, schemaTakes(schema(t), strings.Replace(withVisits, `"day":1,`, `"day":0,`, 1)))
}
