package handlers

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/tasks"
)

// The events that other services are told, for whoever asks: a page, a page that is waited for, or a stream.
//
//	GET /events?after=0&limit=100             a page
//	GET /events?after=1234-…&wait=20s         a page, as soon as there is an event
//	GET /events?after=latest                  a page without events, whose next is behind the newest one
//	GET /events, Accept: text/event-stream    a stream of server-sent events
//
// A stream, in the format of the HTML standard, section 9.2:
//
//	retry: 2000                               after how many milliseconds to come again
//	id: 1234-9f86d081884c                     where the stream begins, which Last-Event-ID repeats
//
//	id: 1235-51a40c09bb36                     the position behind the event
//	data: {"sequence":1235,"id":…}            the event, as pages have it
//
//	event: heartbeat                          each 15 s without an event
//	id: 1300-77f20a1c9e05                     only if the stream has passed over events of other types
//	data: {}
//
// The heartbeat is an event of its own and no comment, because a page does not see comments: only so can it notice that a
// connection is dead.
//
// A position has a check of the event, so that one of other events is refused and never read as if it were of these.

const (
	routeEvents = "/events"

	defaultEvents = 100
	maxEvents     = 1000
	// afterLatest is the position behind the newest event, for whoever reads the present state and wants to hear of changes.
	afterLatest = "latest"
	// eventBytes is how much of the log is read at once for one reader, who keeps a buffer of that size.
	eventBytes = 64 << 10
	// passedBytes is how much of the log a page looks through for the types that are asked for.
	passedBytes = 8 << 20
	// heartbeatEach is how long a stream is silent.
	heartbeatEach = 15 * time.Second
)

// eventsAnswer is one page of events.
type eventsAnswer struct {
	Events []tasks.ToldEvent `json:"events"`
	// Next is where the page after begins.
	Next string `json:"next"`
}

// eventQuery is which events are asked for.
type eventQuery struct {
	after dispatcher.Position
	types []string // nil: all
	limit int
	wait  time.Duration
}

// events answers GET /events.
func (a *API) events(c *gin.Context) {
	if wantsStream(c.GetHeader("Accept")) {
		a.streamEvents(c)
		return
	}
	q, err := a.eventQueryOf(c, "after", "types", "limit", "wait")
	if err != nil {
		a.fail(c, err)
		return
	}
	page, err := a.eventPage(c, q)
	if err != nil {
		a.fail(c, eventFault("after", err))
		return
	}
	c.Header("Cache-Control", "private, no-cache")
	c.Header("Vary", "Accept")
	a.answer(c, "application/json", encodeJSON(page))
}

// wantsStream reports whether an Accept header asks for server-sent events.
func wantsStream(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		mediaType, parameters, err := mime.ParseMediaType(one)
		if err != nil || mediaType != mediaEventStream {
			continue
		}
		weight, err := strconv.ParseFloat(parameters["q"], 64) // RFC 9110, 12.4.2: 0 is "not acceptable"
		return err != nil || weight > 0
	}
	return false
}

const mediaEventStream = "text/event-stream"

// eventQueryOf reads the query. Its error is a fault that names all that is wrong, unless the newest event cannot be read.
func (a *API) eventQueryOf(c *gin.Context, known ...string) (q eventQuery, err error) {
	query, err := queryOf(c, known...)
	if err != nil {
		return q, err
	}
	var faults []fieldFault
	switch after := query["after"]; after {
	case "":
	case afterLatest:
		if q.after, err = a.work.LastEvent(c.Request.Context()); err != nil {
			return q, err
		}
	default:
		if q.after, err = dispatcher.ParsePosition(after); err != nil {
			faults = append(faults, fieldFault{field: "after", detail: textBadAfter})
		}
	}
	if types := query["types"]; types != "" {
		q.types = strings.Split(types, ",")
		if slices.ContainsFunc(q.types, func(t string) bool { return !slices.Contains(tasks.EventTypes(), t) }) {
			faults = append(faults, fieldFault{field: "types", detail: textBadTypes, args: []any{strings.Join(tasks.EventTypes(), ", ")}})
		}
	}
	q.limit = defaultEvents
	if limit := query["limit"]; limit != "" {
		n, ok := counted(limit)
		if !ok || n > maxEvents {
			faults = append(faults, fieldFault{field: "limit", detail: textBadLimit, args: []any{maxEvents}})
		}
		q.limit = n
	}
	if q.wait, err = a.waitFor(query["wait"]); err != nil {
		faults = append(faults, fieldFault{field: "wait", detail: textBadWait})
	}
	if len(faults) > 0 {
		return q, &fault{code: codeInvalidInput, fields: faults}
	}
	return q, nil
}

func (q eventQuery) wants(e tasks.ToldEvent) bool {
	return q.types == nil || slices.Contains(q.types, e.Type)
}

// eventFault is a fault for an error of reading events from the position that the field has.
func eventFault(field string, err error) error {
	if lost, ok := errors.AsType[*dispatcher.PositionError](err); ok {
		if lost.NeverTold {
			return invalid(field, textBeyondNewest, lost.At.String(), lost.End.String())
		}
		return &fault{code: codePositionLost, args: []any{lost.At.String(), lost.Begin.String()}, extras: extras{Begin: lost.Begin.String()}}
	}
	return err
}

// eventPage reads a page. Where there is no event, it waits for one, if it is to.
func (a *API) eventPage(c *gin.Context, q eventQuery) (eventsAnswer, error) {
	ctx := c.Request.Context()
	page, all, err := a.readPage(ctx, &q)
	if err != nil || !all || len(page.Events) > 0 || q.wait == 0 {
		return page, err
	}
	leave, err := a.streams.enter(a.cfg, a.clientOf(c))
	if err != nil {
		return page, err
	}
	defer leave()
	waiting, cancel := context.WithTimeout(ctx, q.wait)
	defer cancel()
	defer a.untilDraining(cancel)()
	for all && len(page.Events) == 0 {
		if err := a.waitForEvents(waiting, q.after); err != nil {
			if waiting.Err() != nil {
				return page, nil // over, or the client has left, or the server is about to end: as it is
			}
			return page, err
		}
		if page, all, err = a.readPage(ctx, &q); err != nil {
			return page, err
		}
	}
	return page, nil
}

// readPage reads a page of what there is, and moves q behind it. all says that there is no more.
func (a *API) readPage(ctx context.Context, q *eventQuery) (page eventsAnswer, all bool, err error) {
	select {
	case a.listing <- struct{}{}:
		defer func() { <-a.listing }()
	case <-ctx.Done():
		return page, false, ctx.Err()
	}
	page.Events = []tasks.ToldEvent{}
	read, size := 0, 0
	for batch, err := range a.work.ReadEvents(ctx, q.after, eventBytes) {
		if err != nil {
			return page, false, err
		}
		if len(batch) == 0 {
			all = true
			break
		}
		for _, one := range batch {
			if e, ok := a.toldEvent(ctx, one); ok && q.wants(e) {
				page.Events = append(page.Events, e)
				size += len(one.Payload)
			}
			q.after = one.Position
			if len(page.Events) == q.limit || size > pageBytes/2 { // it is larger than what it is made of
				page.Next = q.after.String()
				return page, false, nil
			}
			read += len(one.Payload)
		}
		if read > passedBytes {
			break
		}
	}
	page.Next = q.after.String()
	return page, all, nil
}

// toldEvent reads an event. One that cannot be read is passed over, so that it does not hold up those behind it, and logged.
func (a *API) toldEvent(ctx context.Context, one dispatcher.PublishedEvent) (tasks.ToldEvent, bool) {
	e, err := tasks.ReadEvent(one.Position.Sequence, one.Payload)
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelError, "an event cannot be read and was passed over", slog.Any("err", err))
		return e, false
	}
	return e, true
}

// waitForEvents returns nil once there is an event behind the position.
func (a *API) waitForEvents(ctx context.Context, after dispatcher.Position) error {
	for batch, err := range a.work.ReadEvents(ctx, after, 1) {
		if err != nil || len(batch) > 0 {
			return err
		}
	}
	return nil
}

// untilDraining cancels when the server is about to end. stop must be called.
func (a *API) untilDraining(cancel func()) (stop func()) {
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-a.draining:
			cancel()
		case <-stopped:
		}
	})
	return func() {
		close(stopped)
		wg.Wait()
	}
}

// streamEvents answers with server-sent events until the client leaves, does not take what is sent, or the server is about
// to end.
func (a *API) streamEvents(c *gin.Context) {
	q, err := a.eventQueryOf(c, "after", "types")
	field := "after"
	if last := c.GetHeader("Last-Event-ID"); err == nil && last != "" { // of a connection that broke off: it knows more than the address
		field = "Last-Event-ID"
		if q.after, err = dispatcher.ParsePosition(last); err != nil {
			err = invalid(field, textBadPosition)
		}
	}
	var leave func()
	if err == nil {
		leave, err = a.streams.enter(a.cfg, a.clientOf(c))
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer a.untilDraining(func() {
		cancel()
		_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now()) // a client that takes nothing must not hold up the end
	})()
	if err := a.stream(ctx, c, q); err != nil && ctx.Err() == nil {
		if !c.Writer.Written() {
			a.fail(c, eventFault(field, err))
			return
		}
		a.log.LogAttrs(ctx, slog.LevelWarn, "a stream of events was ended", slog.String("requestId", requestID(c)), slog.Any("err", err))
	}
}

// eventStream is a stream of server-sent events on its way to one client.
type eventStream struct {
	c        *gin.Context
	buffer   bytes.Buffer
	told, at dispatcher.Position // what the client knows, and how far the events were read
}

// stream sends events. Its error is why it ended, nil for a question with HEAD.
func (a *API) stream(ctx context.Context, c *gin.Context, q eventQuery) error {
	type read struct {
		events []dispatcher.PublishedEvent
		err    error
	}
	reads := make(chan read)
	var reader sync.WaitGroup
	defer reader.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader.Go(func() {
		for batch, err := range a.work.ReadEvents(ctx, q.after, eventBytes) {
			select {
			case reads <- read{batch, err}:
			case <-ctx.Done():
				return
			}
		}
	})
	s := eventStream{c: c, told: q.after, at: q.after}
	beat := time.NewTimer(a.heartbeat)
	defer beat.Stop()
	for {
		select {
		case r := <-reads:
			if r.err != nil {
				return r.err
			}
			if !c.Writer.Written() {
				if err := s.begin(); err != nil || c.Request.Method == http.MethodHead {
					return err
				}
			}
			for _, one := range r.events {
				s.at = one.Position
				if e, ok := a.toldEvent(ctx, one); ok && q.wants(e) {
					s.event(e)
				}
			}
			if s.buffer.Len() == 0 {
				continue
			}
		case <-beat.C:
			if !c.Writer.Written() { // nothing was read yet, and it may turn out that there is nothing to read
				beat.Reset(a.heartbeat)
				continue
			}
			s.beat()
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.send(); err != nil {
			return err
		}
		beat.Reset(a.heartbeat)
	}
}

// begin sends the header, so that the client knows that the stream is open, after how many milliseconds to come again, and
// from where on: a connection that breaks off before the first event must not begin behind what has happened meanwhile.
func (s *eventStream) begin() error {
	h := s.c.Writer.Header()
	h.Set("Content-Type", mediaEventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Accel-Buffering", "no") // nginx
	s.c.Status(http.StatusOK)
	if s.c.Request.Method == http.MethodHead {
		s.c.Writer.WriteHeaderNow()
		return nil
	}
	s.buffer.WriteString("retry: 2000\nid: " + s.told.String() + "\n\n")
	return s.send()
}

func (s *eventStream) event(e tasks.ToldEvent) {
	s.buffer.WriteString("id: " + s.at.String() + "\ndata: ")
	s.buffer.Write(encodeJSON(e)) // one line, which ends in a line feed
	s.buffer.WriteByte('\n')
	s.told = s.at
}

func (s *eventStream) beat() {
	s.buffer.WriteString("event: heartbeat\n")
	if s.at != s.told {
		s.buffer.WriteString("id: " + s.at.String() + "\n")
		s.told = s.at
	}
	s.buffer.WriteString("data: {}\n\n")
}

// send gives the client [Config.StallTimeout] to take what there is.
func (s *eventStream) send() error {
	_, err := s.c.Writer.Write(s.buffer.Bytes())
	s.buffer.Reset()
	if err == nil {
		s.c.Writer.Flush()
	}
	return err
}

// waiters counts the clients that are kept waiting.
type waiters struct {
	mu    sync.Mutex // guards the rest
	count int
	from  map[netip.Prefix]int
}

// enter counts one more until leave is called. It returns a fault if there are as many already as there may be, in all or from
// this client.
func (s *waiters) enter(cfg Config, from netip.Prefix) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := cfg.MaxStreams; limit >= 0 && s.count >= limit {
		return nil, &fault{code: codeTooManyStreams, args: []any{limit}, extras: extras{Limit: int64(limit)}}
	}
	if limit := cfg.MaxStreamsPerAddress; limit >= 0 && s.from[from] >= limit {
		return nil, &fault{code: codeTooManyStreamsFromAddress, args: []any{limit}, extras: extras{Limit: int64(limit)}}
	}
	if s.from == nil {
		s.from = map[netip.Prefix]int{}
	}
	s.count++
	s.from[from]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count--
		if s.from[from]--; s.from[from] == 0 {
			delete(s.from, from)
		}
	}, nil
}
