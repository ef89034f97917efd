package service

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"casepress/disk"
)

// The names of what lies in the data folder.
const (
	topicsFolder = "topics"
	blobsFolder  = "blobs"
	rowsFile     = "casepress.db"
	progressFile = "progress.db"
)

// How many levels of folders and files there are below them.
const (
	topicsLevels = 3 // <topic>/log/<segment>
	blobsLevels  = 2 // <first two digits>/<digest>
)

// MakePrivate closes a data folder, and what casepress has made in it, to everybody but the owner. New files and folders are
// made so; those of earlier versions were not all, and a copy or an mkdir makes them as the umask says. What else lies in the
// folder stays as it is. Log hears of what could not be closed. The error says that the folder cannot be read. It is called
// before anything in the folder is opened, and acts on the real disk alone.
func MakePrivate(dir string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("open data folder: %w", err)
	}
	var p disk.Private
	p.Tree(filepath.Join(dir, topicsFolder), topicsLevels)
	p.Tree(filepath.Join(dir, blobsFolder), blobsLevels)
	for _, e := range entries { // with -wal, -shm, and what was moved aside
		if strings.HasPrefix(e.Name(), rowsFile) || strings.HasPrefix(e.Name(), progressFile) {
			p.Tree(filepath.Join(dir, e.Name()), 0)
		}
	}
	p.Folder(dir)
	if p.Open > 0 {
		log.Warn("other users may have access to files in the data folder: give them to the user of the service, or close them with chmod go-rwx",
			"count", p.Open, "err", p.Err)
	}
	return nil
}
