package service

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFreeDisk(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, (&freeDisk{dir: dir, floor: 1}).check())
	require.NoError(t, (&freeDisk{dir: dir, floor: -1}).check())
	require.ErrorContains(t, (&freeDisk{dir: dir, floor: 1 << 62}).check(), "must stay free")
	require.Error(t, (&freeDisk{dir: filepath.Join(dir, "gone"), floor: 1}).check())
}

// A measurement holds for a second.
func TestFreeDiskIsMeasuredOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &freeDisk{dir: t.TempDir(), floor: 1 << 62}
		require.Error(t, d.check())
		d.floor = 1
		time.Sleep(measureEach - 1)
		require.Error(t, d.check())
		time.Sleep(time.Nanosecond)
		require.NoError(t, d.check())
	})
}
