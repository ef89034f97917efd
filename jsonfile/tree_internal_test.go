package jsonfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tokenParser does the same as treeParser by the tokens of encoding/json, and is slower.
type tokenParser struct {
	content []byte
	tokens  *json.Decoder
	report  func(place)
	depth   int
}

func parseTokens(content []byte, report func(place)) (*Node, error) {
	p := &tokenParser{content: content, tokens: json.NewDecoder(bytes.NewReader(content)), report: report}
	p.tokens.UseNumber()
	return p.value(Node{})
}

// token returns the next token and the offset of its first byte.
func (p *tokenParser) token() (json.Token, int, error) {
	at := int(p.tokens.InputOffset())
	for at < len(p.content) && strings.IndexByte(" \t\r\n,:", p.content[at]) >= 0 {
		at++
	}
	token, err := p.tokens.Token()
	return token, at, err
}

func (p *tokenParser) value(as Node) (*Node, error) {
	token, at, err := p.token()
	if err != nil {
		return nil, err
	}
	as.at = at
	n := &as
	switch v := token.(type) {
	case json.Delim:
		if p.depth++; p.depth > maxDepth {
			return nil, place{at: at, message: fmt.Sprintf("stands deeper than %d objects and arrays within each other", maxDepth)}
		}
		if v == '{' {
			n.Kind, err = Object, p.object(n)
		} else {
			n.Kind, err = Array, p.array(n)
		}
		p.depth--
	case string:
		n.Kind, n.Text = String, v
		(&treeParser{report: p.report}).checkCharacters(place{at: at, in: n}, v)
	case json.Number:
		n.Kind, n.Text = Number, v.String()
	case bool:
		n.Kind, n.Text = Boolean, strconv.FormatBool(v)
	case nil:
		n.Kind = Null
	}
	return n, err
}

func (p *tokenParser) object(n *Node) error {
	first := map[string]int{} // where each name stands first
	for p.tokens.More() {
		token, at, err := p.token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return place{at: at, message: "the name of a member is a string"}
		}
		(&treeParser{report: p.report}).checkCharacters(place{at: at, in: n}, name)
		value, err := p.value(Node{parent: n, name: name})
		if err != nil {
			return err
		}
		if before, twice := first[name]; twice {
			p.report(place{at: at, message: "comes twice; keep one", in: n, name: name, first: before})
			continue
		}
		first[name] = at
		n.Entries = append(n.Entries, Entry{name, value, at})
	}
	_, _, err := p.token()
	return err
}

func (p *tokenParser) array(n *Node) error {
	for i := 0; p.tokens.More(); i++ {
		item, err := p.value(Node{parent: n, index: i})
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	_, _, err := p.token()
	return err
}

// FuzzTree compares the two parsers.
func FuzzTree(f *testing.F) {
	files, err := filepath.Glob("../tasks/instrument/definitions/*.json")
	require.NoError(f, err)
	for _, name := range append(files, "../docs/study.schema.json") {
		content, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(content)
	}
	for _, text := range []string{
		`{}`, `[]`, `null`, ` true `, `-1.5e+10`, `"\u00e9\ud83d\ude00\ud800\n\"\\"`, `{"a":1,"a":2,"":{"":[[],{}]}}`, "\t[1 , 2\r\n,\"\ufffd\" ]\n",
		`{"a":0,"b":1,"c":2,"d":3,"e":4,"f":5,"g":6,"h":7,"i":8,"j":9,"k":10,"a":11,"j":12,"k":13}`,
		strings.Repeat("[", 32) + strings.Repeat("]", 32), strings.Repeat(`{"a":[`, 17) + strings.Repeat("]}", 17),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if checkSyntax(content, "a file") != nil {
			return
		}
		var want, got []place
		wanted, wantErr := parseTokens(content, func(p place) { want = append(want, p) })
		tree, err := parse(content, Format{}, func(p place) { got = append(got, p) })
		require.Equal(t, wantErr, err)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, textOf(want[i], content), textOf(got[i], content))
			require.Equal(t, want[i].pointer(), got[i].pointer())
			require.Equal(t, want[i].at, got[i].at)
		}
		if err == nil {
			requireSame(t, wanted, tree)
			requireWhole(t, content, tree)
		}
	})
}

func requireSame(t *testing.T, want, got *Node) {
	require.Equal(t, fmt.Sprint(want.Kind, want.Text, want.at, want.path(), place{in: want}.pointer()), fmt.Sprint(got.Kind, got.Text, got.at, got.path(), place{in: got}.pointer()))
	require.Len(t, got.Entries, len(want.Entries))
	require.Len(t, got.Items, len(want.Items))
	for i, e := range want.Entries {
		require.Equal(t, e.Name, got.Entries[i].Name)
		require.Equal(t, e.at, got.Entries[i].at)
		requireSame(t, e.Value, got.Entries[i].Value)
	}
	for i := range want.Items {
		requireSame(t, want.Items[i], got.Items[i])
	}
}

// requireWhole wants each value to begin and end where its text does.
func requireWhole(t *testing.T, content []byte, n *Node) {
	text := content[n.at:n.end]
	require.True(t, json.Valid(text), "%s", text)
	require.Equal(t, bytes.TrimSpace(text), text)
	for _, e := range n.Entries {
		requireWhole(t, content, e.Value)
	}
	for _, item := range n.Items {
		requireWhole(t, content, item)
	}
}

func textOf(p place, content []byte) string { return p.text(p.shownPath(), p.detail(content)) }
