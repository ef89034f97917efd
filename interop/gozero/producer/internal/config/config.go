// Package config keeps the settings of the producer service; it never reads them itself.
package config

import "github.com/zeromicro/go-zero/zrpc"

// Config is etc/producer.yaml.
type Config struct {
	zrpc.RpcServerConf
	Topic  string
	Broker zrpc.RpcClientConf
}
