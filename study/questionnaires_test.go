package study_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/study"
	"casepress/tasks/instrument"
)

const withQuestionnaires = `{"schema":1,"id":"S1","version":1,"title":"One","languages":["zh-CN","en","pt-BR"],
"instruments":"S1-instruments",
"crisisText":{"en":"Call.","zh-CN":"请拨打。","pt-BR":"Ligue."},
"flags":[{"code":"severe","instrument":"phq-9","score":"total","atLeast":20,"urgent":true,"text":{"en":"Severe"}},
{"code":"low","instrument":"own","item":"1","atMost":1,"urgent":false,"text":{"en":"Low"}}],
"windows":[{"visitId":"V1","from":"2026-11-01","to":"2026-11-30"},{"visitId":"V1","instrument":"own","opens":"20:00","closes":"22:30"}],
"lateAfterHours":48}`

const own = `{"schema":1,"id":"own","version":"1","title":{"en":"Own"},"copyright":["c"],"licence":"l","source":["s"],
"optionSets":[{"id":"o","options":[{"value":0},{"value":1},{"value":2}]}],"items":[{"id":"1","options":"o"}],
"scores":[{"id":"sum","title":{"en":"Sum"},"op":"sum","items":["1"],"missing":{"method":"none"},"range":[0,2]}]}`

// folderOf puts a study and its instrument into a folder.
func folderOf(t *testing.T, study, instrument string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "S1.json"), []byte(study), 0o600))
	if instrument != "" {
		require.NoError(t, os.Mkdir(filepath.Join(dir, "S1-instruments"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "S1-instruments", "own.json"), []byte(instrument), 0o600))
	}
	return dir
}

func TestQuestionnairesOfAStudy(t *testing.T) {
	studies, err := study.Load(folderOf(t, withQuestionnaires, own))
	require.NoError(t, err)
	s := studies.Get("S1")
	d, ok := s.Instruments().Get("own", "1")
	require.True(t, ok)
	_, shipped := s.Instruments().Get("phq-9", "1")
	require.True(t, shipped)
	_, elsewhere := studies.Get("S2").Instruments().Get("own", "")
	require.False(t, elsewhere, "it is the study's own")
	require.Equal(t, 48*time.Hour, s.LateAfter())
	require.Equal(t, 24*time.Hour, studies.Get("S2").LateAfter())

	flags, err := instrument.Flags(d, instrument.Answers{"1": {Value: 1}}, s.Flags)
	require.NoError(t, err)
	require.Equal(t, []instrument.FlagResult{{Code: "low", Item: "1", State: instrument.Raised, Value: "1"}}, flags)
	flags, err = instrument.Flags(d, instrument.Answers{"1": {Value: 2}}, s.Flags)
	require.NoError(t, err)
	require.Empty(t, flags)
	flags, err = instrument.Flags(d, nil, s.Flags)
	require.NoError(t, err)
	require.Equal(t, instrument.Unknown, flags[0].State)

	for language, want := range map[string]string{
		"en": "en", "en-GB": "en", "zh-CN": "zh-CN", "zh-Hans-CN": "zh-CN", "zh": "zh-CN", "pt": "pt-BR", "pt-PT": "pt-BR", "de": "zh-CN", "": "zh-CN",
	} {
		text, in := s.CrisisTextIn(language)
		require.Equal(t, want, in, language)
		require.Equal(t, s.CrisisText[want], text)
	}
	text, in := studies.Get("S2").CrisisTextIn("en")
	require.Empty(t, text+in)

	for _, tc := range []struct {
		visit, instrument, at string
		want                  bool
	}{
		{"V1", "phq-9", "2026-11-01T00:00:00+14:00", true},
		{"V1", "phq-9", "2026-11-30T23:59:59-12:00", true},
		{"V1", "phq-9", "2026-12-01T00:00:00+08:00", false},
		{"V1", "phq-9", "2026-10-31T23:59:59+08:00", false},
		{"V2", "phq-9", "1999-10-31T23:59:59+08:00", true},
		{"V1", "own", "2026-12-24T20:00:00+08:00", true},
		{"V1", "own", "2026-12-24T22:30:59+08:00", true},
		{"V1", "own", "2026-12-24T22:31:00+08:00", false},
		{"V1", "own", "2026-11-24T12:00:00+08:00", true},
	} {
		at, err := time.Parse(time.RFC3339, tc.at)
		require.NoError(t, err)
		require.Equal(t, tc.want, s.InWindow(tc.visit, tc.instrument, at), "%v", tc)
	}
}

func TestQuestionnairesThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"no folder":              {`"S1-instruments"`, `"elsewhere"`, `2:15: instruments: the folder "elsewhere" beside this file cannot be read`},
		"a path":                 {`"S1-instruments"`, `"../x"`, `2:15: instruments: must be 1 to 64 of`},
		"a language without":     {`,"pt-BR":"Ligue."`, ``, `3:14: crisisText: has no text in "pt-BR", one of the study's languages`},
		"a language too many":    {`"pt-BR":"Ligue."`, `"pt-BR":"Ligue.","de":"Rufen"`, `3:14: crisisText: has a text in "de", which is none of the study's languages`},
		"flag without threshold": {`"atLeast":20,`, ``, `4:10: flags[0]: must have either "atLeast" or "atMost"`},
		"flag on nothing":        {`"score":"total",`, ``, `4:10: flags[0]: must have either "item" or "score"`},
		"no such score":          {`"score":"total"`, `"score":"sum"`, `4:56: flags[0].score: phq-9 version 1 has no score "sum"`},
		"no such item":           {`"item":"1"`, `"item":"2"`, `5:41: flags[1].item: own version 1 has no item "2"; it has 1`},
		"no such instrument":     {`"instrument":"phq-9","score"`, `"instrument":"phq","score"`, `4:40: flags[0].instrument: there is no instrument "phq"; there are gad-2, `},
		"threshold out of range": {`"atLeast":20`, `"atLeast":28`, `4:56: flags[0].score: goes from 0 to 27; the threshold 28 must be within`},
		"a flag of its own":      {`"code":"severe"`, `"code":"phq-9-item-9"`, `4:10: flags[0]: phq-9 version 1 has a flag "phq-9-item-9" of its own; choose another code`},
		"a code twice":           {`"code":"low"`, `"code":"Severe"`, `5:1: flags[1]: "Severe" was listed before`},
		"window without limit":   {`,"from":"2026-11-01","to":"2026-11-30"`, ``, `6:12: windows[0]: has no limit`},
		"window backwards":       {`"to":"2026-11-30"`, `"to":"2026-10-30"`, `6:53: windows[0].to: "2026-10-30" is before "2026-11-01"`},
		"over midnight":          {`"closes":"22:30"`, `"closes":"02:30"`, `windows[1].closes: "02:30" is before "20:00"; a window must lie within one day`},
		"no such day":            {`"from":"2026-11-01"`, `"from":"2026-11-31"`, `6:35: windows[0].from: must be a day such as "2026-11-26", not "2026-11-31"`},
		"a day in short":         {`"from":"2026-11-01"`, `"from":"2026-11-1"`, `windows[0].from: must be a day`},
		"no such time":           {`"opens":"20:00"`, `"opens":"24:00"`, `windows[1].opens: must be a time of day`},
		"late after nothing":     {`"lateAfterHours":48`, `"lateAfterHours":0`, `7:18: lateAfterHours: must be a whole number from 1 to 8784`},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, withQuestionnaires, tc.old)
			_, err := study.Load(folderOf(t, strings.Replace(withQuestionnaires, tc.old, tc.new, 1), own))
			require.ErrorContains(t, err, tc.want)
		})
	}
	_, err := study.Load(folderOf(t, strings.Replace(withQuestionnaires, `"S1-instruments"`, `17`, 1), own))
	require.ErrorContains(t, err, "2:15: instruments: must be the name of a folder beside this file, or an array of definitions, not a number")
	dir := folderOf(t, withQuestionnaires, strings.Replace(own, `"range":[0,2]`, `"range":[0,3]`, 1))
	_, err = study.Load(dir)
	require.ErrorContains(t, err, filepath.Join(dir, "S1-instruments", "own.json")+":3:")
	require.NotContains(t, err.Error(), "flags[1]", "what names the broken one cannot be judged")
	_, err = study.Load(folderOf(t, withQuestionnaires, strings.Replace(own, `"id":"own"`, `"id":"phq-9"`, 1)))
	require.ErrorContains(t, err, "there is another phq-9 version 1 already")
}

// Definitions may stand in the file itself.
func TestInstrumentsInTheFile(t *testing.T) {
	inside := strings.Replace(withQuestionnaires, `"S1-instruments"`, "["+own+",\n"+strings.Replace(own, `"version":"1"`, `"version":"2"`, 1)+"]", 1)
	studies, err := study.Load(folderOf(t, inside, ""))
	require.NoError(t, err)
	d, ok := studies.Get("S1").Instruments().Get("own", "")
	require.True(t, ok)
	require.Equal(t, "2", d.Version)
	first, ok := studies.Get("S1").Instruments().Get("own", "1")
	require.True(t, ok)
	require.True(t, bytes.Equal([]byte(own), first.Content), "the bytes as they stand")
	alone, problems := instrument.Check("own.json", []byte(own))
	require.Empty(t, problems)
	require.Equal(t, alone.SHA256, first.SHA256)

	for name, tc := range map[string]struct{ old, new, want string }{
		"a gap in a range":  {`"range":[0,2]`, `"range":[0,3]`, `4:105: instruments[0].scores[0].range: `},
		"a member is wrong": {`"licence":"l"`, `"Licence":"l"`, `2:92: instruments[0].Licence: unknown member; write "licence"`},
		"one is missing":    {`"licence":"l",`, ``, `2:16: instruments[0]: "licence" is missing`},
		"the same twice":    {`"version":"2"`, `"version":"1"`, ``},
		"shipped already":   {`"id":"own","version":"1"`, `"id":"phq-9","version":"1"`, `2:16: instruments[0]: there is another phq-9 version 1 already`},
		"no object":         {own, `[]`, `2:16: instruments[0]: `},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := study.Load(folderOf(t, strings.Replace(inside, tc.old, tc.new, 1), ""))
			if tc.want == "" {
				require.NoError(t, err, "the same bytes are the same definition")
				return
			}
			require.ErrorContains(t, err, tc.want)
		})
	}
}
