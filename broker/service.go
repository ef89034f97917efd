package broker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/broker/brokerpb"
	"casepress/commitlog"
)

// Service is the gRPC face of a broker: it translates and keeps nothing but who fetches. See broker.proto.
type Service struct {
	brokerpb.UnimplementedBrokerServer
	broker *Broker
	opts   ServerOptions
	ctx    context.Context // ends with stop
	stop   context.CancelFunc
	tasks  sync.WaitGroup

	creating sync.Mutex // one topic at a time, so that MaxTopics holds
	mu       sync.Mutex // guards fetchers
	fetchers map[fetchKey]*fetcher
}

// NewService makes a service to be registered on a *grpc.Server. Close it.
func NewService(b *Broker, o ServerOptions) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	def(&o.MaxTopics, defaultMaxTopics)
	s := &Service{broker: b, opts: o, fetchers: make(map[fetchKey]*fetcher)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.tasks.Go(s.reapFetchers)
	return s
}

// Close gives back what was fetched and not settled. The calls must have ended.
func (s *Service) Close() error {
	s.stop()
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

// statusOf returns the status that tells a client of err. Only an overloaded broker is RESOURCE_EXHAUSTED and only one
// that stops or whose disk failed is UNAVAILABLE: circuit breakers count these.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codeOf(err), strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
}

func codeOf(err error) codes.Code {
	if _, ok := errors.AsType[*DamageError](err); ok {
		return codes.DataLoss
	}
	if _, ok := errors.AsType[*commitlog.CorruptionError](err); ok {
		return codes.DataLoss
	}
	switch {
	case errors.Is(err, commitlog.ErrPoisoned), errors.Is(err, ErrClosed):
		return codes.Unavailable
	case errors.Is(err, ErrNoTopic), errors.Is(err, ErrNoGroup):
		return codes.NotFound
	case errors.Is(err, ErrLockLost):
		return codes.FailedPrecondition
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrBadPosition):
		return codes.InvalidArgument
	case errors.Is(err, ErrBusy):
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

// named checks a name that a client gave.
func named(field, name string, limit int) error {
	if checkName(name, limit) != nil {
		return status.Errorf(codes.InvalidArgument, "%s: %.150q is not 1-%d of A-Z a-z 0-9 . _ -", field, name, limit)
	}
	return nil
}

// existing checks the name of a topic that is to be there: it may be a dead-letter topic of one with a long name.
func existing(topic string) error { return named("topic", topic, maxTopicFolder) }

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
		source, dead := strings.CutSuffix(topic, deadSuffix)
		if !dead {
			return anything
		}
		topic = source
	}
}

// mayChange says whether clients may publish to a topic or delete it.
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
	if err := existing(topic); err != nil {
		return err
	}
	if err := named("consumerGroup", group, maxName); err != nil {
		return err
	}
	if err := s.mayRead(topic); err != nil {
		return err
	}
	if group == RedriveGroup && strings.HasSuffix(topic, deadSuffix) {
		return status.Errorf(codes.PermissionDenied, "consumerGroup: %s of %s is kept for the service itself", group, topic)
	}
	return nil
}
