package notify_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/dispatcher/dispatchertest"
	"casepress/notify"
	"casepress/tasks"
)

// BenchmarkSend sends events to one receiver on this machine that takes each at once, as many at a time as by default.
func BenchmarkSend(b *testing.B) {
	var came atomic.Int64
	all := make(chan struct{})
	n := int64(b.N)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if came.Add(1) == n {
			close(all)
		}
	}))
	b.Cleanup(server.Close)
	h, _ := dispatchertest.Open(b, dispatchertest.Options{Dir: b.TempDir()})
	var batch []broker.Message
	for i := range b.N {
		f := tasks.Finished{Kind: tasks.KindCaseReport(), Status: tasks.Completed, Attempt: 1, Header: tasks.Header{ID: "r" + strconv.Itoa(i), PatientID: "P" + strconv.Itoa(i%1000)}}
		e, err := f.Event()
		require.NoError(b, err)
		if batch = append(batch, broker.Message{ID: e.ID, Key: e.Key, Payload: e.Payload}); len(batch) == 1000 || i == b.N-1 {
			_, err := h.Broker.Publish(b.Context(), tasks.TopicUpdates, batch...)
			require.NoError(b, err)
			batch = nil
		}
	}
	s := tasks.NewSubmission(tasks.KindWebhookEndpoint(), tasks.WebhookChange{
		ID: "e", ChangeID: "1", Act: tasks.WebhookRegistered, URL: server.URL, Types: tasks.EventTypes(), Secret: notify.NewSecret(), After: "0",
	})
	s.Fresh = true
	_, err := h.Accept(b.Context(), s)
	require.NoError(b, err)
	b.ResetTimer()
	w := notify.Start(b.Context(), notify.Config{Work: h.Dispatcher, Rows: h.Store, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	<-all
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	require.NoError(b, w.Close(b.Context()))
}
