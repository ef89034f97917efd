package handlers

import (
	"casepress/tasks"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the figures at /metrics. Labels have few values, never ids.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	uploads  *prometheus.CounterVec
}

func newMetrics(a *API) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casepress_http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "casepress_http_request_duration_seconds", Help: "Time from the header to the end of the answer, uploading included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "casepress_http_requests_in_flight", Help: "Requests that are being answered.",
		}),
		uploads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casepress_uploads_total", Help: "Case reports and images handed in: accepted, replayed, or the code of the refusal.",
		}, []string{"result"}),
	}
	a.cfg.Registry.MustRegister(m.requests, m.duration, m.inFlight, m.uploads, &stateCollector{a: a},
		collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// request counts an answered request.
func (m *metrics) request(c *gin.Context, took time.Duration) {
	method := knownMethod(c.Request.Method)
	m.requests.WithLabelValues(method, route(c), strconv.Itoa(c.Writer.Status())).Inc()
	m.duration.WithLabelValues(method, route(c)).Observe(took.Seconds())
	switch {
	case !isUpload(c):
	case c.GetString(keyCode) != "":
		m.uploads.WithLabelValues(c.GetString(keyCode)).Inc()
	case c.Writer.Header().Get("Idempotency-Replayed") != "" || c.Writer.Status() == http.StatusOK:
		m.uploads.WithLabelValues("replayed").Inc()
	default:
		m.uploads.WithLabelValues("accepted").Inc()
	}
}

func isUpload(c *gin.Context) bool {
	return c.FullPath() == routeUpload || c.FullPath() == routeImage
}

// knownMethod keeps made-up methods from becoming labels.
func knownMethod(method string) string {
	if slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		return method
	}
	return "other"
}

// stateCollector collects how the service stands, at the moment it is asked.
type stateCollector struct{ a *API }

var (
	descSubmissions = prometheus.NewDesc("casepress_submissions", "Submissions by kind and status.", []string{"kind", "status"}, nil)
	descFree        = prometheus.NewDesc("casepress_disk_free_bytes", "Free space of the data folder.", nil, nil)
	descReady       = prometheus.NewDesc("casepress_ready", "1 if /readyz answers 200, else 0.", nil, nil)
)

// Describe sends the descriptions of all figures.
func (s *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSubmissions, descFree, descReady} {
		ch <- d
	}
}

// collectTimeout bounds the questions to the rows for one scrape.
const collectTimeout = 5 * time.Second

// Collect sends the present figures; one that cannot be had fails the scrape.
func (s *stateCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	s.collectSubmissions(ctx, ch)
	free, err := s.a.admission.free.get(ctx)
	gauge(ch, descFree, float64(free), err)
	ready := 0.0
	if len(s.a.unready(ctx)) == 0 {
		ready = 1
	}
	gauge(ch, descReady, ready, nil)
}

func (s *stateCollector) collectSubmissions(ctx context.Context, ch chan<- prometheus.Metric) {
	counts, err := s.a.rows.Counts(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descSubmissions, err)
		return
	}
	for kind, byStatus := range counts {
		for _, status := range tasks.Statuses() {
			gauge(ch, descSubmissions, float64(byStatus[status]), nil, kind, string(status))
		}
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, value float64, err error, labels ...string) {
	if err != nil {
		ch <- prometheus.NewInvalidMetric(d, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
