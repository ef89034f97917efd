package broker_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
)

// segments returns the segment files of a log, oldest first.
func segments(t *testing.T, log string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(log, "*.log"))
	require.NoError(t, err)
	slices.Sort(files)
	return files
}

// TestMixUpsOfATopicsLogs: the parts of a topic are from different times, or one is gone. The broker refuses with the
// log's folder and the cure, and the cure works; or it opens and delivers everything that was not acknowledged.
func TestMixUpsOfATopicsLogs(t *testing.T) {
	const n = 40
	copyTo := func(t *testing.T, from, to string) {
		require.NoError(t, os.RemoveAll(to))
		require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	}
	for name, c := range map[string]struct {
		mixUp func(t *testing.T, topic, older string)
		err   error
		least int // messages that are delivered to the group afterwards
	}{
		"nothing":            {func(*testing.T, string, string) {}, nil, n / 2},
		"groups log older":   {func(t *testing.T, topic, older string) { copyTo(t, older+"/groups", topic+"/groups") }, nil, n},
		"groups log gone":    {func(t *testing.T, topic, _ string) { require.NoError(t, os.RemoveAll(topic+"/groups")) }, nil, n},
		"messages log older": {func(t *testing.T, topic, older string) { copyTo(t, older+"/log", topic+"/log") }, broker.ErrGroupAhead, 10},
		"messages log gone":  {func(t *testing.T, topic, _ string) { require.NoError(t, os.RemoveAll(topic+"/log")) }, broker.ErrGroupAhead, 0},
		"oldest segments gone": {func(t *testing.T, topic, _ string) {
			files := segments(t, topic+"/log")
			require.Greater(t, len(files), 2)
			for _, f := range files[:len(files)-1] {
				require.NoError(t, os.Remove(f))
				require.NoError(t, os.Remove(f[:len(f)-len("log")]+"idx"))
			}
		}, broker.ErrGroupBehind, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir, older := t.TempDir(), t.TempDir()
			o := broker.Options{SegmentBytes: 8192}
			b := openTopic(t, dir, o)
			payload := make([]byte, 1000)
			for range 10 {
				_, err := b.Publish(t.Context(), "cases", broker.Message{Payload: payload})
				require.NoError(t, err)
			}
			s := subscribe(t, b, "g", broker.SubscribeOptions{})
			require.NoError(t, s.Close())
			require.NoError(t, b.Close())
			topic := filepath.Join(dir, "cases")
			copyTo(t, topic, older)

			b = open(t, dir, o)
			for range n - 10 {
				_, err := b.Publish(t.Context(), "cases", broker.Message{Payload: payload})
				require.NoError(t, err)
			}
			for _, d := range receive(t, subscribe(t, b, "g", broker.SubscribeOptions{}), n/2) {
				require.NoError(t, d.Ack())
			}
			require.NoError(t, b.Close())
			c.mixUp(t, topic, older)

			b, err := broker.Open(dir, o)
			require.ErrorIs(t, err, c.err)
			if c.err != nil {
				require.ErrorContains(t, err, filepath.Join(topic, "log"))
				require.ErrorContains(t, err, "move the folder groups away")
				require.NoError(t, os.Rename(topic+"/groups", filepath.Join(t.TempDir(), "groups")))
				b, err = broker.Open(dir, o)
				require.NoError(t, err)
			}
			t.Cleanup(func() { require.NoError(t, b.Close()) })
			s = subscribe(t, b, "g", broker.SubscribeOptions{})
			receive(t, s, c.least)
		})
	}
}
