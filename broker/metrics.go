package broker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"casepress/commitlog"
)

// otherLabel stands for the topics that Options.MetricTopics does not name, and for the groups of a named topic beyond
// maxMetricGroups, all summed. So clients, who may make thousands of topics and groups, cannot make series: there are
// at most (named topics + 1) x (maxMetricGroups + 1) of one name.
const (
	otherLabel      = "other"
	maxMetricGroups = 16 // of a topic, in the order of their names
)

// metrics are the figures that the broker registers.
type metrics struct {
	broker *Broker
	topics []string // that have a label of their own

	commitDuration *prometheus.HistogramVec
	commitBytes    *prometheus.HistogramVec
	commitRecords  *prometheus.HistogramVec
	redeliveries   *prometheus.CounterVec
	deadLetters    *prometheus.CounterVec
	cutLogs        prometheus.Counter
}

var (
	descTopics = prometheus.NewDesc("casepress_broker_topics", "Topics, dead-letter topics included.", nil, nil)
	descLag    = prometheus.NewDesc("casepress_broker_group_lag_messages",
		"Messages of the topic that the group has not acknowledged, those in flight included.", []string{"topic", "group"}, nil)
	descUnacked = prometheus.NewDesc("casepress_broker_group_unacked_messages",
		"Messages that the group was delivered or has put off and has not acknowledged. At most MaxUnacked, 131,072 by default: then it is stuck.", []string{"topic", "group"}, nil)
	descStuck = prometheus.NewDesc("casepress_broker_stuck_groups",
		"Groups that hand out nothing new, because too many messages are not acknowledged or not due.", []string{"topic"}, nil)
	descDamaged = prometheus.NewDesc("casepress_broker_damaged_topics",
		"Topics whose files are damaged, so that they cannot be used until they are deleted or mended.", nil, nil)
	descPoisoned = prometheus.NewDesc("casepress_broker_poisoned_logs",
		"Logs that take no more records since a write or sync failed; a restart recovers them.", nil, nil)
)

func newMetrics(b *Broker) *metrics {
	log := []string{"log"}
	topic := []string{"topic"}
	return &metrics{
		broker: b, topics: b.opts.MetricTopics,
		commitDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "casepress_broker_commit_duration_seconds", Help: "Time that the write of a batch took until it was on stable storage, by kind of log.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 2, 16),
		}, log),
		commitBytes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "casepress_broker_commit_size_bytes", Help: "Bytes of a batch that was written at once, by kind of log.",
			Buckets: prometheus.ExponentialBuckets(128, 4, 9),
		}, log),
		commitRecords: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "casepress_broker_commit_records", Help: "Records of a batch that was written at once, by kind of log.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 13),
		}, log),
		redeliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casepress_broker_redeliveries_total", Help: "Deliveries of messages that their group had been delivered before, by topic.",
		}, topic),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casepress_broker_dead_letters_total", Help: "Messages published to a dead-letter topic, by the topic they came from.",
		}, topic),
		cutLogs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casepress_broker_cut_logs_total", Help: "Logs whose end was cut off when they were opened: a commit that a crash tore, or damage to the newest records.",
		}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m, m.commitDuration, m.commitBytes, m.commitRecords, m.redeliveries, m.deadLetters, m.cutLogs}
}

// register registers everything or nothing.
func (m *metrics) register() error {
	r := m.broker.opts.Registerer
	if r == nil {
		return nil
	}
	for i, c := range m.collectors() {
		if err := r.Register(c); err != nil {
			for _, done := range m.collectors()[:i] {
				r.Unregister(done)
			}
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) unregister() {
	if r := m.broker.opts.Registerer; r != nil {
		for _, c := range m.collectors() {
			r.Unregister(c)
		}
	}
}

// onCommit returns what a log calls after each batch, nil if nobody asks.
func (m *metrics) onCommit(log string) func(commitlog.Commit) {
	if m.broker.opts.Registerer == nil {
		return nil
	}
	took, bytes, records := m.commitDuration.WithLabelValues(log), m.commitBytes.WithLabelValues(log), m.commitRecords.WithLabelValues(log)
	return func(c commitlog.Commit) {
		took.Observe(c.Took.Seconds())
		bytes.Observe(float64(c.Bytes))
		records.Observe(float64(c.Records))
	}
}

// reportCut says that opening a log has cut off its end.
func (m *metrics) reportCut(topic string, l *commitlog.Log) {
	c := l.Cut()
	if c == nil {
		return
	}
	m.cutLogs.Inc()
	m.broker.opts.Logger.Warn("the end of a log was cut off: a commit that a crash tore, or damage to its newest records",
		"topic", topic, "file", c.File, "position", c.Position, "bytes", c.Bytes, "offset", c.Offset, "error", c.Err)
}

func (m *metrics) topicLabel(topic string) string {
	if slices.Contains(m.topics, topic) {
		return topic
	}
	return otherLabel
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- descTopics
	ch <- descLag
	ch <- descUnacked
	ch <- descStuck
	ch <- descPoisoned
	ch <- descDamaged
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	type series struct{ topic, group string }
	lag, unacked := make(map[series]float64), make(map[series]float64)
	stuck := make(map[string]int)
	poisoned := 0
	topics := m.broker.sorted()
	for _, t := range topics {
		for _, l := range []*commitlog.Log{t.log, t.journal.log} {
			if errors.Is(l.Err(), commitlog.ErrPoisoned) {
				poisoned++
			}
		}
		stuck[m.topicLabel(t.name)] += 0
		groups := t.allGroups()
		slices.SortFunc(groups, func(a, b *group) int { return cmp.Compare(a.name, b.name) })
		for i, g := range groups {
			s := series{m.topicLabel(t.name), g.name}
			if s.topic == otherLabel || i >= maxMetricGroups {
				s.group = otherLabel
			}
			f := g.figures()
			lag[s] += float64(f.lag)
			unacked[s] += float64(f.unacked)
			if f.full {
				stuck[s.topic]++
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(descTopics, prometheus.GaugeValue, float64(len(topics)))
	ch <- prometheus.MustNewConstMetric(descPoisoned, prometheus.GaugeValue, float64(poisoned))
	m.broker.mu.Lock()
	damaged := len(m.broker.damaged)
	m.broker.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(descDamaged, prometheus.GaugeValue, float64(damaged))
	for topic, n := range stuck {
		ch <- prometheus.MustNewConstMetric(descStuck, prometheus.GaugeValue, float64(n), topic)
	}
	for s, n := range lag {
		ch <- prometheus.MustNewConstMetric(descLag, prometheus.GaugeValue, n, s.topic, s.group)
		ch <- prometheus.MustNewConstMetric(descUnacked, prometheus.GaugeValue, unacked[s], s.topic, s.group)
	}
}
