package embedded

import (
	"github.com/prometheus/client_golang/prometheus"

	"casepress/tasks"
)

// metrics are the ledger's figures.
type metrics struct {
	unreadable prometheus.Counter
	requeued   prometheus.Counter
	givenUp    prometheus.Counter
	restored   *prometheus.CounterVec // by topic
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casepress_unreadable_records_total", Help: "Records of the log that this program could not decode.",
		}),
		requeued: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casepress_requeued_submissions_total", Help: "Unfinished submissions that had no delivery at the start and were queued again.",
		}),
		givenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casepress_undeliverable_total", Help: "Deliveries that went to the dead letters because the program can make nothing of them, such as no event of a finished submission.",
		}),
		restored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casepress_restored_records_total", Help: "Records that a topic had lost and that were written again from the rows.",
		}, []string{"topic"}),
	}
	for _, topic := range []string{tasks.TopicCompletions, tasks.TopicUpdates} {
		m.restored.WithLabelValues(topic)
	}
	if r != nil {
		r.MustRegister(m.unreadable, m.requeued, m.givenUp, m.restored)
	}
	return m
}
