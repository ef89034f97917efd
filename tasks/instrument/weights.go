package instrument

// Weight is what the option counts in scores.
func (o *Option) Weight() Decimal { return o.weight.decimal() }

// NotAskedWeight is what the item counts in scores when it was not asked; empty if everybody is asked.
func (it *Item) NotAskedWeight() Decimal {
	if !it.MayBeNotAsked {
		return ""
	}
	return it.notAsked.decimal()
}
