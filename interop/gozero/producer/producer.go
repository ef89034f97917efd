// Command producer is a zrpc service that publishes updates of patient data to casepress; it never answers before
// the event is on stable storage.
package main

import (
	"flag"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"

	"casepress/interop/gozero/producer/internal/config"
	"casepress/interop/gozero/producer/internal/server"
	"casepress/interop/gozero/producer/internal/svc"
	"casepress/interop/gozero/producer/patient"
)

var configFile = flag.String("f", "etc/producer.yaml", "the config file")

func main() {
	flag.Parse()
	var c config.Config
	conf.MustLoad(*configFile, &c)
	ctx := svc.NewServiceContext(c)
	s := zrpc.MustNewServer(c.RpcServerConf, func(g *grpc.Server) {
		patient.RegisterPatientServer(g, server.NewPatientServer(ctx))
	})
	defer s.Stop()
	logx.Infof("listening on %s", c.ListenOn)
	s.Start()
}
