package brokergrpc

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker"
	"casepress/broker/brokerpb"
	"casepress/commitlog"
)

// Service implements brokerpb.BrokerServer. It keeps nothing but who fetches.
type Service struct {
	brokerpb.UnimplementedBrokerServer
	broker *broker.Broker
	opts   Options
	ctx    context.Context // ends with stop
	stop   context.CancelFunc
	tasks  sync.WaitGroup

	members   atomic.Int64 // of groups, of all clients
	elsewhere *connection  // of calls whose connection is not known

	mu       sync.Mutex // guards all below
	fetchers map[fetchKey]*fetcher
	joining  map[fetchKey]*joining // those that are not there yet
	making   int                   // groups that are being made
	creating map[string]int        // calls that create a topic
}

// NewService makes a service to be registered on a *grpc.Server. Close it.
func NewService(b *broker.Broker, o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.MaxTopics = cmp.Or(o.MaxTopics, DefaultMaxTopics)
	o.MaxGroups = cmp.Or(o.MaxGroups, DefaultMaxGroups)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, DefaultMaxSubscriptions)
	o.MaxMembers = cmp.Or(o.MaxMembers, DefaultMaxMembers)
	o.MaxConnections = cmp.Or(o.MaxConnections, DefaultMaxConnections)
	o.MaxUnreadBytes = cmp.Or(o.MaxUnreadBytes, DefaultMaxUnreadBytes)
	s := &Service{
		broker: b, opts: o,
		fetchers: make(map[fetchKey]*fetcher), joining: make(map[fetchKey]*joining), creating: make(map[string]int),
	}
	s.elsewhere = s.newConnection(false)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.tasks.Go(s.closeIdleFetchers)
	return s
}

// Close gives back what was fetched and not settled. The calls must have ended.
func (s *Service) Close() error {
	s.mu.Lock()
	s.stop() // no fetcher joins from now on
	s.mu.Unlock()
	s.tasks.Wait()
	return s.closeFetchers()
}

// untilStop returns a context that ends with the call's or with stop.
func (s *Service) untilStop(call context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(call)
	release := context.AfterFunc(s.ctx, cancel)
	return ctx, func() {
		release()
		cancel()
	}
}

var errStopping = status.Error(codes.Unavailable, "the broker is stopping")

// statusOf returns the status that tells a client of err. Only an overloaded broker or a full disk is RESOURCE_EXHAUSTED
// and only a broker that stops or whose disk failed is UNAVAILABLE: circuit breakers count these.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codeOf(err), strings.TrimPrefix(err.Error(), broker.ErrInvalid.Error()+": "))
}

func codeOf(err error) codes.Code {
	if _, ok := errors.AsType[*broker.DamageError](err); ok {
		return codes.DataLoss
	}
	if _, ok := errors.AsType[*commitlog.CorruptionError](err); ok {
		return codes.DataLoss
	}
	switch {
	case errors.Is(err, commitlog.ErrNotPrepared):
		return codes.ResourceExhausted
	case errors.Is(err, commitlog.ErrPoisoned), errors.Is(err, broker.ErrClosed):
		return codes.Unavailable
	case errors.Is(err, broker.ErrNoTopic), errors.Is(err, broker.ErrNoGroup):
		return codes.NotFound
	case errors.Is(err, broker.ErrLockLost):
		return codes.FailedPrecondition
	case errors.Is(err, broker.ErrInvalid), errors.Is(err, broker.ErrBadPosition):
		return codes.InvalidArgument
	case errors.Is(err, broker.ErrBusy):
		return codes.Aborted
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	return codes.Internal
}

func failure(err error) *brokerpb.Failure {
	s, _ := status.FromError(statusOf(err))
	return &brokerpb.Failure{Code: int32(s.Code()), Message: s.Message()}
}

func invalid(field, text string) error {
	return status.Errorf(codes.InvalidArgument, "%s: %s", field, text)
}

// makeGroup says whether a client may act as a group, which do makes if it is not there, and calls do then.
func (s *Service) makeGroup(topic, group string, do func() error) error {
	if s.broker.HasGroup(topic, group) {
		return do()
	}
	if err := s.room(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.broker.GroupCount()+s.making >= s.opts.MaxGroups {
		s.mu.Unlock()
		return status.Errorf(codes.FailedPrecondition, "consumerGroup: there are %d groups already, the most there may be", s.opts.MaxGroups)
	}
	s.making++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.making--
		s.mu.Unlock()
	}()
	return do()
}

// newTopicName checks the name of a topic that a client wants to be created.
func newTopicName(topic string) error { return inField("topic", broker.CheckName(topic)) }

// topicName checks the name of a topic that is to be there: it may be a dead-letter topic of one with a long name.
func topicName(topic string) error { return inField("topic", broker.CheckTopicName(topic)) }

func groupName(group string) error { return inField("consumerGroup", broker.CheckName(group)) }

// inField says which field of a request an error is about.
func inField(field string, err error) error {
	if err == nil {
		return nil
	}
	return invalid(field, strings.TrimPrefix(err.Error(), broker.ErrInvalid.Error()+": "))
}

// access is what clients may do with a topic.
type access int

const (
	anything access = iota
	readOnly
	nothing
)

func (s *Service) access(topic string) access {
	for {
		switch {
		case slices.Contains(s.opts.Private, topic):
			return nothing
		case slices.Contains(s.opts.ReadOnly, topic):
			return readOnly
		}
		source, dead := broker.SourceTopic(topic)
		if !dead {
			return anything
		}
		topic = source
	}
}

// mayDelete says whether clients may delete a topic. The dead letters of a read-only topic are theirs: their groups
// have given them up.
func (s *Service) mayDelete(topic string) error {
	if _, isDead := broker.SourceTopic(topic); isDead && s.access(topic) == readOnly && !slices.Contains(s.opts.ReadOnly, topic) {
		return nil
	}
	return s.mayChange(topic)
}

// mayChange says whether clients may publish to a topic.
func (s *Service) mayChange(topic string) error {
	if s.access(topic) != anything {
		return status.Errorf(codes.PermissionDenied, "topic: %s is kept for the service itself", topic)
	}
	return nil
}

// mayRead says whether clients may see what is in a topic.
func (s *Service) mayRead(topic string) error {
	if s.access(topic) == nothing {
		return status.Errorf(codes.PermissionDenied, "topic: %s is private to the service", topic)
	}
	return nil
}

// mayActAs checks topic and group, and that clients may act as that group of that topic.
func (s *Service) mayActAs(topic, group string) error {
	if err := topicName(topic); err != nil {
		return err
	}
	if err := groupName(group); err != nil {
		return err
	}
	if err := s.mayRead(topic); err != nil {
		return err
	}
	if _, isDead := broker.SourceTopic(topic); isDead && group == broker.RedriveGroup {
		return status.Errorf(codes.PermissionDenied, "consumerGroup: %s of %s is kept for the service itself", group, topic)
	}
	return nil
}
