package broker_test

import (
	"context"
	"fmt"
	"os"

	"casepress/broker"
)

func Example() {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	b, err := broker.Open(dir, broker.Options{})
	if err != nil {
		panic(err)
	}
	defer b.Close()
	if err := b.CreateTopic(ctx, "visits"); err != nil {
		panic(err)
	}
	// On return it is on stable storage. Sent again with the same ID it is stored once.
	if _, err := b.Publish(ctx, "visits", broker.Message{ID: "visit-1", Payload: []byte("arrived")}); err != nil {
		panic(err)
	}
	s, err := b.Subscribe("visits", "billing", broker.SubscribeOptions{MaxDeliveries: 5})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	deliveries, err := s.Receive(ctx, 10)
	if err != nil {
		panic(err)
	}
	for _, d := range deliveries {
		fmt.Println(d.Offset, string(d.Payload), d.Count)
		if err := d.Ack(); err != nil {
			panic(err)
		}
	}
	// Output: 0 arrived 1
}
