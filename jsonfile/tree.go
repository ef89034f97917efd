package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is the type of a JSON value, in words.
type Kind string

// The types of JSON.
const (
	Object  Kind = "an object"
	Array   Kind = "an array"
	String  Kind = "a string"
	Number  Kind = "a number"
	Boolean Kind = "a boolean"
	Null    Kind = "null"
)

// Node is a JSON value and its place.
type Node struct {
	// Kind is the value's type.
	Kind Kind
	// Text is what a string says, the digits of a number as they were written, or "true" or "false".
	Text string
	// Entries are the members of an object, in the order of the file, each name once.
	Entries []Entry
	// Items are the values of an array.
	Items []*Node

	at     int // offset of its first byte
	end    int // offset after its last byte
	parent *Node
	name   string // within its parent, if that is an object
	index  int    // within its parent, if that is an array
}

// Entry is a member of an object.
type Entry struct {
	// Name is the member's name.
	Name string
	// Value is the member's value.
	Value *Node

	at int // of the name
}

// Get returns a member of an object, or nil.
func (n *Node) Get(name string) *Node {
	for _, m := range n.Entries {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// path says where in the file's structure a node is, such as "sites[3].id"; it is empty for the root.
func (n *Node) path() string {
	if n.parent == nil {
		return ""
	}
	if n.parent.Kind == Array {
		return n.parent.path() + "[" + strconv.Itoa(n.index) + "]"
	}
	return joinPath(n.parent.path(), n.name)
}

// maxPath is more bytes of a path than [Shown] shows.
const maxPath = 400

func joinPath(parent, name string) string {
	name = name[:min(len(name), maxPath)] // it may be as long as the file
	switch {
	case len(parent) > maxPath:
		return parent
	case parent == "" || name == "":
		return parent + name
	}
	return parent + "." + name
}

// place is a problem at an offset of the content. It becomes text only when it is shown, so that a
// file of a hundred thousand problems costs no more than one of a few.
type place struct {
	at      int // -1: of the file as a whole
	message string
	in      *Node  // the value that it is about, or
	name    string // the member of that value, if not empty
	first   int    // where the same name stands first, if not 0; missing: the member is not there
}

// missing stands in place.first.
const missing = -1

func (p place) Error() string { return p.message }

// maxPointer is the longest pointer in bytes. A name may be as long as the file.
const maxPointer = 500

// pointer names what the problem is about as RFC 6901 does, or else the innermost of what it stands in whose pointer is
// not too long.
func (p place) pointer() string {
	if p.in == nil {
		return ""
	}
	at, whole := p.in.pointer()
	if !whole || p.name == "" {
		return at
	}
	at, _ = appendPointer(at, p.name)
	return at
}

// pointer returns the pointer of the value, or of the innermost around it whose pointer is not too long.
func (n *Node) pointer() (at string, whole bool) {
	if n.parent == nil {
		return "", true
	}
	at, whole = n.parent.pointer()
	switch {
	case !whole:
		return at, false
	case n.parent.Kind == Array:
		return appendPointer(at, strconv.Itoa(n.index))
	}
	return appendPointer(at, n.name)
}

func appendPointer(at, name string) (longer string, whole bool) {
	if len(at)+1+len(name) > maxPointer { // before it is escaped, which takes time
		return at, false
	}
	if longer = at + "/" + escapePointer(name); len(longer) > maxPointer {
		return at, false
	}
	return longer, true
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func escapePointer(name string) string { return pointerEscapes.Replace(name) }

// detail says what is wrong without the path.
func (p place) detail(content []byte) string {
	s := p.message
	if p.first > 0 {
		line, column := lineAndColumn(content, p.first)
		s = fmt.Sprintf("%s; it stands first in line %d, column %d", s, line, column)
	}
	return s
}

// shownPath names what the problem is about in words, or what lacks something; "" for the document itself.
func (p place) shownPath() string {
	path := p.name
	if p.first == missing {
		path = "" // the message begins with it
	}
	if p.in != nil {
		path = joinPath(p.in.path(), path)
	}
	if path == "" {
		return ""
	}
	return Shown(path)
}

// text is a problem with all names.
func (p place) text(path, detail string) string {
	if p.first == missing {
		detail = strconv.Quote(p.name) + " " + detail
	}
	if path == "" {
		return detail
	}
	return path + ": " + detail
}

// checkSyntax returns a place for the first thing that is not JSON in UTF-8.
func checkSyntax(content []byte, noun string) error {
	if bytes.HasPrefix(content, []byte("\ufeff")) {
		return place{message: "begins with a byte order mark; save the file as UTF-8 without one"}
	}
	if !utf8.Valid(content) {
		for i := 0; ; {
			r, n := utf8.DecodeRune(content[i:])
			if r == utf8.RuneError && n == 1 {
				return place{at: i, message: fmt.Sprintf("byte %#02x is not UTF-8; save the file as UTF-8", content[i])}
			}
			i += n
		}
	}
	if json.Valid(content) {
		return nil
	}
	var whole json.RawMessage
	err := json.Unmarshal(content, &whole)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return syntaxPlace(content, syntax, noun)
	}
	return err
}

// syntaxPlace says of an error of encoding/json what would be right. Its offset is that after the byte
// it stumbled over.
func syntaxPlace(content []byte, err *json.SyntaxError, noun string) place {
	at := int(err.Offset) - 1
	switch {
	case len(bytes.TrimSpace(content)) == 0:
		return place{message: "is empty; " + noun + " is one JSON object"}
	case strings.HasPrefix(err.Error(), "unexpected end"):
		return place{at: len(content), message: "ends before its object is closed"}
	}
	hint := ""
	before := bytes.TrimRight(content[:at], " \t\r\n")
	switch c := content[at]; {
	case strings.Contains(err.Error(), "after top-level value"):
		hint = "; nothing may follow the object"
	case c == '/' || c == '#':
		hint = "; JSON has no comments"
	case c == '\'':
		hint = "; strings stand in double quotes"
	case (c == '}' || c == ']') && bytes.HasSuffix(before, []byte(",")):
		hint = "; no comma may stand before a closing bracket"
	case c < ' ':
		hint = `; write line ends and tabs within strings as \n and \t`
	}
	return place{at: at, message: err.Error() + hint}
}

// maxDepth is how deep arrays and objects may stand within each other.
const maxDepth = 32

// treeParser turns JSON that is known to be valid into nodes. It reports every member that comes
// twice, which it takes as it came first, and characters that were lost.
type treeParser struct {
	text   string
	at     int // of the next byte
	report func(place)
	format Format
	depth  int
	values int    // so far
	free   []Node // nodes are made many at a time
}

func parse(content []byte, f Format, report func(place)) (*Node, error) {
	p := &treeParser{text: string(content), report: report, format: f}
	return p.value(Node{})
}

// next skips blanks and what stands between values, and returns the byte after them.
func (p *treeParser) next() byte {
	for {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			p.at++
		default:
			return c
		}
	}
}

func (p *treeParser) node(n Node) *Node {
	const together = 16
	if len(p.free) == 0 {
		p.free = make([]Node, together)
	}
	made := &p.free[0]
	p.free = p.free[1:]
	*made = n
	return made
}

// value reads the next value; as has its parent and its place there.
func (p *treeParser) value(as Node) (*Node, error) {
	c := p.next()
	as.at = p.at
	if p.values++; p.format.MaxValues > 0 && p.values > p.format.MaxValues {
		return nil, place{at: as.at, message: fmt.Sprintf("has one value more than %d, the most that %s may have", p.format.MaxValues, p.format.Noun)}
	}
	n := p.node(as)
	var err error
	switch c {
	case '{', '[':
		if p.depth++; p.depth > maxDepth {
			return nil, place{at: n.at, message: fmt.Sprintf("stands deeper than %d objects and arrays within each other", maxDepth)}
		}
		p.at++
		if c == '{' {
			n.Kind, err = Object, p.object(n)
		} else {
			n.Kind, err = Array, p.array(n)
		}
		p.depth--
	case '"':
		n.Kind = String
		if n.Text, err = p.string(); err == nil {
			p.checkCharacters(place{at: n.at, in: n}, n.Text)
		}
	case 't':
		n.Kind, n.Text = Boolean, p.word("true")
	case 'f':
		n.Kind, n.Text = Boolean, p.word("false")
	case 'n':
		n.Kind = Null
		p.word("null")
	default:
		n.Kind, n.Text = Number, p.number()
	}
	n.end = p.at
	return n, err
}

func (p *treeParser) word(w string) string {
	p.at += len(w)
	return w
}

func (p *treeParser) number() string {
	start := p.at
	for p.at < len(p.text) && strings.IndexByte("+-.0123456789eE", p.text[p.at]) >= 0 {
		p.at++
	}
	return p.text[start:p.at]
}

func (p *treeParser) string() (string, error) {
	start, escapes := p.at, false
	for p.at++; p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			escapes = true
			p.at++
		}
	}
	p.at++
	if !escapes {
		return p.text[start+1 : p.at-1], nil
	}
	var s string
	err := json.Unmarshal([]byte(p.text[start:p.at]), &s)
	return s, err
}

func (p *treeParser) object(n *Node) error {
	const few = 24           // so many members are compared with each other, which is quicker than a map
	var first map[string]int // where each name stands first, if there are more
	before := func(name string) (at int, twice bool) {
		if len(n.Entries) <= few {
			for _, e := range n.Entries {
				if e.Name == name {
					return e.at, true
				}
			}
			return 0, false
		}
		if first == nil {
			first = make(map[string]int, 2*len(n.Entries))
			for _, e := range n.Entries {
				first[e.Name] = e.at
			}
		}
		at, twice = first[name]
		return at, twice
	}
	for p.next() != '}' {
		at := p.at
		name, err := p.string()
		if err != nil {
			return err
		}
		p.checkCharacters(place{at: at, in: n}, name)
		value, err := p.value(Node{parent: n, name: name})
		if err != nil {
			return err
		}
		if earlier, twice := before(name); twice {
			p.report(place{at: at, message: "comes twice; keep one", in: n, name: name, first: earlier})
			continue
		}
		if first != nil {
			first[name] = at
		}
		n.Entries = append(n.Entries, Entry{name, value, at})
	}
	p.at++
	return nil
}

func (p *treeParser) array(n *Node) error {
	for p.next() != ']' {
		item, err := p.value(Node{parent: n, index: len(n.Items)})
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	p.at++
	return nil
}

// checkCharacters reports U+FFFD, which encoding/json also puts in place of half a surrogate pair.
func (p *treeParser) checkCharacters(at place, s string) {
	if strings.ContainsRune(s, utf8.RuneError) {
		at.message = "holds U+FFFD or half a surrogate pair, which stand for a character that was lost; write the character itself"
		p.report(at)
	}
}

// lineAndColumn returns the place of an offset, counted from 1, columns in characters.
func lineAndColumn(content []byte, at int) (line, column int) {
	before := content[:at]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// Quoted returns what a file says in quotes and in a form that fits in a message.
func Quoted(s string) string {
	const most = 80 // characters
	short := 0
	for at := range s {
		if short++; short > most {
			return strconv.Quote(s[:at] + "…")
		}
	}
	return strconv.Quote(s)
}

// Shown is [Quoted] without the quotes.
func Shown(s string) string {
	s = Quoted(s)
	return s[1 : len(s)-1]
}
