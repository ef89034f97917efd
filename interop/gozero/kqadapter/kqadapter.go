// Package kqadapter runs kq consumers on a casepress subscription; it never drops a message: nil from the handler
// acknowledges it, an error brings it again.
package kqadapter

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/zeromicro/go-queue/kq"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/queue"
	"google.golang.org/grpc"

	"casepress/client"
)

type subscription struct {
	consumer *client.Consumer
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.Mutex // held by Start
}

// New takes the place of kq.NewQueue. The connection may be a zrpc client's. A released message waits for
// o.FirstBackoff, twice as long each time; after o.MaxDeliveries, if set, it is a dead letter with the handler's last error as
// its reason. Each error is logged, with topic, offset and delivery count; so is what else the consumer has to tell, unless o.Logger is set.
func New(conn grpc.ClientConnInterface, o client.ConsumerOptions, h kq.ConsumeHandler) queue.MessageQueue {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(logWriter{}, nil))
	}
	s := &subscription{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.consumer = client.NewConsumer(conn, o, func(ctx context.Context, m *client.Message) error {
		err := h.Consume(ctx, m.Key, string(m.Payload))
		if err != nil {
			logx.WithContext(ctx).Errorf("handler of topic %s failed, offset %d, delivery %d: %v", m.Topic, m.Offset, m.DeliveryCount, err)
		}
		return err
	})
	return s
}

// logWriter writes lines to go-zero's log.
type logWriter struct{}

func (logWriter) Write(line []byte) (int, error) {
	logx.Info(strings.TrimSpace(string(line)))
	return len(line), nil
}

// Start consumes until Stop. What trying again cannot mend, such as a topic that is not for clients, ends the process.
func (s *subscription) Start() {
	s.running.Lock()
	defer s.running.Unlock()
	logx.Must(s.consumer.Run(s.ctx))
}

// Stop waits for the handlers, at most for o.StopTimeout.
func (s *subscription) Stop() {
	s.cancel()
	s.running.Lock()
	defer s.running.Unlock()
}
