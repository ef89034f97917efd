package broker

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"casepress/broker/brokerpb"
)

const (
	streamDepth   = 1024 // requests of a stream on their way to the disk; beyond that it is not read on
	streamAnswers = 1024 // results that go into one response, about
)

type sendStream = grpc.BidiStreamingServer[brokerpb.SendStreamRequest, brokerpb.SendStreamResponse]

// A streamed request is on its way to the disk, as far as its results are not failures yet.
type streamed struct {
	placed  []placement
	results []*brokerpb.SendResult
}

// SendStream hands each request to the log as it arrives, without waiting for the disk, and answers in order: so
// requests that arrive while the disk is busy share its next write, and their answers one response. When the
// service stops, what was read is answered.
func (s *Service) SendStream(stream sendStream) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	under := make(chan streamed, streamDepth)
	var broken error // set before under is closed
	go func() {      // ends with the stream, which ends with this call
		defer close(under)
		broken = s.takeIn(ctx, stream, under)
	}()
	var next *streamed
	for {
		if next == nil {
			select {
			case r, ok := <-under:
				if !ok {
					return broken
				}
				next = &r
			case <-s.ctx.Done():
				if next = poll(under); next == nil {
					return errStopping
				}
			}
		}
		response, after, err := answer(ctx, next, under)
		if err != nil {
			return statusOf(err)
		}
		if err := stream.Send(response); err != nil {
			return err
		}
		next = after
	}
}

// takeIn reads requests until the client has no more.
func (s *Service) takeIn(ctx context.Context, stream sendStream, under chan<- streamed) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case under <- s.placeEach(ctx, r.GetMsgs()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answer waits until r is on stable storage and answers it with those after it that are, too. after is the first
// that is not.
func answer(ctx context.Context, r *streamed, under <-chan streamed) (response *brokerpb.SendStreamResponse, after *streamed, err error) {
	response = &brokerpb.SendStreamResponse{}
	for {
		if err := r.wait(ctx); err != nil {
			return nil, nil, err
		}
		response.Results = append(response.Results, r.results...)
		r = poll(under)
		if r == nil || len(response.Results) >= streamAnswers || !r.settled() {
			return response, r, nil
		}
	}
}

// poll returns the next request if it is there.
func poll(under <-chan streamed) *streamed {
	select {
	case r, ok := <-under:
		if ok {
			return &r
		}
	default:
	}
	return nil
}

func (r *streamed) settled() bool {
	for _, p := range r.placed {
		if !p.sent.settled(p.topic) {
			return false
		}
	}
	return true
}

// wait returns when the disk has answered; what failed there has its failure then. The error is ctx's.
func (r *streamed) wait(ctx context.Context) error {
	for _, p := range r.placed {
		err := p.sent.wait(ctx, p.topic)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fail(r.results, p.places, p.topic.blame(err))
		}
	}
	return nil
}

func fail(results []*brokerpb.SendResult, places []int, err error) {
	for _, place := range places {
		results[place] = &brokerpb.SendResult{Failure: failure(err)}
	}
}

// placeEach hands messages to their topics' logs. What cannot be taken has its failure at once and hinders no other.
func (s *Service) placeEach(ctx context.Context, in []*brokerpb.Message) streamed {
	slab := make([]brokerpb.SendResult, len(in))
	r := streamed{results: make([]*brokerpb.SendResult, len(in))}
	for i := range slab {
		r.results[i] = &slab[i]
	}
	for _, b := range perTopic(in) {
		s.placeSome(ctx, &r, b.topic, in, b.places)
	}
	return r
}

// placeSome places messages of one topic together; when one of them is at fault, each by itself.
func (s *Service) placeSome(ctx context.Context, r *streamed, topic string, in []*brokerpb.Message, places []int) {
	msgs, offsets := make([]Message, len(places)), make([]uint64, len(places))
	var err error
	for i, place := range places {
		if msgs[i], err = toMessage(in[place]); err != nil {
			break
		}
	}
	var p placement
	if err == nil {
		p.topic, p.sent, err = s.place(ctx, topic, msgs, offsets)
	}
	switch {
	case err == nil:
		p.places = places
		r.placed = append(r.placed, p)
		for i, place := range places {
			r.results[place].Offset = offsets[i]
		}
	case len(places) == 1:
		fail(r.results, places, err)
	default:
		for i := range places {
			s.placeSome(ctx, r, topic, in, places[i:i+1])
		}
	}
}
