package instrument

import (
	"fmt"
	"slices"

	"casepress/jsonfile"
)

// Rule is a flag that a study sets on an instrument, beside those that the instrument brings along.
type Rule struct {
	// Instrument is the id of the instrument. The rule goes for all its versions.
	Instrument string
	Flag

	at, atInstrument, atItem, atScore *node
}

// RuleMembers are the members of a study's flag: those of a flag in the file of an instrument, and the instrument.
var RuleMembers = ruleMembers()

func ruleMembers() []jsonfile.Member[Rule] {
	all := []jsonfile.Member[Rule]{jsonfile.Required("instrument", `the id of the instrument, such as "phq-9"`, func(c *checker, n *node, r *Rule) {
		r.Instrument, r.atInstrument = c.ID(n), n
	})}
	for _, m := range flagMembers {
		all = append(all, jsonfile.Member[Rule]{Name: m.Name, Required: m.Required, Want: m.Want, Take: func(c *checker, n *node, r *Rule) {
			f := fileFlag{Flag: r.Flag, atItem: r.atItem, atScore: r.atScore}
			m.Take(c, n, &f)
			r.Flag, r.atItem, r.atScore = f.Flag, f.atItem, f.atScore
		}})
	}
	return all
}

// TakeRule reads a flag of a study. [CheckRule] says whether it fits the instrument.
func TakeRule(c *jsonfile.Checker, n *jsonfile.Node) Rule {
	r := jsonfile.Members(c, n, RuleMembers)
	r.at = n
	return r
}

// CheckRule refuses a rule that names what is not there: the instrument, its item or score, a threshold out of range;
// and one whose code a flag of the instrument has.
func CheckRule(c *jsonfile.Checker, r Rule, ds *Definitions) {
	if !checkFlagForm(c, r.at, &r.Flag) || r.Instrument == "" {
		return
	}
	versions := ds.byID[r.Instrument]
	if len(versions) == 0 {
		c.Refuse(r.atInstrument, "there is no instrument %q; there are %s", r.Instrument, listed(ds.ids()))
		return
	}
	for _, d := range versions {
		name := fmt.Sprintf("%s version %s", d.ID, d.Version)
		if slices.ContainsFunc(d.Flags, func(f Flag) bool { return f.Code == r.Code }) {
			c.Refuse(r.at, "%s has a flag %q of its own; choose another code", name, r.Code)
		}
		where, reason := r.atItem, ""
		if r.Item != "" {
			it, ok := d.item(r.Item)
			if !ok {
				reason = fmt.Sprintf("%s has no item %q; it has %s", name, r.Item, d.itemIDs())
			} else {
				reason = r.fitsItem(it)
			}
		} else {
			where = r.atScore
			i := slices.IndexFunc(d.Scores, func(s ScoreRule) bool { return s.ID == r.Score })
			if i < 0 {
				reason = fmt.Sprintf("%s has no score %q", name, r.Score)
			} else {
				reason = r.fitsScore(&d.Scores[i])
			}
		}
		if reason != "" {
			c.Refuse(where, "%s", reason)
			return
		}
	}
}

func (ds *Definitions) ids() []string {
	var all []string
	for _, d := range ds.All() {
		if len(all) == 0 || all[len(all)-1] != d.ID {
			all = append(all, d.ID)
		}
	}
	return all
}

// checkFlagForm refuses a flag that looks at nothing or at two things, or has no threshold or two.
func checkFlagForm(c *jsonfile.Checker, at *node, f *Flag) bool {
	switch {
	case (f.Item == "") == (f.Score == ""):
		c.Refuse(at, `must have either "item" or "score"`)
		return false
	case (f.atLeast == nil) == (f.atMost == nil):
		c.Refuse(at, `must have either "atLeast" or "atMost"`)
		return false
	}
	return true
}

// fitsItem says why the flag cannot be on the item; "" if it can.
func (f *Flag) fitsItem(it *Item) string {
	if it.MayBeNotAsked {
		return fmt.Sprintf("item %q need not be asked; a flag must be on one that is", it.ID)
	}
	low, high := whole(it.Options[0].Value), whole(it.Options[0].Value)
	for _, o := range it.Options {
		low, high = least(low, whole(o.Value)), most(high, whole(o.Value))
	}
	return f.within(low, high)
}

// fitsScore says why the flag cannot be on the score; "" if it can.
func (f *Flag) fitsScore(s *ScoreRule) string {
	low, err := parseDecimal(string(s.Least))
	if err != nil {
		return err.Error()
	}
	high, err := parseDecimal(string(s.Most))
	if err != nil {
		return err.Error()
	}
	return f.within(low, high)
}

func (f *Flag) within(low, high number) string {
	if t := f.threshold(); t.cmp(low) < 0 || t.cmp(high) > 0 {
		return fmt.Sprintf("goes from %s to %s; the threshold %s must be within", low, high, t)
	}
	return ""
}

// Flags are the flags that answers raise or leave unknown, those of the definition and then those of a study in its
// order. It makes only the scores that flags look at, so that it costs little before a patient has an answer. The
// error is [Faults], as that of [Score].
func Flags(d *Definition, answers Answers, rules []Rule) ([]FlagResult, error) {
	if err := d.check(answers); err != nil {
		return nil, err
	}
	var all []FlagResult
	var scores []Result
	one := func(f *Flag) {
		made := func(r Result) bool { return r.ID == f.Score }
		if f.Score != "" && !slices.ContainsFunc(scores, made) {
			for i := range d.Scores {
				if d.Scores[i].ID == f.Score {
					scores = append(scores, d.score(&d.Scores[i], answers))
				}
			}
		}
		if r, shown := f.result(scores, answers); shown {
			all = append(all, r)
		}
	}
	for i := range d.Flags {
		one(&d.Flags[i])
	}
	for i := range rules {
		if rules[i].Instrument == d.ID {
			one(&rules[i].Flag)
		}
	}
	return all, nil
}
