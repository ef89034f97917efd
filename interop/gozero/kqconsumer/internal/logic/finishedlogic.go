// Package logic keeps what is done with an event; it never returns before that is on disk, unless the service stops.
package logic

import (
	"context"
	"errors"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"casepress/interop/gozero/event"
	"casepress/interop/gozero/kqconsumer/internal/svc"
)

// FinishedLogic handles events of finished submissions. It is a kq.ConsumeHandler.
type FinishedLogic struct{ svcCtx *svc.ServiceContext }

// NewFinishedLogic is called once.
func NewFinishedLogic(svcCtx *svc.ServiceContext) *FinishedLogic {
	return &FinishedLogic{svcCtx: svcCtx}
}

// Consume returns nil when the event is on disk, in the visits or among the dead letters, and kq commits it then. What fails is
// tried again here, in its place in the partition: kq commits a later event over one whose handler returned an error. An error
// means that the service stops; the event comes again.
func (l *FinishedLogic) Consume(_ context.Context, _, value string) error {
	stopping := l.svcCtx.Stopping // kq's own context never ends
	for backoff := l.svcCtx.Config.FirstBackoff; ; backoff = min(2*backoff, l.svcCtx.Config.MaxBackoff) {
		err := l.svcCtx.Pool.Do(stopping, func() error { return l.take(value) })
		if err == nil {
			return nil
		}
		if stopping.Err() != nil {
			return stopping.Err()
		}
		logx.Errorf("an event could not be written and will be tried again: %v", err)
		select {
		case <-time.After(backoff):
		case <-stopping.Done():
		}
	}
}

func (l *FinishedLogic) take(value string) error {
	e, err := event.DecodeFinished([]byte(value))
	if errors.Is(err, event.ErrMalformed) {
		return l.svcCtx.Visits.Bury([]byte(value), err)
	}
	first, err := l.svcCtx.Visits.Take(e)
	if err == nil {
		logx.Infow("event taken", logx.Field("id", e.ID), logx.Field("first", first))
	}
	return err
}
