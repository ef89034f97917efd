package brokergrpc_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker/brokergrpc"
	pb "casepress/broker/brokerpb"
)

// TestTogether sends several deliveries in a response to those who asked for it, and to nobody else.
func TestTogether(t *testing.T) {
	for _, c := range []struct {
		together uint32
		want     []int // deliveries of each response
	}{
		{0, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{1, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{4, []int{4, 4, 2}},
		{1000, []int{10}},
	} {
		t.Run(fmt.Sprint(c.together), func(t *testing.T) {
			r := newRemote(t, brokergrpc.Options{})
			var all []string
			for i := range 10 {
				all = append(all, fmt.Sprint(i))
			}
			r.sendAll(t, all...)
			q := explicit()
			q.Together = c.together
			m := r.join(t, q)
			var sizes []int
			var got []string
			for len(got) < len(all) {
				d := m.next(t)
				ds := append([]*pb.SubscribeResponse{d}, d.More...)
				for _, one := range ds {
					got = append(got, string(one.Msg.Payload))
				}
				r.accept(t, ds...)
				sizes = append(sizes, len(ds))
			}
			require.Equal(t, all, got)
			require.Equal(t, c.want, sizes)
		})
	}
}

// TestTogetherKeepsResponsesSmall never adds to a response what makes it larger than about 1 MiB.
func TestTogetherKeepsResponsesSmall(t *testing.T) {
	r := newRemote(t, brokergrpc.Options{})
	for range 3 {
		r.send(t, &pb.Message{Payload: bytes.Repeat([]byte("x"), 600<<10)})
	}
	q := explicit()
	q.Together = 64
	m := r.join(t, q)
	for range 3 {
		d := m.next(t)
		require.Empty(t, d.More)
		r.accept(t, d)
	}
}
