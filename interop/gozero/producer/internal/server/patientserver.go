// Package server keeps the wire side of the producer service; it never decides anything.
package server

import (
	"context"

	"casepress/interop/gozero/producer/internal/logic"
	"casepress/interop/gozero/producer/internal/svc"
	"casepress/interop/gozero/producer/patient"
)

// PatientServer hands calls to their logic.
type PatientServer struct {
	svcCtx *svc.ServiceContext
	patient.UnimplementedPatientServer
}

// NewPatientServer makes the server to register.
func NewPatientServer(svcCtx *svc.ServiceContext) *PatientServer {
	return &PatientServer{svcCtx: svcCtx}
}

// Update publishes what changed in a patient's data.
func (s *PatientServer) Update(ctx context.Context, in *patient.UpdateRequest) (*patient.UpdateResponse, error) {
	return logic.NewUpdateLogic(ctx, s.svcCtx).Update(in)
}
