package brokergrpc

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"casepress/broker"
	"casepress/broker/brokerpb"
)

// countedAnswer is an answer that counts as unread until gRPC has written it to the connection or dropped it.
type countedAnswer struct {
	proto.Message
	from  *reader
	bytes int

	number     uint64 // of an answer to a Subscribe, from 1
	deliveries int    // in it
}

// countingCodec is [brokerpb.Codec] that tells when a countedAnswer is no longer held in memory.
type countingCodec struct{ brokerpb.Codec }

// Marshal encodes a proto.Message or a countedAnswer.
func (c countingCodec) Marshal(v any) (mem.BufferSlice, error) {
	a, counted := v.(countedAnswer)
	if !counted {
		return c.Codec.Marshal(v)
	}
	encoded, err := c.Codec.Marshal(a.Message)
	if err != nil {
		a.from.release(a.bytes)
		return nil, err
	}
	if mem.IsBelowBufferPoolingThreshold(encoded.Len()) {
		// gRPC never tells when it is done with so small a buffer, so this goes into one that is larger than need be.
		b := small.Get().(*[]byte)
		*b = append((*b)[:0], encoded[0].ReadOnlyData()...)
		return mem.BufferSlice{mem.NewBuffer(b, &smallAnswer{a.from, a.bytes, a.number, a.deliveries})}, nil
	}
	return mem.BufferSlice{mem.NewBuffer(new(encoded[0].ReadOnlyData()), &largeAnswer{a.from, a.bytes, a.number, a.deliveries, encoded})}, nil
}

// smallBuffer is the most capacity of a buffer whose end gRPC does not tell.
const smallBuffer = 1 << 10

var small = sync.Pool{New: func() any { return new(make([]byte, 0, smallBuffer+1)) }}

// smallAnswer is the pool that gRPC returns the buffer of a small answer to. It does not keep the message.
type smallAnswer struct {
	from       *reader
	bytes      int
	number     uint64
	deliveries int
}

// Get is never called: an answer has its buffer.
func (a *smallAnswer) Get(n int) *[]byte { return new(make([]byte, n)) }

// Put is called once.
func (a *smallAnswer) Put(b *[]byte) {
	small.Put(b)
	a.from.releaseAnswer(a.bytes, a.number, a.deliveries)
}

// largeAnswer is the pool that gRPC returns the buffer of a larger answer to. It does not keep the message.
type largeAnswer struct {
	from       *reader
	bytes      int
	number     uint64
	deliveries int
	encoded    mem.BufferSlice
}

// Get is never called: an answer has its buffer.
func (a *largeAnswer) Get(n int) *[]byte { return new(make([]byte, n)) }

// Put is called once.
func (a *largeAnswer) Put(*[]byte) {
	a.encoded.Free()
	a.from.releaseAnswer(a.bytes, a.number, a.deliveries)
}

// send sends an answer with these deliveries, of so many bytes, which are counted as unread.
func (r *reader) send(stream subscribeStream, ds []broker.Delivery, bytes int) error {
	r.noteSent(ds)
	r.answers++
	number := r.answers
	var err error
	if r.written {
		err = stream.SendMsg(countedAnswer{fromDeliveries(ds), r, bytes, number, len(ds)})
	} else {
		err = stream.Send(fromDeliveries(ds))
		r.releaseAnswer(bytes, number, len(ds))
	}
	if err == nil {
		r.sent(number, len(ds))
	}
	return err
}

// unaryAnswer is what a call that is answered once has counted as unread for its answer.
type unaryAnswer struct {
	from  *reader
	bytes int
}

type unaryAnswerKey struct{}

// countUnary lets calls with large answers count them: see count.
func countUnary(ctx context.Context, r any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
	switch info.FullMethod {
	case brokerpb.Broker_Fetch_FullMethodName, brokerpb.Broker_ListDeadLetters_FullMethodName:
	default:
		return h(ctx, r)
	}
	var a unaryAnswer
	answer, err := h(context.WithValue(ctx, unaryAnswerKey{}, &a), r)
	if a.from == nil {
		return answer, err
	}
	m, ok := answer.(proto.Message)
	if err != nil || !ok {
		a.from.release(a.bytes)
		return answer, err
	}
	return countedAnswer{Message: m, from: a.from, bytes: a.bytes}, nil
}

// count says that an answer counts n bytes as unread on a connection until it is written. Where nobody tells when that
// is, they stop to count now.
func count(ctx context.Context, from *reader, n int) {
	a, ok := ctx.Value(unaryAnswerKey{}).(*unaryAnswer)
	if !ok || !from.written {
		from.release(n)
		return
	}
	a.from, a.bytes = from, n
}
