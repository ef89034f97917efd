package instrument

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"casepress/jsonfile"
)

// TakeAnswers reads the answers within a larger document, as [ReadAnswers] does those that stand alone. What is
// refused becomes a problem of the document.
func TakeAnswers(c *jsonfile.Checker, n *jsonfile.Node) Answers {
	if !c.Is(n, jsonfile.Object, `an object with an answer by item, such as {"1": 0}`) {
		return nil
	}
	answers := make(Answers, len(n.Entries))
	for _, e := range n.Entries {
		if answer, given := takeAnswer(c, e.Value); given {
			answers[e.Name] = answer
		}
	}
	return answers
}

func takeAnswer(c *jsonfile.Checker, n *jsonfile.Node) (answer Answer, given bool) {
	switch n.Kind {
	case jsonfile.Null:
		return Answer{}, false
	case jsonfile.Number:
		answer, given, detail := readAnswer(json.RawMessage(n.Text))
		if detail != "" {
			c.Refuse(n, "%s", detail)
		}
		return answer, given
	case jsonfile.String:
		if n.Text == NotAsked {
			return Answer{NotAsked: true}, true
		}
		if _, err := parseDecimal(n.Text); err == nil {
			c.Refuse(n, wantAnswer+": write %s without quotes", n.Text)
			return Answer{}, false
		}
		c.Refuse(n, wantAnswer+", not the text %s", jsonfile.Quoted(n.Text))
	default:
		c.Refuse(n, wantAnswer)
	}
	return Answer{}, false
}

// TakeClaims reads the scores that a client has computed within a larger document, as [ReadClaims] does.
func TakeClaims(c *jsonfile.Checker, n *jsonfile.Node) Claims {
	if !c.Is(n, jsonfile.Object, `an object with a number by score, such as {"total": 13}`) {
		return nil
	}
	if len(n.Entries) > maxScores {
		c.Refuse(n, "has %d scores; no instrument has more than %d", len(n.Entries), maxScores)
		return nil
	}
	claims := make(Claims, len(n.Entries))
	for _, e := range n.Entries {
		switch v := e.Value; v.Kind {
		case jsonfile.Null:
			claims[e.Name] = ""
		case jsonfile.Number:
			if _, err := parseDecimal(v.Text); err != nil {
				c.Refuse(v, "%s, or null if there is no score", err)
			}
			claims[e.Name] = Decimal(v.Text)
		default:
			c.Refuse(v, "must be a number, or null if there is no score, not %s", v.Kind)
		}
	}
	return claims
}

// MarshalJSON writes the option's value, or "not-asked".
func (a Answer) MarshalJSON() ([]byte, error) {
	if a.NotAsked {
		return []byte(`"` + NotAsked + `"`), nil
	}
	return strconv.AppendInt(nil, a.Value, 10), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Answer) UnmarshalJSON(content []byte) error {
	answer, given, detail := readAnswer(content)
	if detail == "" && !given {
		detail = wantAnswer
	}
	if detail != "" {
		return fmt.Errorf("an answer %s", detail)
	}
	*a = answer
	return nil
}

// MarshalJSON writes the answers ordered by item.
func (as Answers) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 2+12*len(as))
	b = append(b, '{')
	for i, id := range slices.Sorted(maps.Keys(as)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, id), ':') // ids are plain ASCII
		if as[id].NotAsked {
			b = append(b, `"`+NotAsked+`"`...)
		} else {
			b = strconv.AppendInt(b, as[id].Value, 10)
		}
	}
	return append(b, '}'), nil
}
