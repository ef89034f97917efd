// Package jsonfile implements a strict reader of JSON files that people write: it names every problem
// with file, line and column and with what would be right.
//
// A package that has such files says in tables of [Member] which members there are, and reads each
// value by the methods of [Checker]. [Check] takes care of the rest. It refuses whatever could be read
// in two ways: an unknown member, a member in another spelling (encoding/json would take "Title" for
// "title"), a member that comes twice (encoding/json would take the last), bytes that are not UTF-8,
// half a pair of surrogates, anything after the object; and more than 32 objects and arrays within
// each other.
//
// Nothing here keeps a file or writes to one.
package jsonfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// Format is a kind of file.
type Format struct {
	// Noun is what one file holds, with its article: "a study".
	Noun string
	// MaxBytes is the largest size of a file.
	MaxBytes int
	// MaxValues is how many values a file may have, those within others included; 0: as many as fit in. While a file is
	// read each takes up to 300 bytes, and the smallest has two in the file.
	MaxValues int
	// Schema is the form of the file that this version of casepress reads. A file says its own in the
	// member "schema"; one of a later form is refused with that alone. 0: such files have no forms, and "schema" is a member
	// as any other.
	Schema int64
}

// Member is a member of an object that becomes a T.
type Member[T any] struct {
	// Name is its name, which counts with its case.
	Name string
	// Required says that an object without it is refused.
	Required bool
	// Want is what to write, said where it is missing.
	Want string
	// Take reads its value.
	Take func(c *Checker, n *Node, to *T)
}

// Required is a member that every object must have.
func Required[T any](name, want string, take func(*Checker, *Node, *T)) Member[T] {
	return Member[T]{Name: name, Required: true, Want: want, Take: take}
}

// Optional is a member that may be missing.
func Optional[T any](name string, take func(*Checker, *Node, *T)) Member[T] {
	return Member[T]{Name: name, Take: take}
}

// Check reads the content of a file by take, which is given its root. name is the path, which problems
// repeat. Check returns what take does if there are no problems, and otherwise the problems in the
// order of the file, at most 100 and then a last one that counts the others. Some problems come alone,
// since nothing else can be judged beside them: a file that is too large, is not JSON in UTF-8 or is
// nested too deep or has too
// many values, and a schema that is not known; take is not called then.
func Check[T any](f Format, name string, content []byte, take func(*Checker, *Node) T) (*T, []Problem) {
	c := &Checker{file: name, content: content}
	to := check(c, f, take)
	if len(c.places) > 0 {
		return nil, c.problems()
	}
	return &to, nil
}

func check[T any](c *Checker, f Format, take func(*Checker, *Node) T) (to T) {
	if len(c.content) > f.MaxBytes {
		c.add(place{at: -1, message: fmt.Sprintf("is larger than %d bytes, the most that the file of %s may have", f.MaxBytes, f.Noun)})
		return to
	}
	var root *Node
	err := checkSyntax(c.content, f.Noun)
	if err == nil {
		root, err = parse(c.content, f, c.add)
	}
	if err != nil {
		c.places = nil // what was found before may follow from it
		c.add(placeOf(err))
		return to
	}
	if n := root.Get("schema"); n != nil && n.Kind == Number && f.Schema > 0 {
		if v, err := strconv.ParseInt(n.Text, 10, 64); err == nil && v > f.Schema {
			c.places = nil
			c.Refuse(n, "%d is not known; this version of casepress reads schema %d", v, f.Schema)
			return to
		}
	}
	return take(c, root)
}

// Checker collects the problems of one file.
type Checker struct {
	file    string
	content []byte
	places  []place
}

// File is the path of the file as it was given.
func (c *Checker) File() string { return c.file }

// Clean reports whether no problem was found so far.
func (c *Checker) Clean() bool { return len(c.places) == 0 }

func placeOf(err error) place {
	var p place
	if errors.As(err, &p) {
		return p
	}
	return place{message: err.Error()}
}

func (c *Checker) add(p place) { c.places = append(c.places, p) }

const maxProblems = 100 // of one file

// problems returns what was found, in the order of the file.
func (c *Checker) problems() []Problem {
	slices.SortStableFunc(c.places, func(a, b place) int { return cmp.Compare(a.at, b.at) })
	var all []Problem
	for _, p := range c.places[:min(len(c.places), maxProblems)] {
		path, detail := p.shownPath(), p.detail(c.content)
		problem := Problem{Pointer: p.pointer(), File: c.file, Message: p.text(path, detail), Detail: detail, path: path}
		if p.at >= 0 {
			problem.Line, problem.Column = lineAndColumn(c.content, p.at)
		}
		all = append(all, problem)
	}
	if more := len(c.places) - maxProblems; more > 0 {
		message := fmt.Sprintf("and %d more problems", more)
		all = append(all, Problem{File: c.file, Message: message, Detail: message})
	}
	return all
}

// Refuse notes a problem of a value.
func (c *Checker) Refuse(n *Node, format string, args ...any) {
	c.add(place{at: n.at, in: n, message: fmt.Sprintf(format, args...)})
}

// RefuseMissing notes that an object lacks a member; want is what to write.
func (c *Checker) RefuseMissing(n *Node, name, want string) {
	c.add(place{at: n.at, in: n, name: name, first: missing, message: "is missing; give " + want})
}

// Content returns the bytes of a value exactly as they stand in the file.
func (c *Checker) Content(n *Node) []byte { return c.content[n.at:n.end] }

// RefuseWithin notes problems that another [Check] has found in the [Checker.Content] of a value, as problems of the file.
func (c *Checker) RefuseWithin(n *Node, problems []Problem) {
	for _, p := range problems {
		joint := ": "
		if p.path != "" {
			joint = "." // the message begins with it
		}
		c.add(place{at: n.at + offset(c.Content(n), p.Line, p.Column), message: n.path() + joint + p.Message})
	}
}

// offset is where a line and a column are, which are counted from 1, columns in characters.
func offset(content []byte, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		at += bytes.IndexByte(content[at:], '\n') + 1
	}
	for ; column > 1; column-- {
		_, size := utf8.DecodeRune(content[at:])
		at += size
	}
	return at
}

// Is reports whether a value has a type, and refuses it otherwise; want says what it should be.
func (c *Checker) Is(n *Node, k Kind, want string) bool {
	if n.Kind != k {
		c.Refuse(n, "must be %s, not %s", want, n.Kind)
	}
	return n.Kind == k
}

// Members reads an object by a table of its members. It refuses those that the table does not have,
// and objects without those that the table requires.
func Members[T any](c *Checker, n *Node, table []Member[T]) (to T) {
	if !c.Is(n, Object, "an object") {
		return to
	}
	var misspelled map[string]bool // are not missing too
	known := ""
	for _, e := range n.Entries {
		if slices.ContainsFunc(table, func(m Member[T]) bool { return m.Name == e.Name }) {
			continue
		}
		if known == "" {
			known = "unknown member; known are " + strings.Join(namesOf(table), ", ")
		}
		message := known
		if name := inOtherCase(table, e.Name); name != "" {
			message = fmt.Sprintf("unknown member; write %q", name)
			if misspelled == nil {
				misspelled = map[string]bool{}
			}
			misspelled[name] = true
		}
		c.add(place{at: e.at, in: n, name: e.Name, message: message})
	}
	for _, m := range table {
		switch value := n.Get(m.Name); {
		case value != nil:
			m.Take(c, value, &to)
		case m.Required && !misspelled[m.Name]:
			c.RefuseMissing(n, m.Name, m.Want)
		}
	}
	return to
}

// inOtherCase returns the name in the table that differs from a wrong one in case alone, or "".
func inOtherCase[T any](table []Member[T], wrong string) string {
	for _, m := range table {
		if strings.EqualFold(m.Name, wrong) {
			return m.Name
		}
	}
	return ""
}

func namesOf[T any](table []Member[T]) []string {
	names := make([]string, len(table))
	for i, m := range table {
		names[i] = m.Name
	}
	return names
}

// List reads an array of 1 to most items. Of an array that is too long no item is read.
func List[T any](c *Checker, n *Node, most int, take func(*Node) T) (all []T) {
	if !c.Is(n, Array, "an array") {
		return nil
	}
	if len(n.Items) == 0 || len(n.Items) > most {
		c.Refuse(n, "has %d items; it must have 1 to %d", len(n.Items), most)
		return nil
	}
	for _, item := range n.Items {
		all = append(all, take(item))
	}
	return all
}

// Unique refuses items whose key has come before, also in other case. Keys that are empty were
// refused already.
func (c *Checker) Unique(items []*Node, keys []string) {
	before := map[string]int{}
	for i, key := range keys {
		folded := strings.ToLower(key)
		if first, twice := before[folded]; twice && key != "" {
			c.Refuse(items[i], "%q was listed before, as %q in item [%d]; upper and lower case make no difference; keep one", key, keys[first], first)
			continue
		}
		before[folded] = i
	}
}

// Integer reads a whole number.
func (c *Checker) Integer(n *Node, least, most int64) int64 {
	want := fmt.Sprintf("a whole number from %d to %d, without a fraction or exponent", least, most)
	if least == most {
		want = strconv.FormatInt(least, 10)
	}
	if !c.Is(n, Number, want) {
		return 0
	}
	// ParseInt takes "-0" too.
	v, err := strconv.ParseInt(n.Text, 10, 64)
	if err != nil || v < least || v > most || strconv.FormatInt(v, 10) != n.Text {
		c.Refuse(n, "must be %s, not %s", want, Shown(n.Text))
		return 0
	}
	return v
}

// Decimal reads a number exactly, as it is written: up to 9 digits before the point and up to 9 after
// it, without exponent. It returns 0 for what it refuses.
func (c *Checker) Decimal(n *Node) *big.Rat {
	const want = "a number of up to 9 digits before the point and 9 after it, without an exponent"
	if !c.Is(n, Number, want) {
		return new(big.Rat)
	}
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(n.Text, "-"), ".")
	if len(whole) > 9 || len(fraction) > 9 || strings.ContainsAny(n.Text, "eE") {
		c.Refuse(n, "must be %s, not %s", want, Shown(n.Text))
		return new(big.Rat)
	}
	v, ok := new(big.Rat).SetString(n.Text)
	if !ok { // JSON has no other numbers
		c.Refuse(n, "must be %s, not %s", want, Shown(n.Text))
		return new(big.Rat)
	}
	return v
}

// Choice reads one of a few words.
func (c *Checker) Choice(n *Node, words ...string) string {
	want := "one of " + strings.Join(words, ", ")
	if len(words) == 1 {
		want = strconv.Quote(words[0])
	}
	if !c.Is(n, String, want) {
		return ""
	}
	if !slices.Contains(words, n.Text) {
		c.Refuse(n, "must be %s, not %s", want, Quoted(n.Text))
		return ""
	}
	return n.Text
}

// Line reads one line of text, of 1 to most characters.
func (c *Checker) Line(n *Node, most int) string {
	if !c.Is(n, String, fmt.Sprintf("a line of 1 to %d characters", most)) {
		return ""
	}
	control := func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
	switch length := utf8.RuneCountInString(n.Text); {
	case length == 0 || length > most:
		c.Refuse(n, "has %d characters; it must have 1 to %d", length, most)
	case strings.ContainsFunc(n.Text, control):
		c.Refuse(n, "must be one line without control characters such as tabs and line ends")
	case strings.TrimSpace(n.Text) != n.Text:
		c.Refuse(n, "must not begin or end with a blank")
	}
	return n.Text
}

// Text reads a text of 1 to most characters that may have several lines, and returns it with every kind of line end as \n.
func (c *Checker) Text(n *Node, most int) string {
	if !c.Is(n, String, fmt.Sprintf("a text of 1 to %d characters", most)) {
		return ""
	}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(n.Text)
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	switch length := utf8.RuneCountInString(text); {
	case length == 0 || length > most:
		c.Refuse(n, "has %d characters; it must have 1 to %d", length, most)
	case strings.ContainsFunc(text, control):
		c.Refuse(n, "must have no control characters but line ends and tabs")
	case strings.TrimSpace(text) == "":
		c.Refuse(n, "is blank; write something")
	}
	return text
}

// MaxID is how many bytes an id may have.
const MaxID = 64

const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// ValidID reports whether id is in the form that ids in files have: 1 to 64 of A-Z a-z 0-9 . _ -, but
// neither "." nor "..", which mean something else in paths and addresses.
func ValidID(id string) bool {
	return id != "" && len(id) <= MaxID && id != "." && id != ".." && strings.Trim(id, idCharacters) == ""
}

// ID reads an id in the form of [ValidID].
func (c *Checker) ID(n *Node) string {
	const want = `1 to 64 of A-Z a-z 0-9 . _ -, but neither "." nor ".."`
	if n.Kind == Number && ValidID(n.Text) {
		c.Refuse(n, "must be %s, not a number; write %q in quotes", want, n.Text)
		return ""
	}
	if !c.Is(n, String, want) {
		return ""
	}
	if !ValidID(n.Text) {
		c.Refuse(n, "must be %s, not %s", want, Quoted(n.Text))
		return ""
	}
	return n.Text
}

// Language reads a BCP 47 tag in canonical form.
func (c *Checker) Language(n *Node) string {
	const want = `a BCP 47 language tag such as "en" or "zh-CN"`
	if !c.Is(n, String, want) {
		return ""
	}
	switch tag, ok := languageTag(n.Text); {
	case !ok:
		c.Refuse(n, "must be %s, not %s", want, Quoted(n.Text))
		return ""
	case tag != n.Text:
		c.Refuse(n, "is %q; write %q", n.Text, tag)
		return ""
	}
	return n.Text
}

// languageTag returns a BCP 47 tag in canonical form.
func languageTag(s string) (string, bool) {
	const most = 35 // characters, which RFC 5646 says suffice
	tag, err := language.Raw.Parse(s)
	if len(s) > most || err != nil || tag.IsRoot() || len(tag.Extensions()) > 0 {
		return "", false
	}
	return tag.String(), true
}

// Texts reads an object that has a line of 1 to most characters by language. Each name is a BCP 47 tag
// in canonical form.
func (c *Checker) Texts(n *Node, most int) map[string]string {
	if !c.Is(n, Object, `an object with a text by language, such as {"en": "…"}`) {
		return nil
	}
	if len(n.Entries) == 0 {
		c.Refuse(n, `has no text; give one by language, such as {"en": "…"}`)
	}
	texts := make(map[string]string, len(n.Entries))
	for _, e := range n.Entries {
		switch tag, ok := languageTag(e.Name); {
		case !ok:
			c.add(place{at: e.at, in: n, name: e.Name, message: `is not a BCP 47 language tag; write one such as "en" or "zh-CN"`})
		case tag != e.Name:
			c.add(place{at: e.at, in: n, name: e.Name, message: fmt.Sprintf("is not in canonical form; write %q", tag)})
		}
		texts[e.Name] = c.Line(e.Value, most)
	}
	return texts
}
