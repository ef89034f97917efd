package embedded

import "github.com/prometheus/client_golang/prometheus"

// metrics are the ledger's figures.
type metrics struct {
	unreadable prometheus.Counter
	requeued   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casepress_unreadable_records_total", Help: "Records of the log that this program could not decode.",
		}),
		requeued: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casepress_requeued_submissions_total", Help: "Unfinished submissions that had no delivery at the start and were queued again.",
		}),
	}
	if r != nil {
		r.MustRegister(m.unreadable, m.requeued)
	}
	return m
}
