package broker

import (
	"context"
	"errors"
	"time"

	"casepress/broker/brokerpb"
)

const (
	fetchWait    = 5 * time.Second        // if the caller does not say
	fetchMost    = time.Minute            // longest wait
	fetchMargin  = 200 * time.Millisecond // for the answer to arrive before the caller's deadline
	fetchAtLeast = 20 * time.Millisecond  // so that what is on disk can be read even for a caller that does not wait
	fetchMax     = 1000                   // messages
	fetchBytes   = 2 << 20                // more messages are not added to this
	fetcherIdle  = time.Minute            // a fetcher that nobody has used for so long goes
)

type fetchKey struct{ topic, group string }

// A fetcher is the member of a group that stands for all who fetch: it holds what they hold. It is kept until
// it was idle for a while and holds nothing.
type fetcher struct {
	sub   *Subscription
	users int
	last  time.Time
}

// Fetch waits for deliveries as long as the caller's deadline leaves time to answer.
func (s *Service) Fetch(ctx context.Context, r *brokerpb.FetchRequest) (*brokerpb.FetchResponse, error) {
	if err := s.mayActAs(r.GetTopic(), r.GetConsumerGroup()); err != nil {
		return nil, err
	}
	o, wait, err := toFetchOptions(r)
	if err != nil {
		return nil, err
	}
	f, err := s.fetcher(fetchKey{r.GetTopic(), r.GetConsumerGroup()}, o)
	if err != nil {
		return nil, statusOf(err)
	}
	defer s.release(f)
	ctx, cancel := s.untilStop(ctx)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, clamp(ctx, wait))
	defer stop()
	limit := min(max(int(r.GetMax()), 1), fetchMax)
	lockTimeout := f.sub.lockTimeout
	if o.LockTimeout > 0 {
		lockTimeout = o.LockTimeout.Microseconds()
	}
	ds, err := f.sub.receive(ctx, limit, lockTimeout)
	if err != nil && ctx.Err() == nil {
		return nil, statusOf(err)
	}
	return fetched(f.sub, ds), nil // nothing in time is no error
}

// clamp shortens a wait so that the answer comes before the caller's deadline.
func clamp(ctx context.Context, wait time.Duration) time.Duration {
	wait = max(wait, fetchAtLeast)
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-fetchMargin)
	}
	return wait
}

// fetched answers with as many as fit and gives the rest back.
func fetched(sub *Subscription, ds []Delivery) *brokerpb.FetchResponse {
	out := &brokerpb.FetchResponse{}
	size := 0
	for i := range ds {
		if size += len(ds[i].Payload); size > fetchBytes && i > 0 {
			sub.giveBack(ds[i:])
			break
		}
		out.Deliveries = append(out.Deliveries, fromDelivery(&ds[i]))
	}
	return out
}

func toFetchOptions(r *brokerpb.FetchRequest) (o SubscribeOptions, wait time.Duration, err error) {
	if o, err = toGroupOptions(r.GetMaxDeliveries(), r.GetFrom(), r.GetOrdered()); err != nil {
		return o, 0, err
	}
	if r.GetMax() > fetchMax {
		return o, 0, invalid("max", "must be at most 1000")
	}
	if o.LockTimeout, err = toDuration("lock_timeout", r.GetLockTimeout(), minLockTimeout, maxLockTimeout); err != nil {
		return o, 0, err
	}
	wait = fetchWait
	if r.Wait != nil {
		wait, err = toDuration("wait", r.GetWait(), 0, fetchMost)
	}
	return o, wait, err
}

// fetcher returns the member for a group, joining if there is none, and counts the caller in.
func (s *Service) fetcher(k fetchKey, o SubscribeOptions) (*fetcher, error) {
	if s.ctx.Err() != nil {
		return nil, errStopping
	}
	s.mu.Lock()
	f := s.fetchers[k]
	if f != nil {
		f.users++
	}
	s.mu.Unlock()
	if f != nil && f.sub.usable() {
		if err := f.sub.group.adjust(o); err != nil {
			s.release(f)
			return nil, err
		}
		return f, nil
	}
	if f != nil {
		s.release(f)
	}
	return s.newFetcher(k, o, f)
}

// newFetcher joins the group in place of old, unless somebody else did.
func (s *Service) newFetcher(k fetchKey, o SubscribeOptions, old *fetcher) (*fetcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.fetchers[k]; f != nil && f != old {
		f.users++
		return f, nil
	}
	member := o
	member.Window, member.LockTimeout = 1<<31-1, 0
	sub, err := s.broker.Subscribe(k.topic, k.group, member)
	if err != nil {
		return nil, err
	}
	f := &fetcher{sub: sub, users: 1}
	s.fetchers[k] = f
	return f, nil
}

func (s *Service) release(f *fetcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.users--
	f.last = time.Now()
}

// usable says whether the subscription can still receive, as far as its own end goes.
func (s *Subscription) usable() bool {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	return !s.closed
}

// holds says how many deliveries the subscription holds.
func (s *Subscription) holds() int {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	s.group.state.expire(s.group.now())
	s.group.changed()
	return s.group.state.held[s.id]
}

// adjust takes over settings of a member that is there already, if they change anything.
func (g *group) adjust(o SubscribeOptions) error {
	g.mu.Lock()
	same := (!o.Ordered || g.state.order != nil) && (o.keepMax || g.state.maxDeliveries == uint32(o.MaxDeliveries))
	g.mu.Unlock()
	if same {
		return nil
	}
	g.life.Lock()
	defer g.life.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.settle(o); err != nil {
		return err
	}
	g.changed()
	return nil
}

// reapFetchers closes fetchers that are no longer used, until the service is closed.
func (s *Service) reapFetchers() {
	tick := time.NewTicker(fetcherIdle / 4)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			for _, sub := range s.idleFetchers(now) {
				if err := sub.Close(); err != nil {
					s.opts.Logger.Warn("close fetcher", "error", err)
				}
			}
		}
	}
}

// idleFetchers takes out the fetchers that are unused and hold nothing.
func (s *Service) idleFetchers(now time.Time) (subs []*Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, f := range s.fetchers {
		if f.users == 0 && now.Sub(f.last) >= fetcherIdle && f.sub.holds() == 0 {
			delete(s.fetchers, k)
			subs = append(subs, f.sub)
		}
	}
	return subs
}

func (s *Service) closeFetchers() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for k, f := range s.fetchers {
		errs = append(errs, f.sub.Close())
		delete(s.fetchers, k)
	}
	return errors.Join(errs...)
}

// leaveIdle closes the fetcher of a group whose users have all gone, so that it can be deleted.
func (s *Service) leaveIdle(topic, group string) error {
	s.mu.Lock()
	f := s.fetchers[fetchKey{topic, group}]
	if f == nil || f.users > 0 || f.sub.holds() > 0 {
		s.mu.Unlock()
		return nil
	}
	delete(s.fetchers, fetchKey{topic, group})
	s.mu.Unlock()
	return f.sub.Close()
}
