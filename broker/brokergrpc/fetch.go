package brokergrpc

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

const (
	fetchWait    = 5 * time.Second        // if the caller does not say
	fetchMost    = time.Minute            // longest wait
	fetchMargin  = 200 * time.Millisecond // for the answer to arrive before the caller's deadline
	fetchAtLeast = 20 * time.Millisecond  // so that what is on disk can be read even for a caller that does not wait
	fetchMax     = 1000                   // messages
	fetchBytes   = 2 << 20                // of deliveries in an answer, the first may be larger
	fetcherIdle  = time.Minute            // a fetcher that nobody has used for so long goes
)

type fetchKey struct{ topic, group string }

// A fetcher is the member of a group that stands for all who fetch: it holds what they hold. It is kept until
// it was idle for a while and holds nothing.
type fetcher struct {
	sub   *broker.Subscription
	leave func() // it is no member any more
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
	f, err := s.fetcher(ctx, fetchKey{r.GetTopic(), r.GetConsumerGroup()}, o)
	if err != nil {
		return nil, statusOf(err)
	}
	defer s.release(f)
	ctx, cancel := s.untilStop(ctx)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, waitWithin(ctx, wait))
	defer stop()
	limit := min(max(int(r.GetMax()), 1), fetchMax)
	from := &reader{connection: s.connectionOf(ctx), overhead: togetherOverhead}
	ds, err := from.receive(ctx, f.sub, broker.ReceiveOptions{Max: limit, MaxBytes: fetchBytes, LockTimeout: o.LockTimeout})
	if err != nil && ctx.Err() == nil {
		return nil, statusOf(err)
	}
	count(ctx, from, from.bytes(ds))
	out := &brokerpb.FetchResponse{} // nothing in time is no error
	for i := range ds {
		out.Deliveries = append(out.Deliveries, fromDelivery(&ds[i]))
	}
	return out, nil
}

// waitWithin shortens a wait so that the answer comes before the caller's deadline.
func waitWithin(ctx context.Context, wait time.Duration) time.Duration {
	wait = max(wait, fetchAtLeast)
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-fetchMargin)
	}
	return wait
}

func toFetchOptions(r *brokerpb.FetchRequest) (o broker.SubscribeOptions, wait time.Duration, err error) {
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

// A joining is a fetcher that joins its group.
type joining struct {
	done chan struct{} // closed when the fetcher is there or could not join
	err  error         // why not, set before
}

// fetcher returns the member for a group, joining if there is none, and counts the caller in.
func (s *Service) fetcher(ctx context.Context, k fetchKey, o broker.SubscribeOptions) (*fetcher, error) {
	for closed := (*fetcher)(nil); ; {
		f, j, mine := s.findOrJoin(k, o, closed)
		if f != nil {
			err := f.sub.Update(o)
			if err == nil {
				return f, nil
			}
			s.release(f)
			if !errors.Is(err, broker.ErrClosed) {
				return nil, err
			}
			closed = f
			continue
		}
		if j == nil {
			return nil, errStopping
		}
		select {
		case <-j.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.ctx.Done():
			return nil, errStopping
		}
		if mine && j.err != nil { // that of somebody else may be because of what he asked for
			return nil, j.err
		}
	}
}

// findOrJoin returns the fetcher of a group, unless it is the closed one, and counts the caller in. If there is none, one
// joins, for whoever waits for it: not in the caller's goroutine, for the disk may take longer than the caller does. mine
// says that it joins as o says. Neither is there once the service stops: nobody would wait for what joins then.
func (s *Service) findOrJoin(k fetchKey, o broker.SubscribeOptions, closed *fetcher) (f *fetcher, j *joining, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, nil, false
	}
	if f := s.fetchers[k]; f != nil && f != closed {
		f.users++
		return f, nil, false
	}
	if j := s.joining[k]; j != nil {
		return nil, j, false
	}
	j = &joining{done: make(chan struct{})}
	s.joining[k] = j
	s.tasks.Go(func() { s.join(k, o, j) })
	return nil, j, true
}

// join makes a fetcher. Whatever comes of it, a panic included, those who wait hear of it.
func (s *Service) join(k fetchKey, o broker.SubscribeOptions, j *joining) {
	f := &fetcher{last: time.Now()}
	leave, err := s.enterMember()
	defer func() {
		if p := recover(); p != nil {
			s.opts.Logger.Error("joining a group panicked", "topic", k.topic, "group", k.group, "panic", p, "stack", string(debug.Stack()))
			j.err = status.Error(codes.Internal, "joining the group panicked")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if j.err == nil {
			s.fetchers[k] = f
		} else if leave != nil {
			leave()
		}
		delete(s.joining, k)
		close(j.done)
	}()
	if j.err = err; err != nil {
		return
	}
	f.leave = leave
	o.Window, o.LockTimeout = math.MaxInt32, 0
	j.err = s.makeGroup(k.topic, k.group, func() (err error) {
		f.sub, err = s.broker.Subscribe(k.topic, k.group, o)
		return err
	})
}

func (s *Service) release(f *fetcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.users--
	f.last = time.Now()
}

// closeIdleFetchers closes fetchers that are no longer used, until the service is closed.
func (s *Service) closeIdleFetchers() {
	tick := time.NewTicker(fetcherIdle / 4)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			s.closeFetchersIdle(now.Add(-fetcherIdle))
		}
	}
}

// closeFetchersIdle closes the fetchers that hold nothing and were not used since.
func (s *Service) closeFetchersIdle(since time.Time) {
	for _, f := range s.takeFetchersIdle(since) {
		if err := f.close(); err != nil {
			s.opts.Logger.Warn("close fetcher", "error", err)
		}
	}
}

func (s *Service) takeFetchersIdle(since time.Time) (idle []*fetcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, f := range s.fetchers {
		if f.users == 0 && !f.last.After(since) && f.sub.InFlight() == 0 {
			delete(s.fetchers, k)
			idle = append(idle, f)
		}
	}
	return idle
}

func (f *fetcher) close() error {
	defer f.leave()
	return f.sub.Close()
}

// enterMember counts a member of a group, of all clients, until leave. When there are too many, fetchers that hold nothing
// and that nobody uses just now make room.
func (s *Service) enterMember() (leave func(), err error) {
	most := int64(s.opts.MaxMembers)
	if s.members.Add(1) > most {
		s.closeFetchersIdle(time.Now())
		if s.members.Load() > most {
			s.members.Add(-1)
			return nil, status.Errorf(codes.FailedPrecondition, "clients have %d members of groups already, subscriptions and groups they fetch from, the most there may be", most)
		}
	}
	return func() { s.members.Add(-1) }, nil
}

func (s *Service) closeFetchers() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for k, f := range s.fetchers {
		errs = append(errs, f.close())
		delete(s.fetchers, k)
	}
	return errors.Join(errs...)
}

// closeIdleFetcher closes the fetcher of a group whose users have all gone, so that it can be deleted.
func (s *Service) closeIdleFetcher(topic, group string) error {
	s.mu.Lock()
	f := s.fetchers[fetchKey{topic, group}]
	if f == nil || f.users > 0 || f.sub.InFlight() > 0 {
		s.mu.Unlock()
		return nil
	}
	delete(s.fetchers, fetchKey{topic, group})
	s.mu.Unlock()
	return f.close()
}
