package study_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/jsonfile"
	"casepress/study"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const whole = `{"schema":1,"id":"S1","version":1,"title":"A","languages":["en"],"sites":[{"id":"01","title":"B"}]}`

// with is the whole file with one part replaced.
func with(t testing.TB, part, by string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(whole, part), part)
	return strings.Replace(whole, part, by, 1)
}

func TestCheckTakes(t *testing.T) {
	content := []byte(`{
  "schema": 1, "id": "S1", "version": 9007199254740991, "title": "研究 😀 <&> \u00e9 \ud83d\ude00",
  "languages": ["en", "zh-CN", "zh-Hans", "sr-Latn-RS"],
  "sites": [{"id": "b", "title": "B"}, {"title": "A", "id": "a.-_"}]
}` + "\n")
	got, problems := study.Check("some/where/S1.json", content)
	require.Empty(t, problems)
	require.Equal(t, "S1", got.ID)
	require.EqualValues(t, 1<<53-1, got.Version)
	require.Equal(t, "研究 😀 <&> é 😀", got.Title)
	require.Equal(t, []string{"en", "zh-CN", "zh-Hans", "sr-Latn-RS"}, got.Languages)
	require.Equal(t, []study.Site{{ID: "b", Title: "B"}, {ID: "a.-_", Title: "A"}}, got.Sites)
	require.Len(t, got.SHA256, 64)
	for site, taken := range map[string]bool{"": true, "b": true, "a.-_": true, "B": false, "c": false} {
		require.Equal(t, taken, got.HasSite(site), site)
	}

	other, problems := study.Check("S1.json", append(content, '\n'))
	require.Empty(t, problems)
	require.NotEqual(t, got.SHA256, other.SHA256, "a blank is another file")
	require.Equal(t, got.Title, other.Title)

	anySite, problems := study.Check("S1.json", []byte(with(t, `,"sites":[{"id":"01","title":"B"}]`, "")))
	require.Empty(t, problems)
	require.True(t, anySite.HasSite("any"))
	require.Equal(t, "f76250f9efcdb290b33eaca45ee902c95fa3406b9c75f379ae028c61366754f7", anySite.SHA256)
}

// refusals are files that are refused, each for one reason.
func refusals(t testing.TB) []refusal {
	return []refusal{
		{with(t, `"title":"A",`, ``), `1:1: "title" is missing; give one line for people`, false},
		{with(t, `"id":"01",`, ``), `1:75: sites[0]: "id" is missing`, false},
		{with(t, `"version"`, `"Version"`), `1:23: Version: unknown member; write "version"`, false},
		{with(t, `"version"`, `"ids":[{"a":1}],"version"`), `1:23: ids: unknown member; known are schema, id, version, title, languages, sites`, false},
		{with(t, `"title":"B"`, `"title":"B","name":"C"`), `1:98: sites[0].name: unknown member; known are id, title`, false},
		{with(t, `"title":"A"`, `"title":"A","title":"A"`), `1:47: title: comes twice; keep one; it stands first in line 1, column 35`, true},
		{with(t, `"title":"A"`, `"title":"A","t\u0069tle":"A"`), `1:47: title: comes twice`, true},
		{with(t, `"title":"B"`, "\"title\":\"B\",\n\"title\":\"B\""), `2:1: sites[0].title: comes twice; keep one; it stands first in line 1, column 86`, true},
		{with(t, `"version":1`, `"version":"1"`), `1:33: version: must be a whole number from 1 to 9007199254740991, without a fraction or exponent, not a string`, false},
		{with(t, `"version":1`, `"version":0`), `version: must be a whole number`, false},
		{with(t, `"version":1`, `"version":-0`), `version: must be a whole number`, false},
		{with(t, `"version":1`, `"version":1.0`), `not 1.0`, true},
		{with(t, `"version":1`, `"version":1e3`), `not 1e3`, true},
		{with(t, `"version":1`, `"version":9007199254740992`), `not 9007199254740992`, false},
		{with(t, `"version":1`, `"version":1`+strings.Repeat("0", 400)), `000…`, false},
		{with(t, `"version":1`, `"version":null`), `not null`, false},
		{with(t, `"schema":1`, `"schema":2`), `1:11: schema: 2 is not known; this version of casepress reads schema 1`, false},
		{with(t, `"schema":1`, `"schema":0`), `schema: must be 1, not 0`, false},
		{with(t, `"schema":1`, `"schema":"1"`), `schema: must be 1, not a string`, false},
		{with(t, `"title":"A"`, `"title":["A"]`), `title: must be a line of 1 to 200 characters, not an array`, false},
		{with(t, `"title":"A"`, `"title":""`), `title: has 0 characters`, false},
		{with(t, `"title":"A"`, `"title":"`+strings.Repeat("长", 201)+`"`), `title: has 201 characters; it must have 1 to 200`, false},
		{with(t, `"title":"A"`, `"title":"A "`), `must not begin or end with a blank`, false},
		{with(t, `"title":"A"`, `"title":"A\nB"`), `must be one line`, false},
		{with(t, `"title":"A"`, `"title":"A\u0000B"`), `must be one line`, true},
		{with(t, `"title":"A"`, `"title":"\ud83dA"`), `1:43: title: holds U+FFFD or half a surrogate pair`, true},
		{with(t, `"title":"A"`, `"title":"\ufffd"`), `title: holds U+FFFD`, true},
		{with(t, `"id":"S1"`, `"id":"S2"`), `1:18: id: is "S2", so the file must be named S2.json, not S1.json`, true},
		{with(t, `"id":"S1"`, `"id":"s1"`), `id: is "s1", so the file must be named s1.json, not S1.json`, true},
		{with(t, `"id":"S1"`, `"id":""`), `id: must be 1 to 64 of A-Z`, false},
		{with(t, `"id":"S1"`, `"id":".."`), `id: must be 1 to 64 of A-Z a-z 0-9 . _ -, but neither "." nor "..", not ".."`, false},
		{with(t, `"id":"S1"`, `"id":1`), `not a number`, false},
		{with(t, `"id":"01"`, `"id":"."`), `1:81: sites[0].id: must be`, false},
		{with(t, `"id":"01"`, `"id":"a/b"`), `not "a/b"`, false},
		{with(t, `"id":"01"`, `"id":"é"`), `sites[0].id: must be`, false},
		{with(t, `"id":"01"`, `"id":"`+strings.Repeat("a", 65)+`"`), `sites[0].id: must be`, false},
		{with(t, `["en"]`, `[]`), `languages: has 0 items; it must have 1 to 100`, false},
		{with(t, `["en"]`, `["en"`+strings.Repeat(`,"de"`, 100)+`]`), `languages: has 101 items; it must have 1 to 100`, false},
		{with(t, `{"id":"01","title":"B"}`, strings.Repeat(`{"id":"01","title":"B"},`, 10_000)+`{"id":"02","title":"B"}`), `sites: has 10001 items`, false},
		{with(t, `["en"]`, `"en"`), `languages: must be an array, not a string`, false},
		{with(t, `["en"]`, `{}`), `languages: must be an array, not an object`, false},
		{with(t, `["en"]`, `["en",true]`), `languages[1]: must be a BCP 47 language tag such as "en" or "zh-CN", not a boolean`, false},
		{with(t, `["en"]`, `["english"]`), `not "english"`, true},
		{with(t, `["en"]`, `["zz-ZZ"]`), `not "zz-ZZ"`, true},
		{with(t, `["en"]`, `["und"]`), `not "und"`, true},
		{with(t, `["en"]`, `["en-u-ca-buddhist"]`), `languages[0]: must be`, false},
		{with(t, `["en"]`, `["zh_cn"]`), `write "zh-CN"`, false},
		{with(t, `["en"]`, `["EN"]`), `languages[0]: is "EN"; write "en"`, false},
		{with(t, `["en"]`, `["en","de","en"]`), `languages[2]: "en" was listed before`, false},
		{with(t, `[{"id":"01","title":"B"}]`, `[]`), `sites: has 0 items`, false},
		{with(t, `[{"id":"01","title":"B"}]`, `["01"]`), `sites[0]: must be an object, not a string`, false},
		{with(t, `{"id":"01","title":"B"}`, `{"id":"x1","title":"B"},{"id":"X1","title":"C"}`), `1:99: sites[1]: "X1" was listed before, as "x1" in item [0]`, true},
		{with(t, `[{"id":"01","title":"B"}]`, strings.Repeat("[", 40)+strings.Repeat("]", 40)), `stands deeper than 32`, false},
		{`[]`, `1:1: must be an object, not an array`, false},
		{`null`, `1:1: must be an object, not null`, false},
	}
}

type refusal struct {
	content, want string
	schemaTakes   bool // JSON Schema has no words for the reason
}

func TestCheckRefuses(t *testing.T) {
	for _, c := range refusals(t) {
		t.Run(c.want, func(t *testing.T) {
			got, problems := study.Check("S1.json", []byte(c.content))
			require.Nil(t, got)
			require.Len(t, problems, 1, "%v", problems)
			require.Contains(t, problems[0].String(), c.want)
			require.NotContains(t, problems[0].String(), "\n")
		})
	}
}

func TestCheckRefusesWhatIsNotJSON(t *testing.T) {
	for _, c := range []struct{ content, want string }{
		{"", "S1.json:1:1: is empty"},
		{" \n", "S1.json:1:1: is empty"},
		{"{\n  \"schema\": 1,\n", "S1.json:3:1: ends before its object is closed"},
		{`{"a":"b`, "S1.json:1:8: ends before"},
		{"{\n  \"标题\": 1,\n}", "S1.json:3:1: invalid character '}' looking for beginning of object key string; no comma may stand before a closing bracket"},
		{`{"标题": 'x'}`, "S1.json:1:8: invalid character '\\'' looking for beginning of value; strings stand in double quotes"},
		{"{\n// why\n}", "S1.json:2:1: invalid character '/' looking for beginning of object key string; JSON has no comments"},
		{whole + "\n" + whole, "S1.json:2:1: invalid character '{' after top-level value; nothing may follow the object"},
		{whole + "\x00", "nothing may follow the object"},
		{"{\"a\": \"b\tc\"}", `; write line ends and tabs within strings as \n and \t`},
		{`{"a": 01}`, "S1.json:1:8: invalid character '1' after object key:value pair"},
		{`{"a": NaN}`, "S1.json:1:7: invalid character 'N'"},
		{"\ufeff" + whole, "S1.json:1:1: begins with a byte order mark"},
		{"\xff\xfe{\x00}\x00", "S1.json:1:1: byte 0xff is not UTF-8"},
		{"{\n\"é\xe9\":1}", "S1.json:2:3: byte 0xe9 is not UTF-8"},
		{`{"a":"` + strings.Repeat("x", study.MaxBytes) + `"}`, "S1.json: is larger than 1048576 bytes"},
	} {
		got, problems := study.Check("S1.json", []byte(c.content))
		require.Nil(t, got)
		require.Len(t, problems, 1)
		require.Contains(t, problems[0].String(), c.want)
	}
}

func TestCheckNamesAllProblems(t *testing.T) {
	_, problems := study.Check("dir/S1.json", []byte(`{
  "title": 7, "title": "B",
  "ID": "S1",
  "version": 0,
  "languages": ["en", "EN", "de-DE", 3],
  "sites": [{"id": "a", "title": "A", "x": 1}, {"id": "A", "title": ""}]
}`))
	var b bytes.Buffer
	require.NoError(t, jsonfile.Print(&b, problems))
	require.Equal(t, `dir/S1.json:1:1: "schema" is missing; give 1
dir/S1.json:2:12: title: must be a line of 1 to 200 characters, not a number
dir/S1.json:2:15: title: comes twice; keep one; it stands first in line 2, column 3
dir/S1.json:3:3: ID: unknown member; write "id"
dir/S1.json:4:14: version: must be a whole number from 1 to 9007199254740991, without a fraction or exponent, not 0
dir/S1.json:5:23: languages[1]: is "EN"; write "en"
dir/S1.json:5:38: languages[3]: must be a BCP 47 language tag such as "en" or "zh-CN", not a number
dir/S1.json:6:39: sites[0].x: unknown member; known are id, title
dir/S1.json:6:48: sites[1]: "A" was listed before, as "a" in item [0]; upper and lower case make no difference; keep one
dir/S1.json:6:69: sites[1].title: has 0 characters; it must have 1 to 200
`, b.String())
}

// TestCheckNamesAHundredProblems has a file of the greatest size with as many problems as fit: an
// answer that took its time by the number of problems would take minutes.
func TestCheckNamesAHundredProblems(t *testing.T) {
	many := `{"` + strings.Repeat("k", 400_000) + `":{` + strings.Repeat(`"a":1,`, 100_000) + `"b":1}}`
	_, problems := study.Check("S1.json", []byte(many))
	require.Len(t, problems, 101)
	require.Equal(t, "S1.json: and 99905 more problems", problems[100].String())
	for _, p := range problems {
		require.Less(t, len(p.String()), 300)
	}
}

func TestValidID(t *testing.T) {
	for _, id := range []string{"a", "A-Z.z_0", "...", strings.Repeat("9", 64)} {
		require.True(t, study.ValidID(id), id)
	}
	for _, id := range []string{"", ".", "..", "a b", "a/b", "é", "a\n", strings.Repeat("9", 65)} {
		require.False(t, study.ValidID(id), id)
	}
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../docs/study.schema.json")
	require.NoError(t, err)
	return s
}

func schemaTakes(s *jsonschema.Schema, content string) bool {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(content))
	return err == nil && s.Validate(value) == nil
}

func TestSchemaFileAgrees(t *testing.T) {
	s := schema(t)
	require.True(t, schemaTakes(s, whole))
	for _, c := range refusals(t) {
		require.Equal(t, c.schemaTakes, schemaTakes(s, c.content), "%s\n%s", c.want, c.content)
	}
}

func TestDocsExample(t *testing.T) {
	docs, err := os.ReadFile("../docs/study.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(docs), "`CP-2026-017.json`:\n\n```json\n")
	example, _, found := strings.Cut(rest, "```\n")
	require.True(t, found)
	got, problems := study.Check("CP-2026-017.json", []byte(example))
	require.Empty(t, problems)
	require.True(t, got.HasSite("102"))
	require.True(t, schemaTakes(schema(t), example))

	whole, err := os.ReadFile("../examples/studies/CP-2026-017.json")
	require.NoError(t, err)
	require.True(t, schemaTakes(schema(t), string(whole)))

	// The messages that are printed there are those of these mistakes.
	broken := strings.Replace(strings.Replace(example, `"version"`, `"Version"`, 1), `"102"`, `"1/2"`, 1)
	_, problems = study.Check("studies/CP-2026-017.json", []byte(broken))
	require.Contains(t, string(docs), "```\n"+jsonfile.Problems(problems).Error()+"\n```\n")
}

// FuzzCheck requires that a file is either a study or has problems with a place in it, that what is
// taken says to others what it says to us, and that the JSON Schema takes it too.
func FuzzCheck(f *testing.F) {
	s := schema(f)
	f.Add([]byte(whole))
	f.Add([]byte(withVisits))
	for _, c := range refusals(f) {
		f.Add([]byte(c.content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		got, problems := study.Check("S1.json", content)
		require.Equal(t, got == nil, len(problems) > 0)
		lines := bytes.Split(content, []byte("\n"))
		for _, p := range problems {
			require.NotContains(t, p.String(), "\n")
			require.True(t, utf8.ValidString(p.Message))
			if p.Line == 0 {
				continue
			}
			require.LessOrEqual(t, p.Line, len(lines))
			require.LessOrEqual(t, p.Column, utf8.RuneCount(lines[p.Line-1])+1)
		}
		if got == nil {
			return
		}
		var other struct {
			ID        string       `json:"id"`
			Version   int64        `json:"version"`
			Title     string       `json:"title"`
			Languages []string     `json:"languages"`
			Sites     []study.Site `json:"sites"`
		}
		require.NoError(t, json.Unmarshal(content, &other))
		require.Equal(t, other.ID, got.ID)
		require.Equal(t, other.Version, got.Version)
		require.Equal(t, other.Title, got.Title)
		require.Equal(t, other.Languages, got.Languages)
		require.Equal(t, other.Sites, got.Sites)
		require.True(t, schemaTakes(s, string(content)), "%s", content)
	})
}
