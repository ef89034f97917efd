// Command consumer is a go-zero service that keeps patients' data as the events in casepress tell it; it never
// acknowledges an event before it has taken it.
package main

import (
	"flag"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/service"

	"casepress/interop/gozero/consumer/internal/config"
	"casepress/interop/gozero/consumer/internal/listen"
	"casepress/interop/gozero/consumer/internal/svc"
)

var configFile = flag.String("f", "etc/consumer.yaml", "the config file")

func main() {
	flag.Parse()
	var c config.Config
	conf.MustLoad(*configFile, &c)
	c.MustSetUp()
	group := service.NewServiceGroup()
	defer group.Stop()
	group.Add(listen.New(svc.NewServiceContext(c)))
	group.Start()
}
