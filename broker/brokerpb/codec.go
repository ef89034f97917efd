package brokerpb

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Codec writes and reads the same bytes as grpc's own codec, with buffers in sizes close to each other. In grpc's
// pool whatever is larger than 32 KiB takes a buffer of 1 MiB, which is cleared each time: a sixth of what a
// stream of batches costs. The server and package client use it; others need not.
type Codec struct{}

var buffers = mem.NewTieredBufferPool(4<<10, 8<<10, 16<<10, 32<<10, 64<<10, 72<<10, 128<<10, 256<<10, 512<<10, 1<<20)

// Name is that of the content type.
func (Codec) Name() string { return "proto" }

// Marshal encodes a proto.Message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("encode: %T is no message", v)
	}
	size := proto.Size(m)
	options := proto.MarshalOptions{UseCachedSize: true}
	if mem.IsBelowBufferPoolingThreshold(size) {
		b, err := options.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(b)}, err
	}
	b := buffers.Get(size)
	if _, err := options.MarshalAppend((*b)[:0], m); err != nil {
		buffers.Put(b)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(b, buffers)}, nil
}

// Unmarshal decodes into a proto.Message, which shares no memory with data.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("decode: %T is no message", v)
	}
	b := data.MaterializeToBuffer(buffers)
	defer b.Free()
	bounded, err := bound(b.ReadOnlyData(), m)
	if err != nil {
		return err
	}
	return proto.Unmarshal(bounded, m)
}

// What a request may have many of. In memory each takes far more than the two bytes that an empty one takes on the wire.
const (
	MaxMessages    = 10_000 // of SendBatch and of each request of SendStream
	MaxSettlements = 10_000 // of Ack
	maxHeaders     = 64     // of a message that a broker takes
)

// bound cuts a request behind the first message or settlement that is too many, which suffices for the service to
// refuse it. More headers than the messages of any good request have are an error. What is no message at all is left to
// whoever decodes it.
func bound(b []byte, m proto.Message) ([]byte, error) {
	var field protowire.Number
	most := MaxMessages
	switch m.(type) {
	case *SendRequest, *SendBatchRequest, *SendStreamRequest:
		field = 1
	case *AckRequest:
		field, most = 2, MaxSettlements
	default:
		return b, nil
	}
	if len(b) <= 2*most {
		return b, nil
	}
	if field == 1 && len(b) > 2*maxHeaders*MaxMessages {
		headers := 0
		each(b, 1, func(msg []byte, _ int) bool {
			each(msg, 4, func([]byte, int) bool { headers++; return true })
			return headers <= maxHeaders*MaxMessages
		})
		if headers > maxHeaders*MaxMessages {
			return nil, fmt.Errorf("msgs: more than %d headers", maxHeaders*MaxMessages)
		}
	}
	if _, one := m.(*SendRequest); one {
		return b, nil // values that come again are merged: to cut them would change the message
	}
	n := 0
	each(b, field, func(_ []byte, end int) bool {
		if n++; n > most {
			b = b[:end]
		}
		return n <= most
	})
	return b, nil
}

// each calls do for each value of a field that has bytes, with where it ends in b, until do returns false.
func each(b []byte, field protowire.Number, do func(value []byte, end int) bool) {
	for at := 0; at < len(b); {
		number, kind, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return
		}
		at += n
		if n = protowire.ConsumeFieldValue(number, kind, b[at:]); n < 0 {
			return
		}
		if number == field && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b[at:])
			if !do(value, at+n) {
				return
			}
		}
		at += n
	}
}
