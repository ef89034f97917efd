// Package listen keeps the ways in which messages come to the logic; it never looks into them.
package listen

import (
	"context"
	"log/slog"
	"sync"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/service"

	"casepress/broker/brokerpb"
	"casepress/client"
	"casepress/interop/gozero/consumer/internal/logic"
	"casepress/interop/gozero/consumer/internal/svc"
	"casepress/interop/gozero/kqadapter"
)

// New returns the consumer that the settings ask for.
func New(ctx *svc.ServiceContext) service.Service {
	c := ctx.Config.Consumer
	handler := logic.NewPatientUpdatedLogic(ctx)
	o := client.ConsumerOptions{
		Topic: c.Topic, Group: c.Group, Concurrency: c.Concurrency, MaxDeliveries: c.MaxDeliveries, LockTimeout: c.LockTimeout,
		FirstBackoff: c.FirstBackoff, MaxBackoff: c.MaxBackoff, StopTimeout: c.StopTimeout, Logger: slog.Default(),
	}
	switch c.Mode {
	case "kq":
		return kqadapter.New(ctx.Broker.Conn(), o, handler)
	case "fetch":
		f := &fetcher{broker: brokerpb.NewBrokerClient(ctx.Broker.Conn()), conf: c, handler: handler}
		return newLoop(f.run)
	default:
		return newLoop(client.NewConsumer(ctx.Broker.Conn(), o, func(ctx context.Context, m *client.Message) error {
			return handler.Consume(ctx, m.Key, string(m.Payload)) // here a handler has all of m: headers, offset, delivery count
		}).Run)
	}
}

// A loop makes a go-zero service of what runs until its context ends.
type loop struct {
	run     func(context.Context) error
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.Mutex // held by Start
}

func newLoop(run func(context.Context) error) *loop {
	l := &loop{run: run}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Start ends the process if there is no point in trying again.
func (l *loop) Start() {
	l.running.Lock()
	defer l.running.Unlock()
	logx.Must(l.run(l.ctx))
}

// Stop waits for what is in hand.
func (l *loop) Stop() {
	l.cancel()
	l.running.Lock()
	defer l.running.Unlock()
}
