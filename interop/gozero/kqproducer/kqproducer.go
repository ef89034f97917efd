// Command kqproducer is a go-zero service that tells of finished submissions by kq.Pusher, as casepress does, so that casepress
// progress can read them; it never answers before the event is in Kafka.
package main

import (
	"flag"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/service"
	"github.com/zeromicro/go-zero/rest"

	"casepress/interop/gozero/kqproducer/internal/config"
	"casepress/interop/gozero/kqproducer/internal/handler"
	"casepress/interop/gozero/kqproducer/internal/svc"
)

var configFile = flag.String("f", "etc/kqproducer.yaml", "the config file")

func main() {
	flag.Parse()
	var c config.Config
	conf.MustLoad(*configFile, &c)
	server := rest.MustNewServer(c.RestConf)
	topic := svc.NewTopic(c.Kafka)
	handler.Register(server, topic)
	group := service.NewServiceGroup()
	defer group.Stop()
	group.Add(server)
	group.Add(topic)
	group.Start()
}
