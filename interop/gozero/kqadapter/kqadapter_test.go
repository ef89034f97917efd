package kqadapter_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-queue/kq"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/queue"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"

	"casepress/broker/brokerpb"
	"casepress/client"
	"casepress/interop/gozero/internal/testbroker"
	"casepress/interop/gozero/kqadapter"
)

func TestMain(m *testing.M) {
	logx.Disable()
	m.Run()
}

// A seen is what a handler was given.
type seen struct{ key, value string }

func dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	var c zrpc.RpcClientConf
	require.NoError(t, conf.FillDefault(&c))
	c.Target = testbroker.Within(t)
	cli, err := zrpc.NewClient(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cli.Conn().Close()) })
	return cli.Conn()
}

func send(t *testing.T, conn *grpc.ClientConn, key, value string) {
	t.Helper()
	_, err := client.NewProducer(conn).Send(t.Context(), client.Message{Topic: "patient-updates", Key: key, Payload: []byte(value)})
	require.NoError(t, err)
}

func start(t *testing.T, q queue.MessageQueue) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		q.Start()
	}()
	t.Cleanup(func() {
		q.Stop()
		<-ended
	})
}

func options() client.ConsumerOptions {
	return client.ConsumerOptions{Topic: "patient-updates", Group: "projection", FirstBackoff: 10 * time.Millisecond, MaxBackoff: 20 * time.Millisecond}
}

func lag(t *testing.T, conn *grpc.ClientConn) uint64 {
	t.Helper()
	g, err := brokerpb.NewBrokerClient(conn).DescribeGroup(t.Context(), &brokerpb.DescribeGroupRequest{Topic: "patient-updates", ConsumerGroup: "projection"})
	require.NoError(t, err)
	return g.GetLag()
}

func TestNilAcknowledges(t *testing.T) {
	conn := dial(t)
	send(t, conn, "p-1", "a\x00\xff")
	got := make(chan seen, 10)
	start(t, kqadapter.New(conn, options(), kq.WithHandle(func(_ context.Context, key, value string) error {
		got <- seen{key, value}
		return nil
	})))
	require.Equal(t, seen{"p-1", "a\x00\xff"}, <-got)
	require.Eventually(t, func() bool { return lag(t, conn) == 0 }, time.Minute, 10*time.Millisecond)
	send(t, conn, "p-2", "b")
	require.Equal(t, seen{"p-2", "b"}, <-got)
	require.Empty(t, got)
}

// kq commits a message whose handler failed, as its ForceCommit says by default: it would be lost here.
func TestErrorBringsTheMessageAgain(t *testing.T) {
	conn := dial(t)
	send(t, conn, "p-1", "a")
	send(t, conn, "p-2", "b")
	failures := 3
	got := make(chan seen, 10)
	start(t, kqadapter.New(conn, options(), kq.WithHandle(func(_ context.Context, key, value string) error { // one at a time
		got <- seen{key, value}
		if key == "p-1" && failures > 0 {
			failures--
			return errors.New("the database is away")
		}
		return nil
	})))
	counts := map[seen]int{}
	for range 5 {
		counts[<-got]++
	}
	require.Equal(t, map[seen]int{{"p-1", "a"}: 4, {"p-2", "b"}: 1}, counts)
	require.Eventually(t, func() bool { return lag(t, conn) == 0 }, time.Minute, 10*time.Millisecond)
	require.Empty(t, got)
}

func TestPanicBringsTheMessageAgain(t *testing.T) {
	conn := dial(t)
	send(t, conn, "p-1", "a")
	got := make(chan seen, 10)
	calls := 0
	start(t, kqadapter.New(conn, options(), kq.WithHandle(func(_ context.Context, key, value string) error {
		if calls++; calls == 1 {
			panic("a bug")
		}
		got <- seen{key, value}
		return nil
	})))
	require.Equal(t, seen{"p-1", "a"}, <-got)
}

func TestFailingForEverEndsAsDeadLetter(t *testing.T) {
	var log logBuffer
	logx.SetLevel(logx.InfoLevel)
	logx.SetWriter(logx.NewWriter(&log))
	t.Cleanup(logx.Disable)
	conn := dial(t)
	send(t, conn, "p-1", "a")
	o := options()
	o.MaxDeliveries = 3
	calls := make(chan struct{}, 10)
	start(t, kqadapter.New(conn, o, kq.WithHandle(func(context.Context, string, string) error {
		calls <- struct{}{}
		return errors.New("never")
	})))
	var dead *brokerpb.ListDeadLettersResponse
	require.Eventually(t, func() (there bool) {
		var err error
		dead, err = brokerpb.NewBrokerClient(conn).ListDeadLetters(t.Context(), &brokerpb.ListDeadLettersRequest{Topic: "patient-updates"})
		return err == nil && len(dead.GetLetters()) == 1
	}, time.Minute, 10*time.Millisecond)
	require.Len(t, calls, 3)
	letter := dead.GetLetters()[0]
	require.Equal(t, "a", string(letter.GetPayload()))
	reason := ""
	for _, h := range letter.GetHeaders() {
		if h.GetName() == "dead-reason" {
			reason = h.GetValue()
		}
	}
	require.Contains(t, reason, "never", "the handler's error")
	require.Equal(t, 3, strings.Count(log.String(), "handler of topic patient-updates failed, offset 0"))
	require.NotContains(t, log.String(), "p-1", "keys are not logged")
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(line)
}

func TestStop(t *testing.T) {
	t.Run("waits for the handler and settles", func(t *testing.T) {
		conn := dial(t)
		send(t, conn, "p-1", "a")
		working, finish := make(chan struct{}), make(chan struct{})
		q := kqadapter.New(conn, options(), kq.WithHandle(func(context.Context, string, string) error {
			close(working)
			<-finish
			return nil
		}))
		go q.Start()
		<-working
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			q.Stop()
		}()
		select {
		case <-stopped:
			t.Fatal("stopped with a handler at work")
		case <-time.After(50 * time.Millisecond): // nothing can be waited for that does not happen
		}
		close(finish)
		<-stopped
		require.Zero(t, lag(t, conn))
	})
	t.Run("without start", func(t *testing.T) {
		q := kqadapter.New(dial(t), options(), kq.WithHandle(func(context.Context, string, string) error { return nil }))
		q.Stop()
		q.Start() // and it does not go on for ever
	})
}
