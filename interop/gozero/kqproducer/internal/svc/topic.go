// Package svc keeps what the handlers of the kqproducer service share: the topic; it never says that an event is there before it
// was read from there.
package svc

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/kafka-go"
	"github.com/zeromicro/go-queue/kq"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/queue"

	"casepress/interop/gozero/event"
	"casepress/interop/gozero/kqproducer/internal/config"
)

// Topic pushes events by kq.Pusher, which asks Kafka for no acknowledgement: that it returns without an error says nothing. So
// each event is read back by a group of this process's own, and pushed again until it has come. What can be read has been
// written by all replicas that are in sync.
type Topic struct {
	queue.MessageQueue // reads back
	pusher             *kq.Pusher
	again              time.Duration

	mu      sync.Mutex
	waiting map[string]chan struct{} // by key and id; closed when the event was read
	turns   map[string]*turn         // by key
}

// turn is whose turn it is to push events of one patient.
type turn struct {
	place chan struct{}
	users int
}

// NewTopic ends the process if the settings are no good. It does not wait for Kafka.
func NewTopic(c config.Kafka) *Topic {
	var back kq.KqConf
	logx.Must(conf.FillDefault(&back))
	back.Name, back.Brokers, back.Topic = "kqproducer", c.Brokers, c.Topic
	back.Group = "kqproducer-" + uuid.NewString() // of this process: each reads all
	back.Log.Stat = false
	back.Consumers, back.Processors, back.MinBytes = 1, 1, 1
	t := &Topic{
		// Partitions are chosen as Kafka's own producers and casepress choose them.
		pusher: kq.NewPusher(c.Brokers, c.Topic, kq.WithSyncPush(), kq.WithBalancer(kafka.Murmur2Balancer{})),
		again:  c.Again, waiting: map[string]chan struct{}{}, turns: map[string]*turn{},
	}
	t.MessageQueue = kq.MustNewQueue(back, kq.WithHandle(t.read))
	return t
}

// Publish returns nil when the event is in the topic. Events of one patient are there in the order of the calls. With an error it
// may be there all the same: call again, with the same id.
func (t *Topic) Publish(ctx context.Context, e event.Finished) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	release, err := t.await(ctx, e.Key())
	if err != nil {
		return err
	}
	defer release()
	seen := t.expect(e)
	defer t.forget(e)
	for {
		if err := t.pusher.PushWithKey(ctx, e.Key(), string(payload)); err != nil && ctx.Err() == nil {
			logx.Errorf("an event was not pushed and will be again: %v", err)
		}
		select {
		case <-seen:
			return nil
		case <-time.After(t.again):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// await waits for the turn of a call; release ends it.
func (t *Topic) await(ctx context.Context, key string) (release func(), err error) {
	t.mu.Lock()
	of := t.turns[key]
	if of == nil {
		of = &turn{place: make(chan struct{}, 1)}
		t.turns[key] = of
	}
	of.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if of.users--; of.users == 0 {
			delete(t.turns, key)
		}
	}
	select {
	case of.place <- struct{}{}:
		return func() { <-of.place; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

func (t *Topic) expect(e event.Finished) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := make(chan struct{})
	t.waiting[e.Key()+"\n"+e.ID] = seen
	return seen
}

func (t *Topic) forget(e event.Finished) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, e.Key()+"\n"+e.ID)
}

// read hears of an event in the topic. What is none is somebody else's.
func (t *Topic) read(_ context.Context, _, value string) error {
	e, err := event.DecodeFinished([]byte(value))
	if err != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if seen := t.waiting[e.Key()+"\n"+e.ID]; seen != nil {
		close(seen)
		delete(t.waiting, e.Key()+"\n"+e.ID)
	}
	return nil
}

// Stop ends what reads back, and then what pushes.
func (t *Topic) Stop() {
	t.MessageQueue.Stop()
	if err := t.pusher.Close(); err != nil {
		logx.Error(err)
	}
}
