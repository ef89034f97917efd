package disk_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/disk/disktest"
)

// slowFolders lets each fsync of a shard begin when the test says so.
type slowFolders struct {
	*disktest.FaultFS
	begin chan struct{}
}

func (s slowFolders) SyncDir(dir string) error {
	if dir != root {
		<-s.begin
	}
	return s.FaultFS.SyncDir(dir)
}

func openSlow(t *testing.T) (blob.Store, slowFolders) {
	fsys := slowFolders{disktest.NewFault(disktest.NewCrash(1)), make(chan struct{})}
	return open(t, root, fsys), fsys
}

// The second commit of a content finds the file there, but may not return before
// its entry is durable.
func TestSameContentWaitsForTheFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fsys := openSlow(t)
		content := []byte("twice")
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- put(s, content) }()
			synctest.Wait()
		}
		require.Equal(t, 1, fsys.Count(disktest.OpRename))
		require.Empty(t, errs)
		fsys.begin <- struct{}{}
		require.NoError(t, <-errs)
		require.NoError(t, <-errs)
	})
}

func TestCommitsShareFolderSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fsys := openSlow(t)
		all := sameShard(33)
		errs := make(chan error, len(all))
		go func() { errs <- put(s, all[0]) }()
		synctest.Wait() // its fsync is under way
		for _, content := range all[1:] {
			go func() { errs <- put(s, content) }()
		}
		synctest.Wait()
		before := fsys.Count(disktest.OpSyncDir)
		fsys.begin <- struct{}{}
		require.NoError(t, <-errs)
		synctest.Wait()
		require.Empty(t, errs, "an fsync that began before an entry does not cover it")
		fsys.begin <- struct{}{}
		for range all[1:] {
			require.NoError(t, <-errs)
		}
		require.Equal(t, before+2, fsys.Count(disktest.OpSyncDir))
	})
}

func TestContextEndsACommitsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fsys := openSlow(t)
		first := make(chan error, 1)
		go func() { first <- put(s, []byte("same")) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error, 1)
		go func() {
			_, _, err := s.Put(ctx, bytes.NewReader([]byte("same")))
			second <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-second, context.Canceled)
		close(fsys.begin)
		require.NoError(t, <-first)
		requireNoTemps(t, fsys, root)
	})
}
