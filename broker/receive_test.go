package broker_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
)

// TestReceiveWithBoundsBytes: keys and headers count, what does not fit is not delivered and not counted, and a message
// that is larger comes alone.
func TestReceiveWithBoundsBytes(t *testing.T) {
	for name, m := range map[string]broker.Message{
		"payload": {Payload: make([]byte, 1000)},
		"headers": {Key: strings.Repeat("k", 500), Headers: []broker.Header{{Name: "n", Value: strings.Repeat("v", 499)}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := openTopic(t, t.TempDir(), broker.Options{})
			for range 10 {
				_, err := b.Publish(t.Context(), "cases", m)
				require.NoError(t, err)
			}
			s := subscribe(t, b, "g", broker.SubscribeOptions{})
			for round := 1; round <= 2; round++ { // of new messages, and of redeliveries
				offset := uint64(0)
				var held []broker.Delivery
				for _, c := range []struct{ maxBytes, want int }{{3000, 3}, {3999, 3}, {1, 1}, {0, 3}} {
					ds, err := s.ReceiveWith(t.Context(), broker.ReceiveOptions{Max: 100, MaxBytes: c.maxBytes})
					require.NoError(t, err)
					require.Len(t, ds, c.want)
					for _, d := range ds {
						require.Equal(t, offset, d.Offset)
						require.Equal(t, round, d.Count)
						require.Equal(t, 1000, d.Size())
						offset++
					}
					held = append(held, ds...)
				}
				for _, d := range held {
					require.NoError(t, d.Release(0))
				}
			}
			_, err := s.ReceiveWith(t.Context(), broker.ReceiveOptions{Max: 1, MaxBytes: -1})
			require.ErrorIs(t, err, broker.ErrInvalid)
		})
	}
}
