package brokergrpc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

const maxDelay = 365 * 24 * time.Hour

// Ack settles deliveries in their order: acknowledges, releases, rejects or renews each. What fails hinders no other.
func (s *Service) Ack(ctx context.Context, r *brokerpb.AckRequest) (*brokerpb.AckResponse, error) {
	settlements := r.GetSettlements()
	if r.GetAckId() != "" {
		settlements = slices.Concat([]*brokerpb.Settlement{{AckId: r.GetAckId()}}, settlements)
	}
	switch n := len(settlements); {
	case n == 0:
		return nil, invalid("settlements", "there is none")
	case n > brokerpb.MaxSettlements:
		return nil, invalid("settlements", fmt.Sprintf("must be at most %d", brokerpb.MaxSettlements))
	}
	out := &brokerpb.AckResponse{Results: make([]*brokerpb.AckResult, len(settlements))}
	slab := make([]brokerpb.AckResult, len(settlements))
	var topics []string
	for i, one := range settlements {
		if err := ctx.Err(); err != nil { // a dead letter takes a write to the disk
			return nil, statusOf(err)
		}
		topic, err := s.settle(one)
		if err != nil {
			slab[i].Failure = failure(err)
		}
		if topic != "" && r.GetDurable() && !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
		out.Results[i] = &slab[i]
	}
	if len(topics) > 0 {
		if err := s.broker.Flush(ctx, topics...); err != nil {
			return nil, statusOf(err)
		}
	}
	return out, nil
}

// settle settles one delivery and returns its topic if there was one.
func (s *Service) settle(one *brokerpb.Settlement) (topic string, err error) {
	lease, err := decodeAckID(one.GetAckId())
	if err != nil {
		return "", err
	}
	if err := s.checkTimeout(one.GetAckId(), lease); err != nil {
		return "", err
	}
	d, err := s.broker.Delivery(lease)
	if err != nil {
		return "", err
	}
	if err := s.mayRead(d.Topic); err != nil {
		return "", err
	}
	if _, isReject := one.GetHow().(*brokerpb.Settlement_Reject); isReject { // which appends to the dead-letter topic
		if err := s.room(); err != nil {
			return "", err
		}
	}
	return d.Topic, settleDelivery(d, one)
}

func settleDelivery(d broker.Delivery, one *brokerpb.Settlement) error {
	switch how := one.GetHow().(type) {
	case *brokerpb.Settlement_Release:
		delay, err := toDuration("delay", how.Release.GetDelay(), 0, maxDelay)
		if err != nil {
			return err
		}
		return d.Release(delay)
	case *brokerpb.Settlement_Reject:
		return d.Reject(how.Reject.GetReason())
	case *brokerpb.Settlement_Renew:
		return d.Renew()
	}
	return d.Ack()
}
