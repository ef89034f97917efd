package disk

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one open store, registered or not.
type metrics struct {
	writtenBytes prometheus.Counter
	stored       prometheus.Counter
	deduplicated prometheus.Counter
	corrupt      prometheus.Counter
	mended       prometheus.Counter
	scrubbed     prometheus.Counter
	collected    prometheus.Counter
	fileSync     prometheus.Observer
	folderSync   prometheus.Observer

	registerer prometheus.Registerer // nil if none is registered
	registered []prometheus.Collector
}

func newMetrics(s *store) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	fsync := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "casepress_blob_fsync_seconds", Help: "Time of one fsync of a blob's file or of its folder.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms to 4 s
	}, []string{"target"})
	m := &metrics{
		writtenBytes: counter("casepress_blob_written_bytes_total", "Bytes received into temp files, before encryption."),
		stored:       counter("casepress_blob_stored_total", "Blobs that became durable under their digest."),
		deduplicated: counter("casepress_blob_deduplicated_total", "Contents that were there already, so that nothing was written."),
		corrupt:      counter("casepress_blob_corrupt_total", "Blobs found whose bytes do not have the digest that names them."),
		mended:       counter("casepress_blob_mended_total", "Damaged blobs that were replaced by the same bytes received again."),
		scrubbed:     counter("casepress_blob_scrubbed_bytes_total", "Bytes that were read in the background to see whether they are sound."),
		collected:    counter("casepress_blob_collected_total", "Blobs deleted since nobody needed them."),
		fileSync:     fsync.WithLabelValues("file"),
		folderSync:   fsync.WithLabelValues("folder"),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m.registered = []prometheus.Collector{
		m.writtenBytes, m.stored, m.deduplicated, m.corrupt, m.mended, m.scrubbed, m.collected, fsync,
		gauge("casepress_blob_corrupt", "Blobs known to be damaged.", func() float64 { return float64(len(s.Corrupt())) }),
		gauge("casepress_blob_staging_bytes", "Bytes received that are no blobs yet.", func() float64 { return float64(s.Staging()) }),
	}
	return m
}

// register adds all metrics to r, or none if one of them is there already.
func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for i, c := range m.registered {
		if err := r.Register(c); err != nil {
			for _, added := range m.registered[:i] {
				r.Unregister(added)
			}
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	m.registerer = r
	return nil
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
}

// timed runs sync and observes how long it took, whether it worked or not.
func timed(o prometheus.Observer, sync func() error) error {
	start := time.Now()
	defer func() { o.Observe(time.Since(start).Seconds()) }()
	return sync()
}
