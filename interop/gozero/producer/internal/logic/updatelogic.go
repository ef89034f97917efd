// Package logic keeps one file for each call of the producer service; it never touches the wire.
package logic

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/zeromicro/go-zero/core/breaker"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"casepress/client"
	"casepress/interop/gozero/event"
	"casepress/interop/gozero/producer/internal/svc"
	"casepress/interop/gozero/producer/patient"
)

// UpdateLogic is one call of Update.
type UpdateLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewUpdateLogic is called for each call.
func NewUpdateLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UpdateLogic {
	return &UpdateLogic{ctx: ctx, svcCtx: svcCtx, Logger: logx.WithContext(ctx)}
}

// Update publishes the event under the update's id, so that the caller may safely try again: the producer does so
// itself while the call's deadline allows.
func (l *UpdateLogic) Update(in *patient.UpdateRequest) (*patient.UpdateResponse, error) {
	if in.GetPatientId() == "" {
		return nil, status.Error(codes.InvalidArgument, "patient_id: must be given")
	}
	if in.GetUpdateId() == "" {
		return nil, status.Error(codes.InvalidArgument, "update_id: must be given")
	}
	payload, err := json.Marshal(event.PatientUpdated{
		ID: in.GetUpdateId(), PatientID: in.GetPatientId(), Changes: in.GetChanges(), At: time.Now().UTC(),
	})
	if err != nil {
		return nil, err
	}
	offset, err := l.svcCtx.Updates.Send(l.ctx, client.Message{
		Topic: l.svcCtx.Config.Topic, ID: in.GetUpdateId(), Key: in.GetPatientId(), Payload: payload,
	})
	if errors.Is(err, breaker.ErrServiceUnavailable) { // has no status of its own
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	if err != nil {
		return nil, err
	}
	l.Infow("update published", logx.Field("id", in.GetUpdateId()), logx.Field("offset", offset))
	return &patient.UpdateResponse{Offset: offset}, nil
}
