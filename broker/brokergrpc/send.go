package brokergrpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

// Send publishes one message.
func (s *Service) Send(ctx context.Context, r *brokerpb.SendRequest) (*brokerpb.SendResponse, error) {
	m, err := toMessage(r.GetMsg())
	if err != nil {
		return nil, err
	}
	p, err := s.enqueue(ctx, r.GetMsg().GetTopic(), []broker.Message{m}, nil)
	if err != nil {
		return nil, statusOf(err)
	}
	if err := p.Wait(ctx); err != nil {
		return nil, statusOf(err)
	}
	return &brokerpb.SendResponse{Success: true, Offset: p.First}, nil
}

// SendBatch publishes the messages of each topic together. After an error some may be there.
func (s *Service) SendBatch(ctx context.Context, r *brokerpb.SendBatchRequest) (*brokerpb.SendBatchResponse, error) {
	msgs, err := toMessages(r.GetMsgs())
	if err != nil {
		return nil, err
	}
	offsets := make([]uint64, len(msgs))
	batches := perTopic(r.GetMsgs())
	pending := make([]broker.Pending, len(batches))
	for i, b := range batches {
		if pending[i], err = s.enqueueBatch(ctx, b, msgs, offsets); err != nil {
			return nil, statusOf(err)
		}
	}
	for i := range pending {
		if err := pending[i].Wait(ctx); err != nil {
			return nil, statusOf(err)
		}
	}
	return &brokerpb.SendBatchResponse{Offsets: offsets}, nil
}

func toMessages(in []*brokerpb.Message) ([]broker.Message, error) {
	if len(in) == 0 {
		return nil, invalid("msgs", "there is no message")
	}
	if err := checkCount(in); err != nil {
		return nil, err
	}
	msgs := make([]broker.Message, len(in))
	for i, m := range in {
		var err error
		if msgs[i], err = toMessage(m); err != nil {
			return nil, invalid(fmt.Sprintf("msgs[%d]", i), status.Convert(err).Message())
		}
	}
	return msgs, nil
}

// checkCount refuses a request of too many messages.
func checkCount(in []*brokerpb.Message) error {
	if len(in) > brokerpb.MaxMessages {
		return invalid("msgs", fmt.Sprintf("must be at most %d", brokerpb.MaxMessages))
	}
	return nil
}

// A topicBatch names messages of a request that are for one topic, by their indexes.
type topicBatch struct {
	topic   string
	indexes []int
}

// perTopic sorts messages by topic, in the order of their first.
func perTopic(in []*brokerpb.Message) []topicBatch {
	if len(in) == 1 {
		return []topicBatch{{in[0].GetTopic(), []int{0}}}
	}
	var batches []topicBatch
	at := make(map[string]int, 1)
	for i, m := range in {
		b, ok := at[m.GetTopic()]
		if !ok {
			b = len(batches)
			at[m.GetTopic()] = b
			batches = append(batches, topicBatch{topic: m.GetTopic()})
		}
		batches[b].indexes = append(batches[b].indexes, i)
	}
	return batches
}

func (s *Service) enqueueBatch(ctx context.Context, b topicBatch, msgs []broker.Message, offsets []uint64) (broker.Pending, error) {
	if len(b.indexes) == len(msgs) {
		return s.enqueue(ctx, b.topic, msgs, offsets)
	}
	some, at := make([]broker.Message, len(b.indexes)), make([]uint64, len(b.indexes))
	for i, index := range b.indexes {
		some[i] = msgs[index]
	}
	p, err := s.enqueue(ctx, b.topic, some, at)
	for i, index := range b.indexes {
		offsets[index] = at[i]
	}
	return p, err
}

// enqueue hands messages to a topic's log, creating the topic if it may.
func (s *Service) enqueue(ctx context.Context, topic string, msgs []broker.Message, offsets []uint64) (broker.Pending, error) {
	if err := s.mayChange(topic); err != nil {
		return broker.Pending{}, err
	}
	if err := s.room(); err != nil {
		return broker.Pending{}, err
	}
	p, err := s.broker.Enqueue(ctx, topic, msgs, offsets)
	if !errors.Is(err, broker.ErrNoTopic) {
		return p, err
	}
	if err := s.ensureTopic(ctx, topic); err != nil {
		return broker.Pending{}, err
	}
	return s.broker.Enqueue(ctx, topic, msgs, offsets)
}

// room says RESOURCE_EXHAUSTED when clients may not fill the disk any more.
func (s *Service) room() error {
	if s.opts.Room == nil {
		return nil
	}
	if err := s.opts.Room(); err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return nil
}

// ensureTopic creates a topic that a client sends or subscribes to, if it is not there.
func (s *Service) ensureTopic(ctx context.Context, topic string) error {
	if s.broker.HasTopic(topic) {
		return nil
	}
	return s.create(ctx, topic)
}

func (s *Service) create(ctx context.Context, topic string) error {
	if err := newTopicName(topic); err != nil {
		return err
	}
	if err := s.room(); err != nil {
		return err
	}
	if err := s.countTopic(topic); err != nil {
		return err
	}
	defer s.uncountTopic(topic)
	return statusOf(s.broker.CreateTopic(ctx, topic))
}

// countTopic counts a topic as one that is being created, so that MaxTopics holds, unless there are so many already. It is
// not created under a lock: that may wait for the disk, or for the end of one of that name.
func (s *Service) countTopic(topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	there, more := len(s.broker.Topics()), 1
	for name := range s.creating {
		if name == topic {
			more = 0
		}
		if !s.broker.HasTopic(name) {
			there++
		}
	}
	if !s.broker.HasTopic(topic) && there+more > s.opts.MaxTopics {
		return status.Errorf(codes.FailedPrecondition, "topic: there are %d topics already, the most there may be", s.opts.MaxTopics)
	}
	s.creating[topic]++
	return nil
}

func (s *Service) uncountTopic(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.creating[topic]--; s.creating[topic] == 0 {
		delete(s.creating, topic)
	}
}
