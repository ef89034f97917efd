// Package brokergrpc implements the gRPC face of a broker, as broker/brokerpb/broker.proto describes it. It translates
// calls, checks what clients may do, and keeps no messages: what a call has answered the broker has made durable.
// Deliveries are named to clients by ack IDs, which are good until the process ends.
package brokergrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

// Options are the settings of the gRPC face. The zero value is good.
type Options struct {
	Logger *slog.Logger // default: discards. Names topics and groups, never keys, headers or payloads

	// MaxTopics is how many topics there may be, default 1,000: a Send or Subscribe creates a topic that is not there
	// unless there are so many already. A dead-letter topic that comes of a rejected message is made all the same.
	MaxTopics int

	// MaxGroups is how many groups there may be, of all topics, default 10,000: a Subscribe, Fetch or SetPosition makes
	// a group that is not there unless there are so many already.
	MaxGroups int

	// MaxSubscriptions is how many Subscribe calls one connection may have at once, default 100. The next is refused with
	// FAILED_PRECONDITION.
	MaxSubscriptions int

	// MaxConnections is how many connections there may be at once, default 64. The next is closed as soon as it is made,
	// which its client sees as UNAVAILABLE.
	MaxConnections int

	// MaxMembers is how many members of groups all clients together may have, default 2,000: each Subscribe is one, and each
	// group that is fetched from, until a minute after nobody does and nothing of it is in hand. The next is refused with
	// FAILED_PRECONDITION.
	MaxMembers int

	// MaxUnreadBytes bounds the bytes of answers that are read from the disk for one connection and not yet written to it,
	// because its client does not read: default 1 MiB, or one answer if that is larger. 1,280 bytes are added for each
	// message. Each subscription has 72 KiB of its own beside, so that it goes on whatever others read. What finds no room
	// stays with its group, where other members may get it, and is not counted as delivered.
	MaxUnreadBytes int

	// Clients may consume ReadOnly topics and may not even read Private ones. They can publish to neither nor delete
	// them: PERMISSION_DENIED. Both hold for the dead-letter topics, too, except that clients may send the dead letters
	// of a read-only topic again and delete them: it is their groups that have given them up.
	ReadOnly, Private []string

	// Room is asked before messages of a client are appended, sent again or rejected, and before a topic or group is
	// created for one. Its error, such as of too little free disk, is answered with RESOURCE_EXHAUSTED. It is not asked
	// before the broker itself makes a dead letter of a message whose deliveries are used up. Nil: there is always room.
	Room func() error

	MaxMessageBytes int // largest request and answer, default 8 MiB
}

// Defaults of Options.
const (
	DefaultMaxTopics        = 1000
	DefaultMaxGroups        = 10_000
	DefaultMaxSubscriptions = 100
	DefaultMaxConnections   = 64
	DefaultMaxMembers       = 2000
	DefaultMaxUnreadBytes   = 1 << 20
)

const (
	maxCalls         = 256 // at once on a connection, beside subscriptions; further ones wait at the client
	defaultMaxWire   = 8 << 20
	connectionWindow = 4 << 20 // bytes on the way from one client that are not read yet
	streamWindow     = 1 << 20
	gracefully       = 2 * time.Second // for subscribers that do not take their last messages

	// Goroutines that wait for calls, so that a call needs no new one whose stack has to grow first. Further calls get
	// one of their own.
	streamWorkers = 128
)

// Server serves a broker over gRPC, with health and reflection services. Shut it down before the broker is closed.
type Server struct {
	grpc    *grpc.Server
	service *Service
	health  *health.Server
}

// NewServer makes a server. Clients may ping every 5 s, also without a call: go-zero's do.
func NewServer(b *broker.Broker, o Options) *Server {
	service := NewService(b, o)
	o.MaxMessageBytes = cmp.Or(o.MaxMessageBytes, defaultMaxWire)
	s := &Server{service: service, health: health.NewServer(), grpc: grpc.NewServer(
		grpc.MaxRecvMsgSize(o.MaxMessageBytes), grpc.MaxSendMsgSize(o.MaxMessageBytes),
		grpc.NumStreamWorkers(streamWorkers), grpc.ForceServerCodecV2(countingCodec{}), grpc.UnaryInterceptor(countUnary),
		grpc.MaxConcurrentStreams(uint32(service.opts.MaxSubscriptions+maxCalls)),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connectionWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		// So a machine that vanished gives back what it holds.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
	)}
	brokerpb.RegisterBrokerServer(s.grpc, service)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	s.health.SetServingStatus(brokerpb.Broker_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	reflection.Register(s.grpc)
	return s
}

// Serve serves until Shutdown or Close, which is no error.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(&countedListener{Listener: l, service: s.service}); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve grpc: %w", err)
	}
	return nil
}

// Shutdown ends the subscriptions, lets calls in flight finish and ends the server. Subscribers get UNAVAILABLE;
// one that takes no more holds it up for two seconds. What is in hand goes back uncounted.
func (s *Server) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gracefully)
	defer cancel()
	s.health.Shutdown()
	s.service.stop()
	stop := context.AfterFunc(ctx, s.grpc.Stop)
	s.grpc.GracefulStop()
	stop()
	return s.service.Close()
}

// Close ends the server at once.
func (s *Server) Close() error {
	s.health.Shutdown()
	s.service.stop()
	s.grpc.Stop()
	return s.service.Close()
}
