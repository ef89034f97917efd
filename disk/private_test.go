//go:build unix

package disk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/disk"
)

// made makes a file with these rights, whatever the umask, and its folders.
func made(t *testing.T, name string, mode fs.FileMode) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	require.NoError(t, os.Chmod(name, mode))
	return name
}

// folder makes a folder with these rights, whatever the umask.
func folder(t *testing.T, name string, mode fs.FileMode) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(name, 0o700))
	require.NoError(t, os.Chmod(name, mode))
	return name
}

func rights(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(name)
	require.NoError(t, err)
	return info.Mode() & (fs.ModePerm | fs.ModeSticky | fs.ModeSetgid)
}

func TestPrivateTree(t *testing.T) {
	dir := t.TempDir()
	elsewhere := made(t, filepath.Join(t.TempDir(), "moved to another disk"), 0o664)
	top := filepath.Join(dir, "top")
	want := map[string]fs.FileMode{
		made(t, filepath.Join(top, "a"), 0o644):           0o600,
		made(t, filepath.Join(top, "open", "b"), 0o640):   0o600,
		made(t, filepath.Join(top, "open", "c"), 0o444):   0o400,
		made(t, filepath.Join(top, "open/x/d"), 0o666):    0o666, // too deep
		made(t, filepath.Join(top, "private/e"), 0o644):   0o644, // nobody gets there
		folder(t, filepath.Join(top, "open/x"), 0o755):    0o700,
		folder(t, filepath.Join(top, "open"), 0o2775):     0o700,
		folder(t, filepath.Join(top, "private"), 0o700):   0o700,
		folder(t, top, 0o700):                             0o700,
		filepath.Join(top, "link"):                        0o600,
		made(t, filepath.Join(dir, "beside"), 0o644):      0o644,
		folder(t, filepath.Join(dir, "beside it"), 0o755): 0o755,
	}
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(top, "link")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(top, "broken link")))
	var p disk.Private
	p.Tree(top, 2)
	p.Tree(filepath.Join(dir, "none"), 2)
	require.Zero(t, p.Open, p.Err)
	for name, mode := range want {
		require.Equal(t, mode, rights(t, name)&^fs.ModeSetgid, name)
	}
}

// A folder that another kind of use is plainly made of stays as it is, and that is told.
func TestPrivateFolder(t *testing.T) {
	dir := folder(t, filepath.Join(t.TempDir(), "data"), 0o755)
	made(t, filepath.Join(dir, "an operator's"), 0o644)
	link := dir + " link"
	require.NoError(t, os.Symlink(dir, link))
	var p disk.Private
	p.Folder(link)
	require.Zero(t, p.Open, p.Err)
	require.Equal(t, fs.FileMode(0o700), rights(t, dir))
	require.Equal(t, fs.FileMode(0o644), rights(t, filepath.Join(dir, "an operator's")), "only the folder is closed")

	shared := folder(t, filepath.Join(t.TempDir(), "tmp"), 0o777|fs.ModeSticky)
	p.Folder(shared)
	require.Equal(t, 1, p.Open)
	require.ErrorContains(t, p.Err, shared)
	require.Equal(t, 0o777|fs.ModeSticky, rights(t, shared))
}

// Others' files in a folder say that it is not for one service alone.
func TestPrivateFolderOfSeveralUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := folder(t, filepath.Join(t.TempDir(), "lib"), 0o755)
	theirs := folder(t, filepath.Join(dir, "lost+found"), 0o755)
	require.NoError(t, os.Chown(theirs, 65532, 65532))
	var p disk.Private
	p.Folder(dir)
	require.Zero(t, p.Open, "a file system of its own has that")
	require.Equal(t, fs.FileMode(0o700), rights(t, dir))

	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Rename(theirs, filepath.Join(dir, "postgresql")))
	p.Folder(dir)
	require.Equal(t, 1, p.Open)
	require.ErrorContains(t, p.Err, dir)
	require.Equal(t, fs.FileMode(0o755), rights(t, dir))

	require.NoError(t, os.Remove(filepath.Join(dir, "postgresql")))
	require.NoError(t, os.Chown(dir, 65532, 65532))
	p.Folder(dir)
	require.Equal(t, 2, p.Open)
	require.Equal(t, fs.FileMode(0o755), rights(t, dir))
}
