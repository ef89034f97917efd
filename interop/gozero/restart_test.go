package gozero_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-queue/kq"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"

	"casepress/broker/brokerpb"
	"casepress/client"
	"casepress/interop/gozero/internal/testbroker"
	"casepress/interop/gozero/kqadapter"
)

// Neither the producer's nor the consumer's process notices more of a killed broker than errors for a while.
func TestKilledBroker(t *testing.T) {
	logx.Disable()
	t.Parallel()
	folder := t.TempDir()
	addr, kill := testbroker.RunAt(t, casepress(t), lastingAddr(t), folder)
	cli, err := zrpc.NewClient(patientConf(t, addr))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cli.Conn().Close()) })
	b := brokerpb.NewBrokerClient(cli.Conn())

	got := make(chan string, 1000)
	q := kqadapter.New(cli.Conn(), client.ConsumerOptions{Topic: "patient-updates", Group: "projection"},
		kq.WithHandle(func(_ context.Context, key, _ string) error {
			got <- key
			return nil
		}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		q.Start()
	}()
	defer func() {
		q.Stop()
		<-ended
	}()

	for round := range 3 {
		for n := range 20 {
			sendUntilTaken(t, b, fmt.Sprintf("%d-%d", round, n))
		}
		awaitKeys(t, got, round, 20)
		kill()
		_, err := b.Send(t.Context(), message("while it is away")) // not in the topic: nobody says it is
		require.Error(t, err)
		_, kill = testbroker.RunAt(t, casepress(t), addr, folder)
	}
	require.EqualValues(t, 60, end(t, b), "each message once, however often it was sent")
}

// lastingAddr returns an address that nobody takes before its process listens, or while that is away: its port is not one of those that the
// system hands out, to others or, when a client dials, to that very connection.
func lastingAddr(t *testing.T) string {
	t.Helper()
	for port := 20000 + rand.N(10000); ; port++ {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			require.NoError(t, l.Close())
			return addr
		}
	}
}

func message(key string) *brokerpb.SendRequest {
	return &brokerpb.SendRequest{Msg: &brokerpb.Message{Topic: "patient-updates", Id: key, Key: key}}
}

// sendUntilTaken sends a message again under its id, be the broker away or the breaker open.
func sendUntilTaken(t *testing.T, b brokerpb.BrokerClient, key string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := b.Send(t.Context(), message(key))
		return err == nil
	}, patience, 20*time.Millisecond, key)
}

// end returns how many messages the topic has had, as soon as the breaker lets the call through.
func end(t *testing.T, b brokerpb.BrokerClient) (n uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		topic, err := b.DescribeTopic(t.Context(), &brokerpb.DescribeTopicRequest{Topic: "patient-updates"})
		n = topic.GetEnd()
		return err == nil
	}, patience, 20*time.Millisecond)
	return n
}

// awaitKeys waits for n messages of a round. Those of the rounds before may come again.
func awaitKeys(t *testing.T, got <-chan string, round, n int) {
	t.Helper()
	want := map[string]bool{}
	for i := range n {
		want[fmt.Sprintf("%d-%d", round, i)] = true
	}
	timeout := time.After(patience)
	for len(want) > 0 {
		select {
		case key := <-got:
			delete(want, key)
		case <-timeout:
			t.Fatalf("round %d: %d messages did not come", round, len(want))
		}
	}
}
