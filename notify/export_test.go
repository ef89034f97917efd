package notify

// SetMaxWaiting bounds the events that wait until it is set back.
func SetMaxWaiting(n int) (before int) {
	before, maxWaiting = maxWaiting, n
	return before
}
