package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"casepress/broker"
	"casepress/commitlog"
)

const topic = "cases"

func newPress(dir string) (*broker.Broker, error) {
	b, err := broker.Open(filepath.Join(dir, "broker"), broker.Options{})
	if err != nil {
		return nil, err
	}
	return b, b.CreateTopic(context.Background(), topic)
}

func openPress(dir string) (func() error, func() error, error) {
	b, err := newPress(dir)
	if err != nil {
		return nil, nil, err
	}
	m := broker.Message{Payload: payload}
	return func() error {
		_, err := b.Publish(context.Background(), topic, m)
		return err
	}, b.Close, nil
}

// openLog is the commit log beneath a topic.
func openLog(dir string) (func() error, func() error, error) {
	l, err := commitlog.Open(dir, commitlog.Options{})
	if err != nil {
		return nil, nil, err
	}
	return func() error {
		_, err := l.Append(context.Background(), payload)
		return err
	}, l.Close, nil
}

// fillPress publishes n messages of so many bytes.
func fillPress(ctx context.Context, b *broker.Broker, n, bytes int) error {
	batch := make([]broker.Message, 1000)
	for i := range batch {
		batch[i].Payload = make([]byte, bytes)
	}
	for left := n; left > 0; left -= len(batch) {
		if _, err := b.Publish(ctx, topic, batch[:min(left, len(batch))]...); err != nil {
			return err
		}
	}
	return nil
}

// consumePress handles n messages with 64 members of a group, each taking up to max at a time, and counts the time
// until all acknowledgements are durable.
func consumePress(ctx context.Context, dir string, n, max int) (perSecond float64, err error) {
	b, err := newPress(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := fillPress(ctx, b, n, len(payload)); err != nil {
		return 0, err
	}
	begun := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	ctx, done := context.WithCancel(ctx)
	defer done()
	errs := make([]error, 64)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = member(ctx, b, max, &left, done)
		})
	}
	wg.Wait()
	if left.Load() != 0 {
		return 0, fmt.Errorf("%d messages were left: %w", left.Load(), errors.Join(errs...))
	}
	if err := b.Flush(context.Background()); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(begun).Seconds(), errors.Join(errs...)
}

func member(ctx context.Context, b *broker.Broker, max int, left *atomic.Int64, done func()) error {
	s, err := b.Subscribe(topic, "g", broker.SubscribeOptions{})
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		deliveries, err := s.Receive(ctx, max)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			if err := d.Ack(); err != nil {
				return err
			}
		}
		if left.Add(-int64(len(deliveries))) <= 0 {
			done()
			return nil
		}
	}
}

func pingPress(ctx context.Context, dir string) (func() (ping, error), func() error, error) {
	b, err := newPress(dir)
	if err != nil {
		return nil, nil, err
	}
	s, err := b.Subscribe(topic, "g", broker.SubscribeOptions{})
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	consume := func() (ping, error) {
		deliveries, err := s.Receive(ctx, 1)
		if err != nil {
			return ping{}, err
		}
		p := ping{handled: time.Now()}
		if err := deliveries[0].Ack(); err != nil {
			return ping{}, err
		}
		p.acked = time.Now()
		err = b.Flush(ctx)
		p.durable = time.Now()
		return p, err
	}
	m := broker.Message{Payload: payload}
	send := func() error {
		_, err := b.Publish(ctx, topic, m)
		return err
	}
	return pingPong(send, consume), func() error { return errors.Join(s.Close(), b.Close()) }, nil
}

// pingPong sends while a consumer already waits.
func pingPong(send func() error, consume func() (ping, error)) func() (ping, error) {
	type outcome struct {
		ping
		err error
	}
	consumed := make(chan outcome, 1)
	return func() (ping, error) {
		go func() {
			p, err := consume()
			consumed <- outcome{p, err}
		}()
		if err := send(); err != nil {
			return ping{}, err
		}
		sent := time.Now()
		o := <-consumed
		o.sent = sent
		return o.ping, o.err
	}
}
