// Package config keeps the settings of the kqconsumer service; it never reads them itself.
package config

import (
	"errors"
	"time"

	"github.com/zeromicro/go-queue/kq"
	"github.com/zeromicro/go-zero/core/service"
)

// Config is etc/kqconsumer.yaml.
type Config struct {
	service.ServiceConf
	Kafka        kq.KqConf
	Pool         int
	FirstBackoff time.Duration
	MaxBackoff   time.Duration
	Folder       string
}

// Check refuses settings with which kq commits what is not done, or what it has done in another order.
func (c Config) Check() error {
	switch {
	case c.Kafka.ForceCommit:
		return errors.New("Kafka.ForceCommit must be false: else an event that has failed is committed")
	case c.Kafka.CommitInOrder:
		return errors.New("Kafka.CommitInOrder must be false: it commits an event that has failed, and begins events of a patient side by side")
	case c.Kafka.Consumers != 1 || c.Kafka.Processors != 1:
		return errors.New("Kafka.Consumers and Kafka.Processors must be 1: else a later event is committed, and with it an earlier one that is not done; set Conns and Pool")
	case c.Pool < 1 || c.FirstBackoff <= 0 || c.MaxBackoff < c.FirstBackoff:
		return errors.New("Pool must be at least 1, FirstBackoff above 0, and MaxBackoff no shorter")
	}
	return nil
}
