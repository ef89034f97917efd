package brokergrpc_test

import (
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
