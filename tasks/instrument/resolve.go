package instrument

import (
	"slices"
	"strings"

	"casepress/jsonfile"
)

// resolve looks ids up and checks what parts of the file say of each other.
func (f *file) resolve(c *checker) {
	f.complete(c, f.atTitle, f.Title)
	f.resolveItems(c)
	if !c.Clean() {
		return
	}
	for i := range f.scores {
		f.resolveScore(c, &f.scores[i])
		f.Scores = append(f.Scores, f.scores[i].ScoreRule)
	}
	for i := range f.grids {
		if g := &f.grids[i]; c.Clean() && !slices.ContainsFunc(f.scores, func(s fileScore) bool { return s.grid == g.id }) {
			c.Refuse(g.at, "no score uses this grid; name it in a score or strike it out")
		}
	}
	for i := range f.flags {
		f.resolveFlag(c, &f.flags[i])
		f.Flags = append(f.Flags, f.flags[i].Flag)
	}
}

func (f *file) resolveItems(c *checker) {
	used := map[string]bool{}
	links := map[string]string{}
	f.Definition.items = make(map[string]int, len(f.items))
	for i := range f.items {
		it := &f.items[i]
		at := slices.IndexFunc(f.sets, func(s optionSet) bool { return s.id == it.options })
		if at < 0 {
			c.Refuse(it.atOptions, "there is no set %q; there are %s", it.options, listed(ids(f.sets, func(s optionSet) string { return s.id })))
			continue
		}
		set := &f.sets[at]
		used[set.id] = true
		it.OptionSet, it.Options = set.id, slices.Clone(set.options)
		for j := range it.Options {
			if it.Options[j].weight = whole(it.Options[j].Value); set.weights[j] != nil {
				it.Options[j].weight = *set.weights[j]
			}
		}
		it.weigh()
		if it.LinkID == "" {
			it.LinkID = it.ID
		}
		if first, twice := links[it.LinkID]; twice {
			at := it.at
			if it.atLinkID != nil {
				at = it.atLinkID
			}
			c.Refuse(at, "the linkId %s is that of item %s already; give each item one of its own", jsonfile.Quoted(it.LinkID), first)
		}
		links[it.LinkID] = it.ID
		if it.notAsked != nil {
			it.MayBeNotAsked, it.Item.notAsked = true, *it.notAsked
			places, _ := it.notAsked.places()
			it.places = max(it.places, places)
			if it.notAsked.cmp(it.low) < 0 || it.notAsked.cmp(it.high) > 0 {
				c.Refuse(it.atAsked, "must be from %s to %s, the weights of the item's options, not %s", it.low, it.high, it.notAsked)
			}
		}
		f.Definition.items[it.ID] = i
		f.Definition.Items = append(f.Definition.Items, it.Item)
	}
	for _, s := range f.sets {
		if !used[s.id] && c.Clean() {
			c.Refuse(s.at, "no item uses this set; name it in an item or strike it out")
		}
	}
}

// weigh notes the smallest and the largest weight of the item's options, and how many digits they
// have after the point.
func (it *Item) weigh() {
	it.low, it.high = it.Options[0].weight, it.Options[0].weight
	for _, o := range it.Options {
		it.low, it.high = least(it.low, o.weight), most(it.high, o.weight)
		places, _ := o.weight.places()
		it.places = max(it.places, places)
	}
}

// resolveScore checks one score and completes its rule.
func (f *file) resolveScore(c *checker, s *fileScore) {
	for i, id := range s.Items {
		at, ok := f.Definition.items[id]
		if !ok {
			c.Refuse(s.atItems.Items[i], "there is no item %q", id)
			return
		}
		s.rule.items = append(s.rule.items, at)
	}
	if !f.fits(c, s) || !f.missingFits(c, s) {
		return
	}
	low, high, ok := f.raw(c, s)
	if !ok {
		return
	}
	if s.rescale != nil {
		a, b := s.rescale.of(low), s.rescale.of(high)
		low, high = least(a, b), most(a, b)
	}
	if s.convert != nil {
		if low, high, ok = s.tabled(c, low, high); !ok {
			return
		}
	}
	if s.round.method == "" && s.convert == nil && (s.op == opMean || s.missing.method == missingPersonMean || s.rescale != nil) {
		c.Refuse(s.at, `"round" is missing, and the score may be a fraction; give the method and the places, such as {"method": "half-up", "places": 0}`)
		return
	}
	low, high = s.round.of(low), s.round.of(high)
	if s.rng[0].cmp(low) != 0 || s.rng[1].cmp(high) != 0 {
		c.Refuse(s.atRange, "is not what the options and the rule give; write [%s, %s]", low, high)
		return
	}
	s.Least, s.Most = low.decimal(), high.decimal()
	f.bandsFit(c, s)
}

// fits refuses members that do not go with the score's op.
func (f *file) fits(c *checker, s *fileScore) bool {
	for _, m := range []struct {
		at   *node
		name string
		ops  []string
	}{
		{s.atAtLeast, "atLeast", []string{opCount}},
		{s.atExceptions, "exceptions", []string{opCount}},
		{s.atOneOf, "oneOf", []string{opCount}},
		{s.atGrid, "grid", []string{opGrid}},
		{s.atRescale, "rescale", []string{opSum, opMean}},
		{s.atConvert, "convert", []string{opSum, opMean}},
	} {
		if m.at != nil && !slices.Contains(m.ops, s.op) {
			c.Refuse(m.at, "goes with the op %s alone; strike it out", strings.Join(m.ops, " or "))
			return false
		}
	}
	switch {
	case s.op == opCount && s.atLeast == nil:
		c.Refuse(s.at, `"atLeast" is missing; give the weight from which on an item counts`)
	case s.op == opGrid && s.atGrid == nil:
		c.Refuse(s.at, `"grid" is missing; give the id of a grid`)
	case s.rescale != nil && s.convert != nil:
		c.Refuse(s.atConvert, `does not go with "rescale"; strike one of them out`)
	default:
		return true
	}
	return false
}

// missingFits checks what becomes of missing answers.
func (f *file) missingFits(c *checker, s *fileScore) bool {
	m, n := s.missing, len(s.rule.items)
	bounded := m.method == missingPersonMean || m.method == missingZero
	switch {
	case bounded && s.max == nil:
		c.Refuse(s.atMissing, `"max" is missing; give how many answers may be missing, or "half"`)
	case !bounded && s.max != nil:
		c.Refuse(s.max, "goes with the methods person-mean and zero alone; strike it out")
	case bounded && !m.half && m.most >= n:
		c.Refuse(s.max, "is %d of %d items; at least one must be answered", m.most, n)
	case m.method == missingBranch && s.op != opGrid:
		c.Refuse(s.atMissing, "the method branch goes with the op grid alone")
	case m.method == missingPersonMean && s.op != opSum && s.op != opMean:
		c.Refuse(s.atMissing, "the method person-mean goes with the ops sum and mean alone")
	default:
		return f.imputedFits(c, s)
	}
	return false
}

// imputedFits refuses a rule by which an imputed weight might be none that the item could have.
func (f *file) imputedFits(c *checker, s *fileScore) bool {
	first := &f.Definition.Items[s.rule.items[0]]
	low, high := first.low, first.high
	for i, at := range s.rule.items {
		it := &f.Definition.Items[at]
		l, h := it.low, it.high
		switch s.missing.method {
		case missingPersonMean:
			if l.cmp(low) != 0 || h.cmp(high) != 0 {
				c.Refuse(s.atItems.Items[i], "weighs from %s to %s, and item %s from %s to %s; the mean of items stands for a missing one only if all weigh the same", l, h, s.Items[0], low, high)
				return false
			}
		case missingZero:
			if l.cmp(whole(0)) > 0 || h.cmp(whole(0)) < 0 {
				c.Refuse(s.atItems.Items[i], "weighs from %s to %s; a missing answer cannot count as 0", l, h)
				return false
			}
		}
	}
	return true
}

// raw returns the smallest and largest score before it is rescaled or looked up.
func (f *file) raw(c *checker, s *fileScore) (low, high number, ok bool) {
	switch s.op {
	case opCount:
		return whole(0), whole(int64(len(s.rule.items))), f.counted(c, s)
	case opGrid:
		return f.gridded(c, s)
	}
	low, high = whole(0), whole(0)
	for _, at := range s.rule.items {
		it := &f.Definition.Items[at]
		low, high = low.plus(it.low), high.plus(it.high)
	}
	if s.op == opMean {
		n := whole(int64(len(s.rule.items)))
		low, high = low.over(n), high.over(n)
	}
	return low, high, true
}

// counted completes a count. Each threshold must be one that some options reach and others do not, so
// that every count from 0 to the number of items can come about.
func (f *file) counted(c *checker, s *fileScore) bool {
	ok := true
	for i, e := range s.exceptions {
		if !slices.Contains(s.Items, e.item) {
			c.Refuse(s.atExceptions.Items[i], "%q is not an item of the score", e.item)
			ok = false
		}
	}
	for i, id := range s.oneOf {
		if !slices.Contains(s.Items, id) {
			c.Refuse(s.atOneOf.Items[i], "%q is not an item of the score", id)
			ok = false
		}
	}
	for i, id := range s.Items {
		threshold := *s.atLeast
		if j := slices.IndexFunc(s.exceptions, func(e exception) bool { return e.item == id }); j >= 0 {
			threshold = s.exceptions[j].atLeast
		}
		it := &f.Definition.Items[s.rule.items[i]]
		if threshold.cmp(it.low) <= 0 || threshold.cmp(it.high) > 0 {
			c.Refuse(s.atItems.Items[i], "weighs from %s to %s; the threshold %s must be above the smallest and not above the largest", it.low, it.high, threshold)
			ok = false
		}
		s.rule.atLeast = append(s.rule.atLeast, threshold)
		if s.oneOf != nil {
			s.rule.oneOf = append(s.rule.oneOf, slices.Contains(s.oneOf, id))
		}
	}
	return ok
}

// gridded completes a score that is looked up in a grid.
func (f *file) gridded(c *checker, s *fileScore) (low, high number, ok bool) {
	at := slices.IndexFunc(f.grids, func(g fileGrid) bool { return g.id == s.grid })
	if at < 0 {
		c.Refuse(s.atGrid, "there is no grid %q", s.grid)
		return low, high, false
	}
	g := &grid{}
	cells := 1
	for i, at := range s.rule.items {
		it := &f.Definition.Items[at]
		weights := map[int]bool{}
		for _, o := range it.Options {
			if w, ok := o.weight.index(); ok && w >= 0 && w < len(it.Options) {
				weights[w] = true
			}
		}
		if len(weights) != len(it.Options) || it.MayBeNotAsked && !it.notAsked.isWhole() {
			c.Refuse(s.atItems.Items[i], "must weigh 0 to %d, each in one option, to be looked up in a grid", len(it.Options)-1)
			return low, high, false
		}
		g.sizes = append(g.sizes, len(it.Options))
		if cells *= len(it.Options); cells > maxCells {
			c.Refuse(s.atItems, "the grid would have more than %d cells", maxCells)
			return low, high, false
		}
	}
	// Scores may share a grid: it is read once.
	if read := f.grids[at].read; read != nil && slices.Equal(read.sizes, g.sizes) {
		g = read
	} else if g.cells, ok = readCells(c, f.grids[at].values, g.sizes); !ok {
		return low, high, false
	}
	f.grids[at].read, s.rule.grid = g, g
	low, high = g.cells[0], g.cells[0]
	for _, v := range g.cells {
		low, high = least(low, v), most(high, v)
	}
	return low, high, true
}

func readCells(c *checker, n *node, sizes []int) (cells []number, ok bool) {
	if len(sizes) == 0 {
		if n.Kind != jsonfile.Number {
			c.Refuse(n, "must be a number, not %s", n.Kind)
			return nil, false
		}
		v := decimalOf(c, n)
		return []number{*v}, c.Clean()
	}
	if n.Kind != jsonfile.Array || len(n.Items) != sizes[0] {
		c.Refuse(n, "must be a list of %d, one for each weight of the item", sizes[0])
		return nil, false
	}
	for _, item := range n.Items {
		inner, ok := readCells(c, item, sizes[1:])
		if !ok {
			return nil, false
		}
		cells = append(cells, inner...)
	}
	return cells, true
}

// tabled completes a score that is looked up in a table, whose rows must be all whole raw scores.
func (s *fileScore) tabled(c *checker, low, high number) (lowest, highest number, ok bool) {
	first, okFirst := s.convert.round.of(low).index()
	last, okLast := s.convert.round.of(high).index()
	if !okFirst || !okLast {
		c.Refuse(s.atTable, "the raw scores are too large for a table")
		return low, high, false
	}
	want := last - first + 1
	for i, row := range s.table {
		if raw, ok := row[0].index(); !ok || raw != first+i || i >= want {
			c.Refuse(s.atTable.Items[i], "must be the row of the raw score %d: one row for each of %d to %d, in order", min(first+i, last), first, last)
			return low, high, false
		}
		s.convert.rows = append(s.convert.rows, row[1])
	}
	if len(s.table) != want {
		c.Refuse(s.atTable, "has %d rows; it must have one for each raw score from %d to %d", len(s.table), first, last)
		return low, high, false
	}
	s.convert.first = first
	lowest, highest = s.convert.rows[0], s.convert.rows[0]
	for _, v := range s.convert.rows {
		lowest, highest = least(lowest, v), most(highest, v)
	}
	return lowest, highest, true
}

// step is the distance between one value of a score and the next that there may be.
func (f *file) step(s *fileScore) number {
	places := 0
	see := func(n number) {
		p, _ := n.places()
		places = max(places, p)
	}
	switch {
	case s.round.method != "":
		places = s.round.places
	case s.convert != nil:
		for _, v := range s.convert.rows {
			see(v)
		}
	case s.op == opGrid:
		for _, v := range s.rule.grid.cells {
			see(v)
		}
	case s.op == opSum:
		for _, at := range s.rule.items {
			places = max(places, f.Definition.Items[at].places)
		}
	}
	step := whole(1)
	for range places {
		step = step.over(whole(10))
	}
	return step
}

// bandsFit refuses bands that leave a gap, overlap or do not cover the range.
func (f *file) bandsFit(c *checker, s *fileScore) {
	step := f.step(s)
	next := s.rng[0]
	for i := range s.Bands {
		b := &s.Bands[i]
		at := s.atBands.Items[i]
		f.complete(c, at, b.Text)
		switch {
		case b.from.cmp(next) > 0:
			c.Refuse(at, "begins at %s and leaves a gap; the band must begin at %s", b.from, next)
			return
		case b.from.cmp(next) < 0:
			c.Refuse(at, "begins at %s and overlaps what is before it; the band must begin at %s", b.from, next)
			return
		case b.to.cmp(b.from) < 0:
			c.Refuse(at, "ends at %s before it begins at %s", b.to, b.from)
			return
		case b.to.cmp(s.rng[1]) > 0:
			c.Refuse(at, "ends at %s, beyond the range; end it at %s", b.to, s.rng[1])
			return
		case !b.to.over(step).isWhole():
			c.Refuse(at, "ends at %s, which is finer than the score's step of %s", b.to, step)
			return
		}
		next = b.to.plus(step)
	}
	if n := len(s.Bands); n > 0 && s.Bands[n-1].to.cmp(s.rng[1]) != 0 {
		c.Refuse(s.atBands.Items[n-1], "ends at %s and leaves a gap; the last band must end at %s", s.Bands[n-1].to, s.rng[1])
	}
}

// resolveFlag checks one flag.
func (f *file) resolveFlag(c *checker, fl *fileFlag) {
	if !checkFlagForm(c, fl.at, &fl.Flag) {
		return
	}
	if fl.Item != "" {
		it, ok := f.Definition.item(fl.Item)
		if !ok {
			c.Refuse(fl.atItem, "there is no item %q", fl.Item)
		} else if reason := fl.fitsItem(it); reason != "" {
			c.Refuse(fl.atItem, "%s", reason)
		}
		return
	}
	i := slices.IndexFunc(f.scores, func(s fileScore) bool { return s.ID == fl.Score })
	if i < 0 {
		c.Refuse(fl.atScore, "there is no score %q", fl.Score)
		return
	}
	if f.scores[i].Least == "" {
		return // its own problem is told already
	}
	if reason := fl.within(f.scores[i].rng[0], f.scores[i].rng[1]); reason != "" {
		c.Refuse(fl.atScore, "%s", reason)
	}
}

func (f *Flag) threshold() number {
	if f.atLeast != nil {
		return *f.atLeast
	}
	return *f.atMost
}
