package jsonfile_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/jsonfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var format = jsonfile.Format{Noun: "a thing", MaxBytes: 1000, Schema: 1}

type thing struct {
	number *big.Rat
	word   string
	texts  map[string]string
	yes    bool
}

var members = []jsonfile.Member[thing]{
	jsonfile.Required("number", "a number", func(c *jsonfile.Checker, n *jsonfile.Node, to *thing) { to.number = c.Decimal(n) }),
	jsonfile.Optional("word", func(c *jsonfile.Checker, n *jsonfile.Node, to *thing) { to.word = c.Choice(n, "a", "b") }),
	jsonfile.Optional("only", func(c *jsonfile.Checker, n *jsonfile.Node, to *thing) { c.Choice(n, "a") }),
	jsonfile.Optional("texts", func(c *jsonfile.Checker, n *jsonfile.Node, to *thing) { to.texts = c.Texts(n, 10) }),
	jsonfile.Optional("yes", func(c *jsonfile.Checker, n *jsonfile.Node, to *thing) {
		to.yes = c.Is(n, jsonfile.Boolean, "true or false") && n.Text == "true"
	}),
}

func read(content string) (*thing, []jsonfile.Problem) {
	return jsonfile.Check(format, "t.json", []byte(content), func(c *jsonfile.Checker, n *jsonfile.Node) thing {
		return jsonfile.Members(c, n, members)
	})
}

func TestCheckTakes(t *testing.T) {
	got, problems := read(`{"number": -123456789.000000001, "word": "b", "texts": {"en": "x", "zh-CN": "字"}, "yes": true}`)
	require.Empty(t, problems)
	want, _ := new(big.Rat).SetString("-123456789.000000001")
	require.Zero(t, want.Cmp(got.number))
	require.Equal(t, "b", got.word)
	require.Equal(t, map[string]string{"en": "x", "zh-CN": "字"}, got.texts)
	require.True(t, got.yes)

	for content, want := range map[string]string{`0`: "0", `-0`: "0", `1.50`: "3/2", `0.1`: "1/10"} {
		got, problems := read(`{"number":` + content + `}`)
		require.Empty(t, problems)
		require.Equal(t, want, got.number.RatString(), content)
	}
	got, problems = read(`{"number": 1, "yes": false}`)
	require.Empty(t, problems)
	require.False(t, got.yes)
}

func TestCheckRefuses(t *testing.T) {
	const digits = "number: must be a number of up to 9 digits before the point and 9 after it, without an exponent, not "
	for content, want := range map[string]string{
		`{}`:                                        `1:1: "number" is missing; give a number`,
		`{"number":"1"}`:                            `1:11: ` + digits + `a string`,
		`{"number":1e3}`:                            digits + `1e3`,
		`{"number":1E999999999}`:                    digits + `1E999999999`,
		`{"number":1234567890}`:                     digits + `1234567890`,
		`{"number":0.0000000001}`:                   digits + `0.0000000001`,
		`{"number":1,"word":"c"}`:                   `word: must be one of a, b, not "c"`,
		`{"number":1,"word":1}`:                     `word: must be one of a, b, not a number`,
		`{"number":1,"only":"c"}`:                   `only: must be "a", not "c"`,
		`{"number":1,"texts":[]}`:                   `texts: must be an object with a text by language, such as {"en": "…"}, not an array`,
		`{"number":1,"texts":{}}`:                   `texts: has no text; give one by language`,
		`{"number":1,"texts":{"en":"01234567890"}}`: `texts.en: has 11 characters; it must have 1 to 10`,
		`{"number":1,"texts":{"EN":"x"}}`:           `1:22: texts.EN: is not in canonical form; write "en"`,
		`{"number":1,"texts":{"":"x"}}`:             `texts: is not a BCP 47 language tag`,
		`{"number":1,"yes":1}`:                      `yes: must be true or false, not a number`,
		`{"number":1,"schema":2}`:                   `schema: 2 is not known; this version of casepress reads schema 1`,
		``:                                          `1:1: is empty; a thing is one JSON object`,
		strings.Repeat(" ", 1001):                   `t.json: is larger than 1000 bytes, the most that the file of a thing may have`,
	} {
		got, problems := read(content)
		require.Nil(t, got, content)
		require.Len(t, problems, 1, content)
		require.Contains(t, problems[0].String(), want, content)
	}
}

// A document was answered by a hundred times its bytes, since each problem repeated the names around it.
func TestManyProblemsOfLongNames(t *testing.T) {
	const most = 64 << 10
	long := strings.Repeat("~", most/2)
	content := []byte(`{"` + long + `":{` + strings.Repeat(`"":0,`, 5000) + `"":0}}`)
	f := jsonfile.Format{Noun: "a thing", MaxBytes: most}
	_, problems := jsonfile.Check(f, "", content, func(c *jsonfile.Checker, n *jsonfile.Node) thing {
		return jsonfile.Members(c, n, members)
	})
	require.Len(t, problems, 101)
	bytes := 0
	for _, p := range problems {
		bytes += len(p.Pointer) + len(p.Message)
	}
	require.Less(t, bytes, most)
	require.Contains(t, problems[1].Message, "~~~…")

	short := []byte(`{"a~/":[{"` + strings.Repeat("b", 480) + `":1,"` + strings.Repeat("~", 250) + `":2}]}`)
	_, problems = jsonfile.Check(f, "", short, func(c *jsonfile.Checker, n *jsonfile.Node) thing {
		for _, e := range n.Get("a~/").Items[0].Entries {
			c.Refuse(e.Value, "is wrong")
		}
		return thing{}
	})
	require.Equal(t, "/a~0~1/0/"+strings.Repeat("b", 480), problems[0].Pointer)
	require.Equal(t, "/a~0~1/0", problems[1].Pointer, "what it stands in, where its own would be too long")
}

func TestMaxValues(t *testing.T) {
	f := jsonfile.Format{Noun: "a thing", MaxBytes: 1000, MaxValues: 6}
	take := func(_ *jsonfile.Checker, n *jsonfile.Node) int { return len(n.Entries) }
	got, problems := jsonfile.Check(f, "", []byte(`{"a":[1,2,{}],"b":null}`), take)
	require.Empty(t, problems)
	require.Equal(t, 2, *got)
	for _, content := range []string{`{"a":[1,2,{}],"b":null,"c":""}`, `{"a":[1,2,{}],"a":null,"a":""}`, `[0,0,0,0,0,0]`} {
		_, problems = jsonfile.Check(f, "t", []byte(content), take)
		require.Len(t, problems, 1, "alone")
		require.Contains(t, problems[0].String(), "has one value more than 6, the most that a thing may have")
	}
}
