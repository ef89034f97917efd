package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/handlers"
	"casepress/tasks"
)

// publishEvents puts events of reports 1 to n into the log.
func (s *service) publishEvents(n int) {
	s.Helper()
	for first := 1; first <= n; first += 1000 {
		var batch []broker.Message
		for i := first; i < min(first+1000, n+1); i++ {
			batch = append(batch, eventMessage(s.TB, i))
		}
		_, err := s.Broker.Publish(context.Background(), tasks.TopicUpdates, batch...)
		require.NoError(s, err)
	}
}

func eventMessage(t testing.TB, i int) broker.Message {
	f := tasks.Finished{
		Kind: tasks.KindCaseReport(), Status: tasks.Completed, Attempt: 1, Sequence: uint64(i), Time: time.Date(2026, 11, 21, 12, 0, i, 0, time.UTC),
		Header: tasks.Header{ID: fmt.Sprintf("0196f1c0-6f5e-7b3a-9a52-%012d", i), Study: "S1", Site: "01", PatientID: fmt.Sprintf("P%03d", i%500), VisitID: "V2"},
	}
	e, err := f.Event()
	require.NoError(t, err)
	return broker.Message{ID: e.ID, Key: e.Key, Payload: e.Payload}
}

// page is a page of events.
type page struct {
	Events []struct {
		Sequence int
		ID, Type string
	}
	Next string
}

func (a answer) page() (p page) {
	a.Helper()
	require.NoError(a, json.Unmarshal(a.is(200).body, &p))
	return p
}

func TestEventsOfReports(t *testing.T) {
	s := open(t)
	require.Equal(t, "0", s.get("/events").page().Next)
	s.upload(field("reportId", "r1"), field("patientId", "P1"), field("visitId", "V2"), field("study", "S1"), file("a.jpg", photo(1))).is(202)
	s.final("r1")
	a := s.get("/events?after=0&wait=20s")
	p := a.page()
	require.Len(t, p.Events, 1)
	require.Regexp(t, "^1-[0-9a-f]{12}$", p.Next)
	e := a.get("events").([]any)[0].(map[string]any)
	require.NotEmpty(t, e["time"])
	delete(e, "time")
	require.NotEmpty(t, e["data"].(map[string]any)["occurredAt"])
	delete(e["data"].(map[string]any), "occurredAt")
	require.Equal(t, map[string]any{
		"sequence": 1.0, "id": "r1/1", "type": "patient-data-update", "kind": "case-report", "study": "S1", "patientId": "P1", "visitId": "V2",
		"data": map[string]any{"submissionId": "r1", "reportId": "r1", "status": "completed", "attempt": 1.0, "sequence": 0.0, "url": "/case-reports/r1"},
	}, e)
}

func TestEventPages(t *testing.T) {
	s := open(t)
	s.publishEvents(2500)
	next, seen := "0", 0
	for _, limit := range []int{0, 1, 1000, 1000, 1000, 1000} {
		path := "/events?after=" + next
		if limit > 0 {
			path += "&limit=" + strconv.Itoa(limit)
		} else {
			limit = 100
		}
		p := s.get(path).page()
		require.Len(t, p.Events, min(limit, 2500-seen))
		for _, e := range p.Events {
			seen++
			require.Equal(t, seen, e.Sequence)
			require.Equal(t, fmt.Sprintf("0196f1c0-6f5e-7b3a-9a52-%012d/1", seen), e.ID)
		}
		next = p.Next
	}
	require.Equal(t, 2500, seen)
	require.Len(t, s.get("/events?after=2400").page().Events, 100, "a bare sequence")
	require.Len(t, s.get("/events?after=2400&types=patient-data-update").page().Events, 100)
	s.do(s.request(http.MethodHead, "/events", nil)).is(200)
}

func TestEventPageIsBounded(t *testing.T) {
	s := open(t)
	var batch []broker.Message
	for i := range 30 {
		m := eventMessage(t, i+1)
		m.Payload = []byte(strings.Replace(string(m.Payload), `"attempt"`, `"more":"`+strings.Repeat("x", 100_000)+`","attempt"`, 1))
		batch = append(batch, m)
	}
	_, err := s.Broker.Publish(t.Context(), tasks.TopicUpdates, batch...)
	require.NoError(t, err)
	a := s.get("/events")
	require.Less(t, len(a.body), 1<<20)
	p := a.page()
	require.Less(t, len(p.Events), 10)
	for len(p.Events) > 0 {
		p = s.get("/events?after=" + p.Next).page()
	}
	require.Equal(t, "30", p.Next[:2])
}

func TestEventsRefused(t *testing.T) {
	s := open(t)
	s.publishEvents(3)
	for query, field := range map[string]string{
		"after=x": "after", "after=": "after", "after=-1": "after", "after=01": "after", "after=1-x": "after", "type=x": "type",
		"types=alerts": "types", "types=patient-data-update,": "types", "limit=0": "limit", "limit=1001": "limit", "wait=soon": "wait", "after=1&after=2": "after",
	} {
		a := s.get("/events?"+query).is(400, "invalid-input")
		require.Equal(t, field, a.get("errors").([]any)[0].(map[string]any)["field"], query)
		require.NotContains(t, a.json(), "stored")
	}
	for _, query := range []string{"limit=1", "wait=1s", "types=alerts", "after=x"} {
		s.get("/events?"+query, "Accept", "text/event-stream").is(400, "invalid-input")
	}
	s.get("/events", "Accept", "text/event-stream", "Last-Event-ID", "x").is(400, "invalid-input")
	for _, after := range []string{"3-000000000000", "4-000000000000"} {
		for _, accept := range []string{"application/json", "text/event-stream"} {
			a := s.get("/events?after="+after, "Accept", accept).is(410, "event-position-lost")
			require.Equal(t, "0", a.get("begin"))
			require.Contains(t, a.get("detail"), after)
			require.Contains(t, a.get("detail"), "after=0")
		}
	}
	s.get("/events?after=3&wait=1ms").is(200)
	for _, accept := range []string{"application/json", "text/event-stream"} { // nothing says that such an event was lost
		a := s.get("/events?after=999999", "Accept", accept).is(400, "invalid-input")
		require.Contains(t, a.get("detail"), "after: 999999 lies beyond the newest event, 3;")
	}
	require.Contains(t, s.get("/events", "Accept", "text/event-stream", "Last-Event-ID", "4").is(400).get("detail"), "Last-Event-ID: 4 lies beyond")
}

func TestEventsAreWaitedFor(t *testing.T) {
	s := open(t)
	s.publishEvents(1)
	last := s.get("/events").page().Next
	answered := s.later("/events?wait=30s&after=" + last)
	require.Eventually(t, func() bool { return handlers.Waiting(s.API) == 1 }, patience, time.Millisecond)
	_, err := s.Broker.Publish(t.Context(), tasks.TopicUpdates, eventMessage(t, 2))
	require.NoError(t, err)
	p := (<-answered).page()
	require.Len(t, p.Events, 1)
	require.Equal(t, 2, p.Events[0].Sequence)

	require.Empty(t, s.get("/events?wait=20ms&after="+p.Next).page().Events)
	answered = s.later("/events?wait=30s&after=" + p.Next)
	require.Eventually(t, func() bool { return handlers.Waiting(s.API) == 1 }, patience, time.Millisecond)
	s.API.Drain()
	require.Equal(t, p.Next, (<-answered).page().Next, "the end of the server ends the wait")
}

// An event that cannot be read holds nothing up.
func TestUnreadableEvent(t *testing.T) {
	s := open(t)
	s.publishEvents(1)
	for _, payload := range []string{"", "null", `{"id":1}`, `{"id":"x"}`, "\x00"} {
		_, err := s.Broker.Publish(t.Context(), tasks.TopicUpdates, broker.Message{Payload: []byte(payload)})
		require.NoError(t, err)
	}
	_, err := s.Broker.Publish(t.Context(), tasks.TopicUpdates, eventMessage(t, 2))
	require.NoError(t, err)
	p := s.get("/events").page()
	require.Len(t, p.Events, 2)
	require.Equal(t, 7, p.Events[1].Sequence)
	require.Contains(t, s.log.String(), "an event cannot be read")
}

// eventStream is a stream of server-sent events.
type eventStream struct {
	testing.TB
	body io.ReadCloser
	*bufio.Reader
	begin string // the position where it begins
}

func (s *service) stream(path string, header ...string) *eventStream {
	s.Helper()
	r, err := s.client.Do(s.request(http.MethodGet, path, nil, append(header, "Accept", "text/event-stream")...))
	require.NoError(s, err)
	require.Equal(s, 200, r.StatusCode)
	require.Equal(s, "text/event-stream", r.Header.Get("Content-Type"))
	require.Equal(s, "no", r.Header.Get("X-Accel-Buffering"))
	stream := &eventStream{TB: s.TB, body: r.Body, Reader: bufio.NewReader(r.Body)}
	s.Cleanup(func() { _ = r.Body.Close() })
	begin := stream.block()
	require.Len(s, begin, 2)
	require.Equal(s, "retry: 2000", begin[0])
	require.Regexp(s, "^id: [0-9]+(-[0-9a-f]{12})?$", begin[1])
	stream.begin = strings.TrimPrefix(begin[1], "id: ")
	return stream
}

// block reads up to an empty line; nil at the end.
func (s *eventStream) block() (lines []string) {
	s.Helper()
	for {
		line, err := s.ReadString('\n')
		if err != nil {
			require.Empty(s, line)
			require.Empty(s, lines)
			return nil
		}
		if line == "\n" {
			return lines
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

// event reads the next event and returns its id.
func (s *eventStream) event(sequence int) (id string) {
	s.Helper()
	lines := s.block()
	require.Len(s, lines, 2)
	var e struct{ Sequence int }
	require.NoError(s, json.Unmarshal([]byte(strings.TrimPrefix(lines[1], "data: ")), &e))
	require.Equal(s, sequence, e.Sequence)
	id, found := strings.CutPrefix(lines[0], "id: ")
	require.True(s, found)
	require.True(s, strings.HasPrefix(id, strconv.Itoa(sequence)+"-"))
	return id
}

func TestEventStream(t *testing.T) {
	s := open(t)
	s.publishEvents(500)
	stream := s.stream("/events")
	var ids []string
	for i := range 500 {
		ids = append(ids, stream.event(i+1))
	}
	_, err := s.Broker.Publish(t.Context(), tasks.TopicUpdates, eventMessage(t, 501))
	require.NoError(t, err)
	stream.event(501)
	// Whoever comes again knows more than the address says.
	again := s.stream("/events?after=7", "Last-Event-ID", ids[498])
	again.event(500)
	again.event(501)
	require.Len(t, s.get("/events?after="+ids[499]).page().Events, 1, "it is a position as any")
	s.do(s.request(http.MethodHead, "/events", nil, "Accept", "text/event-stream")).is(200)
	for _, accept := range []string{"text/event-stream;q=0", "application/json, text/event-stream; q=0.0", "text/event-stream;q"} {
		require.NotEmpty(t, s.get("/events", "Accept", accept).is(200).page().Events, accept)
	}
	s.API.Drain()
	require.Nil(t, stream.block())
	require.Nil(t, again.block())
	require.Eventually(t, func() bool { return handlers.Waiting(s.API) == 0 }, patience, time.Millisecond)
}

// Whoever has read how things stand begins behind the newest event, and hears of all that comes, across connections too.
func TestEventsFromTheLatest(t *testing.T) {
	s := open(t)
	require.Equal(t, page{Events: s.get("/events?after=latest").page().Events[:0], Next: "0"}, s.get("/events?after=latest").page(), "there are none yet")
	s.publishEvents(3)
	last := s.get("/events").page().Next
	p := s.get("/events?after=latest").page()
	require.Empty(t, p.Events)
	require.Equal(t, last, p.Next)

	stream := s.stream("/events?after=latest")
	require.Equal(t, last, stream.begin)
	require.NoError(t, stream.body.Close()) // before an event has come
	_, err := s.Broker.Publish(t.Context(), tasks.TopicUpdates, eventMessage(t, 4), eventMessage(t, 5))
	require.NoError(t, err)
	again := s.stream("/events?after=latest", "Last-Event-ID", stream.begin)
	require.Equal(t, last, again.begin)
	again.event(4)
	again.event(5)
	answered := s.later("/events?wait=30s&after=latest")
	require.Eventually(t, func() bool { return handlers.Waiting(s.API) >= 2 }, patience, time.Millisecond)
	_, err = s.Broker.Publish(t.Context(), tasks.TopicUpdates, eventMessage(t, 6))
	require.NoError(t, err)
	require.Equal(t, 6, (<-answered).page().Events[0].Sequence)
	again.event(6)
	s.get("/events", "Accept", "text/event-stream", "Last-Event-ID", "latest").is(400, "invalid-input")
}

func TestEventStreamHeartbeat(t *testing.T) {
	s := open(t)
	handlers.SetHeartbeat(s.API, 20*time.Millisecond)
	s.publishEvents(1)
	stream := s.stream("/events")
	stream.event(1)
	require.Equal(t, []string{"event: heartbeat", "data: {}"}, stream.block())
	// What was passed over needs not be looked at again.
	_, err := s.Broker.Publish(t.Context(), tasks.TopicUpdates, broker.Message{Payload: []byte("{}")})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		lines := stream.block()
		require.Equal(t, "event: heartbeat", lines[0])
		return len(lines) == 3 && strings.HasPrefix(lines[1], "id: 2-") && lines[2] == "data: {}"
	}, patience, time.Microsecond)
}

func TestEventStreamsAreBounded(t *testing.T) {
	s := open(t, with(func(c *handlers.Config) { c.MaxStreams, c.MaxStreamsPerAddress, c.ClientHeader = 3, 2, "X-Client" }))
	from := func(client string) []string { return []string{"X-Client", client} }
	first := s.stream("/events", from("192.0.2.1")...)
	s.stream("/events", from("192.0.2.1")...)
	refused := s.get("/events?wait=20s", from("192.0.2.1")...).is(503, "too-many-streams-from-address")
	require.Equal(t, 2.0, refused.get("limit"))
	require.Equal(t, "30", refused.Header.Get("Retry-After"))
	s.get("/events", from("192.0.2.1")...).is(200) // not kept waiting
	s.stream("/events", from("192.0.2.2")...)
	s.get("/events", append(from("192.0.2.3"), "Accept", "text/event-stream")...).is(503, "too-many-streams")
	require.NoError(t, first.body.Close()) // a client that leaves makes room
	require.Eventually(t, func() bool { return handlers.Waiting(s.API) == 2 }, patience, time.Millisecond)
	s.stream("/events", from("192.0.2.3")...)
}

// A client that takes nothing is cut off after the stall timeout, or at once when the server is about to end.
func TestEventStreamSlowReader(t *testing.T) {
	for name, tc := range map[string]struct {
		stall time.Duration
		end   func(*service)
	}{
		"stalls": {stall, func(*service) {}},
		"server ends": {time.Minute, func(s *service) {
			require.Equal(s, 1, handlers.Waiting(s.API)) // it stalls for a minute before it is cut off
			s.API.Drain()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, with(func(c *handlers.Config) { c.StallTimeout = tc.stall }))
			s.publishEvents(40_000) // more than sockets hold
			s.stream("/events")
			tc.end(s)
			require.Eventually(t, func() bool { return handlers.Waiting(s.API) == 0 }, patience, time.Millisecond)
		})
	}
}

// BenchmarkEvents reads a feed of a million events: pages of 100 at random places, and all of it as a stream.
func BenchmarkEvents(b *testing.B) {
	s := open(b)
	const n = 1_000_000
	s.publishEvents(n)
	b.Run("page", func(b *testing.B) {
		s := s.on(b)
		positions := make([]string, 64)
		for i := range positions {
			positions[i] = s.get("/events?limit=1&after=" + strconv.Itoa(i*(n/len(positions)))).page().Next
		}
		b.ResetTimer()
		var slowest time.Duration
		for i := 0; b.Loop(); i++ {
			begun := time.Now()
			r, err := s.client.Get(s.url + "/events?after=" + positions[i*37%len(positions)])
			require.NoError(b, err)
			body, err := io.ReadAll(r.Body)
			require.NoError(b, err)
			require.NoError(b, r.Body.Close())
			slowest = max(slowest, time.Since(begun))
			require.Equal(b, 100, bytes.Count(body, []byte(`"sequence":`))/2)
		}
		b.ReportMetric(float64(slowest.Microseconds())/1000, "ms-slowest")
	})
	b.Run("stream", func(b *testing.B) {
		s := s.on(b)
		for b.Loop() {
			r, err := s.client.Do(s.request(http.MethodGet, "/events", nil, "Accept", "text/event-stream"))
			require.NoError(b, err)
			lines := bufio.NewReaderSize(r.Body, 256<<10)
			for seen := 0; seen < n; {
				line, err := lines.ReadSlice('\n')
				require.NoError(b, err)
				if bytes.HasPrefix(line, []byte("data: ")) {
					seen++
				}
			}
			require.NoError(b, r.Body.Close())
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

// Many read at once while events come: each gets all of them in the same order.
func TestEventReadersAgree(t *testing.T) {
	s := open(t)
	const n = 2000
	streams := make([]*eventStream, 8)
	for i := range streams {
		streams[i] = s.stream("/events")
	}
	messages := make([]broker.Message, n)
	for i := range messages {
		messages[i] = eventMessage(t, i+1)
	}
	published := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i += 10 {
			_, err = s.Broker.Publish(context.Background(), tasks.TopicUpdates, messages[i:i+10]...)
		}
		published <- err
	}()
	for i := range n {
		for _, stream := range streams {
			stream.event(i + 1)
		}
	}
	require.NoError(t, <-published)
}
