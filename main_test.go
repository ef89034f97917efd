package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMemoryLimitFollowsImages: a picture that takes its turn beside --image-memory has room, and only while it is in work.
func TestMemoryLimitFollowsImages(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	now := func() int64 { return debug.SetMemoryLimit(-1) }
	adjust := (&Serve{ImageMemory: 128 << 20}).limitMemory()
	require.EqualValues(t, (128+72)<<20, now())
	adjust(100 << 20)
	require.EqualValues(t, (128+72)<<20, now())
	adjust((100 + 320) << 20)
	require.EqualValues(t, (100+320+72)<<20, now())
	adjust(0)
	require.EqualValues(t, (128+72)<<20, now())

	t.Setenv("GOMEMLIMIT", "300MiB")
	require.Nil(t, (&Serve{ImageMemory: 128 << 20}).limitMemory(), "the operator's holds")
}
