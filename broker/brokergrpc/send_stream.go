package brokergrpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

const (
	streamDepth   = 1024 // requests of a stream on their way to the disk; beyond that it is not read on
	streamAnswers = 1024 // results that go into one response, about
)

type sendStream = grpc.BidiStreamingServer[brokerpb.SendStreamRequest, brokerpb.SendStreamResponse]

// A streamed request is on its way to the disk, as far as its results are not failures yet.
type streamed struct {
	pending []pendingResults
	results []*brokerpb.SendResult
}

// pendingResults are the results of a request that hang on one append.
type pendingResults struct {
	broker.Pending
	indexes []int // in the request
}

// SendStream hands each request to the log as it arrives, without waiting for the disk, and answers in order: so
// requests that arrive while the disk is busy share its next write, and their answers one response. When the
// service stops, what was read is answered.
func (s *Service) SendStream(stream sendStream) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	pending := make(chan streamed, streamDepth)
	var broken error // set before pending is closed
	go func() {      // ends with the stream, which ends with this call
		defer close(pending)
		broken = s.readRequests(ctx, stream, pending)
	}()
	var next *streamed
	for {
		if next == nil {
			select {
			case r, ok := <-pending:
				if !ok {
					return broken
				}
				next = &r
			case <-s.ctx.Done():
				if next = poll(pending); next == nil {
					return errStopping
				}
			}
		}
		response, after, err := answer(ctx, next, pending)
		if err != nil {
			return statusOf(err)
		}
		if err := stream.Send(response); err != nil {
			return err
		}
		next = after
	}
}

// readRequests reads requests until the client has no more.
func (s *Service) readRequests(ctx context.Context, stream sendStream, pending chan<- streamed) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := checkCount(r.GetMsgs()); err != nil { // how many there are is not known: no result for each
			return err
		}
		select {
		case pending <- s.enqueueEach(ctx, r.GetMsgs()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answer waits until r is on stable storage and answers it with those after it that are, too. after is the first
// that is not.
func answer(ctx context.Context, r *streamed, pending <-chan streamed) (response *brokerpb.SendStreamResponse, after *streamed, err error) {
	response = &brokerpb.SendStreamResponse{}
	for {
		if err := r.wait(ctx); err != nil {
			return nil, nil, err
		}
		response.Results = append(response.Results, r.results...)
		r = poll(pending)
		if r == nil || len(response.Results) >= streamAnswers || !r.durable() {
			return response, r, nil
		}
	}
}

// poll returns the next request if it is there.
func poll(pending <-chan streamed) *streamed {
	select {
	case r, ok := <-pending:
		if ok {
			return &r
		}
	default:
	}
	return nil
}

func (r *streamed) durable() bool {
	for i := range r.pending {
		if !r.pending[i].Durable() {
			return false
		}
	}
	return true
}

// wait returns when the disk has answered; what failed there has its failure then. The error is ctx's.
func (r *streamed) wait(ctx context.Context) error {
	for i := range r.pending {
		p := &r.pending[i]
		err := p.Wait(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fail(r.results, p.indexes, err)
		}
	}
	return nil
}

func fail(results []*brokerpb.SendResult, indexes []int, err error) {
	for _, i := range indexes {
		results[i] = &brokerpb.SendResult{Failure: failure(err)}
	}
}

// enqueueEach hands messages to their topics' logs. What cannot be taken has its failure at once and hinders no other.
func (s *Service) enqueueEach(ctx context.Context, in []*brokerpb.Message) streamed {
	slab := make([]brokerpb.SendResult, len(in))
	r := streamed{results: make([]*brokerpb.SendResult, len(in))}
	for i := range slab {
		r.results[i] = &slab[i]
	}
	for _, b := range perTopic(in) {
		s.enqueueSome(ctx, &r, b.topic, in, b.indexes)
	}
	return r
}

// enqueueSome hands messages of one topic over together; when one of them is at fault, each by itself.
func (s *Service) enqueueSome(ctx context.Context, r *streamed, topic string, in []*brokerpb.Message, indexes []int) {
	msgs, offsets := make([]broker.Message, len(indexes)), make([]uint64, len(indexes))
	var err error
	for i, index := range indexes {
		if msgs[i], err = toMessage(in[index]); err != nil {
			break
		}
	}
	var p broker.Pending
	if err == nil {
		p, err = s.enqueue(ctx, topic, msgs, offsets)
	}
	switch {
	case err == nil:
		r.pending = append(r.pending, pendingResults{p, indexes})
		for i, index := range indexes {
			r.results[index].Offset = offsets[i]
		}
	case len(indexes) == 1:
		fail(r.results, indexes, err)
	default:
		for i := range indexes {
			s.enqueueSome(ctx, r, topic, in, indexes[i:i+1])
		}
	}
}
