package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "casepress/broker/brokerpb"
)

// ErrClosed says that the stream was closed.
var ErrClosed = errors.New("client: closed")

const (
	defaultInFlight = 1024
	mostTogether    = 512     // messages in one request
	bytesTogether   = 1 << 20 // of payload, about
	requestOverhead = 64      // bytes of a request beside its only message, at most
	inFlightBytes   = 64 << 20
)

// A Stream sends many messages over one call, in order. While an answer is on its way further messages collect and
// go together. When the connection breaks it is made again and what was not answered is sent again with the
// same IDs. A failure that may pass, such as of a full disk or of one topic, hinders no other message: that one is sent again
// after a pause though some that followed it may be stored already, and then it comes after them. Wait for each message whose
// order matters before the next one is sent. When half of the places in flight are taken by messages that are to be sent again, a
// further one that fails gets its error. Its methods may be called from many goroutines. Close it.
type Stream struct {
	broker pb.BrokerClient
	ids    *ids
	ctx    context.Context // ends when Close gives up
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	slots  chan struct{}       // one taken for each message in flight
	bytes  *semaphore.Weighted // taken by the messages in flight
	queue  chan *Pending       // never full: it has as many places
	ending chan struct{}       // closed by Close

	invalid error // why nothing is sent at all

	closing sync.RWMutex // guards closed against a Send under way
	closed  bool

	retryDue wakeup // failed messages are to be sent again now

	mu         sync.Mutex  // guards all below
	unanswered []*Pending  // sent, oldest first
	failed     []*Pending  // to be sent again, oldest first
	rounds     int         // times that failed ones were sent again since one was stored
	retryTimer *time.Timer // nil: failed is empty, or they are being sent again
}

// A Pending is a message on its way to stable storage.
type Pending struct {
	msg    *pb.Message
	size   int64
	done   chan struct{}
	offset uint64
	err    error

	failures int // that may have passed; guarded by Stream.mu
}

// Wait returns the offset when the message is on stable storage. ctx ends the wait only.
func (p *Pending) Wait(ctx context.Context) (offset uint64, err error) {
	select {
	case <-p.done:
		return p.offset, p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// NewStream starts a stream with room for so many messages in flight, and for 64 MiB of them; 0 means 1,024. With a
// negative number every Send returns an error.
func NewStream(conn grpc.ClientConnInterface, inFlight int) *Stream {
	var invalid error
	if inFlight < 0 {
		invalid = fmt.Errorf("client: a stream has room for at least one message in flight, not %d", inFlight)
	}
	if inFlight <= 0 {
		inFlight = defaultInFlight
	}
	s := &Stream{
		invalid: invalid, bytes: semaphore.NewWeighted(inFlightBytes),
		broker: pb.NewBrokerClient(conn), ids: newIDs(), ending: make(chan struct{}), retryDue: newWakeup(),
		slots: make(chan struct{}, inFlight), queue: make(chan *Pending, inFlight),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks.Go(s.run)
	return s
}

// Send hands the message over and does not wait for the broker; it waits, until ctx ends, while there is no room.
// The payload must not be changed until the message is answered.
func (s *Stream) Send(ctx context.Context, m Message) (*Pending, error) {
	if s.invalid != nil {
		return nil, s.invalid
	}
	msg := m.toWire(s.ids)
	n := proto.Size(msg)
	if n > maxRequestBytes-requestOverhead { // it would end the call again and again
		return nil, fmt.Errorf("send to %s: %w", m.Topic, status.Errorf(codes.InvalidArgument, "msg: %d bytes are more than a request may have, %d", n, maxRequestBytes-requestOverhead))
	}
	select {
	case s.slots <- struct{}{}:
	case <-s.ending:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := s.bytes.Acquire(ctx, int64(n)); err != nil {
		<-s.slots
		return nil, err
	}
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		<-s.slots
		s.bytes.Release(int64(n))
		return nil, ErrClosed
	}
	p := &Pending{msg: msg, size: int64(n), done: make(chan struct{})}
	s.queue <- p
	return p, nil
}

// Close waits until every message is answered, or until ctx ends: then the others fail, and may be there or not.
func (s *Stream) Close(ctx context.Context) error {
	s.closing.Lock()
	if !s.closed {
		s.closed = true
		close(s.ending)
	}
	s.closing.Unlock()
	stop := context.AfterFunc(ctx, s.cancel)
	s.tasks.Wait()
	stop()
	s.cancel()
	return ctx.Err()
}

// run keeps the call going until the stream is closed and all is answered.
func (s *Stream) run() {
	for n := 0; ; n++ {
		answered, err := s.session()
		if s.over() {
			break
		}
		if answered {
			n = 0
		}
		if errors.Is(err, io.EOF) {
			continue
		}
		if isTooLarge(status.Convert(err)) && s.sendSingly() == nil {
			continue
		}
		if err := sleep(s.ctx, backoffFor(n, firstBackoff, maxBackoff)); err != nil {
			break
		}
	}
	s.abandon()
}

// over says whether nothing is left to do.
func (s *Stream) over() bool {
	select {
	case <-s.ending:
	default:
		return s.ctx.Err() != nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unanswered) == 0 && len(s.failed) == 0 && len(s.queue) == 0
}

// abandon fails what is left.
func (s *Stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		s.unanswered = append(s.unanswered, <-s.queue)
	}
	if s.retryTimer != nil {
		s.retryTimer.Stop()
	}
	for _, p := range slices.Concat(s.unanswered, s.failed) {
		p.err = fmt.Errorf("send to %s: %w: the outcome is unknown", p.msg.GetTopic(), ErrClosed)
		close(p.done)
		s.bytes.Release(p.size)
	}
	s.unanswered, s.failed = nil, nil
}

// session is one call: what was not answered by the last one goes first.
func (s *Stream) session() (answered bool, err error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	call, err := s.broker.SendStream(ctx)
	if err != nil {
		return false, err
	}
	var writer sync.WaitGroup
	var unwritten error
	writer.Go(func() {
		if unwritten = s.write(ctx, call); unwritten != nil {
			cancel()
		}
	})
	for err == nil {
		var a *pb.SendStreamResponse
		if a, err = call.Recv(); err == nil {
			var n int
			n, err = s.answer(a.GetResults())
			answered = answered || n > 0
		}
	}
	cancel()
	writer.Wait()
	if isTooLarge(status.Convert(unwritten)) {
		err = unwritten
	}
	return answered, err
}

// sendSingly sends what is unanswered message by message: a request with one of them was larger than the broker or the
// connection takes. So that one fails alone. After an error, as of a connection that broke, the rest is still unanswered.
func (s *Stream) sendSingly() error {
	for {
		s.mu.Lock()
		if len(s.unanswered) == 0 {
			s.mu.Unlock()
			return nil
		}
		first := s.unanswered[0].msg
		s.mu.Unlock()
		results, err := s.sendAlone(first)
		if refused := status.Convert(err); isTooLarge(refused) {
			results, err = []*pb.SendResult{{Failure: &pb.Failure{Code: int32(codes.InvalidArgument), Message: refused.Message()}}}, nil
		}
		if err != nil {
			return err
		}
		if _, err := s.answer(results); err != nil {
			return err
		}
	}
}

// sendAlone makes a call of one message. What the broker refuses of it is in the results; an error is the call's.
func (s *Stream) sendAlone(m *pb.Message) ([]*pb.SendResult, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	call, err := s.broker.SendStream(ctx)
	if err != nil {
		return nil, err
	}
	if err := call.Send(&pb.SendStreamRequest{Msgs: []*pb.Message{m}}); err != nil && !errors.Is(err, io.EOF) { // of which Recv tells why
		return nil, err
	}
	a, err := call.Recv()
	return a.GetResults(), err
}

// write sends what is unanswered and then what comes, until the stream is closed and its queue is empty.
func (s *Stream) write(ctx context.Context, call pb.Broker_SendStreamClient) error {
	s.mu.Lock()
	resend := make([]*pb.Message, len(s.unanswered))
	for i, p := range s.unanswered {
		resend[i] = p.msg
	}
	s.mu.Unlock()
	if err := sendAll(call, resend); err != nil {
		return err
	}
	ending := s.ending
	for {
		var first *Pending
		select { // what failed takes turns with what comes, however much that is
		case first = <-s.queue:
		case <-s.retryDue:
			if err := sendAll(call, s.takeFailed()); err != nil {
				return err
			}
			ending = s.ending
			continue
		case <-ctx.Done():
			return ctx.Err()
		case <-ending:
			if len(s.queue) > 0 {
				continue
			}
			if !s.retries() {
				return call.CloseSend()
			}
			ending = nil // until what failed is sent again
			continue
		}
		if len(s.queue) == 0 {
			runtime.Gosched() // to those who were let go by the same answer and are about to send, too
		}
		msgs := s.collect(first, nil)
		if err := call.Send(&pb.SendStreamRequest{Msgs: msgs}); err != nil {
			return err
		}
	}
}

// retries says whether something failed and is to be sent again.
func (s *Stream) retries() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failed) > 0
}

// takeFailed returns what is to be sent again; it is unanswered then.
func (s *Stream) takeFailed() []*pb.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	msgs := make([]*pb.Message, len(s.failed))
	for i, p := range s.failed {
		msgs[i] = p.msg
	}
	s.unanswered, s.failed, s.retryTimer = append(s.unanswered, s.failed...), nil, nil
	return msgs
}

func sendAll(call pb.Broker_SendStreamClient, msgs []*pb.Message) error {
	for len(msgs) > 0 {
		n := fitting(msgs)
		if err := call.Send(&pb.SendStreamRequest{Msgs: msgs[:n:n]}); err != nil {
			return err
		}
		msgs = msgs[n:]
	}
	return nil
}

// fitting says how many of msgs go into one request.
func fitting(msgs []*pb.Message) int {
	size := 0
	for i, m := range msgs {
		if size += len(m.GetPayload()); i == mostTogether || i > 0 && size > bytesTogether {
			return i
		}
	}
	return len(msgs)
}

// collect takes first and what else is there.
func (s *Stream) collect(first *Pending, msgs []*pb.Message) []*pb.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	for size := 0; ; {
		s.unanswered = append(s.unanswered, first)
		msgs, size = append(msgs, first.msg), size+len(first.msg.GetPayload())
		if len(msgs) >= mostTogether || size >= bytesTogether {
			return msgs
		}
		select {
		case first = <-s.queue:
		default:
			return msgs
		}
	}
}

// answer completes the oldest messages and says how many. One whose failure may pass is sent again later.
func (s *Stream) answer(results []*pb.SendResult) (answered int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(0)
	for _, r := range results {
		if len(s.unanswered) == 0 {
			err = status.Error(codes.Internal, "the broker answered what was not sent")
			break
		}
		p := s.unanswered[0]
		s.unanswered[0], s.unanswered = nil, s.unanswered[1:]
		if r.Failure != nil && isTemporaryCode(codes.Code(r.GetFailure().GetCode())) && len(s.failed) < max(cap(s.slots)/2, 1) {
			s.retryLater(p)
			continue
		}
		if r.Failure == nil && p.failures > 0 {
			s.rounds = 0
		}
		p.complete(r)
		size += p.size
		answered++
	}
	s.bytes.Release(size)
	for range answered { // all at once, so that what is sent next goes together
		<-s.slots
	}
	return answered, err
}

// retryLater notes a message that failed. mu is locked.
func (s *Stream) retryLater(p *Pending) {
	p.failures++
	s.failed = append(s.failed, p)
	if s.retryTimer == nil {
		s.retryTimer = time.AfterFunc(backoffFor(s.rounds, firstBackoff, maxBackoff), s.retryDue.wake)
		s.rounds++
	}
}

func (p *Pending) complete(r *pb.SendResult) {
	p.offset = r.GetOffset()
	if r.Failure != nil {
		p.err = fmt.Errorf("send to %s: %w", p.msg.GetTopic(), status.Error(codes.Code(r.GetFailure().GetCode()), r.GetFailure().GetMessage()))
	}
	close(p.done)
}
