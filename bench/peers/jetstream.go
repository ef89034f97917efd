package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// transport is how a client reaches the embedded server.
type transport bool

const (
	inProcess transport = false
	tcp       transport = true
)

// jet is an embedded NATS server with one file stream and one connection.
type jet struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
}

func newJet(dir string, syncAlways bool, via transport) (*jet, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, DontListen: via == inProcess,
		JetStream: true, StoreDir: dir, SyncAlways: syncAlways, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	j := &jet{server: s}
	if err := j.connect(via); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

func (j *jet) connect(via transport) (err error) {
	if !j.server.ReadyForConnections(10 * time.Second) {
		return errors.New("the NATS server does not get ready")
	}
	if via == inProcess {
		j.conn, err = nats.Connect("", nats.InProcessServer(j.server))
	} else {
		j.conn, err = nats.Connect(j.server.ClientURL())
	}
	if err != nil {
		return err
	}
	if j.js, err = jetstream.New(j.conn, jetstream.WithPublishAsyncMaxPending(1<<14)); err != nil {
		return err
	}
	j.stream, err = j.js.CreateStream(context.Background(), jetstream.StreamConfig{
		Name: topic, Subjects: []string{topic}, Storage: jetstream.FileStorage,
	})
	return err
}

func (j *jet) close() error {
	if j.conn != nil {
		j.conn.Close()
	}
	j.server.Shutdown()
	j.server.WaitForShutdown()
	return nil
}

func openJetStream(syncAlways bool, via transport) opener {
	return func(dir string) (func() error, func() error, error) {
		j, err := newJet(dir, syncAlways, via)
		if err != nil {
			return nil, nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		return func() error {
				_, err := j.js.Publish(ctx, topic, payload)
				return err
			}, func() error {
				cancel()
				return j.close()
			}, nil
	}
}

// publishAsync returns what waits for the answer.
func (j *jet) publishAsync() (func() error, error) {
	future, err := j.js.PublishAsync(topic, payload)
	if err != nil {
		return nil, err
	}
	return func() error {
		select {
		case <-future.Ok():
			return nil
		case err := <-future.Err():
			return err
		}
	}, nil
}

func streamJetStream(dir string, inFlight int, syncAlways bool) (work, error) {
	j, err := newJet(dir, syncAlways, tcp)
	if err != nil {
		return work{}, err
	}
	return stream(inFlight, j.publishAsync, j.close), nil
}

func (j *jet) fill(n int) error {
	for range n {
		if _, err := j.publishAsync(); err != nil {
			return err
		}
		for j.js.PublishAsyncPending() > 1<<12 { // beyond its limit it waits 200 ms and gives up
			time.Sleep(100 * time.Microsecond)
		}
	}
	<-j.js.PublishAsyncComplete()
	return nil
}

// consumeJetStream handles n messages with 64 pulling members of one durable consumer. The server does not sync
// always here, as only the acknowledgements are measured. It counts the time until the server has counted them all.
func consumeJetStream(ctx context.Context, dir string, n int, via transport, double bool) (perSecond float64, err error) {
	j, err := newJet(dir, false, via)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.fill(n); err != nil {
		return 0, err
	}
	consumer, err := j.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "g", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
	})
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	finished := make(chan struct{})
	errs := make([]error, 64)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = pull(ctx, consumer, &left, finished, double) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || left.Load() > 0 {
		return 0, fmt.Errorf("%d messages were left: %w", left.Load(), err)
	}
	for {
		info, err := consumer.Info(ctx)
		if err != nil {
			return 0, err
		}
		if info.NumAckPending == 0 && info.NumPending == 0 {
			return float64(n) / time.Since(begun).Seconds(), nil
		}
	}
}

// pull handles messages until some member has handled the last one and closed finished.
func pull(ctx context.Context, c jetstream.Consumer, left *atomic.Int64, finished chan struct{}, double bool) error {
	messages, err := c.Messages(jetstream.PullMaxMessages(64))
	if err != nil {
		return err
	}
	go func() {
		<-finished
		messages.Stop()
	}()
	for {
		m, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if double {
			err = m.DoubleAck(ctx)
		} else {
			err = m.Ack()
		}
		if err != nil {
			return err
		}
		if left.Add(-1) == 0 {
			close(finished)
		}
	}
}

// pingJetStream acknowledges with double acks; when one is answered it is as durable as the server makes it.
func pingJetStream(syncAlways bool, via transport) pinger {
	return func(ctx context.Context, dir string) (func() (ping, error), func() error, error) {
		j, err := newJet(dir, syncAlways, via)
		if err != nil {
			return nil, nil, err
		}
		consumer, err := j.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "g", AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			return nil, nil, errors.Join(err, j.close())
		}
		messages, err := consumer.Messages()
		if err != nil {
			return nil, nil, errors.Join(err, j.close())
		}
		consume := func() (ping, error) {
			m, err := messages.Next()
			if err != nil {
				return ping{}, err
			}
			p := ping{handled: time.Now()}
			err = m.DoubleAck(ctx)
			p.acked = time.Now()
			if syncAlways {
				p.durable = p.acked
			}
			return p, err
		}
		send := func() error {
			_, err := j.js.Publish(ctx, topic, payload)
			return err
		}
		return pingPong(send, consume), func() error {
			messages.Stop()
			return j.close()
		}, nil
	}
}
