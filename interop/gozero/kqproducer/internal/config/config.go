// Package config keeps the settings of the kqproducer service; it never reads them itself.
package config

import (
	"time"

	"github.com/zeromicro/go-zero/rest"
)

// Config is etc/kqproducer.yaml.
type Config struct {
	rest.RestConf
	Kafka Kafka
}

// Kafka says where events go.
type Kafka struct {
	Brokers []string
	Topic   string
	Again   time.Duration
}
