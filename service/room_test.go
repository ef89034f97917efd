package service

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRoom(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, (&room{dir: dir, floor: 1}).check())
	require.NoError(t, (&room{dir: dir, floor: -1}).check())
	require.ErrorContains(t, (&room{dir: dir, floor: 1 << 62}).check(), "must stay free")
	require.Error(t, (&room{dir: filepath.Join(dir, "gone"), floor: 1}).check())
}

// A measurement holds for a second.
func TestRoomIsMeasuredOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &room{dir: t.TempDir(), floor: 1 << 62}
		require.Error(t, r.check())
		r.floor = 1
		time.Sleep(measureEach - 1)
		require.Error(t, r.check())
		time.Sleep(1)
		require.NoError(t, r.check())
	})
}
