package brokergrpc

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

// toMessage takes what a producer may set. It shares the payload.
func toMessage(m *brokerpb.Message) (broker.Message, error) {
	if m == nil {
		return broker.Message{}, invalid("msg", "is missing")
	}
	out := broker.Message{ID: m.GetId(), Key: m.GetKey(), Payload: m.GetPayload()}
	if len(m.GetHeaders()) > 0 {
		out.Headers = make([]broker.Header, len(m.GetHeaders()))
		for i, h := range m.GetHeaders() {
			out.Headers[i] = broker.Header{Name: h.GetName(), Value: h.GetValue()}
		}
	}
	if m.DeliverAt != nil {
		if m.DeliverAt.CheckValid() != nil {
			return broker.Message{}, invalid("deliver_at", "is no time")
		}
		out.DeliverAt = m.DeliverAt.AsTime()
	}
	return out, nil
}

func fromMessage(m *broker.Message) *brokerpb.Message {
	out := &brokerpb.Message{
		Topic: m.Topic, Payload: m.Payload, Key: m.Key, Id: m.ID, Offset: m.Offset, Time: toTimestamp(m.Time),
	}
	if len(m.Headers) > 0 {
		out.Headers = make([]*brokerpb.Header, len(m.Headers))
		for i, h := range m.Headers {
			out.Headers[i] = &brokerpb.Header{Name: h.Name, Value: h.Value}
		}
	}
	if !m.DeliverAt.IsZero() {
		out.DeliverAt = toTimestamp(m.DeliverAt)
	}
	return out
}

func fromDelivery(d *broker.Delivery) *brokerpb.SubscribeResponse {
	m := fromMessage(&d.Message)
	m.DeliveryCount = uint32(d.Count)
	return &brokerpb.SubscribeResponse{Msg: m, AckId: encodeAckID(d.Lease())}
}

// fromDeliveries returns one response with all of them.
func fromDeliveries(ds []broker.Delivery) *brokerpb.SubscribeResponse {
	first := fromDelivery(&ds[0])
	for i := range ds[1:] {
		first.More = append(first.More, fromDelivery(&ds[1+i]))
	}
	return first
}

func toTimestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func toPosition(field string, p *brokerpb.Position) (broker.Position, error) {
	switch at := p.GetAt().(type) {
	case *brokerpb.Position_Latest:
		return broker.Latest, nil
	case *brokerpb.Position_Offset:
		return broker.FromOffset(at.Offset), nil
	case *brokerpb.Position_Time:
		if at.Time.CheckValid() != nil {
			return broker.Position{}, invalid(field, "is no time")
		}
		return broker.FromTime(at.Time.AsTime()), nil
	}
	return broker.Earliest, nil
}

// toDuration reads a duration within limits; absent is 0.
func toDuration(field string, d *durationpb.Duration, least, most time.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	v := d.AsDuration()
	if d.CheckValid() != nil || v < least || v > most {
		return 0, invalid(field, "must be "+least.String()+" to "+most.String())
	}
	return v, nil
}
