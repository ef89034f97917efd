package instrument

import "fmt"

// The ways to make a score of answers.
const (
	opSum   = "sum"   // of the weights
	opMean  = "mean"  // of the weights
	opCount = "count" // of the items whose weight reaches a threshold
	opGrid  = "grid"  // the cell that the weights name
)

// What becomes of missing answers.
const (
	missingNone       = "none"        // none may be missing
	missingPersonMean = "person-mean" // each counts as the mean of what was answered
	missingZero       = "zero"        // each counts as 0
	missingBranch     = "branch"      // where the first item is 0, the others were not asked and count as 0
)

// rule is how a score is computed.
type rule struct {
	op      string
	items   []int // places in Definition.Items
	missing missing

	atLeast []number // of a count: the threshold of each item
	oneOf   []bool   // of a count: it is 0 unless one of these reaches its threshold; nil for no such condition
	grid    *grid

	rescale *rescale
	convert *convert
	round   rounding
}

// missing is what becomes of missing answers.
type missing struct {
	method string
	most   int  // how many may be missing, of person-mean and zero
	half   bool // instead of most: as many as were answered
}

// grid has a value for each combination of its items' weights, which are 0, 1, 2 and so on.
type grid struct {
	sizes []int // how many weights each item has
	cells []number
}

func (g *grid) at(weights []number) number {
	at := 0
	for i, w := range weights {
		index, _ := w.index() // [Check] has seen that weights are in range
		at = at*g.sizes[i] + index
	}
	return g.cells[at]
}

// rescale moves a number so that from becomes to, and what is between them in proportion.
type rescale struct{ from, to [2]number }

func (s *rescale) of(n number) number {
	slope := s.to[1].minus(s.to[0]).over(s.from[1].minus(s.from[0]))
	return s.to[0].plus(n.minus(s.from[0]).times(slope))
}

// convert looks a raw score up, which is rounded first.
type convert struct {
	round rounding
	first int // the raw score of the first row
	rows  []number
}

func (t *convert) of(n number) number {
	raw, _ := t.round.of(n).index() // [Check] has seen that the table covers the range
	return t.rows[raw-t.first]
}

// Result is one score.
type Result struct {
	// ID names the score within its instrument.
	ID string `json:"id"`
	// Value is the score, rounded as the definition says; empty (null in JSON) if there is none.
	Value Decimal `json:"value"`
	// Exact is the score before it was rounded, as a decimal such as "12.5" or, where the digits never
	// end, a fraction in lowest terms such as "108/7"; empty if there is no score.
	Exact string `json:"exact,omitempty"`
	// Raw is, of a score that was rescaled or looked up in a table, what went in, in the same form.
	Raw string `json:"raw,omitempty"`
	// Band is the code of the band that Value falls into; empty if there is none.
	Band string `json:"band,omitempty"`
	// Answered and Missing count the items of the score. What was not asked is in neither.
	Answered int `json:"answered"`
	Missing  int `json:"missing"`
	// NotAsked are the ids of the items that were not asked, in the order of the score's items.
	NotAsked []string `json:"notAsked,omitempty"`
	// Imputed are the ids of the items without an answer that the score counts all the same.
	Imputed []string `json:"imputed,omitempty"`
	// Reason says why there is no score: "3 of 9 answers are missing; at most 2 may be".
	Reason string `json:"reason,omitempty"`
	// Rule is the definition that made the score.
	Rule Identity `json:"rule"`
}

// FlagState says what became of a flag.
type FlagState string

// A flag is raised, or it is not known whether it would be: its item was not answered, its score has
// no value.
const (
	Raised  FlagState = "raised"
	Unknown FlagState = "unknown"
)

// FlagResult is a flag that is raised or unknown.
type FlagResult struct {
	// Code names the flag.
	Code string `json:"code"`
	// Item or Score is the id of what was looked at.
	Item  string `json:"item,omitempty"`
	Score string `json:"score,omitempty"`
	// State is raised or unknown. Unknown does not mean no.
	State FlagState `json:"state"`
	// Urgent says that somebody must look at once. Whether that goes for an unknown flag, too, is up to
	// the caller.
	Urgent bool `json:"urgent"`
	// Value is the answer or the score that raised it; empty of an unknown one.
	Value Decimal `json:"value"`
}

// Scored is what a definition makes of answers.
type Scored struct {
	// Scores are all scores of the definition, in its order, those without a value, too.
	Scores []Result `json:"scores"`
	// Flags are the flags that are raised or unknown, in the definition's order.
	Flags []FlagResult `json:"flags"`
}

// Score makes all scores and flags of answers. The error is [Faults], with a pointer for each answer
// that names an item or an option that the instrument does not have; nothing is scored then.
func Score(d *Definition, answers Answers) (Scored, error) {
	if err := d.check(answers); err != nil {
		return Scored{}, err
	}
	var s Scored
	for i := range d.Scores {
		s.Scores = append(s.Scores, d.score(&d.Scores[i], answers))
	}
	for _, f := range d.Flags {
		if r, shown := f.result(s.Scores, answers); shown {
			s.Flags = append(s.Flags, r)
		}
	}
	return s, nil
}

// given is what is known of a score's items.
type given struct {
	weights  []number // by place in the rule's items; without r where the answer is missing
	answered []number // the weights of those that were answered
	asked    int
}

func (d *Definition) score(r *ScoreRule, answers Answers) Result {
	res := Result{ID: r.ID, Rule: d.Identity}
	g := given{weights: make([]number, len(r.items)), answered: make([]number, 0, len(r.items))}
	for i, at := range r.items {
		it := &d.Items[at]
		answer, ok := answers[it.ID]
		switch {
		case !ok:
			res.Missing++
		case answer.NotAsked:
			res.NotAsked = append(res.NotAsked, it.ID)
			g.weights[i] = it.notAsked
		default:
			option, _ := it.option(answer.Value)
			g.weights[i] = option.weight
			g.answered = append(g.answered, option.weight)
		}
	}
	g.asked = len(r.items) - len(res.NotAsked)
	res.Answered = len(g.answered)
	if res.Reason = r.missing.fill(&g, res.Missing); res.Reason != "" {
		return res
	}
	for _, at := range r.items {
		if _, ok := answers[d.Items[at].ID]; !ok {
			res.Imputed = append(res.Imputed, d.Items[at].ID)
		}
	}
	value := r.compute(g.weights)
	if r.rescale != nil || r.convert != nil {
		res.Raw = value.String()
	}
	if r.rescale != nil {
		value = r.rescale.of(value)
	}
	if r.convert != nil {
		value = r.convert.of(value)
	}
	res.Exact = value.String()
	value = r.round.of(value)
	res.Value = value.decimal()
	for _, b := range r.Bands {
		if b.from.cmp(value) <= 0 && value.cmp(b.to) <= 0 {
			res.Band = b.Code
		}
	}
	return res
}

// fill puts a weight in place of each missing answer, or says why it may not.
func (m missing) fill(g *given, missing int) (reason string) {
	answered := len(g.answered)
	if answered == 0 {
		return "nothing was answered"
	}
	if missing == 0 {
		return ""
	}
	by := whole(0)
	switch m.method {
	case missingNone:
		return reasonOf(missing, g.asked, "none may be")
	case missingBranch:
		if first := g.weights[0]; first.r == nil || first.cmp(by) != 0 {
			return reasonOf(missing, g.asked, "none may be, unless the first is 0")
		}
	case missingPersonMean, missingZero:
		switch {
		case m.half && missing > answered:
			return reasonOf(missing, g.asked, "at least half must be there")
		case !m.half && missing > m.most:
			return reasonOf(missing, g.asked, fmt.Sprintf("at most %d may be", m.most))
		}
		if m.method == missingPersonMean {
			by = sum(g.answered).over(whole(int64(answered)))
		}
	}
	for i := range g.weights {
		if g.weights[i].r == nil {
			g.weights[i] = by
		}
	}
	return ""
}

func reasonOf(missing, asked int, rule string) string {
	are := "are"
	if missing == 1 {
		are = "is"
	}
	return fmt.Sprintf("%d of %d answers %s missing; %s", missing, asked, are, rule)
}

// compute makes the score of all items' weights, before it is rescaled or looked up.
func (r *rule) compute(weights []number) number {
	switch r.op {
	case opCount:
		count, one := int64(0), r.oneOf == nil
		for i, w := range weights {
			if w.cmp(r.atLeast[i]) >= 0 {
				count++
				one = one || r.oneOf[i]
			}
		}
		if !one {
			count = 0
		}
		return whole(count)
	case opGrid:
		return r.grid.at(weights)
	}
	total := sum(weights)
	if r.op == opMean {
		return total.over(whole(int64(len(weights))))
	}
	return total
}

// result looks at one answer or score. shown is false of a flag that is known not to be raised.
func (f *Flag) result(scores []Result, answers Answers) (r FlagResult, shown bool) {
	r = FlagResult{Code: f.Code, Item: f.Item, Score: f.Score, State: Unknown, Urgent: f.Urgent}
	value := number{}
	if f.Item != "" {
		if answer, ok := answers[f.Item]; ok {
			value = whole(answer.Value)
		}
	}
	for _, s := range scores {
		if s.ID != f.Score {
			continue
		}
		if v, err := parseDecimal(string(s.Value)); err == nil { // of no value: unknown
			value = v
		}
	}
	if value.r == nil {
		return r, true
	}
	r.State, r.Value = Raised, value.decimal()
	if f.atLeast != nil {
		return r, value.cmp(*f.atLeast) >= 0
	}
	return r, value.cmp(*f.atMost) <= 0
}
