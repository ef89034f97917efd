// Package svc keeps what the handlers of the consumer service share; it never keeps anything of a single message.
package svc

import (
	"sync"

	"github.com/zeromicro/go-zero/zrpc"

	"casepress/broker/brokerpb"
	"casepress/interop/gozero/consumer/internal/config"
	"casepress/interop/gozero/event"
)

// ServiceContext is made once.
type ServiceContext struct {
	Config   config.Config
	Broker   zrpc.Client
	Patients *Patients
}

// NewServiceContext ends the process if the settings are no good. It does not wait for the broker.
func NewServiceContext(c config.Config) *ServiceContext {
	zrpc.DontLogClientContentForMethod(brokerpb.Broker_Fetch_FullMethodName) // else slow calls are logged with patient data
	return &ServiceContext{Config: c, Broker: zrpc.MustNewClient(c.Broker), Patients: &Patients{
		taken: make(map[string]bool), data: make(map[string]map[string]string),
	}}
}

// Patients keeps the patients' data as the events tell it. A real service has its database here, and takes event and
// id in one transaction.
type Patients struct {
	mu    sync.Mutex
	taken map[string]bool // events
	data  map[string]map[string]string
}

// Take applies an event, once: a message may come again.
func (p *Patients) Take(e event.PatientUpdated) (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[e.ID] {
		return false
	}
	p.taken[e.ID] = true
	if p.data[e.PatientID] == nil {
		p.data[e.PatientID] = make(map[string]string)
	}
	for name, value := range e.Changes {
		p.data[e.PatientID][name] = value
	}
	return true
}
