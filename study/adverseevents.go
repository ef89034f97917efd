package study

import "casepress/jsonfile"

// AdverseEvents says how the study's adverse events are dealt with.
type AdverseEvents struct {
	// LimitHours is how many hours after first knowledge one must be acknowledged; 0: see [Study.AdverseEventLimitHours].
	LimitHours int64
	// Ladder says who is told of one; without rungs the webhook endpoints are that are registered for its events.
	Ladder Ladder
}

// defaultLimitHours is that of the EU's regulation 536/2014, article 41(2), and of most protocols, for the report of a serious
// adverse event to the sponsor.
const defaultLimitHours = 24

// AdverseEventLimitHours is how many hours after first knowledge an adverse event must be acknowledged: 24, unless the study
// says otherwise.
func (s Study) AdverseEventLimitHours() int64 {
	if s.AdverseEvents.LimitHours == 0 {
		return defaultLimitHours
	}
	return s.AdverseEvents.LimitHours
}

var adverseEventsMembers = []jsonfile.Member[AdverseEvents]{
	jsonfile.Required("limitHours", "a number of hours such as 24", func(c *checker, n *node, a *AdverseEvents) { a.LimitHours = c.Integer(n, 1, maxLimit) }),
	jsonfile.Optional("ladder", func(c *checker, n *node, a *AdverseEvents) { a.Ladder = jsonfile.Members(c, n, ladderMembers) }),
}
