package study

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"casepress/jsonfile"
)

// Extension is what follows the id of a study in the name of its file.
const Extension = ".json"

// Studies are the studies of one folder. They never change, and any number of goroutines may use
// them. A nil *Studies has no files.
type Studies struct {
	byID   map[string]Study
	folder bool // there is one
}

// Load reads all files of a folder whose names end in .json, following symbolic links. An empty dir
// stands for no folder at all. Broken files are returned as [jsonfile.Problems], which hold all
// problems of all files; a folder that cannot be read is another error.
func Load(dir string) (*Studies, error) {
	s := &Studies{byID: map[string]Study{}, folder: dir != ""}
	if dir == "" {
		return s, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load studies: %w", err)
	}
	var all jsonfile.Problems
	names := map[string]string{} // by name in lower case
	for _, entry := range entries {
		lower := strings.ToLower(entry.Name())
		if !strings.HasSuffix(lower, Extension) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if other, ok := names[lower]; ok {
			all = append(all, jsonfile.Problem{File: path, Message: fmt.Sprintf(
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

// HasFolder reports whether there is a folder. Without one no study has a file.
func (s *Studies) HasFolder() bool { return s != nil && s.folder }

// Lacks reports whether a study has no file, also where there is no folder; similar is the id of one that has and differs in
// case alone, or "". The study without a name, "", needs no file.
func (s *Studies) Lacks(id string) (lacks bool, similar string) {
	if id == "" {
		return false, ""
	}
	if s == nil {
		return true, ""
	}
	if _, ok := s.byID[id]; ok {
		return false, ""
	}
	for other := range s.byID {
		if strings.EqualFold(other, id) { // one at most: Load refuses two
			similar = other
		}
	}
	return true, similar
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
func CheckFile(path string) (*Study, []jsonfile.Problem) {
	content, err := jsonfile.Read(path, MaxBytes, format.Noun)
	if err != nil {
		return nil, []jsonfile.Problem{{File: path, Message: err.Error()}}
	}
	return Check(path, content)
}
