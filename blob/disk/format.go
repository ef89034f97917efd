package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"casepress/blob"
)

// format is how the content of a blob lies on disk: the end of its file's name. A
// blob may lie in several formats; its content is the same in all of them.
type format string

const (
	permanent format = ""          // as it is, derived or an original; never deleted
	droppable format = ".original" // as it is; an original that may be dropped
	encrypted format = ".age"      // encrypted; an original that may be dropped
)

var (
	formats          = []format{permanent, droppable, encrypted}
	droppableFormats = []format{droppable, encrypted}
)

// originalFormat is the format in which originals are stored.
func originalFormat(o Options) (format, error) {
	switch {
	case o.Originals == "" || o.Originals == blob.Keep:
		return permanent, nil
	case o.Originals == blob.Vault && o.Keys == nil:
		return "", blob.ErrKey
	case o.Originals == blob.Vault, o.Originals == blob.Drop && o.Keys != nil:
		return encrypted, nil
	case o.Originals == blob.Drop:
		return droppable, nil
	}
	return "", fmt.Errorf("originals: %q is none of keep, vault, drop", o.Originals)
}

// keyOf is the key of a file in this format, "" if the file is another.
func (f format) keyOf(fileName string) blob.Key {
	digits, ok := strings.CutSuffix(fileName, string(f))
	if k := blob.Key(digits); ok && k.Valid() {
		return k
	}
	return ""
}

// blobFile is the file that a commit makes, or finds.
type blobFile struct {
	path string
	// complete reports whether a file at path holds the content. The order of commit leaves no other,
	// but a copied or repaired folder may hold one; it is replaced.
	complete func(fs.FileInfo) (bool, error)
}

func (s *Store) blobFile(k blob.Key, f format, size int64) blobFile {
	path := s.shard(k).path(k, f)
	if f != encrypted {
		return blobFile{path, func(i fs.FileInfo) (bool, error) { return i.Size() == size, nil }}
	}
	return blobFile{path, func(i fs.FileInfo) (bool, error) { return s.encryptedHolds(path, i.Size(), size) }}
}

// encryptedHolds reports whether the encrypted file opens with one of the keys and has
// content of size bytes.
func (s *Store) encryptedHolds(path string, fileSize, size int64) (bool, error) {
	f, err := s.fs.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	_, n, err := s.keys.Open(f, fileSize)
	return err == nil && n == size, f.Close()
}

// openFormat opens the file of a blob in one format. The error is fs.ErrNotExist if
// there is none.
func (s *Store) openFormat(k blob.Key, f format) (*file, error) {
	opened, err := s.fs.OpenFile(s.shard(k).path(k, f), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	b, err := s.readContent(opened, f)
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return b, nil
}
