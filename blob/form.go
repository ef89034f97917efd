package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Originals says what becomes of content that is staged.
type Originals string

// What a store can do with originals. Content that is Put is not concerned.
const (
	// Keep keeps them as they came, for ever.
	Keep Originals = "keep"
	// Vault keeps them encrypted, from their first byte on disk.
	Vault Originals = "vault"
	// Drop keeps them until [Store.Drop] deletes them, encrypted if there are keys.
	Drop Originals = "drop"
)

// form is how the content of a blob lies on disk: the end of its file's name. A
// blob may lie in several forms; its content is the same in all of them.
type form string

const (
	shared  form = ""          // as it is, derived or an original; never deleted
	passing form = ".original" // as it is; an original that may be dropped
	sealed  form = ".age"      // encrypted; an original that may be dropped
)

var (
	forms     = []form{shared, passing, sealed}
	droppable = []form{passing, sealed}
)

// originalForm is the form in which originals are stored.
func originalForm(o Options) (form, error) {
	switch {
	case o.Originals == "" || o.Originals == Keep:
		return shared, nil
	case o.Originals == Vault && o.Keys == nil:
		return "", ErrKey
	case o.Originals == Vault, o.Originals == Drop && o.Keys != nil:
		return sealed, nil
	case o.Originals == Drop:
		return passing, nil
	}
	return "", fmt.Errorf("originals: %q is none of keep, vault, drop", o.Originals)
}

// keyOfFile is the key of a file in this form, "" if the file is another.
func (f form) keyOfFile(name string) Key {
	digits, ok := strings.CutSuffix(name, string(f))
	if k := Key(digits); ok && k.Valid() {
		return k
	}
	return ""
}

// entry is the file that a commit makes, or finds.
type entry struct {
	path string
	// whole reports whether a file at path holds the content. The order of commit
	// leaves no other, but a copied or repaired folder may hold one; it is replaced.
	whole func(fs.FileInfo) (bool, error)
}

func (s *Store) entry(k Key, f form, size int64) entry {
	path := s.shard(k).path(k, f)
	if f != sealed {
		return entry{path, func(i fs.FileInfo) (bool, error) { return i.Size() == size, nil }}
	}
	return entry{path, func(i fs.FileInfo) (bool, error) { return s.sealedHolds(path, i.Size(), size) }}
}

// sealedHolds reports whether the sealed file opens with one of the keys and has
// content of size bytes.
func (s *Store) sealedHolds(path string, onDisk, size int64) (bool, error) {
	f, err := s.fs.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	_, n, err := s.keys.opened(f, onDisk)
	return err == nil && n == size, f.Close()
}

// openForm opens the file of a blob in one form. The error is fs.ErrNotExist if
// there is none.
func (s *Store) openForm(k Key, f form) (*Blob, error) {
	file, err := s.fs.OpenFile(s.shard(k).path(k, f), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	b, err := s.opened(file, f)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return b, nil
}
