package brokergrpc_test

import (
	"context"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"casepress/broker"
	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
	"casepress/disk"
	"casepress/disk/disktest"
)

// hungDisk lets writes to the groups of a topic "slow" wait from hang on until goOn is closed.
type hungDisk struct {
	disk.FS
	hang, reached, goOn chan struct{}
	once                sync.Once
}

func (d *hungDisk) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	return &hungFile{File: f, disk: d, slow: strings.Contains(name, "/slow/groups/")}, err
}

type hungFile struct {
	disk.File
	disk *hungDisk
	slow bool
}

func (f *hungFile) WriteAt(p []byte, off int64) (int, error) {
	if f.slow {
		select {
		case <-f.disk.hang:
			f.disk.once.Do(func() { close(f.disk.reached) })
			<-f.disk.goOn
		default:
		}
	}
	return f.File.WriteAt(p, off)
}

// TestOneSlowTopicStopsNoFetch of another: the group that it makes waits for the disk alone, and all who fetch from it
// become one member.
func TestOneSlowTopicStopsNoFetch(t *testing.T) {
	d := &hungDisk{FS: disktest.NewCrash(1), hang: make(chan struct{}), reached: make(chan struct{}), goOn: make(chan struct{})}
	b := openTopic(t, "/data", broker.Options{FS: d})
	require.NoError(t, b.CreateTopic(t.Context(), "slow"))
	s := brokergrpc.NewService(b, brokergrpc.Options{})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	fetch := func(topic string) error {
		_, err := s.Fetch(t.Context(), &pb.FetchRequest{Topic: topic, ConsumerGroup: "g", Wait: durationpb.New(0)})
		return err
	}
	close(d.hang)
	slow, quick := make(chan error, 2), make(chan error, 1)
	go func() { slow <- fetch("slow") }()
	<-d.reached
	go func() { slow <- fetch("slow") }()
	go func() { quick <- fetch("cases") }()
	var err error
	select {
	case err = <-quick:
	case <-time.After(patience):
		t.Error("the other topic waits, too")
	}
	close(d.goOn)
	require.NoError(t, err)
	require.NoError(t, <-slow)
	require.NoError(t, <-slow)
	info, err := b.Group("slow", "g")
	require.NoError(t, err)
	require.Equal(t, 1, info.Members)
}

// TestAFetchOnASlowDiskEndsWithItsCaller, and the group is made all the same, for the next one.
func TestAFetchOnASlowDiskEndsWithItsCaller(t *testing.T) {
	d := &hungDisk{FS: disktest.NewCrash(1), hang: make(chan struct{}), reached: make(chan struct{}), goOn: make(chan struct{})}
	b := openTopic(t, "/data", broker.Options{FS: d})
	require.NoError(t, b.CreateTopic(t.Context(), "slow"))
	s := brokergrpc.NewService(b, brokergrpc.Options{})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	close(d.hang)
	fetched := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := s.Fetch(ctx, &pb.FetchRequest{Topic: "slow", ConsumerGroup: "g", Wait: durationpb.New(0)})
		fetched <- err
	}()
	<-d.reached
	cancel()
	var err error
	select {
	case err = <-fetched:
	case <-time.After(patience):
		t.Error("it waits for the disk")
	}
	close(d.goOn)
	require.Equal(t, codes.Canceled, status.Code(err))
	_, err = b.Publish(t.Context(), "slow", broker.Message{Payload: []byte("a")})
	require.NoError(t, err)
	a, err := s.Fetch(t.Context(), &pb.FetchRequest{Topic: "slow", ConsumerGroup: "g"})
	require.NoError(t, err)
	require.Len(t, a.Deliveries, 1)
}

// TestAPanicWhileJoiningHangsNobody: those who fetch later try for themselves.
func TestAPanicWhileJoiningHangsNobody(t *testing.T) {
	var panics atomic.Bool
	s := brokergrpc.NewService(openTopic(t, "/data", broker.Options{FS: disktest.NewCrash(1)}), brokergrpc.Options{Room: func() error {
		if panics.Load() {
			panic("no such disk")
		}
		return nil
	}})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	fetch := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := s.Fetch(ctx, &pb.FetchRequest{Topic: "cases", ConsumerGroup: "g", Wait: durationpb.New(0)})
		return err
	}
	panics.Store(true)
	require.Equal(t, codes.Internal, status.Code(fetch()))
	panics.Store(false)
	require.NoError(t, fetch())
}

// TestWhoWaitsForAJoinGetsWhatHeAskedFor of the group, not only what the one who joins has asked for.
func TestWhoWaitsForAJoinGetsWhatHeAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &hungDisk{FS: disktest.NewCrash(1), hang: make(chan struct{}), reached: make(chan struct{}), goOn: make(chan struct{})}
		b := openTopic(t, "/data", broker.Options{FS: d})
		require.NoError(t, b.CreateTopic(t.Context(), "slow"))
		s := brokergrpc.NewService(b, brokergrpc.Options{})
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		close(d.hang)
		first, second := make(chan error, 1), make(chan error, 1)
		fetch := func(r *pb.FetchRequest) error {
			r.Topic, r.ConsumerGroup, r.Wait = "slow", "g", durationpb.New(0)
			_, err := s.Fetch(t.Context(), r)
			return err
		}
		go func() { first <- fetch(&pb.FetchRequest{}) }()
		<-d.reached
		go func() { second <- fetch(&pb.FetchRequest{Ordered: true}) }()
		synctest.Wait() // it waits for the first
		close(d.goOn)
		require.NoError(t, <-first)
		require.NoError(t, <-second)
		for range 2 {
			_, err := b.Publish(t.Context(), "slow", broker.Message{Key: "k"})
			require.NoError(t, err)
		}
		a, err := s.Fetch(t.Context(), &pb.FetchRequest{Topic: "slow", ConsumerGroup: "g", Max: 2})
		require.NoError(t, err)
		require.Len(t, a.Deliveries, 1, "the second of the key waits")
	})
}
