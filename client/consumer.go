package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "casepress/broker/brokerpb"
)

// ErrLockLost is the cause with which a handler's context ends when the message went to another consumer.
var ErrLockLost = errors.New("client: lock on the message is lost")

// A Handler handles one message. Nil acknowledges it; an error releases it for later; an error made by Reject makes it
// a dead letter at once; a panic counts as an error. It may see a message more than once, but never while it still works on it, in this process. ctx ends
// when the lock is lost or the consumer has waited long enough to stop.
type Handler func(ctx context.Context, m *Message) error

// Reject wraps an error that no later attempt can mend.
func Reject(err error) error { return &rejection{err} }

type rejection struct{ error }

func (r *rejection) Unwrap() error { return r.error }

// ConsumerOptions are the settings of a Consumer. Topic and Group must be set; for the rest zero is good.
type ConsumerOptions struct {
	Topic, Group  string
	Concurrency   int           // handlers that run at once, default 1
	Window        int           // messages in hand, waiting ones included, each up to the broker's largest, 1 MiB by default; default twice Concurrency
	LockTimeout   time.Duration // how soon another consumer gets what a dead one held, default 30 s; renewed while a handler works
	MaxDeliveries int           // then a message is a dead letter, with the last error as its reason; 0 leaves the group's setting
	Ordered       bool          // a key's next message waits for the last one
	Latest        bool          // a new group starts after the newest message, not at the oldest

	FirstBackoff, MaxBackoff time.Duration // of a released message, doubling with its delivery count; default 1 s and 1 min
	StopTimeout              time.Duration // how long handlers may take to finish after the end of Run's ctx, default 30 s

	Logger *slog.Logger // default: discards. Never logs keys, headers or payloads
}

// validate names the first setting that is out of range.
func (o *ConsumerOptions) validate() error {
	switch {
	case o.Topic == "" || o.Group == "":
		return errors.New("consumer options: Topic and Group must be set")
	case o.Concurrency < 1:
		return fmt.Errorf("consumer options: Concurrency is %d, it must be at least 1", o.Concurrency)
	case o.Window < 1 || o.Window > maxWindow:
		return fmt.Errorf("consumer options: Window is %d, it must be 1 to %d", o.Window, maxWindow)
	case o.LockTimeout < minLockTimeout || o.LockTimeout > maxLockTimeout:
		return fmt.Errorf("consumer options: LockTimeout is %v, it must be %v to %v", o.LockTimeout, minLockTimeout, maxLockTimeout)
	case o.MaxDeliveries < 0 || o.MaxDeliveries > math.MaxInt32:
		return fmt.Errorf("consumer options: MaxDeliveries is %d, it must be 0 to %d", o.MaxDeliveries, math.MaxInt32)
	case o.FirstBackoff < 0 || o.MaxBackoff < o.FirstBackoff || o.StopTimeout < 0:
		return fmt.Errorf("consumer options: FirstBackoff %v, MaxBackoff %v and StopTimeout %v must not be negative, and MaxBackoff not below FirstBackoff",
			o.FirstBackoff, o.MaxBackoff, o.StopTimeout)
	}
	return nil
}

// These are limits of the broker.
const (
	maxWindow      = 1 << 16
	minLockTimeout = 10 * time.Millisecond
	maxLockTimeout = 24 * time.Hour
)

// Consumer is one member of a group.
type Consumer struct {
	broker  pb.BrokerClient
	opts    ConsumerOptions
	handler Handler
	work    chan *job
	leases  *leases
}

// NewConsumer makes a consumer on a connection; Run does the work.
func NewConsumer(conn grpc.ClientConnInterface, o ConsumerOptions, h Handler) *Consumer {
	def(&o.Concurrency, 1)
	def(&o.Window, 2*o.Concurrency)
	def(&o.LockTimeout, 30*time.Second)
	def(&o.FirstBackoff, time.Second)
	def(&o.MaxBackoff, time.Minute)
	def(&o.StopTimeout, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := pb.NewBrokerClient(conn)
	return &Consumer{broker: b, opts: o, handler: h}
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Run consumes until ctx ends, reconnecting with backoff; then it takes no more, lets the handlers finish, settles
// what they did and returns nil. It returns an error only for what trying again cannot mend, such as a group that
// it may not act as. Run it once.
func (c *Consumer) Run(ctx context.Context) error {
	if err := c.opts.validate(); err != nil {
		return err
	}
	c.work = make(chan *job, c.opts.Window) // taken at once, so that the locks of those that wait are renewed
	c.leases = newLeases(c.broker, c.opts)
	handling, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	var workers sync.WaitGroup
	for range c.opts.Concurrency {
		workers.Go(func() {
			for j := range c.work {
				if ctx.Err() == nil { // else it is given back after the stream
					c.handle(handling, j)
				}
			}
		})
	}
	stopped := func() { // what is in hand is finished while the stream still holds it
		close(c.work)
		timer := time.AfterFunc(c.opts.StopTimeout, giveUp)
		workers.Wait()
		timer.Stop()
		c.leases.close()
	}
	err := c.subscribe(ctx, stopped)
	c.leases.leave()
	return err
}

// subscribe keeps a stream until ctx ends or trying is in vain, and calls stopped before it ends the last one.
func (c *Consumer) subscribe(ctx context.Context, stopped func()) error {
	session, end := newSession()
	received := make(chan struct{}) // closed when nothing more can come of the last session
	close(received)
	defer func() {
		end()
		<-received
	}()
	defer stopped()
	for n := 0; ctx.Err() == nil; n++ {
		received = make(chan struct{})
		got, err := c.session(ctx, session, received)
		if ctx.Err() != nil {
			break
		}
		if code := status.Code(err); !isTemporaryCode(code) && code != codes.NotFound && code != codes.Internal && code != codes.Unknown {
			return fmt.Errorf("consume %s as %s: %w", c.opts.Topic, c.opts.Group, err)
		}
		end()
		session, end = newSession()
		if got {
			n = 0
		}
		d := backoffFor(n, firstBackoff, maxBackoff)
		c.opts.Logger.Warn("subscription broke", "topic", c.opts.Topic, "group", c.opts.Group, "againIn", d, "error", err)
		if sleep(ctx, d) != nil {
			break
		}
	}
	return nil
}

func newSession() (ctx context.Context, end func()) { return context.WithCancel(context.Background()) }

// session is one stream. It returns when the stream breaks, or when ctx ends and leaves the stream to the session then.
func (c *Consumer) session(ctx, session context.Context, received chan<- struct{}) (got bool, err error) {
	stream, err := c.broker.Subscribe(session, c.request())
	if err != nil {
		close(received)
		return false, err
	}
	deliveries := make(chan []*job)
	broken := make(chan error, 1)
	go func() { // ends with the session
		defer close(received)
		if _, err := stream.Header(); err == nil {
			c.leases.renewing.wake() // what is in hand since before a break
		}
		for {
			d, err := stream.Recv()
			if err != nil {
				broken <- err
				return
			}
			js := c.jobs(session, d)
			select {
			case deliveries <- js:
			case <-ctx.Done():
				c.leases.take(js) // and give them back after the stream
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return got, nil
		case err := <-broken:
			return got, err
		case js := <-deliveries:
			got = true
			js = c.leases.take(js)
			for i, j := range js {
				select {
				case c.work <- j:
				case err = <-broken:
					c.leases.abandon(js[i:])
					return got, err
				case <-ctx.Done():
					return got, nil
				}
			}
		}
	}
}

// jobs are the deliveries of a response.
func (c *Consumer) jobs(session context.Context, r *pb.SubscribeResponse) []*job {
	js := make([]*job, 0, 1+len(r.GetMore()))
	js = append(js, c.leases.newJob(session, r))
	for _, d := range r.GetMore() {
		js = append(js, c.leases.newJob(session, d))
	}
	return js
}

func (c *Consumer) request() *pb.SubscribeRequest {
	r := &pb.SubscribeRequest{
		Topic: c.opts.Topic, ConsumerGroup: c.opts.Group, Window: uint32(c.opts.Window),
		LockTimeout: durationpb.New(c.opts.LockTimeout), MaxDeliveries: uint32(c.opts.MaxDeliveries),
		Ordered: c.opts.Ordered, AckMode: pb.AckMode_ACK_MODE_EXPLICIT, Together: mostTogether,
	}
	if c.opts.Latest {
		r.From = &pb.Position{At: &pb.Position_Latest{Latest: true}}
	}
	return r
}

// handle runs the handler and settles the message.
func (c *Consumer) handle(ctx context.Context, j *job) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m, ok := c.leases.begin(j, cancel)
	if !ok {
		return
	}
	err := c.call(ctx, m)
	s := &pb.Settlement{}
	var r *rejection
	switch {
	case errors.As(err, &r):
		s.How = &pb.Settlement_Reject{Reject: &pb.Reject{Reason: r.Error()}}
	case err != nil && c.opts.MaxDeliveries > 0 && m.DeliveryCount >= c.opts.MaxDeliveries:
		s.How = &pb.Settlement_Reject{Reject: &pb.Reject{Reason: fmt.Sprintf("delivery %d failed: %v", m.DeliveryCount, err)}}
		c.opts.Logger.Warn("message is a dead letter", "topic", m.Topic, "group", c.opts.Group, "offset", m.Offset, "deliveries", m.DeliveryCount, "error", err)
	case err != nil:
		d := backoffFor(max(m.DeliveryCount-1, 0), c.opts.FirstBackoff, c.opts.MaxBackoff)
		s.How = &pb.Settlement_Release{Release: &pb.Release{Delay: durationpb.New(d)}}
		c.opts.Logger.Warn("message released", "topic", m.Topic, "group", c.opts.Group, "offset", m.Offset, "againIn", d, "error", err)
	}
	c.leases.finish(j, s)
}

// call turns a panic into an error.
func (c *Consumer) call(ctx context.Context, m *Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v", p)
			c.opts.Logger.Error("handler panicked", "topic", m.Topic, "offset", m.Offset, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return c.handler(ctx, m)
}
