package brokergrpc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
)

func FuzzDecodeAckID(f *testing.F) {
	f.Add("")
	f.Add(encodeAckID(broker.Lease{Topic: "cases", Group: "g", Offset: 7, Lock: 1 << 63, Timeout: time.Minute}))
	f.Add(encodeAckID(broker.Lease{Timeout: 1<<63 - 1}))
	f.Add("AQVjYXNlcwFn")
	f.Fuzz(func(t *testing.T, id string) {
		l, err := decodeAckID(id)
		if err != nil {
			require.Equal(t, broker.Lease{}, l)
			return
		}
		require.GreaterOrEqual(t, l.Timeout, time.Duration(0))
		again, err := decodeAckID(encodeAckID(l))
		require.NoError(t, err)
		require.Equal(t, l, again)
	})
}
