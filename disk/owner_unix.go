//go:build unix

package disk

import (
	"io/fs"
	"os"
	"syscall"
)

// hasOwners says whether files have owners and rights of others.
const hasOwners = true

// isOurs says whether the user of this process owns a file.
func isOurs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// folderOnly opens a folder, and does not wait for a named pipe.
const folderOnly = os.O_RDONLY | syscall.O_DIRECTORY
