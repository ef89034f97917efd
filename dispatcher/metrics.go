package dispatcher

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/tasks"
)

// How an attempt ends.
const (
	outcomeCompleted   = "completed"
	outcomeFailed      = "failed"
	outcomeRetried     = "retried"
	outcomeInterrupted = "interrupted"
	outcomeStale       = "stale"    // a newer attempt held the submission
	outcomeUnstored    = "unstored" // the end could not be written: it comes again
)

var outcomes = []string{outcomeCompleted, outcomeFailed, outcomeRetried, outcomeInterrupted, outcomeStale, outcomeUnstored}

// metrics are the dispatcher's figures. Labels are names of kinds and lanes, never ids.
type metrics struct {
	attempts *prometheus.CounterVec
	panics   *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casepress_task_attempts_total", Help: "Attempts that have ended, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casepress_task_panics_total", Help: "Attempts that ended in a panic, by kind.",
		}, []string{"kind"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "casepress_task_seconds", Help: "Time of work on one submission, waiting for a worker not included, by kind and step.",
			Buckets: []float64{.0005, .001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}, []string{"kind", "step"}),
	}
	for _, k := range tasks.Kinds() {
		if k.IsSubmission() {
			for _, o := range outcomes {
				m.attempts.WithLabelValues(k.Name, o)
			}
			m.panics.WithLabelValues(k.Name)
		}
	}
	return m
}

// register makes the figures known to r, if there is one. From then on they may be asked for, those of the lanes
// of d too.
func (m *metrics) register(r prometheus.Registerer, d *Dispatcher) {
	if r != nil {
		r.MustRegister(m.attempts, m.panics, m.seconds, &laneCollector{d})
	}
}

// laneCollector tells how the lanes stand, at the moment it is asked.
type laneCollector struct{ d *Dispatcher }

var (
	descWorkers = prometheus.NewDesc("casepress_lane_workers", "Workers of the lane.", []string{"lane"}, nil)
	descBusy    = prometheus.NewDesc("casepress_lane_busy", "Workers of the lane that have work.", []string{"lane"}, nil)
	descWaiting = prometheus.NewDesc("casepress_lane_waiting", "Accepted submissions that no worker has taken up.", []string{"lane"}, nil)
	descOldest  = prometheus.NewDesc("casepress_lane_oldest_seconds", "How long the oldest waiting submission has waited.", []string{"lane"}, nil)
)

// Describe sends the descriptions of all figures.
func (l *laneCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descWorkers, descBusy, descWaiting, descOldest} {
		ch <- d
	}
}

// collectTimeout bounds what one scrape may ask of the ledger.
const collectTimeout = 5 * time.Second

// Collect sends the present figures.
func (l *laneCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, lane string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, lane)
	}
	for _, state := range l.d.Lanes() {
		gauge(descWorkers, float64(state.Workers), state.Name)
		gauge(descBusy, float64(state.Busy), state.Name)
		b, err := l.d.Backlog(ctx, state.Name)
		if err != nil {
			ch <- prometheus.NewInvalidMetric(descWaiting, err)
			continue
		}
		gauge(descWaiting, float64(b.Waiting), state.Name)
		gauge(descOldest, b.OldestAge.Seconds(), state.Name)
	}
}
