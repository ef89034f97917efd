package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"casepress/blob"
	"casepress/disk"
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

// openFormat opens the file of a blob in one format. The error is fs.ErrNotExist if
// there is none, and [blob.ErrCorrupt] if it cannot be decrypted or is no file.
func (s *store) openFormat(k blob.Key, f format) (*file, error) {
	path := s.shard(k).path(k, f)
	opened, err := s.fs.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, disk.ErrNotFile) {
		err = fmt.Errorf("%w: %s: %w", blob.ErrCorrupt, k, err)
		s.foundCorrupt(k, path, err)
	}
	if err != nil {
		return nil, err
	}
	b := &file{file: opened, store: s, key: k, path: path, readErr: new(atomic.Pointer[error])}
	if err := b.readAs(f); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return b, nil
}

// readAs lets the content of a file in this format be read.
func (b *file) readAs(f format) error {
	size, err := b.file.Size()
	if err != nil {
		return err
	}
	content := io.ReaderAt(errorKeeper{b.file, b.readErr})
	if f == encrypted {
		if content, size, err = b.store.keys.Open(content, size); err != nil {
			return b.openError(err)
		}
	}
	b.SectionReader = io.NewSectionReader(content, 0, size)
	return nil
}

// openError is the error of a file that could not be decrypted. Every key that ever sealed here is
// known (see checkKeys), so that a file which none of them opens is damaged. Without keys the store
// has no sealed originals of its own, and nothing can be said.
func (b *file) openError(err error) error {
	if b.store.keys == nil {
		return err
	}
	err = b.store.corruptUnless(b.readErr, b.key, err)
	if errors.Is(err, blob.ErrCorrupt) {
		b.store.foundCorrupt(b.key, b.path, err)
	}
	return err
}
