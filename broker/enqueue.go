package broker

import (
	"context"

	"casepress/commitlog"
)

// pending is an append on its way to the disk.
type pending struct {
	First uint64
	last  uint64
	log   *commitlog.Log
}

// enqueue appends without waiting for the disk.
func enqueue(l *commitlog.Log, payloads ...[]byte) (pending, error) {
	first, err := l.AppendLazy(payloads...)
	return pending{First: first, last: first + uint64(len(payloads)) - 1, log: l}, err
}

// Wait returns when the append is on stable storage.
func (p pending) Wait(ctx context.Context) error { return p.log.Wait(ctx, p.last) }
