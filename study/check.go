package study

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// studyMembers are the members of a study's file. A new one is a line here and a field of [Study], a
// property in docs/study.schema.json and a row in docs/study.md.
var studyMembers = []member[Study]{
	{"schema", required, "1", func(c *checker, n *node, _ *Study) { c.integer(n, schema, schema) }},
	{"id", required, "the id of the study, as in the name of the file", func(c *checker, n *node, s *Study) { s.ID = c.fileID(n) }},
	{"version", required, "a whole number from 1", func(c *checker, n *node, s *Study) { s.Version = c.integer(n, 1, maxVersion) }},
	{"title", required, "one line for people", func(c *checker, n *node, s *Study) { s.Title = c.line(n, maxTitle) }},
	{"languages", required, `language tags such as ["en", "zh-CN"]`, func(c *checker, n *node, s *Study) {
		s.Languages = list(c, n, maxLanguages, c.language)
		c.unique(n.items, s.Languages)
	}},
	{"sites", optional, `the sites that take part, or no such member if any site is taken`, func(c *checker, n *node, s *Study) {
		s.Sites = list(c, n, maxSites, func(n *node) Site { return members(c, n, siteMembers) })
		ids := make([]string, len(s.Sites))
		s.sites = make(map[string]bool, len(s.Sites))
		for i, site := range s.Sites {
			ids[i], s.sites[site.ID] = site.ID, true
		}
		c.unique(n.items, ids)
	}},
}

var siteMembers = []member[Site]{
	{"id", required, "the id of the site", func(c *checker, n *node, s *Site) { s.ID = c.id(n) }},
	{"title", required, "one line for people", func(c *checker, n *node, s *Site) { s.Title = c.line(n, maxTitle) }},
}

// member is a member of an object that becomes a T.
type member[T any] struct {
	name     string
	presence presence
	want     string // what to write, said where it is missing
	take     func(c *checker, n *node, to *T)
}

type presence bool

const (
	required presence = true
	optional presence = false
)

// Check reads the content of a file. name is its path, which problems repeat and which must end in
// the id and ".json". It returns the study if there are no problems, and otherwise the problems in
// the order of the file, at most 100 and then a last one that counts the others. Some problems come
// alone, since nothing else can be judged beside them: a file that is too large, is not JSON in UTF-8
// or is nested too deep, and a schema that is not known.
func Check(name string, content []byte) (*Study, []Problem) {
	c := &checker{file: name, content: content}
	s := c.study()
	if len(c.places) > 0 {
		return nil, c.problems()
	}
	s.SHA256 = digest(content)
	return &s, nil
}

// checker collects the problems of one file.
type checker struct {
	file    string
	content []byte
	places  []place
}

func (c *checker) study() (s Study) {
	if len(c.content) > MaxBytes {
		c.add(place{at: -1, message: fmt.Sprintf("is larger than %d bytes, the most that the file of a study may have", MaxBytes)})
		return s
	}
	var root *node
	err := checkSyntax(c.content)
	if err == nil {
		root, err = parse(c.content, c.add)
	}
	if err != nil {
		c.places = nil // what was found before may follow from it
		c.add(placeOf(err))
		return s
	}
	if n := root.get("schema"); n != nil && n.kind == number {
		if v, err := strconv.ParseInt(n.text, 10, 64); err == nil && v > schema {
			c.places = nil
			c.refuse(n, "%d is not known; this version of casepress reads schema %d", v, schema)
			return s
		}
	}
	return members(c, root, studyMembers)
}

func placeOf(err error) place {
	var p place
	if errors.As(err, &p) {
		return p
	}
	return place{message: err.Error()}
}

func (c *checker) add(p place) { c.places = append(c.places, p) }

const maxProblems = 100 // of one file

// problems returns what was found, in the order of the file.
func (c *checker) problems() []Problem {
	slices.SortStableFunc(c.places, func(a, b place) int { return cmp.Compare(a.at, b.at) })
	var all []Problem
	for _, p := range c.places[:min(len(c.places), maxProblems)] {
		problem := Problem{File: c.file, Message: p.text(c.content)}
		if p.at >= 0 {
			problem.Line, problem.Column = lineAndColumn(c.content, p.at)
		}
		all = append(all, problem)
	}
	if more := len(c.places) - maxProblems; more > 0 {
		all = append(all, Problem{File: c.file, Message: fmt.Sprintf("and %d more problems", more)})
	}
	return all
}

// refuse notes a problem of a value.
func (c *checker) refuse(n *node, format string, args ...any) {
	c.add(place{at: n.at, in: n, message: fmt.Sprintf(format, args...)})
}

// is reports whether a value has a type, and refuses it otherwise; want says what it should be.
func (c *checker) is(n *node, k kind, want string) bool {
	if n.kind != k {
		c.refuse(n, "must be %s, not %s", want, n.kind)
	}
	return n.kind == k
}

// members reads an object by a table of its members. It refuses those that the table does not have,
// and objects without those that the table requires.
func members[T any](c *checker, n *node, table []member[T]) (to T) {
	if !c.is(n, object, "an object") {
		return to
	}
	var known []string
	for _, m := range table {
		known = append(known, m.name)
	}
	misspelled := map[string]bool{} // are not missing too
	for _, m := range n.members {
		if slices.Contains(known, m.name) {
			continue
		}
		right := "known are " + strings.Join(known, ", ")
		if i := slices.IndexFunc(known, func(name string) bool { return strings.EqualFold(name, m.name) }); i >= 0 {
			right = fmt.Sprintf("write %q", known[i])
			misspelled[known[i]] = true
		}
		c.add(place{at: m.at, in: n, name: m.name, message: "unknown member; " + right})
	}
	for _, m := range table {
		switch value := n.get(m.name); {
		case value != nil:
			m.take(c, value, &to)
		case m.presence == required && !misspelled[m.name]:
			c.refuse(n, "%q is missing; give %s", m.name, m.want)
		}
	}
	return to
}

// list reads an array of 1 to most items.
func list[T any](c *checker, n *node, most int, take func(*node) T) (all []T) {
	if !c.is(n, array, "an array") {
		return nil
	}
	if len(n.items) == 0 || len(n.items) > most {
		c.refuse(n, "has %d items; it must have 1 to %d", len(n.items), most)
		return nil
	}
	for _, item := range n.items {
		all = append(all, take(item))
	}
	return all
}

// unique refuses items whose key has come before, also in other case. Keys that are empty were
// refused already.
func (c *checker) unique(items []*node, keys []string) {
	before := map[string]int{}
	for i, key := range keys {
		folded := strings.ToLower(key)
		if first, twice := before[folded]; twice && key != "" {
			c.refuse(items[i], "%q was listed before, as %q in item [%d]; upper and lower case make no difference; keep one", key, keys[first], first)
			continue
		}
		before[folded] = i
	}
}

// integer reads a whole number.
func (c *checker) integer(n *node, least, most int64) int64 {
	want := fmt.Sprintf("a whole number from %d to %d, without a fraction or exponent", least, most)
	if least == most {
		want = strconv.FormatInt(least, 10)
	}
	if !c.is(n, number, want) {
		return 0
	}
	// ParseInt takes "-0" too.
	v, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil || v < least || v > most || strconv.FormatInt(v, 10) != n.text {
		c.refuse(n, "must be %s, not %s", want, shown(n.text))
		return 0
	}
	return v
}

// line reads one line of text.
func (c *checker) line(n *node, most int) string {
	if !c.is(n, text, fmt.Sprintf("a line of 1 to %d characters", most)) {
		return ""
	}
	control := func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
	switch length := utf8.RuneCountInString(n.text); {
	case length == 0 || length > most:
		c.refuse(n, "has %d characters; it must have 1 to %d", length, most)
	case strings.ContainsFunc(n.text, control):
		c.refuse(n, "must be one line without control characters such as tabs and line ends")
	case strings.TrimSpace(n.text) != n.text:
		c.refuse(n, "must not begin or end with a blank")
	}
	return n.text
}

// id reads the id of a study or a site.
func (c *checker) id(n *node) string {
	const want = `1 to 64 of A-Z a-z 0-9 . _ -, but neither "." nor ".."`
	if !c.is(n, text, want) {
		return ""
	}
	if !ValidID(n.text) {
		c.refuse(n, "must be %s, not %s", want, quoted(n.text))
		return ""
	}
	return n.text
}

// fileID reads the id of the file's study, which is also the file's name.
func (c *checker) fileID(n *node) string {
	id := c.id(n)
	if base := filepath.Base(c.file); id != "" && base != id+extension {
		c.refuse(n, "is %q, so the file must be named %s, not %s", id, id+extension, shown(base))
	}
	return id
}

// language reads a BCP 47 tag in canonical form.
func (c *checker) language(n *node) string {
	const want = `a BCP 47 language tag such as "en" or "zh-CN"`
	if !c.is(n, text, want) {
		return ""
	}
	const most = 35 // characters, which RFC 5646 says suffice
	tag, err := language.Raw.Parse(n.text)
	switch {
	case len(n.text) > most || err != nil || tag.IsRoot() || len(tag.Extensions()) > 0:
		c.refuse(n, "must be %s, not %s", want, quoted(n.text))
		return ""
	case tag.String() != n.text:
		c.refuse(n, "is %q; write %q", n.text, tag)
		return ""
	}
	return n.text
}
