// Package svc keeps what the calls of the producer service share; it never keeps anything of a single call.
package svc

import (
	"github.com/zeromicro/go-zero/zrpc"

	"casepress/broker/brokerpb"
	"casepress/client"
	"casepress/interop/gozero/producer/internal/config"
)

// ServiceContext is made once.
type ServiceContext struct {
	Config  config.Config
	Updates *client.Producer
}

// NewServiceContext ends the process if the settings are no good. It does not wait for the broker.
func NewServiceContext(c config.Config) *ServiceContext {
	zrpc.DontLogClientContentForMethod(brokerpb.Broker_Send_FullMethodName) // else failing and slow calls are logged with patient data
	return &ServiceContext{Config: c, Updates: client.NewProducer(zrpc.MustNewClient(c.Broker).Conn())}
}
