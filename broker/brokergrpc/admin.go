package brokergrpc

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker/brokerpb"
)

// CreateTopic creates a topic, durably.
func (s *Service) CreateTopic(ctx context.Context, r *brokerpb.CreateTopicRequest) (*brokerpb.CreateTopicResponse, error) {
	if err := s.create(ctx, r.GetTopic()); err != nil {
		return nil, err
	}
	return &brokerpb.CreateTopicResponse{}, nil
}

// ListTopics lists all topics.
func (s *Service) ListTopics(context.Context, *brokerpb.ListTopicsRequest) (*brokerpb.ListTopicsResponse, error) {
	return &brokerpb.ListTopicsResponse{Topics: s.broker.Topics()}, nil
}

// DescribeTopic tells how much a topic holds.
func (s *Service) DescribeTopic(_ context.Context, r *brokerpb.DescribeTopicRequest) (*brokerpb.DescribeTopicResponse, error) {
	if err := topicName(r.GetTopic()); err != nil {
		return nil, err
	}
	info, err := s.broker.Topic(r.GetTopic())
	if err != nil {
		return nil, statusOf(err)
	}
	return &brokerpb.DescribeTopicResponse{
		Topic: info.Topic, Start: info.Start, End: info.End, Bytes: uint64(info.Bytes), Groups: info.Groups,
	}, nil
}

// DeleteTopic removes a topic that nobody consumes.
func (s *Service) DeleteTopic(ctx context.Context, r *brokerpb.DeleteTopicRequest) (*brokerpb.DeleteTopicResponse, error) {
	if err := topicName(r.GetTopic()); err != nil {
		return nil, err
	}
	if err := s.mayDelete(r.GetTopic()); err != nil {
		return nil, err
	}
	groups, err := s.broker.Groups(r.GetTopic())
	if err != nil {
		return nil, statusOf(err)
	}
	for _, group := range groups {
		if err := s.closeIdleFetcher(r.GetTopic(), group); err != nil {
			return nil, statusOf(err)
		}
	}
	if err := s.broker.DeleteTopic(ctx, r.GetTopic()); err != nil {
		return nil, statusOf(err)
	}
	return &brokerpb.DeleteTopicResponse{}, nil
}

// ListGroups lists a topic's groups.
func (s *Service) ListGroups(_ context.Context, r *brokerpb.ListGroupsRequest) (*brokerpb.ListGroupsResponse, error) {
	if err := topicName(r.GetTopic()); err != nil {
		return nil, err
	}
	groups, err := s.broker.Groups(r.GetTopic())
	if err != nil {
		return nil, statusOf(err)
	}
	return &brokerpb.ListGroupsResponse{Groups: groups}, nil
}

// DescribeGroup tells where a group stands.
func (s *Service) DescribeGroup(_ context.Context, r *brokerpb.DescribeGroupRequest) (*brokerpb.DescribeGroupResponse, error) {
	if err := topicName(r.GetTopic()); err != nil {
		return nil, err
	}
	if err := groupName(r.GetConsumerGroup()); err != nil {
		return nil, err
	}
	i, err := s.broker.Group(r.GetTopic(), r.GetConsumerGroup())
	if err != nil {
		return nil, statusOf(err)
	}
	out := &brokerpb.DescribeGroupResponse{
		Topic: i.Topic, ConsumerGroup: i.Group, Start: i.Start, Next: i.Next, End: i.End,
		Lag: uint64(i.Lag), InFlight: uint64(i.InFlight), Delayed: uint64(i.Delayed), Members: uint32(i.Members),
		OldestUnacked: toTimestamp(i.OldestUnacked),
	}
	if !i.OldestUnacked.IsZero() {
		out.OldestUnackedAge = durationpb.New(max(time.Since(i.OldestUnacked), 0))
	}
	return out, nil
}

// SetPosition moves a group.
func (s *Service) SetPosition(_ context.Context, r *brokerpb.SetPositionRequest) (*brokerpb.SetPositionResponse, error) {
	if err := s.mayActAs(r.GetTopic(), r.GetConsumerGroup()); err != nil {
		return nil, err
	}
	if r.GetPosition().GetAt() == nil {
		return nil, invalid("position", "is missing")
	}
	p, err := toPosition("position", r.GetPosition())
	if err != nil {
		return nil, err
	}
	var offset uint64
	err = s.makeGroup(r.GetTopic(), r.GetConsumerGroup(), func() (err error) {
		offset, err = s.broker.SetPosition(r.GetTopic(), r.GetConsumerGroup(), p)
		return err
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return &brokerpb.SetPositionResponse{Offset: offset}, nil
}

// DeleteGroup forgets a group that has no members.
func (s *Service) DeleteGroup(_ context.Context, r *brokerpb.DeleteGroupRequest) (*brokerpb.DeleteGroupResponse, error) {
	if err := s.mayActAs(r.GetTopic(), r.GetConsumerGroup()); err != nil {
		return nil, err
	}
	if err := s.closeIdleFetcher(r.GetTopic(), r.GetConsumerGroup()); err != nil {
		return nil, statusOf(err)
	}
	if err := s.broker.DeleteGroup(r.GetTopic(), r.GetConsumerGroup()); err != nil {
		return nil, statusOf(err)
	}
	return &brokerpb.DeleteGroupResponse{}, nil
}

const (
	lettersDefault = 100
	lettersMax     = 1000
)

// ListDeadLetters lists a topic's dead letters.
func (s *Service) ListDeadLetters(ctx context.Context, r *brokerpb.ListDeadLettersRequest) (*brokerpb.ListDeadLettersResponse, error) {
	if err := topicName(r.GetTopic()); err != nil {
		return nil, err
	}
	if err := s.mayRead(r.GetTopic()); err != nil {
		return nil, err
	}
	n := cmp.Or(int(r.GetMax()), lettersDefault)
	if n > lettersMax {
		return nil, invalid("max", "must be at most 1000")
	}
	from := &reader{connection: s.connectionOf(ctx)}
	if err := from.reserveAll(ctx); err != nil {
		return nil, err
	}
	defer count(ctx, from, from.maxUnread)
	letters, next, err := s.broker.DeadLetters(r.GetTopic(), r.GetFrom(), n)
	if err != nil {
		return nil, statusOf(err)
	}
	out := &brokerpb.ListDeadLettersResponse{Next: next}
	for i := range letters {
		out.Letters = append(out.Letters, fromMessage(&letters[i]))
	}
	return out, nil
}

// RedriveDeadLetters sends dead letters again.
func (s *Service) RedriveDeadLetters(ctx context.Context, r *brokerpb.RedriveDeadLettersRequest) (*brokerpb.RedriveDeadLettersResponse, error) {
	if err := topicName(r.GetTopic()); err != nil {
		return nil, err
	}
	if err := s.mayRead(r.GetTopic()); err != nil { // what is sent again was in the topic before
		return nil, err
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	n, err := s.broker.Redrive(ctx, r.GetTopic(), r.GetOffsets()...)
	if err != nil {
		return nil, statusOf(err)
	}
	return &brokerpb.RedriveDeadLettersResponse{Redriven: uint64(n)}, nil
}
