//go:build !linux && !darwin

package disk

import (
	"io/fs"
	"os"
)

// Direct is a flag of OpenFile: reads and writes go past the page cache if the file system can do that, and through it
// as usual if it cannot. On this system it does nothing. The caller keeps to whole blocks: see [BlockBytes] and [Aligned].
const Direct = 0

func openFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}
