package embedded_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/dispatcher/dispatchertest"
	"casepress/dispatcher/embedded"
	"casepress/dispatcher/ledgertest"
	"casepress/tasks"
)

func TestLedger(t *testing.T) {
	ledgertest.Run(t, func(t testing.TB, lease time.Duration) ledgertest.System { return openSystem(t, t.TempDir(), lease) })
}

func openSystem(t testing.TB, dir string, lease time.Duration) ledgertest.System {
	s := dispatchertest.OpenStorage(t, dir, broker.Options{})
	l, err := embedded.Open(context.Background(), embedded.Config{Broker: s.Broker, Store: s.Store, Lease: lease})
	require.NoError(t, err)
	open := true
	shut := func() {
		if open {
			open = false
			require.NoError(t, l.Close(context.Background()))
			require.NoError(t, s.Shut(t))
		}
	}
	t.Cleanup(shut)
	return ledgertest.System{
		Ledger: l,
		Get:    s.Store.Get,
		Events: func(t testing.TB) []tasks.Event { return events(t, s.Broker) },
		Reopen: func() ledgertest.System {
			shut()
			return openSystem(t, dir, lease)
		},
	}
}

// events reads the topic of updates from its start.
func events(t testing.TB, b *broker.Broker) (all []tasks.Event) {
	t.Helper()
	end, err := b.End(tasks.TopicUpdates)
	require.NoError(t, err)
	for offset := range end {
		m, err := b.Read(tasks.TopicUpdates, offset)
		require.NoError(t, err)
		all = append(all, tasks.Event{ID: m.ID, Topic: m.Topic, Key: m.Key, Payload: m.Payload})
	}
	return all
}
