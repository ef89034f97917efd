package disk_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/disk"
)

// The folders of a thousand topics, at a start that finds nothing to close.
func BenchmarkPrivateTopics(b *testing.B) {
	topics := filepath.Join(b.TempDir(), "topics")
	for i := range 1000 {
		for _, log := range []string{"log", "groups"} {
			dir := filepath.Join(topics, fmt.Sprint("topic-", i), log)
			require.NoError(b, os.MkdirAll(dir, 0o700))
			require.NoError(b, os.WriteFile(filepath.Join(dir, "00000000000000000000.log"), nil, 0o600))
		}
	}
	for b.Loop() {
		var p disk.Private
		p.Tree(topics, 3)
		require.Zero(b, p.Open)
	}
}
