package instrument_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/tasks/instrument"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shipped(t testing.TB, id string) *instrument.Definition {
	t.Helper()
	d, ok := instrument.Shipped().Get(id, "")
	require.True(t, ok, id)
	return d
}

// documented returns an example of docs/instruments.md.
func documented(t testing.TB, id string) *instrument.Definition {
	t.Helper()
	d, problems := instrument.Check(id+".json", []byte(documentedFile(t, id)))
	require.Empty(t, problems)
	require.Equal(t, id, d.ID)
	return d
}

func documentedFile(t testing.TB, id string) string {
	t.Helper()
	docs, err := os.ReadFile("../../docs/instruments.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(docs), "`"+id+".json`:\n\n```json\n")
	require.True(t, found, id)
	example, _, _ := strings.Cut(rest, "```\n")
	return example
}

// answers are those of items 1, 2 and so on; "-" is no answer, "n" not asked.
func answers(t testing.TB, values string) instrument.Answers {
	t.Helper()
	a := instrument.Answers{}
	for i, v := range strings.Fields(values) {
		switch v {
		case "-":
		case "n":
			a[strconv.Itoa(i+1)] = instrument.Answer{NotAsked: true}
		default:
			value, err := strconv.ParseInt(v, 10, 64)
			require.NoError(t, err)
			a[strconv.Itoa(i+1)] = instrument.Answer{Value: value}
		}
	}
	return a
}

func score(t testing.TB, d *instrument.Definition, a instrument.Answers) instrument.Scored {
	t.Helper()
	s, err := instrument.Score(d, a)
	require.NoError(t, err)
	require.Len(t, s.Scores, len(d.Scores))
	return s
}

// TestPublishedExamples scores responses that others have published together with their scores.
func TestPublishedExamples(t *testing.T) {
	for _, c := range []struct{ name, instrument, answers, total, band string }{
		{"HL7 US Core, QuestionnaireResponse phq-9-example", "phq-9", "2 2 2 2 1 1 2 0 0", "12", "moderate"},
		{"PACIO sample data, BSJ1 GAD-7 of October 2025", "gad-7", "1 1 1 1 0 1 2", "7", "mild"},
	} {
		got := score(t, shipped(t, c.instrument), answers(t, c.answers)).Scores[0]
		require.Equal(t, instrument.Decimal(c.total), got.Value, c.name)
		require.Equal(t, c.band, got.Band, c.name)
	}
}

// TestWrongPublishedTotal has the response to the PHQ-9 that HL7's guide on structured data capture
// publishes with a total of 13: the answers add up to 10.
func TestWrongPublishedTotal(t *testing.T) {
	d := shipped(t, "phq-9")
	a, err := instrument.ReadAnswers([]byte(`{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":1}`))
	require.NoError(t, err)
	claims, err := instrument.ReadClaims([]byte(`{"total":13}`))
	require.NoError(t, err)
	s := score(t, d, a)
	rule := instrument.Identity{ID: "phq-9", Version: "1", SHA256: d.SHA256}
	require.Equal(t, instrument.Result{ID: "total", Value: "10", Exact: "10", Band: "moderate", Answered: 9, Rule: rule}, s.Scores[0])
	require.Equal(t, []instrument.Mismatch{{Score: "total", Claimed: "13", Computed: "10"}}, instrument.Compare(s, claims))
	require.Equal(t, []instrument.FlagResult{{Code: "phq-9-item-9", Item: "9", State: instrument.Raised, Urgent: true, Value: "1"}}, s.Flags)

	out, err := json.Marshal(s)
	require.NoError(t, err)
	require.JSONEq(t, `{"scores":[
		{"id":"total","value":10,"exact":"10","band":"moderate","answered":9,"missing":0,"rule":{"id":"phq-9","version":"1","sha256":"`+d.SHA256+`"}},
		{"id":"algorithm","value":0,"exact":"0","band":"none","answered":9,"missing":0,"rule":{"id":"phq-9","version":"1","sha256":"`+d.SHA256+`"}}],
		"flags":[{"code":"phq-9-item-9","item":"9","state":"raised","urgent":true,"value":1}]}`, string(out))
	var back instrument.Scored
	require.NoError(t, json.Unmarshal(out, &back))
	require.Equal(t, s, back)
	out, err = json.Marshal(instrument.Compare(s, claims))
	require.NoError(t, err)
	require.JSONEq(t, `[{"score":"total","claimed":13,"computed":10}]`, string(out))
}

func TestMissingAnswers(t *testing.T) {
	for _, c := range []struct {
		instrument, answers string
		value               instrument.Decimal
		exact, band, reason string
		imputed             []string
	}{
		// Counted as 0, these answers would be "moderate" with 12.
		{"phq-9", "2 2 2 2 2 1 1 - -", "15", "108/7", "moderately-severe", "", []string{"8", "9"}},
		{"phq-9", "1 1 1 1 1 1 1 1 -", "9", "9", "mild", "", []string{"9"}},
		{"phq-9", "- 1 2 1 1 1 1 1 1", "10", "10.125", "moderate", "", []string{"1"}},
		{"phq-9", "3 2 2 1 1 1 1 1 -", "14", "13.5", "moderate", "", []string{"9"}}, // a tie is rounded up
		{"phq-9", "3 3 3 3 3 3 3 - -", "27", "27", "severe", "", []string{"8", "9"}},
		{"phq-9", "3 3 3 3 3 3 - - -", "", "", "", "3 of 9 answers are missing; at most 2 may be", nil},
		{"phq-9", "", "", "", "", "nothing was answered", nil},
		{"phq-8", "1 1 1 1 1 1 1 -", "", "", "", "1 of 8 answers is missing; none may be", nil},
		{"gad-7", "1 1 1 1 1 1 -", "", "", "", "1 of 7 answers is missing; none may be", nil},
		{"gad-2", "3 -", "", "", "", "1 of 2 answers is missing; none may be", nil},
		{"phq-2", "- 3", "", "", "", "1 of 2 answers is missing; none may be", nil},
		{"phq-4", "1 - 1 1", "", "", "", "1 of 4 answers is missing; none may be", nil},
		{"who-5", "5 5 5 5 -", "", "", "", "1 of 5 answers is missing; none may be", nil},
		{"phq-15", "2 2 2 - 2 2 2 2 2 2 2 2 2 2 2", "", "", "", "1 of 15 answers is missing; none may be", nil},
		{"phq-15", "2 2 2 n 2 2 2 2 2 2 2 2 2 2 -", "", "", "", "1 of 14 answers is missing; none may be", nil},
	} {
		got := score(t, shipped(t, c.instrument), answers(t, c.answers)).Scores[0]
		require.Equal(t, c.value, got.Value, c.answers)
		require.Equal(t, c.exact, got.Exact, c.answers)
		require.Equal(t, c.band, got.Band, c.answers)
		require.Equal(t, c.reason, got.Reason, c.answers)
		require.Equal(t, c.imputed, got.Imputed, c.answers)
	}
}

func TestBands(t *testing.T) {
	for id, bands := range map[string]string{
		"phq-9":  "0-4 none-minimal, 5-9 mild, 10-14 moderate, 15-19 moderately-severe, 20-27 severe",
		"phq-8":  "0-4 none-minimal, 5-9 mild, 10-14 moderate, 15-19 moderately-severe, 20-24 severe",
		"phq-2":  "0-2 below-cut, 3-6 at-cut",
		"phq-4":  "0-2 normal, 3-5 mild, 6-8 moderate, 9-12 severe",
		"phq-15": "0-4 minimal, 5-9 low, 10-14 medium, 15-30 high",
		"gad-7":  "0-4 minimal, 5-9 mild, 10-14 moderate, 15-21 severe",
		"gad-2":  "0-2 below-cut, 3-6 at-cut",
		"who-5":  "0-12 poor, 13-25 not-poor",
	} {
		d := shipped(t, id)
		var got []string
		for _, b := range d.Scores[0].Bands {
			got = append(got, fmt.Sprintf("%s-%s %s", b.From, b.To, b.Code))
		}
		require.Equal(t, bands, strings.Join(got, ", "), id)

		// Each total there can be falls into the band that says so.
		top := len(d.Items)
		if id == "phq-9" {
			top = 9
		}
		most := int(d.Items[0].Options[len(d.Items[0].Options)-1].Value)
		for total := range top*most + 1 {
			a := instrument.Answers{}
			for i, rest := 0, total; i < top; i++ {
				a[d.Items[i].ID] = instrument.Answer{Value: int64(min(rest, most))}
				rest -= min(rest, most)
			}
			r := score(t, d, a).Scores[0]
			require.Equal(t, instrument.Decimal(strconv.Itoa(total)), r.Value)
			require.NotEmpty(t, r.Band)
			for _, b := range d.Scores[0].Bands {
				from, err := strconv.Atoi(string(b.From))
				require.NoError(t, err)
				to, err := strconv.Atoi(string(b.To))
				require.NoError(t, err)
				require.Equal(t, b.Code == r.Band, from <= total && total <= to, "%s %d", id, total)
			}
		}
	}
}

func TestFlagOfItem9(t *testing.T) {
	d := shipped(t, "phq-9")
	for _, c := range []struct {
		answers string
		want    []instrument.FlagResult
	}{
		{"0 0 0 0 0 0 0 0 1", []instrument.FlagResult{{Code: "phq-9-item-9", Item: "9", State: instrument.Raised, Urgent: true, Value: "1"}}},
		{"- - - - - - - - 3", []instrument.FlagResult{{Code: "phq-9-item-9", Item: "9", State: instrument.Raised, Urgent: true, Value: "3"}}},
		{"3 3 3 3 3 3 3 3 -", []instrument.FlagResult{{Code: "phq-9-item-9", Item: "9", State: instrument.Unknown, Urgent: true}}},
		{"", []instrument.FlagResult{{Code: "phq-9-item-9", Item: "9", State: instrument.Unknown, Urgent: true}}},
		{"3 3 3 3 3 3 3 3 0", nil},
	} {
		require.Equal(t, c.want, score(t, d, answers(t, c.answers)).Flags, c.answers)
	}
}

func TestAlgorithm(t *testing.T) {
	d := shipped(t, "phq-9")
	for _, c := range []struct {
		answers, value, band string
	}{
		{"2 2 2 2 2 0 0 0 0", "5", "major"},
		{"2 0 2 2 2 0 0 0 1", "5", "major"}, // item 9 counts at 1
		{"2 0 2 2 2 0 0 1 0", "4", "other"}, // the others do not
		{"2 1 1 1 1 1 1 1 1", "2", "other"},
		{"1 1 3 3 3 3 3 3 3", "0", "none"}, // neither item 1 nor 2
		{"2 1 1 1 1 1 1 1 0", "1", "none"},
		{"3 3 3 3 3 3 3 3 3", "9", "major"},
	} {
		got := score(t, d, answers(t, c.answers)).Scores[1]
		require.Equal(t, "algorithm", got.ID)
		require.Equal(t, instrument.Decimal(c.value), got.Value, c.answers)
		require.Equal(t, c.band, got.Band, c.answers)
	}
	require.Equal(t, "1 of 9 answers is missing; none may be", score(t, d, answers(t, "2 2 2 2 2 0 0 0 -")).Scores[1].Reason)
}

func TestPHQ15OfMen(t *testing.T) {
	d := shipped(t, "phq-15")
	r := score(t, d, answers(t, "2 2 2 n 2 2 2 2 2 2 2 2 2 2 2")).Scores[0]
	require.Equal(t, instrument.Result{ID: "total", Value: "28", Exact: "28", Band: "high", Answered: 14, NotAsked: []string{"4"}, Rule: r.Rule}, r)
}

// TestWHO5 has the factor that a public calculator gets wrong: 100 is 4 times 25, not 4 times 25 - 5.
func TestWHO5(t *testing.T) {
	d := shipped(t, "who-5")
	for _, c := range []struct{ answers, raw, percent, band string }{
		{"5 5 5 5 5", "25", "100", "not-poor"},
		{"0 0 0 0 0", "0", "0", "poor"},
		{"3 3 3 2 2", "13", "52", "not-poor"},
		{"3 3 2 2 2", "12", "48", "poor"},
		{"1 1 1 1 1", "5", "20", "poor"},
	} {
		s := score(t, d, answers(t, c.answers)).Scores
		require.Equal(t, instrument.Decimal(c.raw), s[0].Value)
		require.Equal(t, instrument.Decimal(c.percent), s[1].Value)
		require.Equal(t, c.raw, s[1].Raw)
		require.Equal(t, c.band, s[0].Band)
		require.Equal(t, c.band, s[1].Band)
	}
	require.Empty(t, d.Languages)
	for _, it := range d.Items {
		require.Empty(t, it.Text)
	}
}

func TestPHQ4Parts(t *testing.T) {
	s := score(t, shipped(t, "phq-4"), answers(t, "3 2 0 1")).Scores
	require.Equal(t, []string{"6 moderate", "5 at-cut", "1 below-cut"}, []string{
		string(s[0].Value) + " " + s[0].Band, string(s[1].Value) + " " + s[1].Band, string(s[2].Value) + " " + s[2].Band,
	})
}

// proCTCAE has the composite grades of Basch 2021 as they are printed: what the attributes of a
// question are, its grades, row by row from 1 on for all attributes but the last, columns from 0 on.
var proCTCAE = map[string]struct {
	questions string
	grades    string
}{
	"F":   {"16 67", "01123"},
	"S":   {"1 2 4 6 7 15 21 25 26 28 30 36 45 60 61 66 68 71 72 80", "01233"},
	"I":   {"27 59", "01122"},
	"FS":  {"9 10 11 13 14 23 74 75 77 78", "11122 11222 11233 11233"},
	"FI":  {"18 62 63 65", "11122 11122 11233 11233"},
	"SI":  {"3 8 19 20 39 40 41 44 46 47 52 53", "11122 11223 12233 22233"},
	"FSI": {"17 22 48 49 50 51 54 55 56", "01122 11122 12223 22233 22333 01122 11122 22233 22233 22333 11122 11122 22233 22333 22333 11122 11223 22233 22333 22333"},
}

func TestPROCTCAEGrades(t *testing.T) {
	d := shipped(t, "pro-ctcae")
	questions, graded := 0, 0
	for attributes, c := range proCTCAE {
		grades := strings.ReplaceAll(c.grades, " ", "")
		combinations := 1
		for range attributes {
			combinations *= 5
		}
		if len(attributes) > 1 { // the rows of 0 are not printed
			grades = strings.Repeat("0", combinations-len(grades)) + grades
		}
		require.Len(t, grades, combinations)
		for _, q := range strings.Fields(c.questions) {
			questions++
			for n := range combinations {
				a := instrument.Answers{}
				for i, rest := len(attributes)-1, n; i >= 0; i-- {
					a[q+string(rune('A'+i))] = instrument.Answer{Value: int64(rest % 5)}
					rest /= 5
				}
				r := result(t, score(t, d, a), q)
				require.Equal(t, string(grades[n]), string(r.Value), "%s %v", q, a)
				require.Equal(t, len(attributes), r.Answered)
				graded++
			}
		}
	}
	require.Equal(t, 59, questions)
	require.Len(t, d.Scores, questions)
	require.Equal(t, 24*5+26*25+9*125, graded)
}

func result(t testing.TB, s instrument.Scored, id string) instrument.Result {
	t.Helper()
	for _, r := range s.Scores {
		if r.ID == id {
			return r
		}
	}
	require.Fail(t, "no score "+id)
	return instrument.Result{}
}

func TestPROCTCAEBranching(t *testing.T) {
	d := shipped(t, "pro-ctcae")
	grade := func(a instrument.Answers, q string) instrument.Result { return result(t, score(t, d, a), q) }
	one := func(v int64) instrument.Answer { return instrument.Answer{Value: v} }

	r := grade(instrument.Answers{"17A": one(0)}, "17")
	require.Equal(t, instrument.Decimal("0"), r.Value)
	require.Equal(t, []string{"17B", "17C"}, r.Imputed)
	require.Equal(t, 2, r.Missing)
	require.Equal(t, instrument.Decimal("0"), grade(instrument.Answers{"9A": one(0), "9B": one(3)}, "9").Value)
	require.Equal(t, "1 of 2 answers is missing; none may be, unless the first is 0", grade(instrument.Answers{"9A": one(2)}, "9").Reason)
	require.Equal(t, "1 of 2 answers is missing; none may be, unless the first is 0", grade(instrument.Answers{"9B": one(0)}, "9").Reason)
	require.Equal(t, "nothing was answered", grade(instrument.Answers{"9B": one(0)}, "17").Reason)
}

// TestHalfRule scores the example of the documentation.
func TestHalfRule(t *testing.T) {
	d := documented(t, "example-half")
	for _, c := range []struct{ answers, value, exact, raw, reason string }{
		{"1 1 1 1 1", "100", "100", "1", ""},
		{"4 4 4 4 4", "0", "0", "4", ""},
		{"1 2 3 4 1", "60", "60", "2.2", ""},
		{"1 2 2 - -", "77.8", "700/9", "5/3", ""},
		{"1 2 - - -", "", "", "", "3 of 5 answers are missing; at least half must be there"},
		{"- - - - -", "", "", "", "nothing was answered"},
	} {
		r := score(t, d, answers(t, c.answers)).Scores[0]
		require.Equal(t, []string{c.value, c.exact, c.raw, c.reason}, []string{string(r.Value), r.Exact, r.Raw, r.Reason}, c.answers)
	}
}

// TestProrateThenTable scores the example of the documentation.
func TestProrateThenTable(t *testing.T) {
	d := documented(t, "example-table")
	for _, c := range []struct{ answers, value, raw, band, flag, reason string }{
		{"1 1 1 1", "37.1", "4", "usual", "", ""},
		{"3 3 3 3", "68.3", "12", "high", "raised", ""},
		{"1 1 2 -", "46.2", "16/3", "usual", "", ""}, // 5 1/3 is looked up as 6
		{"3 3 2 -", "61.5", "32/3", "high", "raised", ""},
		{"1 1 - -", "37.1", "4", "usual", "", ""},
		{"3 - - -", "", "", "", "unknown", "3 of 4 answers are missing; at least half must be there"},
	} {
		s := score(t, d, answers(t, c.answers))
		r, flag := s.Scores[0], ""
		if len(s.Flags) > 0 {
			flag = string(s.Flags[0].State)
		}
		require.Equal(t, []string{c.value, c.raw, c.band, c.flag, c.reason}, []string{string(r.Value), r.Raw, r.Band, flag, r.Reason}, c.answers)
	}
}

func TestScoreRefuses(t *testing.T) {
	_, err := instrument.Score(shipped(t, "phq-9"), instrument.Answers{
		"10": {Value: 1}, "1": {Value: 4}, "2": {Value: -1}, "3": {NotAsked: true}, "a/b~": {Value: 0}, "4": {Value: 2},
	})
	var faults instrument.Faults
	require.ErrorAs(t, err, &faults)
	require.Equal(t, `/1: 4 is not an option of this item; it has 0, 1, 2, 3
/10: phq-9 version 1 has no such item; it has 1, 2, 3, 4, 5, 6, 7, 8, 9, difficulty
/2: -1 is not an option of this item; it has 0, 1, 2, 3
/3: this item is asked of everybody; leave it out if it was not answered
/a~1b~0: phq-9 version 1 has no such item; it has 1, 2, 3, 4, 5, 6, 7, 8, 9, difficulty`, faults.Error())
}

func TestReadAnswers(t *testing.T) {
	got, err := instrument.ReadAnswers([]byte(` {"1": 0, "2": null, "4": "not-asked", "difficulty": 3, "x": -1} `))
	require.NoError(t, err)
	require.Equal(t, instrument.Answers{"1": {}, "4": {NotAsked: true}, "difficulty": {Value: 3}, "x": {Value: -1}}, got)
	for content, want := range map[string]string{
		`{"9":"2"}`:                  `/9: must be the value of an option as a whole number, or null for no answer: write 2 without quotes`,
		`{"9":"no"}`:                 `/9: must be the value of an option as a whole number, or null for no answer, not the text "no"`,
		`{"9":1.0}`:                  `/9: must be the value of an option as a whole number, or null for no answer, without fraction or exponent, not 1.0`,
		`{"9":1e0}`:                  `not 1e0`,
		`{"9":-0}`:                   `not -0`,
		`{"9":99999999999999999999}`: `not 99999999999999999999`,
		`{"9":true}`:                 `/9: must be the value`,
		`{"9":[1]}`:                  `/9: must be the value`,
		`{"9":{}}`:                   `/9: must be the value`,
		`{"9":1,"9":1}`:              `/9: comes twice; keep one`,
		`{"9":1,"\u0039":null}`:      `/9: comes twice; keep one`,
		`{"a/b":1,"a/b":2}`:          `/a~1b: comes twice; keep one`,
		`[1,2]`:                      `must be an object`,
		`null`:                       `must be an object`,
		`{"9":1}{}`:                  `must be JSON`,
		`{"9":1`:                     `must be JSON`,
		``:                           `must be JSON`,
	} {
		_, err := instrument.ReadAnswers([]byte(content))
		var faults instrument.Faults
		require.ErrorAs(t, err, &faults, content)
		require.Len(t, faults, 1)
		require.Contains(t, err.Error(), want, content)
	}
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, `,"%d":true`, i)
	}
	_, err = instrument.ReadAnswers([]byte("{" + many.String()[1:] + "}"))
	require.Len(t, err, 100)
}

func TestCompare(t *testing.T) {
	s := score(t, shipped(t, "phq-9"), answers(t, "2 2 2 2 2 1 1 - -")) // 15, exactly 108/7
	for claims, want := range map[string][]instrument.Mismatch{
		`{}`:                   nil,
		`{"total":15}`:         nil,
		`{"total":15.0}`:       nil,
		`{"total":12}`:         {{Score: "total", Claimed: "12", Computed: "15"}},
		`{"total":null}`:       {{Score: "total", Computed: "15"}},
		`{"algorithm":null}`:   nil,
		`{"algorithm":5}`:      {{Score: "algorithm", Claimed: "5", Reason: "2 of 9 answers are missing; none may be"}},
		`{"sum":15,"other":1}`: {{Score: "other", Claimed: "1", Reason: "the instrument has no such score"}, {Score: "sum", Claimed: "15", Reason: "the instrument has no such score"}},
	} {
		c, err := instrument.ReadClaims([]byte(claims))
		require.NoError(t, err)
		require.Equal(t, want, instrument.Compare(s, c), claims)
	}
	exact := score(t, shipped(t, "phq-9"), answers(t, "3 2 2 1 1 1 1 1 -"))
	c, err := instrument.ReadClaims([]byte(`{"total":13.50}`))
	require.NoError(t, err)
	require.Empty(t, instrument.Compare(exact, c))

	for content, want := range map[string]string{
		`{"total":"13"}`:                            `/total: must be a number of up to 40 characters, without an exponent, or null if there is no score`,
		`{"total":1e999999999}`:                     `/total: must be a number`,
		`{"total":` + strings.Repeat("1", 41) + `}`: `/total: must be a number`,
		`{"total":[]}`:                              `/total: must be a number`,
		`{"total":1,"total":1}`:                     `/total: comes twice`,
	} {
		_, err := instrument.ReadClaims([]byte(content))
		require.ErrorContains(t, err, want, content)
	}
}

// BenchmarkScore reads and scores one response to the PHQ-9.
func BenchmarkScore(b *testing.B) {
	d := shipped(b, "phq-9")
	b.ReportAllocs()
	for b.Loop() {
		a, err := instrument.ReadAnswers([]byte(`{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":1}`))
		require.NoError(b, err)
		_, err = instrument.Score(d, a)
		require.NoError(b, err)
	}
}
