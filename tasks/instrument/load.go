package instrument

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"casepress/jsonfile"
)

const extension = ".json"

//go:embed definitions/*.json
var embedded embed.FS

// Shipped returns the definitions that casepress brings along. Which they are, docs/instruments.md
// says.
func Shipped() *Definitions { return shipped() }

var shipped = sync.OnceValue(func() *Definitions {
	ds := &Definitions{byID: map[string][]*Definition{}}
	entries, err := embedded.ReadDir("definitions")
	if err != nil {
		panic(err) // it is within the program
	}
	for _, entry := range entries {
		content, err := embedded.ReadFile("definitions/" + entry.Name())
		if err != nil {
			panic(err)
		}
		d, problems := Check(entry.Name(), content)
		if problems == nil {
			problems = ds.add(entry.Name(), d)
		}
		if problems != nil {
			panic(jsonfile.Problems(problems)) // a test reads them all
		}
	}
	return ds
})

// Load returns the shipped definitions and those of a folder: of all its files whose names end in
// .json, following symbolic links. An empty dir stands for no folder. Broken files, and a version of
// an instrument that is there twice with different bytes, are returned as [jsonfile.Problems], which
// hold all problems of all files; a folder that cannot be read is another error.
func Load(dir string) (*Definitions, error) {
	if dir == "" {
		return Shipped(), nil
	}
	ds := Shipped().clone()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load instruments: %w", err)
	}
	var all jsonfile.Problems
	for _, entry := range entries {
		if !strings.HasSuffix(strings.ToLower(entry.Name()), extension) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		d, problems := CheckFile(path)
		if len(problems) == 0 {
			problems = ds.add(path, d)
		}
		all = append(all, problems...)
	}
	if len(all) > 0 {
		return nil, all
	}
	return ds, nil
}

// With returns the definitions and one more, whose content stands in the file of that name. The problems are those of [Check],
// or say that the version is there already with other bytes.
func (ds *Definitions) With(name string, content []byte) (*Definitions, []jsonfile.Problem) {
	d, problems := Check(name, content)
	if len(problems) > 0 {
		return nil, problems
	}
	more := ds.clone()
	if problems := more.add(name, d); len(problems) > 0 {
		return nil, problems
	}
	return more, nil
}

func (ds *Definitions) clone() *Definitions {
	all := &Definitions{byID: map[string][]*Definition{}}
	for id, versions := range ds.byID {
		all.byID[id] = slices.Clone(versions)
	}
	return all
}

// CheckFile reads one file and returns its definition or, if it has any, its problems. It refuses what
// is larger than [MaxBytes] or not a regular file.
func CheckFile(path string) (*Definition, []jsonfile.Problem) {
	content, err := jsonfile.Read(path, MaxBytes, format.Noun)
	if err != nil {
		return nil, []jsonfile.Problem{{File: path, Message: err.Error()}}
	}
	return Check(path, content)
}

// add puts a definition among the others, or says why it cannot be.
func (ds *Definitions) add(path string, d *Definition) []jsonfile.Problem {
	for id := range ds.byID {
		// FHIR's ids have no "_", so that phq_9 is phq-9 there.
		if id != d.ID && strings.EqualFold(hyphened(id), hyphened(d.ID)) {
			return []jsonfile.Problem{{File: path, Message: fmt.Sprintf(
				"the id %s differs from %s only in upper and lower case or in _ and -; people take them for one: choose ids that differ in more", d.ID, id)}}
		}
	}
	versions := ds.byID[d.ID]
	at, twice := slices.BinarySearchFunc(versions, d, func(a, b *Definition) int { return compareVersions(a.Version, b.Version) })
	if twice {
		if bytes.Equal(versions[at].Content, d.Content) {
			return nil
		}
		return []jsonfile.Problem{{File: path, Message: fmt.Sprintf(
			"there is another %s version %s already, with sha256 %s; raise the version", d.ID, d.Version, versions[at].SHA256)}}
	}
	ds.byID[d.ID] = slices.Insert(versions, at, d)
	return nil
}

func hyphened(id string) string { return strings.ReplaceAll(id, "_", "-") }
