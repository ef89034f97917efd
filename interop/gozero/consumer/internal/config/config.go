// Package config keeps the settings of the consumer service; it never reads them itself.
package config

import (
	"time"

	"github.com/zeromicro/go-zero/core/service"
	"github.com/zeromicro/go-zero/zrpc"
)

// Config is etc/consumer.yaml.
type Config struct {
	service.ServiceConf
	Broker   zrpc.RpcClientConf
	Consumer Consumer
}

// Consumer says what is consumed, and how.
type Consumer struct {
	Topic         string
	Group         string
	Mode          string        `json:",default=subscribe,options=subscribe|fetch|kq"`
	Concurrency   int           `json:",default=8"`
	MaxDeliveries int           `json:",default=10"`
	LockTimeout   time.Duration `json:",default=30s"`
	FirstBackoff  time.Duration `json:",default=1s"`
	MaxBackoff    time.Duration `json:",default=1m"`
	StopTimeout   time.Duration `json:",default=4s"`
}
