//go:build !unix

package disk

import (
	"io/fs"
	"os"
)

// hasOwners says whether files have owners and rights of others.
const hasOwners = false

func isOurs(fs.FileInfo) bool { return true }

// folderOnly opens a folder.
const folderOnly = os.O_RDONLY
