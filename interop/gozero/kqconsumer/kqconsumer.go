// Command kqconsumer is a go-zero service that keeps what casepress's events in Kafka tell; it never lets kq commit an event
// before that is on disk, and has one pool for all its work.
package main

import (
	"flag"

	"github.com/zeromicro/go-queue/kq"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/queue"
	"github.com/zeromicro/go-zero/core/service"

	"casepress/interop/gozero/kqconsumer/internal/config"
	"casepress/interop/gozero/kqconsumer/internal/logic"
	"casepress/interop/gozero/kqconsumer/internal/svc"
)

var configFile = flag.String("f", "etc/kqconsumer.yaml", "the config file")

func main() {
	flag.Parse()
	var c config.Config
	conf.MustLoad(*configFile, &c)
	c.MustSetUp()
	ctx := svc.NewServiceContext(c)
	group := service.NewServiceGroup()
	defer group.Stop()
	group.Add(&events{kq.MustNewQueue(c.Kafka, logic.NewFinishedLogic(ctx)), ctx})
	group.Start()
}

// events is kq's queue, which ends what its handlers wait for before it ends itself.
type events struct {
	queue.MessageQueue
	ctx *svc.ServiceContext
}

// Start consumes until Stop.
func (e *events) Start() {
	e.MessageQueue.Start()
	logx.Must(e.ctx.Visits.Close()) // all handlers have returned
}

// Stop lets no handler try again.
func (e *events) Stop() {
	e.ctx.Stop()
	e.MessageQueue.Stop()
}
