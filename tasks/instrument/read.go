package instrument

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"casepress/jsonfile"
)

type (
	checker = jsonfile.Checker
	node    = jsonfile.Node
)

var format = jsonfile.Format{Noun: "an instrument", MaxBytes: MaxBytes, Schema: schema}

// Check reads the content of a file. name is its path, which problems repeat. It returns the
// definition if there are no problems, and otherwise the problems as [jsonfile.Check] does.
func Check(name string, content []byte) (*Definition, []jsonfile.Problem) {
	d, problems := jsonfile.Check(format, name, content, func(c *checker, root *node) Definition {
		f := jsonfile.Members(c, root, fileMembers)
		if c.Clean() { // what is left to check would only repeat what is wrong already
			f.resolve(c)
		}
		return f.Definition
	})
	if d != nil {
		sum := sha256.Sum256(content)
		d.SHA256 = hex.EncodeToString(sum[:])
		d.Content = slices.Clone(content)
	}
	return d, problems
}

// file is what a file says before ids are looked up.
type file struct {
	Definition
	atTitle *node
	sets    []optionSet
	items   []fileItem
	grids   []fileGrid
	scores  []fileScore
	flags   []fileFlag
}

type optionSet struct {
	id      string
	options []Option
	weights []*number // as written; nil where the value is the weight
	at      *node
	atEach  []*node
}

type fileItem struct {
	Item
	options   string
	atOptions *node
	atLinkID  *node
	notAsked  *number
	atAsked   *node
	at        *node
}

type fileGrid struct {
	id string
	at *node
	// values is a value, or a list of values, as deep as the grid has items.
	values *node
	read   *grid // nil until a score needs it
}

type fileScore struct {
	ScoreRule
	at, atItems, atOp, atRange, atBands *node
	max                                 *node // of missing
	atMissing                           *node
	grid                                string
	atGrid                              *node
	atLeast                             *number
	atAtLeast, atExceptions, atOneOf    *node
	exceptions                          []exception
	oneOf                               []string
	atRescale, atConvert                *node
	table                               [][2]number
	atTable                             *node
	rng                                 [2]number
}

type exception struct {
	item    string
	atLeast number
}

type fileFlag struct {
	Flag
	at, atItem, atScore *node
}

// fileMembers are the members of a definition's file. A new one here or below is a row in
// docs/instruments.md, too.
var fileMembers = []jsonfile.Member[file]{
	jsonfile.Required("schema", "1", func(c *checker, n *node, _ *file) { c.Integer(n, schema, schema) }),
	jsonfile.Required("id", `the id of the instrument, such as "phq-9"`, func(c *checker, n *node, f *file) { f.ID = c.ID(n) }),
	jsonfile.Required("version", `a whole number from "1" in quotes`, func(c *checker, n *node, f *file) { f.Version = version(c, n) }),
	jsonfile.Required("title", `the name by language, such as {"en": "…"}`, func(c *checker, n *node, f *file) { f.Title, f.atTitle = c.Texts(n, maxText), n }),
	jsonfile.Optional("languages", func(c *checker, n *node, f *file) {
		f.Languages = jsonfile.List(c, n, maxLanguages, c.Language)
		c.Unique(n.Items, f.Languages)
	}),
	jsonfile.Optional("instruction", func(c *checker, n *node, f *file) {
		f.Instruction = c.Texts(n, maxText)
		f.wording(c, n, f.Instruction)
	}),
	jsonfile.Optional("codes", func(c *checker, n *node, f *file) { f.Codes = codes(c, n) }),
	jsonfile.Required("copyright", `the lines that must be printed, such as ["Copyright …"]`, func(c *checker, n *node, f *file) { f.Copyright = lines(c, n) }),
	jsonfile.Required("licence", "what may be done with the instrument", func(c *checker, n *node, f *file) { f.Licence = c.Line(n, maxText) }),
	jsonfile.Required("source", "where the wording and the rules come from", func(c *checker, n *node, f *file) { f.Source = lines(c, n) }),
	jsonfile.Required("optionSets", "the sets of options that items choose from", func(c *checker, n *node, f *file) {
		f.sets = jsonfile.List(c, n, maxSets, func(n *node) optionSet {
			s := jsonfile.Members(c, n, setMembers)
			s.at = n
			for i, o := range s.options {
				f.wording(c, s.atEach[i], o.Text)
			}
			return s
		})
		c.Unique(n.Items, ids(f.sets, func(s optionSet) string { return s.id }))
	}),
	jsonfile.Required("items", "the questions", func(c *checker, n *node, f *file) {
		f.items = jsonfile.List(c, n, maxItems, func(n *node) fileItem {
			it := jsonfile.Members(c, n, itemMembers)
			it.at = n
			f.wording(c, n, it.Text)
			return it
		})
		c.Unique(n.Items, ids(f.items, func(it fileItem) string { return it.ID }))
	}),
	jsonfile.Optional("grids", func(c *checker, n *node, f *file) {
		f.grids = jsonfile.List(c, n, maxGrids, func(n *node) fileGrid {
			g := jsonfile.Members(c, n, gridMembers)
			g.at = n
			return g
		})
		c.Unique(n.Items, ids(f.grids, func(g fileGrid) string { return g.id }))
	}),
	jsonfile.Required("scores", "the scores", func(c *checker, n *node, f *file) {
		f.scores = jsonfile.List(c, n, maxScores, func(n *node) fileScore {
			s := jsonfile.Members(c, n, scoreMembers)
			s.at = n
			f.complete(c, n, s.Title)
			return s
		})
		c.Unique(n.Items, ids(f.scores, func(s fileScore) string { return s.ID }))
	}),
	jsonfile.Optional("flags", func(c *checker, n *node, f *file) {
		f.flags = jsonfile.List(c, n, maxFlags, func(n *node) fileFlag {
			fl := jsonfile.Members(c, n, flagMembers)
			fl.at = n
			f.complete(c, n, fl.Text)
			return fl
		})
		c.Unique(n.Items, ids(f.flags, func(fl fileFlag) string { return fl.Code }))
	}),
}

var setMembers = []jsonfile.Member[optionSet]{
	jsonfile.Required("id", "the id of the set", func(c *checker, n *node, s *optionSet) { s.id = c.ID(n) }),
	jsonfile.Required("options", "the options", func(c *checker, n *node, s *optionSet) {
		all := jsonfile.List(c, n, maxOptions, func(n *node) fileOption { return jsonfile.Members(c, n, optionMembers) })
		s.atEach = n.Items
		before := map[int64]bool{}
		for i, o := range all {
			if before[o.Value] && o.valued {
				c.Refuse(n.Items[i], "the value %d was listed before; give each option a value of its own", o.Value)
			}
			before[o.Value] = true
			s.options, s.weights = append(s.options, o.Option), append(s.weights, o.weight)
		}
	}),
}

type fileOption struct {
	Option
	weight *number
	valued bool
}

var optionMembers = []jsonfile.Member[fileOption]{
	jsonfile.Required("value", "a whole number, by which answers name the option", func(c *checker, n *node, o *fileOption) {
		o.Value = c.Integer(n, -maxValue, maxValue)
		o.valued = strconv.FormatInt(o.Value, 10) == n.Text // 0 also stands for what was refused
	}),
	jsonfile.Optional("weight", func(c *checker, n *node, o *fileOption) { o.weight = decimalOf(c, n) }),
	jsonfile.Optional("text", func(c *checker, n *node, o *fileOption) { o.Text = c.Texts(n, maxText) }),
	jsonfile.Optional("codes", func(c *checker, n *node, o *fileOption) { o.Codes = codes(c, n) }),
}

var itemMembers = []jsonfile.Member[fileItem]{
	jsonfile.Required("id", "the number on the paper form", func(c *checker, n *node, it *fileItem) { it.ID = c.ID(n) }),
	jsonfile.Optional("linkId", func(c *checker, n *node, it *fileItem) { it.LinkID, it.atLinkID = c.Line(n, 255), n }),
	jsonfile.Optional("codes", func(c *checker, n *node, it *fileItem) { it.Codes = codes(c, n) }),
	jsonfile.Required("options", "the id of a set of options", func(c *checker, n *node, it *fileItem) { it.options, it.atOptions = c.ID(n), n }),
	jsonfile.Optional("notAsked", func(c *checker, n *node, it *fileItem) { it.notAsked, it.atAsked = decimalOf(c, n), n }),
	jsonfile.Optional("text", func(c *checker, n *node, it *fileItem) { it.Text = c.Texts(n, maxText) }),
}

var gridMembers = []jsonfile.Member[fileGrid]{
	jsonfile.Required("id", "the id of the grid", func(c *checker, n *node, g *fileGrid) { g.id = c.ID(n) }),
	jsonfile.Required("values", "a list for each weight of the first item", func(c *checker, n *node, g *fileGrid) { g.values = n }),
}

var scoreMembers = []jsonfile.Member[fileScore]{
	jsonfile.Required("id", "the id of the score", func(c *checker, n *node, s *fileScore) { s.ID = c.ID(n) }),
	jsonfile.Required("title", `the name by language, such as {"en": "…"}`, func(c *checker, n *node, s *fileScore) { s.Title = c.Texts(n, maxText) }),
	jsonfile.Optional("codes", func(c *checker, n *node, s *fileScore) { s.Codes = codes(c, n) }),
	jsonfile.Required("op", "sum, mean, count or grid", func(c *checker, n *node, s *fileScore) {
		s.op, s.atOp = c.Choice(n, opSum, opMean, opCount, opGrid), n
	}),
	jsonfile.Required("items", "the ids of its items", func(c *checker, n *node, s *fileScore) {
		s.Items, s.atItems = jsonfile.List(c, n, maxItems, c.ID), n
		c.Unique(n.Items, s.Items)
	}),
	jsonfile.Required("missing", `what becomes of missing answers, such as {"method": "none"}`, func(c *checker, n *node, s *fileScore) {
		m := jsonfile.Members(c, n, missingMembers)
		s.missing, s.max, s.atMissing = m.missing, m.max, n
	}),
	jsonfile.Optional("atLeast", func(c *checker, n *node, s *fileScore) { s.atLeast, s.atAtLeast = decimalOf(c, n), n }),
	jsonfile.Optional("exceptions", func(c *checker, n *node, s *fileScore) {
		s.exceptions = jsonfile.List(c, n, maxItems, func(n *node) exception { return jsonfile.Members(c, n, exceptionMembers) })
		s.atExceptions = n
		c.Unique(n.Items, ids(s.exceptions, func(e exception) string { return e.item }))
	}),
	jsonfile.Optional("oneOf", func(c *checker, n *node, s *fileScore) {
		s.oneOf, s.atOneOf = jsonfile.List(c, n, maxItems, c.ID), n
		c.Unique(n.Items, s.oneOf)
	}),
	jsonfile.Optional("grid", func(c *checker, n *node, s *fileScore) { s.grid, s.atGrid = c.ID(n), n }),
	jsonfile.Optional("rescale", func(c *checker, n *node, s *fileScore) {
		r := jsonfile.Members(c, n, rescaleMembers)
		if c.Clean() && r.from[0].cmp(r.from[1]) == 0 {
			c.Refuse(n, `"from" has the same number twice; give two that differ`)
		}
		s.rescale, s.atRescale = &r, n
	}),
	jsonfile.Optional("convert", func(c *checker, n *node, s *fileScore) {
		t := jsonfile.Members(c, n, convertMembers)
		s.convert, s.table, s.atTable, s.atConvert = &convert{round: t.round}, t.table, n.Get("table"), n
	}),
	jsonfile.Optional("round", func(c *checker, n *node, s *fileScore) { s.round = jsonfile.Members(c, n, roundMembers) }),
	jsonfile.Required("range", "the smallest and the largest value, such as [0, 27]", func(c *checker, n *node, s *fileScore) { s.rng, s.atRange = pair(c, n), n }),
	jsonfile.Optional("bands", func(c *checker, n *node, s *fileScore) {
		all := jsonfile.List(c, n, maxBands, func(n *node) Band { return jsonfile.Members(c, n, bandMembers) })
		s.Bands, s.atBands = all, n
		c.Unique(n.Items, ids(all, func(b Band) string { return b.Code }))
	}),
}

type fileMissing struct {
	missing
	max *node
}

var missingMembers = []jsonfile.Member[fileMissing]{
	jsonfile.Required("method", "none, person-mean, zero or branch", func(c *checker, n *node, m *fileMissing) {
		m.method = c.Choice(n, missingNone, missingPersonMean, missingZero, missingBranch)
	}),
	jsonfile.Optional("max", func(c *checker, n *node, m *fileMissing) {
		m.max = n
		if n.Kind == jsonfile.String {
			m.half = c.Choice(n, "half") != ""
			return
		}
		m.most = int(c.Integer(n, 1, maxItems))
	}),
}

var exceptionMembers = []jsonfile.Member[exception]{
	jsonfile.Required("item", "the id of an item of the score", func(c *checker, n *node, e *exception) { e.item = c.ID(n) }),
	jsonfile.Required("atLeast", "the weight from which on this item counts", func(c *checker, n *node, e *exception) { e.atLeast = *decimalOf(c, n) }),
}

var rescaleMembers = []jsonfile.Member[rescale]{
	jsonfile.Required("from", "two numbers, such as [1, 4]", func(c *checker, n *node, r *rescale) { r.from = pair(c, n) }),
	jsonfile.Required("to", "what these two become, such as [0, 100]", func(c *checker, n *node, r *rescale) { r.to = pair(c, n) }),
}

type fileConvert struct {
	round rounding
	table [][2]number
}

var convertMembers = []jsonfile.Member[fileConvert]{
	jsonfile.Required("round", "how the raw score is rounded to a whole number: half-up, half-even or ceil", func(c *checker, n *node, t *fileConvert) {
		t.round.method = c.Choice(n, halfUp, halfEven, ceil)
	}),
	jsonfile.Required("table", "a pair of raw score and value for each raw score, such as [[8, 37.1], [9, 41.2]]", func(c *checker, n *node, t *fileConvert) {
		t.table = jsonfile.List(c, n, maxCells, func(n *node) [2]number { return pair(c, n) })
	}),
}

var roundMembers = []jsonfile.Member[rounding]{
	jsonfile.Required("method", "half-up, half-even or ceil", func(c *checker, n *node, r *rounding) { r.method = c.Choice(n, halfUp, halfEven, ceil) }),
	jsonfile.Required("places", "how many digits stand after the point", func(c *checker, n *node, r *rounding) { r.places = int(c.Integer(n, 0, maxPlaces)) }),
}

var bandMembers = []jsonfile.Member[Band]{
	jsonfile.Required("code", "the band's name for programs", func(c *checker, n *node, b *Band) { b.Code = c.ID(n) }),
	jsonfile.Required("from", "the band's first value", func(c *checker, n *node, b *Band) { b.from = *decimalOf(c, n); b.From = b.from.decimal() }),
	jsonfile.Required("to", "the band's last value", func(c *checker, n *node, b *Band) { b.to = *decimalOf(c, n); b.To = b.to.decimal() }),
	jsonfile.Required("text", `the band's name by language, such as {"en": "…"}`, func(c *checker, n *node, b *Band) { b.Text = c.Texts(n, maxText) }),
}

var flagMembers = []jsonfile.Member[fileFlag]{
	jsonfile.Required("code", "the flag's name for programs", func(c *checker, n *node, f *fileFlag) { f.Code = c.ID(n) }),
	jsonfile.Optional("item", func(c *checker, n *node, f *fileFlag) { f.Item, f.atItem = c.ID(n), n }),
	jsonfile.Optional("score", func(c *checker, n *node, f *fileFlag) { f.Score, f.atScore = c.ID(n), n }),
	jsonfile.Optional("atLeast", func(c *checker, n *node, f *fileFlag) { f.atLeast = decimalOf(c, n) }),
	jsonfile.Optional("atMost", func(c *checker, n *node, f *fileFlag) { f.atMost = decimalOf(c, n) }),
	jsonfile.Required("urgent", "true if somebody must look at once, or else false", func(c *checker, n *node, f *fileFlag) {
		if c.Is(n, jsonfile.Boolean, "true or false") {
			f.Urgent = n.Text == "true"
		}
	}),
	jsonfile.Required("text", `what was found, by language, such as {"en": "…"}`, func(c *checker, n *node, f *fileFlag) { f.Text = c.Texts(n, maxText) }),
}

var codeMembers = []jsonfile.Member[Code]{
	jsonfile.Required("system", `the address of the code system, such as "http://loinc.org"`, func(c *checker, n *node, k *Code) { k.System = c.Line(n, 255) }),
	jsonfile.Required("code", "the code", func(c *checker, n *node, k *Code) { k.Code = c.Line(n, 255) }),
}

func codes(c *checker, n *node) []Code {
	return jsonfile.List(c, n, maxCodes, func(n *node) Code { return jsonfile.Members(c, n, codeMembers) })
}

func lines(c *checker, n *node) []string {
	return jsonfile.List(c, n, maxLines, func(n *node) string { return c.Line(n, maxText) })
}

func decimalOf(c *checker, n *node) *number { return &number{c.Decimal(n)} }

// pair reads a list of two numbers.
func pair(c *checker, n *node) [2]number {
	zero := [2]number{whole(0), whole(0)}
	if !c.Is(n, jsonfile.Array, "a list of two numbers") {
		return zero
	}
	if len(n.Items) != 2 {
		c.Refuse(n, "has %d items; it must have two numbers", len(n.Items))
		return zero
	}
	return [2]number{*decimalOf(c, n.Items[0]), *decimalOf(c, n.Items[1])}
}

// version reads a whole number that is written as text.
func version(c *checker, n *node) string {
	const want = `a whole number from "1" to "999999999" in quotes, without leading zeros`
	if !c.Is(n, jsonfile.String, want) {
		return ""
	}
	if s := n.Text; s == "" || len(s) > 9 || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		c.Refuse(n, "must be %s, not %s", want, jsonfile.Quoted(s))
		return ""
	}
	return n.Text
}

func ids[T any](all []T, id func(T) string) []string {
	list := make([]string, len(all))
	for i, one := range all {
		list[i] = id(one)
	}
	return list
}

// complete refuses a text that lacks a language of the instrument.
func (f *file) complete(c *checker, n *node, text Text) {
	for _, lang := range f.Languages {
		if _, ok := text[lang]; !ok && lang != "" {
			c.Refuse(n, "has no text in %q, one of the instrument's languages; add it", lang)
		}
	}
}

// wording refuses wording in other languages than those of the instrument.
func (f *file) wording(c *checker, n *node, text Text) {
	f.complete(c, n, text)
	for _, lang := range slices.Sorted(maps.Keys(text)) {
		if !slices.Contains(f.Languages, lang) {
			c.Refuse(n, "has wording in %q, which is not one of the instrument's languages; add it there when all of the wording is translated", lang)
			return
		}
	}
}
