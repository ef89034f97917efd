package listen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-queue/kq"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker/brokerpb"
	"casepress/interop/gozero/consumer/internal/config"
	"casepress/interop/gozero/event"
)

const (
	together = 16          // messages of one call; all must be handled within their lock timeout
	longPoll = time.Minute // the broker answers 200 ms before the call's deadline, whichever is sooner
	pause    = time.Second // after a failed call
)

// A fetcher asks for messages call by call, as one does who can keep no stream.
type fetcher struct {
	broker  brokerpb.BrokerClient
	conf    config.Consumer
	handler kq.ConsumeHandler
}

// run returns an error only for what trying again cannot mend. A call under way is waited for: what it returns would
// be held until its lock lapses.
func (f *fetcher) run(ctx context.Context) error {
	for ctx.Err() == nil {
		r, err := f.broker.Fetch(context.WithoutCancel(ctx), &brokerpb.FetchRequest{
			Topic: f.conf.Topic, ConsumerGroup: f.conf.Group, Max: together, Wait: durationpb.New(longPoll),
			LockTimeout: durationpb.New(f.conf.LockTimeout), MaxDeliveries: uint32(f.conf.MaxDeliveries),
		})
		switch status.Code(err) {
		case codes.OK:
			f.handle(ctx, r.GetDeliveries()) // none when the wait was over
		case codes.InvalidArgument, codes.PermissionDenied, codes.Unimplemented:
			return fmt.Errorf("fetch from %s as %s: %w", f.conf.Topic, f.conf.Group, err)
		default: // NOT_FOUND is one of them: nobody has sent to the topic yet
			logx.Errorf("fetch from %s as %s, again in %s: %v", f.conf.Topic, f.conf.Group, pause, err)
			rest(ctx, pause)
		}
	}
	return nil
}

// handle settles all in one call. What fails to be settled comes again when its lock lapses.
func (f *fetcher) handle(ctx context.Context, deliveries []*brokerpb.SubscribeResponse) {
	if len(deliveries) == 0 {
		return
	}
	acks := &brokerpb.AckRequest{}
	for _, d := range deliveries {
		acks.Settlements = append(acks.Settlements, f.handleOne(ctx, d))
	}
	r, err := f.broker.Ack(context.WithoutCancel(ctx), acks)
	if err != nil {
		logx.Errorf("settle %d messages of %s: %v", len(deliveries), f.conf.Topic, err)
	}
	for _, one := range r.GetResults() {
		if one.GetFailure() != nil {
			logx.Errorf("settle a message of %s: %s", f.conf.Topic, one.GetFailure().GetMessage())
		}
	}
}

func (f *fetcher) handleOne(ctx context.Context, d *brokerpb.SubscribeResponse) *brokerpb.Settlement {
	s := &brokerpb.Settlement{AckId: d.GetAckId()}
	if ctx.Err() != nil { // it stops: somebody else may have it at once
		s.How = &brokerpb.Settlement_Release{Release: &brokerpb.Release{}}
		return s
	}
	m := d.GetMsg()
	err := f.handler.Consume(context.WithoutCancel(ctx), m.GetKey(), string(m.GetPayload()))
	switch {
	case errors.Is(err, event.ErrMalformed):
		s.How = &brokerpb.Settlement_Reject{Reject: &brokerpb.Reject{Reason: err.Error()}}
	case err != nil:
		logx.Errorf("message %d of %s released: %v", m.GetOffset(), f.conf.Topic, err)
		s.How = &brokerpb.Settlement_Release{Release: &brokerpb.Release{Delay: durationpb.New(f.backoff(m.GetDeliveryCount()))}}
	}
	return s
}

// backoff doubles with each delivery.
func (f *fetcher) backoff(count uint32) time.Duration {
	d := f.conf.FirstBackoff
	for ; count > 1 && d < f.conf.MaxBackoff; count-- {
		d *= 2
	}
	return min(d, f.conf.MaxBackoff)
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
