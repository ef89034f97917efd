package tasks_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/study"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

// arrived is a quarter past eight in the evening in Shanghai.
var arrived = time.Date(2026, 11, 26, 12, 15, 0, 0, time.UTC)

const studyS1 = `{"schema":1,"id":"S1","version":3,"title":"One","languages":["zh-CN","en"],"sites":[{"id":"101","title":"A"}],
	"crisisText":{"en":"Call 0800 123.","zh-CN":"请拨打 0800 123。"},"lateAfterHours":2,
	"flags":[{"code":"severe","instrument":"phq-9","score":"total","atLeast":20,"urgent":true,"text":{"en":"Severe"}}],
	"windows":[{"visitId":"V02","instrument":"phq-9","from":"2026-11-01","to":"2026-11-30","opens":"18:00","closes":"23:59"}]}`

func studiesOf(t testing.TB, files ...string) *study.Studies {
	dir := t.TempDir()
	for _, content := range files {
		var head struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(content), &head))
		require.NoError(t, os.WriteFile(filepath.Join(dir, head.ID+".json"), []byte(content), 0o600))
	}
	studies, err := study.Load(dir)
	require.NoError(t, err)
	return studies
}

// document is a response to the PHQ-9 with other or more members; an empty text takes one away.
func document(members map[string]string) []byte {
	all := map[string]string{
		"id": `"QR-1"`, "study": `"S1"`, "patientId": `"P001"`, "visitId": `"V02"`, "instrument": `"phq-9"`, "version": `"1"`, "language": `"en"`,
		"authored": `"2026-11-26T20:14:00+08:00"`, "answers": `{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":0}`,
	}
	for name, value := range members {
		all[name] = value
	}
	var text []string
	for name, value := range all {
		if value != "" {
			text = append(text, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return []byte("{" + strings.Join(text, ",") + "}")
}

func readResponse(t testing.TB, studies *study.Studies, a tasks.Arrival, members map[string]string) tasks.QuestionnaireResponse {
	t.Helper()
	r, problems := tasks.ReadQuestionnaireResponse(document(members), "", studies, a)
	require.Empty(t, problems)
	return r
}

func TestWarnings(t *testing.T) {
	studies := studiesOf(t, studyS1)
	in := func(d time.Duration) string {
		return arrived.Add(d).In(time.FixedZone("", 8*3600)).Format(time.RFC3339)
	}
	quoted := func(s string) string { return `"` + s + `"` }
	const same = `{"1":1,"2":1,"3":1}`
	for name, tc := range map[string]struct {
		members map[string]string
		clock   time.Duration // of the header Date, 0: none
		want    []string
	}{
		"nothing odd":                   {want: nil},
		"future":                        {members: map[string]string{"authored": quoted(in(5*time.Minute + time.Second))}, want: []string{"in-future"}},
		"future within the tolerance":   {members: map[string]string{"authored": quoted(in(5 * time.Minute))}},
		"late":                          {members: map[string]string{"authored": quoted(in(-2*time.Hour - time.Second))}, want: []string{"late"}},
		"not yet late":                  {members: map[string]string{"authored": quoted(in(-2 * time.Hour))}},
		"late by default":               {members: map[string]string{"study": "", "authored": quoted(in(-24*time.Hour - time.Second))}, want: []string{"late"}},
		"not yet late by default":       {members: map[string]string{"study": "", "authored": quoted(in(-24 * time.Hour))}},
		"far past":                      {members: map[string]string{"study": "", "authored": quoted(in(-366*24*time.Hour - time.Second))}, want: []string{"far-past"}},
		"out of the window of the day":  {members: map[string]string{"authored": `"2026-11-26T17:59:00+08:00"`, "deviceTime": ""}, want: []string{"late", "out-of-window"}},
		"the zone of the patient":       {members: map[string]string{"authored": `"2026-11-26T12:14:00Z"`}, want: []string{"out-of-window"}},
		"no window for this visit":      {members: map[string]string{"authored": `"2026-11-26T12:14:00Z"`, "visitId": `"V03"`}},
		"no window for this instrument": {members: map[string]string{"authored": `"2026-11-26T12:14:00Z"`, "instrument": `"gad-7"`, "answers": `{}`}},
		"clock ahead":                   {clock: 6 * time.Minute, want: []string{"clock-skew"}},
		"clock behind":                  {clock: -6 * time.Minute, want: []string{"clock-skew"}},
		"clock well enough":             {clock: -5 * time.Minute},
		"device ahead":                  {members: map[string]string{"deviceTime": quoted(in(6 * time.Minute))}, want: []string{"clock-skew"}},
		"device waited":                 {members: map[string]string{"deviceTime": quoted(in(-time.Minute))}},
		"device before the answers":     {members: map[string]string{"deviceTime": quoted(in(-7 * time.Minute))}, want: []string{"clock-skew"}},
		"the header wins":               {members: map[string]string{"deviceTime": quoted(in(-time.Hour))}, clock: time.Second},
		"straight lining":               {members: map[string]string{"answers": same, "started": `"2026-11-26T20:13:58+08:00"`}, want: []string{"straight-lining"}},
		"the same but slower":           {members: map[string]string{"answers": same, "started": `"2026-11-26T20:13:57.9+08:00"`}},
		"as fast but not the same":      {members: map[string]string{"answers": `{"1":1,"2":1,"3":2}`, "started": `"2026-11-26T20:13:59+08:00"`}},
		"two answers may be the same":   {members: map[string]string{"answers": `{"1":1,"2":1}`, "started": `"2026-11-26T20:13:59+08:00"`}},
		"the same, who knows how fast":  {members: map[string]string{"answers": same}},
		"began after the end":           {members: map[string]string{"started": `"2026-11-26T20:14:01+08:00"`}, want: []string{"started-after-authored"}},
		"language of nobody":            {members: map[string]string{"language": `"de"`}, want: []string{"unexpected-language"}},
		"the language elsewhere":        {members: map[string]string{"language": `"en-GB"`}},
		"study in other case":           {members: map[string]string{"study": `"s1"`}, want: []string{"unknown-study"}},
		"study without a file":          {members: map[string]string{"study": `"S9"`}, want: []string{"unknown-study"}},
		"several": {
			members: map[string]string{"answers": same, "started": `"2026-11-26T09:00:00+08:00"`, "authored": `"2026-11-26T09:00:01+08:00"`, "language": `"fr"`}, clock: -time.Hour,
			want: []string{"late", "out-of-window", "clock-skew", "straight-lining", "unexpected-language"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := tasks.Arrival{At: arrived}
			if tc.clock != 0 {
				a.Clock = arrived.Add(tc.clock)
			}
			r := readResponse(t, studies, a, tc.members)
			var codes []string
			for _, w := range r.Warnings {
				require.NotEmpty(t, w.Detail)
				codes = append(codes, w.Code)
			}
			require.Equal(t, tc.want, codes, "%v", r.Warnings)
		})
	}
}

// What comes late is told with how soon it was expected, by the study only where one is named.
func TestWhoExpected(t *testing.T) {
	studies := studiesOf(t, studyS1)
	for _, tc := range []struct{ study, response, event string }{
		{`"S1"`, "the study expects them within 2 h", "the study's limit is 24 h"},
		{`"S9"`, "the study expects them within 24 h", "the study's limit is 24 h"}, // a study without a file has defaults
		{"", "expected within 24 h", "expected within 24 h"},
	} {
		r := readResponse(t, studies, tasks.Arrival{At: arrived.Add(25 * time.Hour)}, map[string]string{"study": tc.study, "authored": `"2026-11-26T12:15:00Z"`})
		require.Contains(t, r.Warnings, tasks.Warning{Code: "late", Detail: "the answers arrived 25 h after they were given; " + tc.response})

		members := `"id":"AE-1","patientId":"P001","description":"a rash","knownAt":"2026-11-26T12:15:00Z"`
		if tc.study != "" {
			members += `,"study":` + tc.study
		}
		e, problems := tasks.ReadAdverseEvent([]byte("{"+members+"}"), "", studies, tasks.Arrival{At: arrived.Add(25 * time.Hour)})
		require.Empty(t, problems)
		require.Contains(t, e.Report.Warnings, tasks.Warning{Code: "late", Detail: "it arrived 25 h after it became known; " + tc.event})
	}
}

// All kinds are warned by one rule.
func TestStudyWarnings(t *testing.T) {
	studies := studiesOf(t, strings.Replace(studyS1, `"id":"S1"`, `"id":"S1","visits":[{"id":"V01","title":"Day 1","day":1,"due":["phq-9"]},{"id":"V02","title":"Day 8","day":8,"due":["phq-9"]}]`, 1))
	for _, tc := range []struct {
		studies      *study.Studies
		study, visit string
		want         []tasks.Warning
	}{
		{studies, "S1", "V02", nil},
		{studies, "S1", "", nil},
		{studies, "", "V9", nil},
		{studies, "S1", "v02", []tasks.Warning{{Code: "unknown-visit", Detail: "the schedule of the study has no visit v02; it has V01, V02"}}},
		{studies, "s1", "V9", []tasks.Warning{{Code: "unknown-study", Detail: "there is no file of the study s1, so it has no crisis text, flags or sites of its own; ids differ in case: S1?"}}},
		{nil, "S1", "V9", []tasks.Warning{{Code: "unknown-study", Detail: "there is no file of the study S1, so it has no crisis text, flags or sites of its own; the server was started without --studies, so no study has a file"}}},
		{nil, "", "V9", nil},
	} {
		require.Equal(t, tc.want, tasks.StudyWarnings(tc.studies, tasks.Header{Study: tc.study, VisitID: tc.visit}))
	}
}

// Whoever misspells a study learns of it, for the patient is given no crisis text.
func TestUnknownStudy(t *testing.T) {
	at := tasks.Arrival{At: arrived}
	urgent := map[string]string{"study": `"s1"`, "answers": `{"9":3}`}
	r := readResponse(t, studiesOf(t, studyS1), at, urgent)
	require.Equal(t, []tasks.Warning{{Code: "unknown-study", Detail: "there is no file of the study s1, so it has no crisis text, flags or sites of its own; ids differ in case: S1?"}}, r.Warnings)
	require.Empty(t, r.CrisisText)
	urgent["study"] = `"S9"`
	require.Equal(t, "there is no file of the study S9, so it has no crisis text, flags or sites of its own", readResponse(t, studiesOf(t, studyS1), at, urgent).Warnings[0].Detail)
	require.Len(t, readResponse(t, studiesOf(t), at, urgent).Warnings, 1, "a folder without files")
	none, err := study.Load("")
	require.NoError(t, err)
	for _, without := range []*study.Studies{none, nil} { // it has no crisis text either
		require.Equal(t, "unknown-study", readResponse(t, without, at, urgent).Warnings[0].Code)
	}
	urgent["study"] = ""
	require.Empty(t, readResponse(t, studiesOf(t, studyS1), at, urgent).Warnings)
}

// The patient reads the crisis text in the own language, also where the questions were in another.
func TestLanguageOfCrisisText(t *testing.T) {
	studies := studiesOf(t, studyS1) // its main language is zh-CN
	for _, tc := range []struct{ accepted, language, want string }{
		{"", "en", "en"}, {"", "fr", "zh-CN"}, {"zh-CN", "en", "zh-CN"}, {"zh", "en", "zh-CN"}, {"zh-TW", "en", "zh-CN"}, {"en-GB", "zh-CN", "en"},
		{"fr", "en", "en"}, {"fr", "de", "zh-CN"}, {"zhx", "en", "en"},
	} {
		r := readResponse(t, studies, tasks.Arrival{At: arrived, Language: tc.accepted}, map[string]string{"answers": `{"9":3}`, "language": `"` + tc.language + `"`})
		require.Equal(t, tc.want, r.CrisisLanguage, "%v", tc)
		require.Equal(t, studies.Get("S1").CrisisText[tc.want], r.CrisisText)
	}
	require.Empty(t, readResponse(t, studies, tasks.Arrival{At: arrived, Language: "zh"}, nil).CrisisText, "nothing is raised")
}

// TestTimesFarApart has times that are further apart than a time.Duration holds.
func TestTimesFarApart(t *testing.T) {
	studies, err := study.Load("")
	require.NoError(t, err)
	for authored, want := range map[string]string{
		"0001-11-26T12:15:00Z": "the answers were given 739616 days before they arrived",
		"9999-11-26T12:15:00Z": "the answers were given 2912078 days after they arrived",
		"2027-11-26T11:30:00Z": "the answers were given 364 days 23 h after they arrived",
		"2027-11-27T12:15:00Z": "the answers were given 366 days after they arrived",
		"2026-11-26T12:30:01Z": "the answers were given 15 min 1 s after they arrived",
	} {
		r := readResponse(t, studies, tasks.Arrival{At: arrived}, map[string]string{"study": "", "authored": `"` + authored + `"`, "started": `"` + authored + `"`})
		require.Len(t, r.Warnings, 1)
		require.Equal(t, want, r.Warnings[0].Detail)
	}
	for clock, want := range map[time.Time]string{
		time.Date(9999, 11, 26, 12, 15, 0, 0, time.UTC): "the clock of the device is off by 2912078 days",
		time.Date(1601, 11, 26, 12, 15, 0, 0, time.UTC): "the clock of the device is off by -155228 days",
		arrived.Add(-6 * time.Minute):                   "the clock of the device is off by -6 min",
	} {
		r := readResponse(t, studies, tasks.Arrival{At: arrived, Clock: clock}, map[string]string{"study": ""})
		require.Equal(t, []tasks.Warning{{Code: "clock-skew", Detail: want}}, r.Warnings)
	}
}

func TestFlagsBeforeTheAnswer(t *testing.T) {
	studies := studiesOf(t, studyS1)
	for name, tc := range map[string]struct {
		members map[string]string
		flags   string
		text    string
		events  int
	}{
		"none":                   {flags: `null`},
		"item 9":                 {map[string]string{"answers": `{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":1}`}, `[{"code":"phq-9-item-9","item":"9","state":"raised","urgent":true,"value":1}]`, "Call 0800 123.", 1},
		"item 9 alone":           {map[string]string{"answers": `{"9":3}`}, `[{"code":"phq-9-item-9","item":"9","state":"raised","urgent":true,"value":3},{"code":"severe","score":"total","state":"unknown","urgent":true,"value":null}]`, "Call 0800 123.", 1},
		"unknown is not raised":  {map[string]string{"answers": `{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0}`}, `[{"code":"phq-9-item-9","item":"9","state":"unknown","urgent":true,"value":null}]`, "", 0},
		"the study's threshold":  {map[string]string{"answers": `{"1":3,"2":3,"3":3,"4":3,"5":3,"6":3,"7":2,"8":0,"9":0}`, "language": `"zh-Hans"`}, `[{"code":"severe","score":"total","state":"raised","urgent":true,"value":20}]`, "请拨打 0800 123。", 1},
		"below it":               {map[string]string{"answers": `{"1":3,"2":3,"3":3,"4":3,"5":3,"6":3,"7":1,"8":0,"9":0}`}, `null`, "", 0},
		"both":                   {map[string]string{"answers": `{"1":3,"2":3,"3":3,"4":3,"5":3,"6":3,"7":3,"8":3,"9":3}`, "language": `"fr"`}, `[{"code":"phq-9-item-9","item":"9","state":"raised","urgent":true,"value":3},{"code":"severe","score":"total","state":"raised","urgent":true,"value":27}]`, "请拨打 0800 123。", 2},
		"a study without a file": {map[string]string{"study": `"S9"`, "answers": `{"9":3}`}, `[{"code":"phq-9-item-9","item":"9","state":"raised","urgent":true,"value":3}]`, "", 1},
		"another instrument":     {map[string]string{"instrument": `"gad-7"`, "answers": `{"1":3,"2":3,"3":3,"4":3,"5":3,"6":3,"7":3}`}, `null`, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := readResponse(t, studies, tasks.Arrival{At: arrived}, tc.members)
			flags, err := json.Marshal(r.Flags)
			require.NoError(t, err)
			require.JSONEq(t, tc.flags, string(flags))
			require.Equal(t, tc.text, r.CrisisText)
			require.Len(t, r.AdverseEventIDs(), tc.events)
			derived := r.AdverseEventIDs()
			for i, s := range tasks.KindQuestionnaireResponse().Derive(r) {
				require.Equal(t, derived[i], s.Content.Key())
				require.Equal(t, s, tasks.KindQuestionnaireResponse().Derive(r)[i], "made again it is the same")
				require.Equal(t, r.Header().Subject(), s.Content.Header().Subject())
			}
		})
	}
	ids := map[string]bool{}
	for _, response := range []string{"QR-1", "QR-11"} {
		for _, revision := range []int{1, 11} {
			for _, flag := range []string{"a", "1a"} {
				ids[tasks.FlagID(response, revision, flag)] = true
			}
		}
	}
	require.Len(t, ids, 8)
}

// The order in which answers are written changes nothing but the bytes.
func TestOrderOfAnswersIsIrrelevant(t *testing.T) {
	studies := studiesOf(t, studyS1)
	for range 200 {
		var answers []string
		for item := 1; item <= 9; item++ {
			if rand.N(8) > 0 {
				answers = append(answers, fmt.Sprintf(`"%d":%d`, item, rand.N(4)))
			}
		}
		var first tasks.QuestionnaireResponse
		var scored tasks.Result
		for i := range 4 {
			rand.Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
			r := readResponse(t, studies, tasks.Arrival{At: arrived}, map[string]string{"answers": "{" + strings.Join(answers, ",") + "}"})
			r.Original = ""
			result, err := tasks.QuestionnaireTask{Studies: studies, Response: r}.Execute(t.Context())
			require.NoError(t, err)
			if i == 0 {
				first, scored = r, result
			}
			require.Equal(t, first, r)
			require.Equal(t, scored, result)
		}
	}
}

func TestScoring(t *testing.T) {
	studies := studiesOf(t, studyS1)
	score := func(members map[string]string) tasks.QuestionnaireResult {
		r := readResponse(t, studies, tasks.Arrival{At: arrived}, members)
		result, err := tasks.QuestionnaireTask{Studies: studies, Response: r}.Execute(t.Context())
		require.NoError(t, err)
		return result.(tasks.QuestionnaireResult)
	}
	total := score(map[string]string{"answers": `{"1":1,"2":1,"3":1,"4":1,"5":1,"6":2,"7":2}`}).Scores[0]
	require.Equal(t, instrument.Decimal("12"), total.Value)
	require.Equal(t, "81/7", total.Exact)
	require.Equal(t, []string{"8", "9"}, total.Imputed)
	none := score(map[string]string{"answers": `{"1":1,"2":1,"3":1,"4":1,"5":1,"6":2}`, "scores": `{"total":12,"other":null}`})
	require.Empty(t, none.Scores[0].Value)
	require.Equal(t, "3 of 9 answers are missing; at most 2 may be", none.Scores[0].Reason)
	require.Len(t, none.Mismatches, 2)

	r := readResponse(t, studies, tasks.Arrival{At: arrived}, nil)
	r.Rule.SHA256 = strings.Repeat("0", 64)
	_, err := tasks.QuestionnaireTask{Studies: studies, Response: r}.Execute(t.Context())
	require.ErrorContains(t, err, "is another one than when the answers came")
	r.Rule.Version = "7"
	_, err = tasks.QuestionnaireTask{Studies: studies, Response: r}.Execute(t.Context())
	require.ErrorContains(t, err, "has no instrument phq-9 version 7 any more")
}

func TestResponsesThatAreRefused(t *testing.T) {
	studies := studiesOf(t, studyS1)
	for name, tc := range map[string]struct {
		members map[string]string
		pointer string
		want    string
	}{
		"no id":                   {map[string]string{"id": ""}, "/id", `"id" is missing`},
		"id with a slash":         {map[string]string{"id": `"a/b"`}, "/id", "must be 1 to 64 of"},
		"id of a revision":        {map[string]string{"id": `"QR-1~2"`}, "/id", "must be 1 to 64 of"},
		"site":                    {map[string]string{"site": `"102"`}, "/site", `has no site "102"`},
		"no patient":              {map[string]string{"patientId": ""}, "/patientId", `"patientId" is missing`},
		"instrument":              {map[string]string{"instrument": `"phq-99"`}, "/instrument", `has no instrument "phq-99"`},
		"instrument's case":       {map[string]string{"instrument": `"PHQ-9"`}, "/instrument", `has no instrument "PHQ-9"`},
		"version":                 {map[string]string{"version": `"2"`}, "/version", `has phq-9 in version "1", not in "2"`},
		"version as number":       {map[string]string{"version": `1`}, "/version", `not a number; write "1" in quotes`},
		"no version":              {map[string]string{"version": ""}, "/version", `"version" is missing`},
		"language":                {map[string]string{"language": `"zh-cn"`}, "/language", `write "zh-CN"`},
		"authored without a zone": {map[string]string{"authored": `"2026-11-26T20:14:00"`}, "/authored", "with its zone"},
		"authored as number":      {map[string]string{"authored": `1795694040`}, "/authored", "with its zone"},
		"no such day":             {map[string]string{"authored": `"2026-02-30T20:14:00Z"`}, "/authored", "with its zone"},
		"answers as array":        {map[string]string{"answers": `[0,1]`}, "/answers", "an object with an answer by item"},
		"unknown item":            {map[string]string{"answers": `{"1":0,"10":1}`}, "/answers/10", "has no such item"},
		"unknown item, no answer": {map[string]string{"answers": `{"1":0,"10":null}`}, "/answers/10", "has no such item"},
		"year 0":                  {map[string]string{"authored": `"0000-11-26T20:14:00Z"`}, "/authored", "in a year from 0001 on"},
		"year 0 in UTC":           {map[string]string{"authored": `"0001-01-01T00:00:00+08:00"`}, "/authored", "in a year from 0001 on"},
		"year 10000 in UTC":       {map[string]string{"authored": `"9999-12-31T23:59:59-08:00"`}, "/authored", "up to 9999, in UTC too"},
		"no such zone":            {map[string]string{"authored": `"2026-11-26T20:14:00+14:01"`}, "/authored", "in a zone up to 14:00 from UTC"},
		"schema":                  {map[string]string{"schema": `2`}, "/schema", "unknown member"},
		"item with a slash":       {map[string]string{"answers": `{"a/b~c":1}`}, "/answers/a~1b~0c", "has no such item"},
		"unknown option":          {map[string]string{"answers": `{"1":4}`}, "/answers/1", "4 is not an option of this item; it has 0, 1, 2, 3"},
		"number as text":          {map[string]string{"answers": `{"1":"0"}`}, "/answers/1", "write 0 without quotes"},
		"fraction":                {map[string]string{"answers": `{"1":1.0}`}, "/answers/1", "without fraction or exponent, not 1.0"},
		"huge":                    {map[string]string{"answers": `{"1":1e999999999}`}, "/answers/1", "without fraction or exponent"},
		"boolean":                 {map[string]string{"answers": `{"1":true}`}, "/answers/1", "must be the value of an option"},
		"asked of everybody":      {map[string]string{"answers": `{"1":"not-asked"}`}, "/answers/1", "this item is asked of everybody"},
		"an item twice":           {map[string]string{"answers": `{"1":0,"1":1}`}, "/answers/1", "comes twice"},
		"unknown member":          {map[string]string{"answer": `{}`}, "/answer", "unknown member"},
		"score as text":           {map[string]string{"scores": `{"total":"13"}`}, "/scores/total", "must be a number, or null"},
		"amends without a reason": {map[string]string{"amends": `{"revision":1}`}, "/amends/reason", `"reason" is missing`},
		"amends 0":                {map[string]string{"amends": `{"revision":0,"reason":"x"}`}, "/amends/revision", "from 1 to 999"},
		"reason of blanks":        {map[string]string{"amends": `{"revision":1,"reason":"  "}`}, "/amends/reason", "blank"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := tasks.ReadQuestionnaireResponse(document(tc.members), "", studies, tasks.Arrival{At: arrived})
			require.Len(t, problems, 1, "%v", problems)
			require.Equal(t, tc.pointer, problems[0].Pointer)
			require.Contains(t, problems[0].Message, tc.want)
		})
	}
	_, problems := tasks.ReadQuestionnaireResponse(document(nil), "QR-2", studies, tasks.Arrival{At: arrived})
	require.Equal(t, "/id", problems[0].Pointer)
	for _, with := range []map[string]string{nil, {"id": ""}} {
		r, problems := tasks.ReadQuestionnaireResponse(document(with), "QR-1", studies, tasks.Arrival{At: arrived})
		require.Empty(t, problems)
		require.Equal(t, "QR-1", r.ID)
	}
}

func TestRevisionIDs(t *testing.T) {
	for revision, want := range map[int]string{1: "QR-1", 2: "QR-1~2", 999: "QR-1~999"} {
		require.Equal(t, want, tasks.RevisionID("QR-1", revision))
		id, back := tasks.SplitRevisionID(want)
		require.Equal(t, "QR-1", id)
		require.Equal(t, revision, back)
	}
}

// Whatever comes is refused or read, and what is read can be kept and comes back the same.
func FuzzReadQuestionnaireResponse(f *testing.F) {
	studies := studiesOf(f, studyS1)
	f.Add(string(document(nil)))
	f.Add(string(document(map[string]string{"scores": `{"total":13.5}`, "amends": `{"revision":1,"reason":"x"}`, "started": `"2016-12-31T23:59:60Z"`})))
	f.Fuzz(func(t *testing.T, text string) {
		r, problems := tasks.ReadQuestionnaireResponse([]byte(text), "", studies, tasks.Arrival{At: arrived})
		if len(problems) > 0 {
			return
		}
		s := tasks.NewSubmission(tasks.KindQuestionnaireResponse(), r)
		record, err := s.Encode()
		require.NoError(t, err)
		back, err := tasks.DecodeSubmission(record)
		require.NoError(t, err)
		require.Equal(t, text, back.Content.(tasks.QuestionnaireResponse).Original)
		require.Equal(t, s.SHA256, back.Content.Digest())
		_, err = tasks.QuestionnaireTask{Studies: studies, Response: back.Content.(tasks.QuestionnaireResponse)}.Execute(t.Context())
		require.NoError(t, err)
	})
}

// TestMemoryOfADocument bounds what is allocated while a document of the largest size is read, whatever is in it.
func TestMemoryOfADocument(t *testing.T) {
	studies := studiesOf(t, studyS1)
	fill := func(start, end string, one func(int) string) string {
		var b strings.Builder
		b.WriteString(start)
		for i := 0; ; i++ {
			next := one(i)
			if b.Len()+len(next)+1+len(end) > tasks.MaxResponseBytes {
				return strings.TrimSuffix(b.String(), ",") + end
			}
			b.WriteString(next + ",")
		}
	}
	answers := strings.TrimSuffix(string(document(map[string]string{"answers": "", "scores": ""})), "}") + `,"answers":{`
	number := func(as string) func(int) string {
		return func(i int) string { return fmt.Sprintf(`"%x":%s`, i, as) }
	}
	for name, content := range map[string]string{
		"unknown members":      fill(`{`, `}`, number("0")),
		"one member again":     fill(`{`, `}`, func(int) string { return `"":0` }),
		"lost characters":      fill(`{`, `}`, func(int) string { return "\"\ufffd\":0" }),
		"numbers":              fill(`[`, `]`, func(int) string { return "0" }),
		"unknown items":        fill(answers, `}}`, number("0")),
		"few, all the longer":  fill(answers, `}}`, func(i int) string { return fmt.Sprintf(`"%020d":0`, i) }),
		"claims":               fill(answers+`"1":0},"scores":{`, `}}`, func(i int) string { return fmt.Sprintf(`"%020d":0`, i) }),
		"below a long name":    fill(answers+`"1":0},"`+strings.Repeat("~", 30000)+`":{`, `}}`, func(int) string { return `"":0` }),
		"escapes":              fill(`{`, `}`, func(i int) string { return fmt.Sprintf(`"\u%04x":0`, i+0x100) }),
		"a number of 60,000":   answers + `"1":` + strings.Repeat("9", 60000) + `}}`,
		"a power of a million": answers + `"1":0},"scores":{"total":1e999999}}`,
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, problems := tasks.ReadQuestionnaireResponse([]byte(content), "", studies, tasks.Arrival{At: arrived})
			runtime.ReadMemStats(&after)
			require.NotEmpty(t, problems)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(50*tasks.MaxResponseBytes))
		})
	}
}
