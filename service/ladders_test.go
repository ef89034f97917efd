package service

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A mail that waits for a connection as long as another one may take has its own time left, whatever endpoints have.
func TestLaddersLeaveTimeToWaitForAConnection(t *testing.T) {
	for _, c := range [][3]time.Duration{{20, 20, 40}, {5, 20, 40}, {30, 10, 30}} {
		got := laddersTimeout(c[0], c[1])
		require.Equal(t, c[2], got)
		require.GreaterOrEqual(t, got, c[0], "an endpoint")
		require.GreaterOrEqual(t, got-c[1], c[1], "a mail that has waited")
	}
}
