package broker_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk/disktest"
)

// metricOf returns the line of a series, without its name and labels.
func metricOf(t *testing.T, r prometheus.Gatherer, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if want, ok := labels[l.GetName()]; ok && want != l.GetValue() {
					continue series
				}
			}
			switch {
			case m.Counter != nil:
				return m.GetCounter().GetValue()
			case m.Gauge != nil:
				return m.GetGauge().GetValue()
			}
			return float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	dir := t.TempDir()
	o := broker.Options{Registerer: r, MetricTopics: []string{"cases"}}
	b := openTopic(t, dir, o)
	publish(t, b, "a", "b", "c")
	s := subscribe(t, b, "g", broker.SubscribeOptions{})
	ds := receive(t, s, 3)
	require.NoError(t, ds[0].Ack())
	require.NoError(t, ds[1].Release(0))
	require.NoError(t, receive(t, s, 1)[0].Reject("bad"))
	require.NoError(t, b.Flush(t.Context()))
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   float64
	}{
		{"casepress_broker_topics", nil, 2},
		{"casepress_broker_group_lag_messages", map[string]string{"topic": "cases", "group": "g"}, 1},
		{"casepress_broker_redeliveries_total", map[string]string{"topic": "cases"}, 1},
		{"casepress_broker_dead_letters_total", map[string]string{"topic": "cases"}, 1},
		{"casepress_broker_poisoned_logs", nil, 0},
		{"casepress_broker_commit_records", map[string]string{"log": "messages"}, 2},
		{"casepress_broker_commit_duration_seconds", map[string]string{"log": "messages"}, 2},
		{"casepress_broker_commit_size_bytes", map[string]string{"log": "messages"}, 2},
	} {
		require.Equal(t, c.want, metricOf(t, r, c.name, c.labels), "%s %v", c.name, c.labels)
	}
	families, err := r.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NoError(t, b.Close())
	again := open(t, dir, o) // Close has taken its metrics out
	require.Equal(t, 1.0, metricOf(t, r, "casepress_broker_group_lag_messages", map[string]string{"group": "g"}))
	require.NotNil(t, again)
	_, err = broker.Open(t.TempDir(), broker.Options{Registerer: r})
	require.ErrorContains(t, err, "register metrics")
}

// TestClientsCannotMakeSeries: topics and groups beyond the named ones are summed.
func TestClientsCannotMakeSeries(t *testing.T) {
	r := prometheus.NewRegistry()
	b := openTopic(t, t.TempDir(), broker.Options{Registerer: r, MetricTopics: []string{"cases"}})
	publish(t, b, "a")
	for i := range 20 {
		_, err := b.SetPosition("cases", fmt.Sprintf("g%02d", i), broker.Earliest)
		require.NoError(t, err)
	}
	for i := range 5 {
		topic := fmt.Sprint("made-", i)
		require.NoError(t, b.CreateTopic(t.Context(), topic))
		_, err := b.Publish(t.Context(), topic, broker.Message{})
		require.NoError(t, err)
		_, err = b.SetPosition(topic, fmt.Sprint("g", i), broker.Earliest)
		require.NoError(t, err)
	}
	require.Equal(t, 4.0, metricOf(t, r, "casepress_broker_group_lag_messages", map[string]string{"topic": "cases", "group": "other"}))
	require.Equal(t, 5.0, metricOf(t, r, "casepress_broker_group_lag_messages", map[string]string{"topic": "other", "group": "other"}))
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "casepress_broker_group_lag_messages" {
			require.Len(t, f.GetMetric(), 16+1+1)
		}
		for _, m := range f.GetMetric() {
			require.NotContains(t, strings.ToLower(m.String()), "made-")
		}
	}
}

// TestWhatIsCutIsReported: the end of a log that was damaged before a seal stood behind it is cut, logged and counted.
func TestWhatIsCutIsReported(t *testing.T) {
	fs := disktest.NewCrash(1)
	b := openTopic(t, "/data", broker.Options{FS: fs})
	publish(t, b, "a")
	publish(t, b, "b")
	killed := fs.CrashClone(1)
	f, err := killed.OpenFile("/data/cases/log/00000000000000000000.log", os.O_RDWR, 0)
	require.NoError(t, err)
	var content [64 + 200]byte
	_, err = f.ReadAt(content[:], 0)
	require.NoError(t, err)
	end := int64(len(bytes.TrimRight(content[:], "\x00")))
	_, err = f.WriteAt([]byte{'c'}, end-1)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	var log bytes.Buffer
	r := prometheus.NewRegistry()
	again := open(t, "/data", broker.Options{FS: killed, Registerer: r, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	got, err := again.End("cases")
	require.NoError(t, err)
	require.Equal(t, uint64(1), got)
	require.Equal(t, 1.0, metricOf(t, r, "casepress_broker_cut_logs_total", nil))
	require.Contains(t, log.String(), "topic=cases")
	require.Contains(t, log.String(), "offset=1 ")
}
