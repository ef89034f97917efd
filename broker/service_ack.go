package broker

import (
	"context"
	"slices"
	"time"

	"casepress/broker/brokerpb"
)

const (
	maxSettlements = 10_000
	maxDelay       = 365 * 24 * time.Hour
)

// Ack settles deliveries in their order. What fails hinders no other.
func (s *Service) Ack(ctx context.Context, r *brokerpb.AckRequest) (*brokerpb.AckResponse, error) {
	settlements := r.GetSettlements()
	if r.GetAckId() != "" {
		settlements = slices.Concat([]*brokerpb.Settlement{{AckId: r.GetAckId()}}, settlements)
	}
	switch n := len(settlements); {
	case n == 0:
		return nil, invalid("settlements", "there is none")
	case n > maxSettlements:
		return nil, invalid("settlements", "must be at most 10000")
	}
	out := &brokerpb.AckResponse{Results: make([]*brokerpb.AckResult, len(settlements))}
	slab := make([]brokerpb.AckResult, len(settlements))
	topics := make(map[*topic]bool)
	for i, one := range settlements {
		t, err := s.settle(one)
		if err != nil {
			slab[i].Failure = failure(err)
		}
		if t != nil && r.GetDurable() {
			topics[t] = true
		}
		out.Results[i] = &slab[i]
	}
	for t := range topics {
		if err := t.journal.flush(ctx); err != nil {
			return nil, statusOf(err)
		}
	}
	return out, nil
}

// settle settles one delivery and returns its topic if there was one.
func (s *Service) settle(one *brokerpb.Settlement) (*topic, error) {
	d, err := s.broker.Delivery(one.GetAckId())
	if err != nil {
		return nil, err
	}
	t := d.sub.group.topic
	if err := s.mayRead(t.name); err != nil {
		return nil, err
	}
	return t, how(d, one)
}

func how(d Delivery, one *brokerpb.Settlement) error {
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
