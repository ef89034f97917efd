// Package svc keeps what the handlers of the kqconsumer service share; it never keeps anything of a single event in memory alone.
package svc

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"

	"casepress/interop/gozero/kqconsumer/internal/config"
)

// ServiceContext is made once.
type ServiceContext struct {
	Config config.Config
	Pool   *Pool
	Visits *Visits
	// Stopping ends when the service stops.
	Stopping context.Context
	// Stop ends it.
	Stop context.CancelFunc
}

// NewServiceContext ends the process if the settings are no good.
func NewServiceContext(c config.Config) *ServiceContext {
	logx.Must(c.Check())
	visits, err := OpenVisits(c.Folder)
	logx.Must(err)
	s := &ServiceContext{Config: c, Pool: NewPool(c.Pool), Visits: visits}
	s.Stopping, s.Stop = context.WithCancel(context.Background())
	return s
}
