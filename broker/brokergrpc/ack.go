package brokergrpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

const maxDelay = 365 * 24 * time.Hour

// Ack settles deliveries in their order: acknowledges, releases, rejects or renews each. What fails hinders no other. What is
// rejected becomes durable together.
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
	var rejects rejections
	defer rejects.wait(slab)
	for i, one := range settlements {
		if err := ctx.Err(); err != nil { // a dead letter takes a write to the disk
			return nil, statusOf(err)
		}
		if rejects.has(one.GetAckId()) || len(rejects.started) == maxRejections {
			rejects.wait(slab)
		}
		topic, rejection, err := s.settle(one)
		if err != nil {
			slab[i].Failure = failure(err)
		}
		if rejection != nil {
			rejects.add(i, one.GetAckId(), rejection)
		}
		if topic != "" && r.GetDurable() && !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
		out.Results[i] = &slab[i]
	}
	rejects.wait(slab)
	if len(topics) > 0 {
		if err := s.broker.Flush(ctx, topics...); err != nil {
			return nil, statusOf(err)
		}
	}
	return out, nil
}

// maxRejections is how many rejections become durable together.
const maxRejections = 1000

// rejections are those of a call that are on their way to the disk.
type rejections struct {
	started []startedRejection
	ackIDs  map[string]bool
}

type startedRejection struct {
	at int // in the results
	*broker.Rejection
}

// has says whether a delivery is being rejected: what else is to be done with it comes afterwards.
func (r *rejections) has(ackID string) bool { return r.ackIDs[ackID] }

func (r *rejections) add(at int, ackID string, one *broker.Rejection) {
	if r.ackIDs == nil {
		r.ackIDs = make(map[string]bool)
	}
	r.started, r.ackIDs[ackID] = append(r.started, startedRejection{at, one}), true
}

// wait waits for all of them and notes what has failed.
func (r *rejections) wait(results []brokerpb.AckResult) {
	for _, one := range r.started {
		if err := one.Wait(); err != nil {
			results[one.at].Failure = failure(err)
		}
	}
	r.started = r.started[:0]
	clear(r.ackIDs)
}

// settle settles one delivery, or begins to reject it, and returns its topic if there was one.
func (s *Service) settle(one *brokerpb.Settlement) (topic string, begun *broker.Rejection, err error) {
	lease, err := decodeAckID(one.GetAckId())
	if err != nil {
		return "", nil, err
	}
	if err := s.checkTimeout(one.GetAckId(), lease); err != nil {
		return "", nil, err
	}
	defer func() {
		if errors.Is(err, broker.ErrLockLost) {
			err = fmt.Errorf("ack_id of message %d of topic %s for group %s: %w (another member got it after the lock had lapsed, it is settled, "+
				"the group was moved, or the broker was started again)", lease.Offset, lease.Topic, lease.Group, err)
		}
	}()
	d, err := s.broker.Delivery(lease)
	if err != nil {
		return "", nil, err
	}
	if err := s.mayRead(d.Topic); err != nil {
		return "", nil, err
	}
	if reject, ok := one.GetHow().(*brokerpb.Settlement_Reject); ok { // which appends to the dead-letter topic
		if err := s.room(); err != nil {
			return "", nil, err
		}
		begun, err = d.StartReject(reject.Reject.GetReason())
		return d.Topic, begun, err
	}
	return d.Topic, nil, settleDelivery(d, one)
}

func settleDelivery(d broker.Delivery, one *brokerpb.Settlement) error {
	switch how := one.GetHow().(type) {
	case *brokerpb.Settlement_Release:
		delay, err := toDuration("delay", how.Release.GetDelay(), 0, maxDelay)
		if err != nil {
			return err
		}
		if how.Release.GetUncounted() {
			if delay > 0 {
				return invalid("delay", "must not be given with uncounted")
			}
			return d.GiveBack()
		}
		return d.Release(delay)
	case *brokerpb.Settlement_Renew:
		return d.Renew()
	}
	return d.Ack()
}
