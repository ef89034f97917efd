package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/instrument"
)

// oddTexts are of every sort that JSON writes in a way of its own.
var oddTexts = []string{
	"", "plain", `a "quote"`, `back\slash`, "two\nlines\r\n\tand a tab", "<b>&</b>", "中文", "\u2028", "\u0001", "\x7f", "not \xff UTF-8", "\\u0041", `\`, `"`,
	`{"answers":{"1":0}}`,
}

func randomResponse(r *rand.Rand) QuestionnaireResponse {
	text := func() string { return oddTexts[max(0, r.IntN(6*len(oddTexts))-5*len(oddTexts))] } // "" five times out of six
	q := QuestionnaireResponse{
		ID: text(), Revision: r.IntN(3) - 1, Study: text(), Site: text(), PatientID: text(), VisitID: text(),
		Rule: instrument.Identity{ID: text(), Version: text(), SHA256: text()}, Language: text(), Authored: text(), Started: text(), DeviceTime: text(),
		MediaType: text(), Original: strings.Repeat(text(), r.IntN(3)),
	}
	if r.IntN(2) == 0 {
		q.StudyFile = &StudyFile{r.Int64N(1000), text()}
	}
	if n := r.IntN(5); n > 0 {
		q.Answers = instrument.Answers{}
		for i := range n * n * 3 {
			q.Answers[fmt.Sprint(i)] = instrument.Answer{Value: r.Int64N(20) - 5}
			if r.IntN(5) == 0 {
				q.Answers[fmt.Sprint("b<", i)] = instrument.Answer{NotAsked: true}
			}
		}
	}
	if n := r.IntN(3); n > 0 {
		q.Claims = instrument.Claims{}
		for i := range n {
			q.Claims[text()+fmt.Sprint(i)] = instrument.Decimal([]string{"", "0", "13", "-2", "1.50", "12345678901234567890", "0.1"}[r.IntN(7)])
		}
	}
	switch r.IntN(8) {
	case 0:
		q.Amends = &Amends{Revision: 1, Reason: text()}
	case 1:
		q.Flags = []instrument.FlagResult{{Code: text(), Item: "9", State: instrument.Raised, Urgent: true, Value: "2"}}
		q.CrisisText, q.CrisisLanguage, q.LimitHours = text(), text(), r.Int64N(3)*12
	case 2:
		q.Warnings = []Warning{{text(), text()}}
	}
	return q
}

// There are two ways to write a response and two to read it; they must not disagree.
func TestResponsesAreWrittenAndReadAsByEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	usual := 0
	for range 5000 {
		q := randomResponse(r)
		want, err := json.Marshal(q)
		require.NoError(t, err)
		got, err := appendResponse([]byte("before"), &q)
		require.NoError(t, err)
		require.Equal(t, "before"+string(want), string(got))
		sameReading(t, want)
		if _, ok := readUsualResponse(string(want)); ok {
			usual++
		}
	}
	require.Greater(t, usual, 200)
	for _, claim := range []instrument.Decimal{"1e9", "x", "--1", "01", "1 ", instrument.Decimal(strings.Repeat("1", 41))} {
		q := QuestionnaireResponse{Claims: instrument.Claims{"total": claim}}
		_, err := appendResponse(nil, &q)
		require.Error(t, err, claim)
		_, err = json.Marshal(q)
		require.Error(t, err, claim)
	}
}

// fill puts something into a value, and into all that belongs to it in JSON. "7" is a text and a number.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("7")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 26, 20, 3, 11, 123456000, time.UTC)))
			return
		}
		for _, field := range membersOf(v.Type()) {
			fill(v.FieldByIndex(field.Index))
		}
	default:
		panic("nothing to put into a " + v.Type().String())
	}
}

// membersOf are the fields of a struct that JSON has, those of embedded structs among them.
func membersOf(t reflect.Type) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return f.Anonymous || !f.IsExported() || f.Tag.Get("json") == "-"
	})
}

// eachMember calls check with base and one member of it filled, for each, and with all of them.
func eachMember[T any](base T, check func(name string, v T)) {
	all := base
	for _, field := range membersOf(reflect.TypeFor[T]()) {
		one := base
		fill(reflect.ValueOf(&one).Elem().FieldByIndex(field.Index))
		check(field.Name, one)
		fill(reflect.ValueOf(&all).Elem().FieldByIndex(field.Index))
	}
	check("all", all)
}

// A member that comes later must not be forgotten by the writers that are not encoding/json.
func TestEveryMemberIsWritten(t *testing.T) {
	same := func(name string, v any, got []byte, err error) []byte {
		t.Helper()
		require.NoError(t, err, name)
		want, err := json.Marshal(v)
		require.NoError(t, err, name)
		require.Equal(t, string(want), string(got), name)
		return want
	}
	eachMember(QuestionnaireResponse{}, func(name string, q QuestionnaireResponse) {
		got, err := appendResponse(nil, &q)
		sameReading(t, same("response: "+name, q, got, err))
	})
	some := instrument.Scored{Scores: []instrument.Result{}} // without them encoding/json writes all
	eachMember(QuestionnaireResult{Scored: some}, func(name string, r QuestionnaireResult) {
		got, err := appendResult(nil, &r)
		same("result: "+name, r, got, err)
	})
	eachMember(instrument.Result{}, func(name string, r instrument.Result) {
		got, err := appendScore(nil, &r)
		same("score: "+name, r, got, err)
	})
	kind := KindQuestionnaireResponse()
	eachMember(envelope{Version: submissionVersion, Kind: kind.Name}, func(name string, e envelope) {
		e.Version, e.Kind = submissionVersion, kind.Name
		head, err := e.appendHead(nil, kind)
		before, ends := bytes.CutSuffix(head, []byte(`,"`+kind.Member+`":`))
		require.True(t, ends, "envelope: "+name)
		same("envelope: "+name, e, append(slices.Clone(before), '}'), err)
		read, of, content, ok := cutHead(append(head, "{}}"...))
		require.True(t, ok, "envelope: "+name)
		require.Equal(t, e, read, "envelope: "+name)
		require.Same(t, kind, of)
		require.Equal(t, "{}}", string(content))
	})
}

// A document that is longer than nearly all leaves no buffer of its length behind.
func TestNoLongBufferIsKept(t *testing.T) {
	long, err := json.Marshal(QuestionnaireResponse{Answers: instrument.Answers{}, Original: strings.Repeat("long", maxScratch)})
	require.NoError(t, err)
	for range 20 { // the pool may drop one, or give another
		_, ok := readUsualResponse(string(long))
		require.True(t, ok)
		buffer := scratch.Get().(*[]byte)
		require.LessOrEqual(t, cap(*buffer), maxScratch)
		scratch.Put(buffer)
	}
}

func TestResultsAreWrittenAsByEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	text := func() string { return oddTexts[r.IntN(len(oddTexts))] }
	for range 2000 {
		made := QuestionnaireResult{Rescores: []MadeRescore{{}}} // which are not of it
		for range r.IntN(4) {
			made.Scores = append(made.Scores, instrument.Result{
				ID: text(), Value: instrument.Decimal([]string{"", "0", "13", "-2.5"}[r.IntN(4)]), Exact: text(), Raw: text(), Band: text(), Answered: r.IntN(9), Missing: r.IntN(9),
				NotAsked: oddTexts[:r.IntN(3)], Imputed: oddTexts[:r.IntN(3)], Reason: text(), Rule: instrument.Identity{ID: text(), Version: text(), SHA256: text()},
			})
		}
		if r.IntN(3) == 0 {
			made.Flags = []instrument.FlagResult{{Code: text()}}
			made.Mismatches = []instrument.Mismatch{{Score: text(), Claimed: "1", Reason: text()}}
		}
		if r.IntN(5) == 0 {
			made.Scores = []instrument.Result{}
		}
		want, err := json.Marshal(made)
		require.NoError(t, err)
		got, err := appendResult(nil, &made)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	made := QuestionnaireResult{Scored: instrument.Scored{Scores: []instrument.Result{{Value: "1e9"}}}}
	_, err := appendResult(nil, &made)
	require.Error(t, err)
}

// sameReading checks that content that is read in the quick way is what encoding/json makes of it.
func sameReading(t *testing.T, content []byte) {
	quick, ok := readUsualResponse(string(content))
	if !ok {
		require.Zero(t, quick)
		return
	}
	var slow QuestionnaireResponse
	require.NoError(t, json.Unmarshal(content, &slow))
	require.Equal(t, slow, quick)
}

// usualContent is a response as most are.
func usualContent(t require.TestingT) []byte {
	content, err := json.Marshal(QuestionnaireResponse{
		ID: "QR-1", Revision: 1, Study: "S1", PatientID: "P1", VisitID: "V02", Rule: instrument.Identity{ID: "phq-9", Version: "1", SHA256: "ab"},
		StudyFile: &StudyFile{3, "cd"}, Language: "en", Authored: "2026-11-26T20:03:11+08:00", DeviceTime: "2026-11-26T12:03:12Z",
		Answers: instrument.Answers{"1": {Value: 0}, "2": {Value: 3}, "3": {NotAsked: true}, "4": {Value: -1}}, Claims: instrument.Claims{"total": "3", "other": ""},
		MediaType: "application/json", Original: "{\n\t\"id\": \"QR-1\", \"path\": \"a\\\\b\", \"name\": \"中文\"}",
	})
	require.NoError(t, err)
	return content
}

// The usual response is read in the quick way, or that would be there for nothing; each change of a byte is read as by
// encoding/json or not at all.
func TestUsualResponse(t *testing.T) {
	content := usualContent(t)
	_, ok := readUsualResponse(string(content))
	require.True(t, ok)
	for i := range content {
		for _, c := range "\"\\{}[],:0-9. nu<\n\x00é" {
			changed := append([]byte(nil), content...)
			changed[i] = byte(c)
			sameReading(t, changed)
		}
		sameReading(t, content[:i])
	}
}

func FuzzReadUsualResponse(f *testing.F) {
	f.Add(usualContent(f))
	f.Add([]byte(`{"id":"a","revision":1,"patientId":"p","rule":{"id":"i","version":"1","sha256":""},"language":"en","authored":"","answers":{"1":0,"1":1},"mediaType":"","original":"\u0022"}`))
	f.Fuzz(func(t *testing.T, content []byte) { sameReading(t, content) })
}
