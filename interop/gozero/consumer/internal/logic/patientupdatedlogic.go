// Package logic keeps one file for each kind of event of the consumer service; it never acknowledges: its error says
// what is to become of the message.
package logic

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"

	"casepress/client"
	"casepress/interop/gozero/consumer/internal/svc"
	"casepress/interop/gozero/event"
)

// PatientUpdatedLogic handles events of updated patient data. It is a kq.ConsumeHandler.
type PatientUpdatedLogic struct{ svcCtx *svc.ServiceContext }

// NewPatientUpdatedLogic is called once.
func NewPatientUpdatedLogic(svcCtx *svc.ServiceContext) *PatientUpdatedLogic {
	return &PatientUpdatedLogic{svcCtx: svcCtx}
}

// Consume takes an event. What is no event will never be one: it is rejected, and is a dead letter at once.
func (l *PatientUpdatedLogic) Consume(ctx context.Context, _, value string) error {
	e, err := event.Decode([]byte(value))
	if err != nil {
		return client.Reject(err)
	}
	first := l.svcCtx.Patients.Take(e)
	logx.WithContext(ctx).Infow("update taken", logx.Field("id", e.ID), logx.Field("first", first))
	return nil
}
