//go:build unix

package main

import (
	"context"
	"io"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// A start closes the data folder to others before it opens anything.
func TestStartClosesTheDataFolder(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "1GiB")
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, run(ended, []string{"--data-dir", dir}, io.Discard, io.Discard), context.Canceled)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
}
