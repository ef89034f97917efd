package study

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const extension = ".json"

// Studies are the studies of one folder. They never change, and any number of goroutines may use
// them. A nil *Studies has no files.
type Studies struct {
	byID map[string]Study
}

// Load reads all files of a folder whose names end in .json, following symbolic links. An empty dir
// stands for no folder at all. Broken files are returned as [Problems], which hold all problems of all
// files; a folder that cannot be read is another error.
func Load(dir string) (*Studies, error) {
	s := &Studies{byID: map[string]Study{}}
	if dir == "" {
		return s, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load studies: %w", err)
	}
	var all Problems
	names := map[string]string{} // by name in lower case
	for _, entry := range entries {
		lower := strings.ToLower(entry.Name())
		if !strings.HasSuffix(lower, extension) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if other, ok := names[lower]; ok {
			all = append(all, Problem{File: path, Message: fmt.Sprintf(
				"the name differs from %s only in upper and lower case; people and some file systems take them for one: choose ids that differ in more", other)})
		}
		names[lower] = entry.Name()
		study, problems := CheckFile(path)
		if len(problems) > 0 {
			all = append(all, problems...)
			continue
		}
		s.byID[study.ID] = *study
	}
	if len(all) > 0 {
		return nil, all
	}
	return s, nil
}

// Get returns the study with an id. One without a file has defaults: any site, no title, no
// languages, version 0, no digest. The id is not checked: see [ValidID].
func (s *Studies) Get(id string) Study {
	if s != nil {
		if study, ok := s.byID[id]; ok {
			return study
		}
	}
	return Study{ID: id}
}

// All returns the studies that have a file, by id in ascending order.
func (s *Studies) All() []Study {
	if s == nil {
		return nil
	}
	all := make([]Study, 0, len(s.byID))
	for _, study := range s.byID {
		all = append(all, study)
	}
	slices.SortFunc(all, func(a, b Study) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// CheckFile reads one file and returns its study or, if it has any, its problems. It refuses what is
// larger than [MaxBytes] or not a regular file. While it works it allocates up to about 150 bytes for
// each byte of the file, whatever is in it.
func CheckFile(path string) (*Study, []Problem) {
	content, err := read(path)
	if err != nil {
		return nil, []Problem{{File: path, Message: err.Error()}}
	}
	return Check(path, content)
}

// read returns the content of a file, and one byte more than is allowed if it is too large.
func read(path string) (content []byte, err error) {
	// Opening a named pipe would wait for somebody to write to it.
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a file; a study is one JSON file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err = io.ReadAll(io.LimitReader(file, MaxBytes+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	return content, nil
}

// withoutPath returns what an error of package os says besides the path, which stands before it
// already.
func withoutPath(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return fmt.Errorf("cannot be read: %w", of.Err)
	}
	return err
}
