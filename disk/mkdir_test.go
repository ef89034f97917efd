package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every folder that is made is there when its parent is synced, and nothing is made below a folder
// whose own entry is not durable yet. Killed at any of the syncs and called again, nothing is left out.
func TestMkdirAllSyncsEveryParent(t *testing.T) {
	errKilled := errors.New("killed")
	for _, relative := range []bool{false, true} {
		for killAt := range 5 {
			base := t.TempDir()
			if relative {
				t.Chdir(base)
				base = "."
			}
			dirs := []string{filepath.Join(base, "a"), filepath.Join(base, "a", "b"), filepath.Join(base, "a", "b", "data")}
			durable := map[string]bool{}
			syncs := 0
			syncDir := func(parent string) error {
				if syncs++; syncs == killAt {
					return errKilled
				}
				for _, d := range dirs {
					info, err := os.Stat(d)
					if filepath.Dir(d) != parent || err != nil {
						continue
					}
					require.True(t, info.IsDir())
					require.True(t, parent == base || durable[parent], "%s was made in a folder that is not durable", d)
					durable[d] = true
				}
				return nil
			}
			err := mkdirAll(dirs[2], 0o700, syncDir)
			if killAt > 0 && killAt <= 4 {
				require.ErrorIs(t, err, errKilled)
				err = mkdirAll(dirs[2], 0o700, syncDir)
			}
			require.NoError(t, err)
			for _, d := range dirs {
				require.True(t, durable[d], "%s, killed at sync %d", d, killAt)
			}
		}
	}
}

// A folder that somebody else makes at the same time is no error, and its entry is synced all the same.
func TestMkdirAllBesideAnother(t *testing.T) {
	base := t.TempDir()
	synced := 0
	err := mkdirAll(filepath.Join(base, "a", "data"), 0o700, func(parent string) error {
		synced++
		return os.MkdirAll(filepath.Join(base, "a", "data"), 0o700)
	})
	require.NoError(t, err)
	require.Equal(t, 3, synced, "base's parent, base, base/a")
}
