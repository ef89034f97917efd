package instrument_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

// whole is a definition with every member that goes together.
const whole = `{"schema":1,"id":"x","version":"1","title":{"en":"X"},"languages":["en"],"instruction":{"en":"Read."},` +
	`"codes":[{"system":"s","code":"c"}],"copyright":["c"],"licence":"l","source":["s"],` +
	`"optionSets":[{"id":"o","options":[{"value":0,"text":{"en":"no"}},{"value":1,"weight":1.5,"text":{"en":"yes"},"codes":[{"system":"s","code":"c"}]}]},` +
	`{"id":"p","options":[{"value":0,"text":{"en":"no"}},{"value":1,"text":{"en":"yes"}}]}],` +
	`"items":[{"id":"1","linkId":"/1","options":"o","text":{"en":"One?"}},{"id":"2","options":"o","text":{"en":"Two?"}},` +
	`{"id":"3","options":"p","notAsked":0,"text":{"en":"Three?"}},{"id":"4","options":"p","text":{"en":"Four?"}}],` +
	`"grids":[{"id":"g","values":[[0,1],[1,2.5]]}],` +
	`"scores":[{"id":"sum","title":{"en":"Sum"},"op":"sum","items":["1","2"],"missing":{"method":"zero","max":1},"range":[0,3],` +
	`"bands":[{"code":"low","from":0,"to":1.4,"text":{"en":"low"}},{"code":"high","from":1.5,"to":3,"text":{"en":"high"}}]},` +
	`{"id":"mean","title":{"en":"Mean"},"op":"mean","items":["1","2"],"missing":{"method":"person-mean","max":"half"},"rescale":{"from":[0,1.5],"to":[0,10]},"round":{"method":"half-even","places":1},"range":[0,10]},` +
	`{"id":"count","title":{"en":"Count"},"op":"count","items":["3","4"],"missing":{"method":"none"},"atLeast":1,"exceptions":[{"item":"4","atLeast":0.5}],"oneOf":["3"],"range":[0,2]},` +
	`{"id":"grade","title":{"en":"Grade"},"op":"grid","grid":"g","items":["3","4"],"missing":{"method":"branch"},"range":[0,2.5]},` +
	`{"id":"table","title":{"en":"Table"},"op":"sum","items":["3","4"],"missing":{"method":"none"},"convert":{"round":"ceil","table":[[0,10],[1,20.5],[2,30]]},"range":[10,30]}],` +
	`"flags":[{"code":"f1","item":"1","atLeast":1,"urgent":true,"text":{"en":"One"}},{"code":"f2","score":"sum","atMost":2,"urgent":false,"text":{"en":"Two"}}]}`

// with is the whole definition with one part replaced.
func with(t testing.TB, part, by string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(whole, part), part)
	return strings.Replace(whole, part, by, 1)
}

func TestCheckTakes(t *testing.T) {
	d, problems := instrument.Check("x.json", []byte(whole))
	require.Empty(t, problems)
	sum := sha256.Sum256([]byte(whole))
	require.Equal(t, hex.EncodeToString(sum[:]), d.SHA256)
	kept := sha256.Sum256(d.Content)
	require.Equal(t, sum, kept)
	require.Equal(t, "/1", d.Items[0].LinkID)
	require.Equal(t, "2", d.Items[1].LinkID)
	require.True(t, d.Items[2].MayBeNotAsked)
	require.False(t, d.Items[3].MayBeNotAsked)
	require.Equal(t, instrument.Text{"en": "yes"}, d.Items[0].Options[1].Text)
	require.True(t, d.Flags[0].Urgent)
	require.False(t, d.Flags[1].Urgent)

	other, problems := instrument.Check("x.json", []byte(whole+"\n"))
	require.Empty(t, problems)
	require.NotEqual(t, d.SHA256, other.SHA256, "a blank is another file")

	s := score(t, d, instrument.Answers{"1": {Value: 1}, "3": {NotAsked: true}, "4": {Value: 1}})
	var got []string
	for _, r := range s.Scores {
		got = append(got, r.ID+" "+string(r.Value)+" "+r.Exact+" "+r.Raw+" "+r.Band)
	}
	require.Equal(t, []string{"sum 1.5 1.5  high", "mean 10 10 1.5 ", "count 0 0  ", "grade 1 1  ", "table 20.5 20.5 1 "}, got)
	require.Equal(t, []instrument.FlagResult{
		{Code: "f1", Item: "1", State: instrument.Raised, Urgent: true, Value: "1"},
		{Code: "f2", Score: "sum", State: instrument.Raised, Value: "1.5"},
	}, s.Flags)
}

func TestFlagThresholds(t *testing.T) {
	d, problems := instrument.Check("x.json", []byte(with(t, `"score":"sum","atMost":2`, `"score":"sum","atMost":1.5`)))
	require.Empty(t, problems)
	for _, c := range []struct{ one, two int64 }{{0, 0}, {0, 1}, {1, 1}} {
		var raised []string
		for _, f := range score(t, d, instrument.Answers{"1": {Value: c.one}, "2": {Value: c.two}}).Flags {
			require.Equal(t, instrument.Raised, f.State)
			raised = append(raised, f.Code+" "+string(f.Value))
		}
		// The first looks at the value of the answer, which is not its weight of 1.5.
		want := map[[2]int64][]string{{0, 0}: {"f2 0"}, {0, 1}: {"f2 1.5"}, {1, 1}: {"f1 1"}}
		require.Equal(t, want[[2]int64{c.one, c.two}], raised)
	}
}

// refusals are definitions that are refused, each for one reason.
func refusals(t testing.TB) map[string]string {
	return map[string]string{
		with(t, `"licence":"l",`, ``):                                                                                 `1:1: "licence" is missing; give what may be done with the instrument`,
		with(t, `"licence"`, `"license":"l","licence"`):                                                               `license: unknown member; known are schema, id, version`,
		with(t, `"version":"1"`, `"version":1`):                                                                       `version: must be a whole number from "1" to "999999999" in quotes, without leading zeros, not a number`,
		with(t, `"version":"1"`, `"version":"01"`):                                                                    `version: must be a whole number from "1"`,
		with(t, `"version":"1"`, `"version":"1.0"`):                                                                   `version: must be a whole number from "1"`,
		with(t, `"schema":1`, `"schema":2`):                                                                           `schema: 2 is not known; this version of casepress reads schema 1`,
		with(t, `"id":"x"`, `"id":"x y"`):                                                                             `id: must be 1 to 64 of A-Z`,
		with(t, `"title":{"en":"X"}`, `"title":{"de":"X"}`):                                                           `title: has no text in "en", one of the instrument's languages; add it`,
		with(t, `"title":{"en":"X"}`, `"title":{}`):                                                                   `title: has no text; give one by language`,
		with(t, `"title":{"en":"X"}`, `"title":"X"`):                                                                  `title: must be an object with a text by language`,
		with(t, `"title":{"en":"X"}`, `"title":{"en":"X","zh_CN":"Y"}`):                                               `title.zh_CN: is not in canonical form; write "zh-CN"`,
		with(t, `"title":{"en":"X"}`, `"title":{"en":"X","chinese?":"Y"}`):                                            `title.chinese?: is not a BCP 47 language tag`,
		with(t, `"title":{"en":"X"}`, `"title":{"en":"X","en":"Y"}`):                                                  `title.en: comes twice; keep one`,
		with(t, `"languages":["en"]`, `"languages":["en","en"]`):                                                      `languages[1]: "en" was listed before`,
		with(t, `"instruction":{"en":"Read."}`, `"instruction":{"en":"Read.","fr":"Lire."}`):                          `instruction: has wording in "fr", which is not one of the instrument's languages`,
		with(t, `"text":{"en":"Two?"}`, `"text":{"en":"Two?","de":"Zwei?"}`):                                          `items[1]: has wording in "de"`,
		with(t, `"options":"o","text":{"en":"Two?"}`, `"options":"o"`):                                                `items[1]: has no text in "en"`,
		with(t, `"value":1,"weight":1.5`, `"value":0,"weight":1.5`):                                                   `optionSets[0].options[1]: the value 0 was listed before`,
		with(t, `"value":1,"weight":1.5`, `"value":1,"weight":"1.5"`):                                                 `optionSets[0].options[1].weight: must be a number of up to 9 digits`,
		with(t, `"value":1,"weight":1.5`, `"value":1,"weight":15e-1`):                                                 `optionSets[0].options[1].weight: must be a number of up to 9 digits before the point and 9 after it, without an exponent, not 15e-1`,
		with(t, `"value":1,"weight":1.5`, `"value":1,"weight":1.0000000001`):                                          `not 1.0000000001`,
		with(t, `"value":1,"weight":1.5`, `"value":1.5`):                                                              `optionSets[0].options[1].value: must be a whole number`,
		with(t, `{"id":"p",`, `{"id":"O",`):                                                                           `optionSets[1]: "O" was listed before, as "o"`,
		with(t, `"linkId":"/1","options":"o"`, `"linkId":"/1","options":"q"`):                                         `items[0].options: there is no set "q"; there are o, p`,
		with(t, `"linkId":"/1"`, `"linkId":"2"`):                                                                      `items[1]: the linkId "2" is that of item 1 already`,
		with(t, `{"id":"2","options"`, `{"id":"1","options"`):                                                         `items[1]: "1" was listed before`,
		with(t, `"notAsked":0`, `"notAsked":2`):                                                                       `items[2].notAsked: must be from 0 to 1, the weights of the item's options, not 2`,
		with(t, `[{"id":"o",`, `[{"id":"z","options":[{"value":1,"text":{"en":"a"}}]},{"id":"o",`):                    `optionSets[0]: no item uses this set`,
		with(t, `"grids":[`, `"grids":[{"id":"h","values":1},`):                                                       `grids[0]: no score uses this grid`,
		with(t, `"grid":"g"`, `"grid":"h"`):                                                                           `scores[3].grid: there is no grid "h"`,
		with(t, `"grid":"g",`, ``):                                                                                    `scores[3]: "grid" is missing`,
		with(t, `[[0,1],[1,2.5]]`, `[[0,1],[1]]`):                                                                     `grids[0].values[1]: must be a list of 2, one for each weight of the item`,
		with(t, `[[0,1],[1,2.5]]`, `[[0,1],[1,[2]]]`):                                                                 `grids[0].values[1][1]: must be a number, not an array`,
		with(t, `[[0,1],[1,2.5]]`, `[[0,1],[1,null]]`):                                                                `grids[0].values[1][1]: must be a number, not null`,
		with(t, `"items":["3","4"],"missing":{"method":"branch"}`, `"items":["1","4"],"missing":{"method":"branch"}`): `scores[3].items[0]: must weigh 0 to 1, each in one option`,
		with(t, `{"id":"table",`, `{"id":"again","title":{"en":"G"},"op":"grid","grid":"g","items":["3"],"missing":{"method":"none"},"range":[0,2.5]},{"id":"table",`): `grids[0].values[0]: must be a number, not an array`,
		with(t, `"op":"mean"`, `"op":"median"`):                                                                                  `scores[1].op: must be one of sum, mean, count, grid, not "median"`,
		with(t, `"op":"mean","items":["1","2"]`, `"op":"mean","items":["1","9"]`):                                                `scores[1].items[1]: there is no item "9"`,
		with(t, `"op":"mean","items":["1","2"]`, `"op":"mean","items":["1","1"]`):                                                `scores[1].items[1]: "1" was listed before`,
		with(t, `"op":"mean","items":["1","2"]`, `"op":"mean","items":[]`):                                                       `scores[1].items: has 0 items`,
		with(t, `"op":"mean","items":["1","2"]`, `"op":"mean","items":["1","3"]`):                                                `scores[1].items[1]: weighs from 0 to 1, and item 1 from 0 to 1.5; the mean`,
		with(t, `{"method":"zero","max":1}`, `{"method":"zero","max":2}`):                                                        `scores[0].missing.max: is 2 of 2 items; at least one must be answered`,
		with(t, `{"method":"zero","max":1}`, `{"method":"zero","max":0}`):                                                        `scores[0].missing.max: must be a whole number from 1`,
		with(t, `{"method":"zero","max":1}`, `{"method":"zero","max":"all"}`):                                                    `scores[0].missing.max: must be "half", not "all"`,
		with(t, `{"method":"zero","max":1}`, `{"method":"zero"}`):                                                                `scores[0].missing: "max" is missing`,
		with(t, `{"method":"zero","max":1}`, `{"method":"none","max":1}`):                                                        `scores[0].missing.max: goes with the methods person-mean and zero alone`,
		with(t, `{"method":"zero","max":1}`, `{"method":"branch"}`):                                                              `scores[0].missing: the method branch goes with the op grid alone`,
		with(t, `{"method":"branch"}`, `{"method":"person-mean","max":1}`):                                                       `scores[3].missing: the method person-mean goes with the ops sum and mean alone`,
		with(t, `"round":{"method":"half-even","places":1},`, ``):                                                                `scores[1]: "round" is missing, and the score may be a fraction`,
		with(t, `"round":{"method":"half-even","places":1}`, `"round":{"method":"half-even","places":7}`):                        `scores[1].round.places: must be a whole number from 0 to 6`,
		with(t, `"round":{"method":"half-even","places":1}`, `"round":{"method":"down","places":1}`):                             `scores[1].round.method: must be one of half-up, half-even, ceil, not "down"`,
		with(t, `"from":[0,1.5]`, `"from":[1,1]`):                                                                                `scores[1].rescale: "from" has the same number twice`,
		with(t, `"from":[0,1.5]`, `"from":[1]`):                                                                                  `scores[1].rescale.from: has 1 items; it must have two numbers`,
		with(t, `"to":[0,10]`, `"to":[0,20]`):                                                                                    `scores[1].range: is not what the options and the rule give; write [0, 20]`,
		with(t, `"range":[0,3]`, `"range":[0,4]`):                                                                                `scores[0].range: is not what the options and the rule give; write [0, 3]`,
		with(t, `"range":[0,3]`, `"range":[3,0]`):                                                                                `write [0, 3]`,
		with(t, `"range":[0,3]`, `"range":3`):                                                                                    `scores[0].range: must be a list of two numbers, not a number`,
		with(t, `"range":[0,3]`, `"range":[0,3],"oneOf":["1"]`):                                                                  `scores[0].oneOf: goes with the op count alone`,
		with(t, `"range":[0,3]`, `"range":[0,3],"rescale":{"from":[0,1],"to":[0,1]},"convert":{"round":"ceil","table":[[0,1]]}`): `scores[0].convert: does not go with "rescale"`,
		with(t, `"atLeast":1,"exceptions"`, `"exceptions"`):                                                                      `scores[2]: "atLeast" is missing`,
		with(t, `"atLeast":1,"exceptions"`, `"atLeast":2,"exceptions"`):                                                          `scores[2].items[0]: weighs from 0 to 1; the threshold 2 must be above the smallest and not above the largest`,
		with(t, `"atLeast":1,"exceptions"`, `"atLeast":0,"exceptions"`):                                                          `the threshold 0 must be above`,
		with(t, `{"item":"4","atLeast":0.5}`, `{"item":"1","atLeast":0.5}`):                                                      `scores[2].exceptions[0]: "1" is not an item of the score`,
		with(t, `"oneOf":["3"]`, `"oneOf":["1"]`):                                                                                `scores[2].oneOf[0]: "1" is not an item of the score`,
		with(t, `[[0,10],[1,20.5],[2,30]]`, `[[0,10],[1,30]]`):                                                                   `scores[4].convert.table: has 2 rows; it must have one for each raw score from 0 to 2`,
		with(t, `[[0,10],[1,20.5],[2,30]]`, `[[0,10],[2,30],[1,20.5]]`):                                                          `scores[4].convert.table[1]: must be the row of the raw score 1: one row for each of 0 to 2, in order`,
		with(t, `[[0,10],[1,20.5],[2,30]]`, `[[0,10],[1,20.5],[2,30],[3,30]]`):                                                   `scores[4].convert.table[3]: must be the row of the raw score 2`,
		with(t, `"from":1.5,"to":3`, `"from":1.6,"to":3`):                                                                        `scores[0].bands[1]: begins at 1.6 and leaves a gap; the band must begin at 1.5`,
		with(t, `"from":1.5,"to":3`, `"from":1.4,"to":3`):                                                                        `scores[0].bands[1]: begins at 1.4 and overlaps what is before it; the band must begin at 1.5`,
		with(t, `"from":1.5,"to":3`, `"from":1.5,"to":2.9`):                                                                      `scores[0].bands[1]: ends at 2.9 and leaves a gap; the last band must end at 3`,
		with(t, `"from":1.5,"to":3`, `"from":1.5,"to":3.1`):                                                                      `scores[0].bands[1]: ends at 3.1, beyond the range; end it at 3`,
		with(t, `"from":1.5,"to":3`, `"from":1.5,"to":1`):                                                                        `scores[0].bands[1]: ends at 1 before it begins at 1.5`,
		with(t, `"from":0,"to":1.4`, `"from":0,"to":1.45`):                                                                       `scores[0].bands[0]: ends at 1.45, which is finer than the score's step of 0.1`,
		with(t, `"from":0,"to":1.4`, `"from":0.1,"to":1.4`):                                                                      `scores[0].bands[0]: begins at 0.1 and leaves a gap; the band must begin at 0`,
		with(t, `"code":"low"`, `"code":"HIGH"`):                                                                                 `scores[0].bands[1]: "high" was listed before, as "HIGH"`,
		with(t, `"text":{"en":"low"}`, `"text":{"zh-CN":"低"}`):                                                                   `scores[0].bands[0]: has no text in "en"`,
		with(t, `"item":"1","atLeast":1`, `"item":"9","atLeast":1`):                                                              `flags[0].item: there is no item "9"`,
		with(t, `"item":"1","atLeast":1`, `"item":"3","atLeast":1`):                                                              `flags[0].item: item "3" need not be asked; a flag must be on one that is`,
		with(t, `"item":"1","atLeast":1`, `"item":"1","atLeast":2`):                                                              `flags[0].item: goes from 0 to 1; the threshold 2 must be within`,
		with(t, `"item":"1","atLeast":1`, `"item":"1","score":"sum","atLeast":1`):                                                `flags[0]: must have either "item" or "score"`,
		with(t, `"item":"1","atLeast":1`, `"item":"1","atLeast":1,"atMost":1`):                                                   `flags[0]: must have either "atLeast" or "atMost"`,
		with(t, `"item":"1","atLeast":1`, `"item":"1"`):                                                                          `flags[0]: must have either "atLeast" or "atMost"`,
		with(t, `"score":"sum","atMost":2`, `"score":"total","atMost":2`):                                                        `flags[1].score: there is no score "total"`,
		with(t, `"urgent":true`, `"urgent":"true"`):                                                                              `flags[0].urgent: must be true or false, not a string`,
		`[]`: `1:1: must be an object, not an array`,
		``:   `1:1: is empty; an instrument is one JSON object`,
	}
}

func TestCheckRefuses(t *testing.T) {
	for content, want := range refusals(t) {
		t.Run(want, func(t *testing.T) {
			d, problems := instrument.Check("x.json", []byte(content))
			require.Nil(t, d)
			require.Len(t, problems, 1, "%v", problems)
			require.Contains(t, problems[0].String(), want)
			require.True(t, strings.HasPrefix(problems[0].String(), "x.json:1:"), problems[0].String())
		})
	}
}

// TestOverlapOfQscorer has the bands that the R package qscorer prints for the PHQ-9: 15 is in two.
func TestOverlapOfQscorer(t *testing.T) {
	content := string(shipped(t, "phq-9").Content)
	require.Contains(t, content, `"from": 10, "to": 14`)
	_, problems := instrument.Check("phq-9.json", []byte(strings.Replace(content, `"from": 10, "to": 14`, `"from": 10, "to": 15`, 1)))
	require.Len(t, problems, 1)
	require.Contains(t, problems[0].Message, "begins at 15 and overlaps what is before it; the band must begin at 16")
}

func TestCheckNamesAllProblems(t *testing.T) {
	_, problems := instrument.Check("x.json", []byte(strings.NewReplacer(`"op":"mean"`, `"op":"median"`, `"urgent":true`, `"urgent":1`, `"licence":"l",`, ``).Replace(whole)))
	require.Len(t, problems, 3)

	// What parts say of each other comes when each is right by itself.
	_, problems = instrument.Check("x.json", []byte(strings.NewReplacer(`"range":[0,3]`, `"range":[0,4]`, `"range":[0,2]`, `"range":[0,4]`).Replace(whole)))
	require.Len(t, problems, 2)
}

func TestShipped(t *testing.T) {
	all := instrument.Shipped().All()
	var ids []string
	for _, d := range all {
		ids = append(ids, d.ID)
		file, err := os.ReadFile("definitions/" + d.ID + ".json")
		require.NoError(t, err)
		require.Equal(t, string(file), string(d.Content))
		require.Equal(t, "1", d.Version)
		require.NotEmpty(t, d.Title["en"])
		require.NotEmpty(t, d.Title["zh-CN"])
		if len(d.Languages) > 0 {
			require.Contains(t, strings.Join(d.Copyright, "\n"), "Pfizer Inc. All rights reserved.", d.ID)
			require.Contains(t, d.Licence, "No permission is required", d.ID)
		}
		docs, err := os.ReadFile("../../docs/instruments.md")
		require.NoError(t, err)
		require.Contains(t, string(docs), "\n| `"+d.ID+"` | ")
	}
	require.Equal(t, []string{"gad-2", "gad-7", "phq-15", "phq-2", "phq-4", "phq-8", "phq-9", "pro-ctcae", "who-5"}, ids)
	d := shipped(t, "phq-9")
	require.Equal(t, "difficulty", d.Items[9].ID)
	require.Equal(t, []instrument.Code{{System: "http://loinc.org", Code: "44259-0"}}, d.Items[2].Codes)
	require.Equal(t, []instrument.Code{{System: "http://loinc.org", Code: "44261-6"}}, d.Scores[0].Codes)
}

func TestDocsMistake(t *testing.T) {
	broken := strings.Replace(documentedFile(t, "example-table"), `"to": 59.9`, `"to": 59`, 1)
	_, problems := instrument.Check("example-table.json", []byte(broken))
	docs, err := os.ReadFile("../../docs/instruments.md")
	require.NoError(t, err)
	require.Contains(t, string(docs), "```\n"+jsonfile.Problems(problems).Error()+"\n```\n")
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("x.json", whole)
	write("x-10.JSON", with(t, `"version":"1"`, `"version":"10"`))
	write("x-9.json", with(t, `"version":"1"`, `"version":"9"`))
	write("phq-9.json", string(shipped(t, "phq-9").Content)) // the same bytes again do no harm
	write("README.md", "no instrument")
	ds, err := instrument.Load(dir)
	require.NoError(t, err)
	require.Len(t, ds.All(), len(instrument.Shipped().All())+3)
	for version, want := range map[string]string{"": "10", "1": "1", "9": "9", "10": "10"} {
		d, ok := ds.Get("x", version)
		require.True(t, ok)
		require.Equal(t, want, d.Version)
	}
	_, ok := ds.Get("x", "2")
	require.False(t, ok)
	_, ok = ds.Get("X", "")
	require.False(t, ok)
	_, ok = instrument.Shipped().Get("x", "")
	require.False(t, ok, "a folder's definitions are its own")

	none, err := instrument.Load("")
	require.NoError(t, err)
	require.Equal(t, instrument.Shipped().All(), none.All())
	_, err = instrument.Load(filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)

	write("y.json", with(t, `"id":"x"`, `"id":"X"`))
	write("z.json", whole+" ")
	write("phq-9-mine.json", with(t, `"id":"x"`, `"id":"phq-9"`))
	write("phq_9.json", with(t, `"id":"x"`, `"id":"phq_9"`))
	write("big.json", strings.Repeat(" ", instrument.MaxBytes+1))
	write("broken.json", "{\n")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.json"), 0o700))
	_, err = instrument.Load(dir)
	var problems jsonfile.Problems
	require.ErrorAs(t, err, &problems)
	x, _ := ds.Get("x", "1")
	require.Equal(t, `big.json: is larger than 1048576 bytes, the most that the file of an instrument may have
broken.json:2:1: ends before its object is closed
dir.json: is not a file; an instrument is one JSON file
phq-9-mine.json: there is another phq-9 version 1 already, with sha256 `+shipped(t, "phq-9").SHA256+`; raise the version
phq_9.json: the id phq_9 differs from phq-9 only in upper and lower case or in _ and -; people take them for one: choose ids that differ in more
y.json: the id X differs from x only in upper and lower case or in _ and -; people take them for one: choose ids that differ in more
z.json: there is another x version 1 already, with sha256 `+x.SHA256+`; raise the version`,
		strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
}

// TestCheckOfTheLargest has a file of the greatest size whose scores share a grid and many items.
func TestCheckOfTheLargest(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"schema":1,"id":"x","version":"1","title":{"en":"X"},"copyright":["c"],"licence":"l","source":["s"],"optionSets":[{"id":"o","options":[`)
	for i := range 100 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"value":` + jsonNumber(i) + `}`)
	}
	b.WriteString(`]}],"items":[{"id":"0","options":"o"}`)
	for i := 1; i < 1000; i++ {
		b.WriteString(`,{"id":"` + jsonNumber(i) + `","options":"o"}`)
	}
	b.WriteString(`],"scores":[{"id":"s","title":{"en":"S"},"op":"sum","items":["0"],"missing":{"method":"none"},"range":[0,99]}`)
	for n := 0; b.Len() < 900_000; n++ {
		b.WriteString(`,{"id":"s` + jsonNumber(n) + `","title":{"en":"S"},"op":"mean","items":["0"`)
		for i := 1; i < 1000; i++ {
			b.WriteString(`,"` + jsonNumber(i) + `"`)
		}
		b.WriteString(`],"missing":{"method":"person-mean","max":"half"},"round":{"method":"ceil","places":0},"range":[0,99]}`)
	}
	b.WriteString(`]}`)
	d, problems := instrument.Check("x.json", []byte(b.String()))
	require.Empty(t, problems)
	a := instrument.Answers{}
	for _, it := range d.Items[:600] {
		a[it.ID] = instrument.Answer{Value: 7}
	}
	require.Equal(t, instrument.Decimal("7"), score(t, d, a).Scores[1].Value)
}

func jsonNumber(i int) string {
	out, err := json.Marshal(i)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// FuzzCheck requires that a file is either a definition or has problems with a place in it, and that
// what is taken can be scored and has scores within their ranges and bands.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(whole))
	for content := range refusals(f) {
		f.Add([]byte(content))
	}
	for _, d := range instrument.Shipped().All() {
		if len(d.Content) < 8000 {
			f.Add(d.Content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		d, problems := instrument.Check("x.json", content)
		require.Equal(t, d == nil, len(problems) > 0)
		lines := strings.Split(string(content), "\n")
		for _, p := range problems {
			require.NotContains(t, p.String(), "\n")
			require.True(t, utf8.ValidString(p.Message))
			if p.Line > 0 {
				require.LessOrEqual(t, p.Line, len(lines))
				require.LessOrEqual(t, p.Column, utf8.RuneCountInString(lines[p.Line-1])+1)
			}
		}
		if d == nil {
			return
		}
		require.True(t, json.Valid(content))
		for pick := range 4 {
			a := instrument.Answers{}
			for i, it := range d.Items {
				if (i+pick)%4 != 3 {
					a[it.ID] = instrument.Answer{Value: it.Options[(i*7+pick)%len(it.Options)].Value}
				}
			}
			requireSound(t, d, score(t, d, a))
		}
	})
}
