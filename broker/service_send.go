package broker

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker/brokerpb"
)

// Send publishes one message.
func (s *Service) Send(ctx context.Context, r *brokerpb.SendRequest) (*brokerpb.SendResponse, error) {
	m, err := toMessage(r.GetMsg())
	if err != nil {
		return nil, err
	}
	t, p, err := s.place(ctx, r.GetMsg().GetTopic(), []Message{m}, nil)
	if err != nil {
		return nil, statusOf(err)
	}
	if err := p.wait(ctx, t); err != nil {
		return nil, statusOf(t.blame(err))
	}
	return &brokerpb.SendResponse{Success: true, Offset: p.first}, nil
}

// SendBatch publishes the messages of each topic together. After an error some may be there.
func (s *Service) SendBatch(ctx context.Context, r *brokerpb.SendBatchRequest) (*brokerpb.SendBatchResponse, error) {
	msgs, err := toMessages(r.GetMsgs())
	if err != nil {
		return nil, err
	}
	offsets := make([]uint64, len(msgs))
	batches := perTopic(r.GetMsgs())
	placed := make([]placement, len(batches))
	for i, b := range batches {
		if placed[i], err = s.placeBatch(ctx, b, msgs, offsets); err != nil {
			return nil, statusOf(err)
		}
	}
	for _, p := range placed {
		if err := p.sent.wait(ctx, p.topic); err != nil {
			return nil, statusOf(p.topic.blame(err))
		}
	}
	return &brokerpb.SendBatchResponse{Offsets: offsets}, nil
}

func toMessages(in []*brokerpb.Message) ([]Message, error) {
	if len(in) == 0 {
		return nil, invalid("msgs", "there is no message")
	}
	msgs := make([]Message, len(in))
	for i, m := range in {
		var err error
		if msgs[i], err = toMessage(m); err != nil {
			return nil, invalid(fmt.Sprintf("msgs[%d]", i), status.Convert(err).Message())
		}
	}
	return msgs, nil
}

// A topicBatch names messages of one topic, by their places.
type topicBatch struct {
	topic  string
	places []int
}

// placement is a batch on its way to the disk.
type placement struct {
	topic  *topic
	sent   sent
	places []int // of its messages
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
		batches[b].places = append(batches[b].places, i)
	}
	return batches
}

func (s *Service) placeBatch(ctx context.Context, b topicBatch, msgs []Message, offsets []uint64) (placement, error) {
	if len(b.places) == len(msgs) {
		t, p, err := s.place(ctx, b.topic, msgs, offsets)
		return placement{t, p, b.places}, err
	}
	some, at := make([]Message, len(b.places)), make([]uint64, len(b.places))
	for i, place := range b.places {
		some[i] = msgs[place]
	}
	t, p, err := s.place(ctx, b.topic, some, at)
	for i, place := range b.places {
		offsets[place] = at[i]
	}
	return placement{t, p, b.places}, err
}

// place hands messages to a topic's log, creating the topic if it may.
func (s *Service) place(ctx context.Context, name string, msgs []Message, offsets []uint64) (*topic, sent, error) {
	if err := s.mayChange(name); err != nil {
		return nil, sent{}, err
	}
	t, p, err := s.broker.place(name, msgs, offsets)
	if !errors.Is(err, ErrNoTopic) {
		return t, p, err
	}
	if err := s.bringAbout(ctx, name); err != nil {
		return nil, sent{}, err
	}
	return s.broker.place(name, msgs, offsets)
}

// bringAbout creates a topic that a client sends or subscribes to, if it is not there.
func (s *Service) bringAbout(ctx context.Context, topic string) error {
	if _, err := s.broker.topic(topic); err == nil {
		return nil
	}
	if s.opts.NoAutoCreate {
		if err := existing(topic); err != nil {
			return err
		}
		return status.Errorf(codes.NotFound, "no such topic: %q", topic)
	}
	return s.create(ctx, topic)
}

func (s *Service) create(ctx context.Context, topic string) error {
	if err := named("topic", topic, maxName); err != nil {
		return err
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	if _, err := s.broker.topic(topic); err == nil {
		return nil
	}
	if len(s.broker.Topics()) >= s.opts.MaxTopics {
		return status.Errorf(codes.FailedPrecondition, "topic: there are %d topics already, the most there may be", s.opts.MaxTopics)
	}
	return statusOf(s.broker.CreateTopic(ctx, topic))
}
