package instrument

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"casepress/jsonfile"
)

// Answers are a patient's answers by the id of the item. An item that is not there was left
// unanswered.
type Answers map[string]Answer

// Answer is the answer to one item: the value of an option, or that the item was not asked.
type Answer struct {
	// Value is that of the option that was chosen.
	Value int64
	// NotAsked says that the patient was never asked, such as a man whom a form does not ask about his
	// periods. Only an item that [Item.MayBeNotAsked] takes it.
	NotAsked bool
}

// NotAsked is how answers in JSON say that an item was not asked.
const NotAsked = "not-asked"

// Claims are the scores that a client says it has computed, by the id of the score. An empty one is a
// claim that the score cannot be made.
type Claims map[string]Decimal

// Fault says what is wrong with one answer or claim.
type Fault struct {
	// Pointer names it as RFC 6901 does, within the object that was read: "/9". Empty is the whole object.
	Pointer string
	// Detail is an English sentence without its full stop that says what would be right.
	Detail string
}

// Faults are why answers or claims are refused, ordered by pointer; at most 100 of them.
type Faults []Fault

// Error returns the faults, one a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = strings.TrimPrefix(fault.Pointer+": "+fault.Detail, ": ")
	}
	return strings.Join(lines, "\n")
}

const maxFaults = 100

// err returns the faults in order as an error, nil if there are none.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b Fault) int { return strings.Compare(a.Pointer, b.Pointer) })
	return f[:min(len(f), maxFaults)]
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

func pointer(name string) string {
	return "/" + escapePointer.Replace(name)
}

// ReadAnswers reads answers as a client writes them: a JSON object with, for each item, the value of
// an option as a whole number, null or no member at all for an item that was left unanswered, or
// "not-asked". An error is [Faults]: of what is not such an object, an item that comes twice, a value
// of another type (a number as text, too). Whether the instrument has such an item and option,
// [Score] says. How long content may be is up to the caller.
func ReadAnswers(content []byte) (Answers, error) {
	answers := Answers{}
	var faults Faults
	err := readObject(content, func(name string, raw json.RawMessage) {
		answer, given, detail := readAnswer(raw)
		if detail != "" {
			faults = append(faults, Fault{pointer(name), detail})
		} else if given {
			answers[name] = answer
		}
	}, &faults)
	if err != nil {
		return nil, err
	}
	return answers, nil
}

const wantAnswer = "must be the value of an option as a whole number, or null for no answer"

func readAnswer(raw json.RawMessage) (answer Answer, given bool, detail string) {
	const want = wantAnswer
	switch raw[0] {
	case 'n':
		return Answer{}, false, ""
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return Answer{}, false, want
		}
		if s == NotAsked {
			return Answer{NotAsked: true}, true, ""
		}
		if _, err := parseDecimal(s); err == nil {
			return Answer{}, false, want + ": write " + s + " without quotes"
		}
		return Answer{}, false, want + ", not the text " + jsonfile.Quoted(s)
	case '{', '[', 't', 'f':
		return Answer{}, false, want
	}
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || strconv.FormatInt(v, 10) != string(raw) {
		return Answer{}, false, want + ", without fraction or exponent, not " + jsonfile.Shown(string(raw))
	}
	return Answer{Value: v}, true, ""
}

// ReadClaims reads the scores that a client has computed: a JSON object with a number or null for each
// score. An error is [Faults].
func ReadClaims(content []byte) (Claims, error) {
	claims := Claims{}
	var faults Faults
	err := readObject(content, func(name string, raw json.RawMessage) {
		var d Decimal
		if err := d.UnmarshalJSON(raw); err != nil {
			faults = append(faults, Fault{pointer(name), err.Error() + ", or null if there is no score"})
			return
		}
		claims[name] = d
	}, &faults)
	if err != nil {
		return nil, err
	}
	return claims, nil
}

// readObject calls take for each member of a JSON object. It adds faults, and returns all of them as
// an error.
func readObject(content []byte, take func(name string, raw json.RawMessage), faults *Faults) error {
	if !json.Valid(content) {
		return Faults{{"", "must be JSON"}}
	}
	tokens := json.NewDecoder(bytes.NewReader(content))
	if start, err := tokens.Token(); err != nil || start != json.Delim('{') {
		return Faults{{"", "must be an object"}}
	}
	seen := map[string]bool{}
	for tokens.More() {
		name, err := tokens.Token()
		if err != nil {
			return Faults{{"", "must be an object"}}
		}
		var raw json.RawMessage
		if err := tokens.Decode(&raw); err != nil {
			return Faults{{pointer(name.(string)), "must be JSON"}}
		}
		if seen[name.(string)] {
			*faults = append(*faults, Fault{pointer(name.(string)), "comes twice; keep one"})
			continue
		}
		seen[name.(string)] = true
		take(name.(string), raw)
	}
	if _, err := tokens.Token(); err != nil {
		return Faults{{"", "must be an object"}}
	}
	if _, err := tokens.Token(); !errors.Is(err, io.EOF) {
		return Faults{{"", "nothing may follow the object"}}
	}
	return faults.err()
}

// check says which answers the instrument does not have.
func (d *Definition) check(answers Answers) error {
	var faults Faults
	unknown := sync.OnceValue(d.noSuchItem)
	for id, answer := range answers {
		it, ok := d.item(id)
		if !ok {
			faults = append(faults, Fault{pointer(id), unknown()})
			continue
		}
		if answer.NotAsked {
			if !it.MayBeNotAsked {
				faults = append(faults, Fault{pointer(id), "this item is asked of everybody; leave it out if it was not answered"})
			}
			continue
		}
		if _, ok := it.option(answer.Value); !ok {
			faults = append(faults, Fault{pointer(id), fmt.Sprintf("%d is not an option of this item; it has %s", answer.Value, it.values())})
		}
	}
	return faults.err()
}

// UnknownItem says that the instrument has no item of this id, and which it has; "" if it has it.
func (d *Definition) UnknownItem(id string) string {
	if _, ok := d.item(id); ok {
		return ""
	}
	return d.noSuchItem()
}

func (d *Definition) noSuchItem() string {
	return fmt.Sprintf("%s version %s has no such item; it has %s", d.ID, d.Version, d.itemIDs())
}

// itemIDs lists the first items for a message.
func (d *Definition) itemIDs() string {
	ids := make([]string, len(d.Items))
	for i, it := range d.Items {
		ids[i] = it.ID
	}
	return listed(ids)
}

func (it *Item) values() string {
	values := make([]string, len(it.Options))
	for i, o := range it.Options {
		values[i] = strconv.FormatInt(o.Value, 10)
	}
	return listed(values)
}

func listed(words []string) string {
	const most = 20
	if len(words) > most {
		return strings.Join(words[:most], ", ") + fmt.Sprintf(" and %d more", len(words)-most)
	}
	return strings.Join(words, ", ")
}

// Mismatch is a score of a client that is not the one that was computed.
type Mismatch struct {
	// Score is the id of the score.
	Score string `json:"score"`
	// Claimed is what the client said; empty if it said that there is none.
	Claimed Decimal `json:"claimed"`
	// Computed is the rounded value; empty if there is none.
	Computed Decimal `json:"computed"`
	// Reason says why there is no computed value; empty if there is one.
	Reason string `json:"reason,omitempty"`
}

// Compare returns the claims that are not what was computed, ordered by score. A claim may be the
// rounded or the exact value. A claim of a score that the instrument does not have is a mismatch.
func Compare(scored Scored, claims Claims) []Mismatch {
	var all []Mismatch
	for _, id := range slices.Sorted(maps.Keys(claims)) {
		claimed := claims[id]
		i := slices.IndexFunc(scored.Scores, func(r Result) bool { return r.ID == id })
		if i < 0 {
			all = append(all, Mismatch{Score: id, Claimed: claimed, Reason: "the instrument has no such score"})
			continue
		}
		r := scored.Scores[i]
		if !r.is(claimed) {
			all = append(all, Mismatch{Score: id, Claimed: claimed, Computed: r.Value, Reason: r.Reason})
		}
	}
	return all
}

// is reports whether a claim is the rounded or the exact value.
func (r Result) is(claimed Decimal) bool {
	if claimed == "" || r.Value == "" {
		return claimed == r.Value
	}
	c, err := parseDecimal(string(claimed))
	if err != nil {
		return false
	}
	v, err := parseDecimal(string(r.Value))
	if err == nil && c.cmp(v) == 0 {
		return true
	}
	return c.String() == r.Exact
}
