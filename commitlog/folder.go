package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

var errMissing = errors.New("file is missing")

// folder is what a log's folder holds; files of other names are not looked at.
type folder struct {
	segments []uint64 // base offsets, ascending
	orphans  []string // indexes of dropped segments
	temps    []string // files that a crash left half made
}

// list reads the folder and makes sure that no index speaks of a segment that should be there but is not.
func (l *Log) list() (folder, error) {
	var found folder
	var indexes []uint64
	entries, err := l.opts.FS.ReadDir(l.dir)
	if errors.Is(err, syscall.ENOTDIR) {
		return found, fmt.Errorf("%s or what it lies in is not a folder: move that away, and restore the folder from a copy if there was one: %w", l.dir, err)
	}
	if err != nil {
		return found, err
	}
	for _, e := range entries {
		if base, ok := parseName(e.Name(), segmentSuffix); ok {
			found.segments = append(found.segments, base)
		} else if base, ok := parseName(e.Name(), indexSuffix); ok {
			indexes = append(indexes, base)
		} else if isTemp(e.Name()) {
			found.temps = append(found.temps, filepath.Join(l.dir, e.Name()))
		}
	}
	for _, base := range indexes {
		if slices.Contains(found.segments, base) {
			continue
		}
		path := segmentPath(l.dir, base)
		if len(found.segments) == 0 || base > found.segments[0] {
			return found, &CorruptionError{File: path, Err: errMissing}
		}
		found.orphans = append(found.orphans, indexPath(path))
	}
	return found, nil
}

func isTemp(name string) bool {
	return name == tempSegment || strings.HasSuffix(name, indexSuffix+tempSuffix)
}

// removeAll removes files that need not be there; one that is gone already is no error.
func (l *Log) removeAll(paths []string) error {
	for _, path := range paths {
		if err := l.opts.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
