package disk

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"casepress/blob"
)

// Every key that ever sealed has a file in <dir>/keys with its public name, so
// that a folder is never opened without a key that it needs.
//
//	<dir>/keys/<32 hex> "age1…\n"
const keysName = "keys"

// checkKeys refuses the folder if it needs a key that is not there.
func (s *Store) checkKeys() error {
	used, err := s.usedKeys()
	if err != nil {
		return err
	}
	for _, public := range used {
		if s.keys == nil || !slices.Contains(s.keys.Public(), public) {
			return fmt.Errorf("%w: originals here are sealed with the key whose public name is %s", blob.ErrKey, public)
		}
	}
	if s.original != encrypted || slices.Contains(used, s.keys.Public()[0]) {
		return nil
	}
	return s.recordKey(s.keys.Public()[0])
}

func (s *Store) usedKeys() (public []string, err error) {
	dir := filepath.Join(s.dir, keysName)
	entries, err := s.fs.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b, err := s.readFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		public = append(public, strings.TrimSpace(string(b)))
	}
	return public, nil
}

func (s *Store) readFile(name string) (content []byte, err error) {
	f, err := s.fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, 0, size))
}

// recordKey is durable before the first original is sealed with the key.
func (s *Store) recordKey(public string) error {
	dir := filepath.Join(s.dir, keysName)
	if err := s.fs.MkdirAll(dir, dirPerm); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(public))
	name := hex.EncodeToString(sum[:16])
	temp := filepath.Join(s.dir, tmpName, name)
	f, err := s.fs.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, filePerm)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, public+"\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.fs.Rename(temp, filepath.Join(dir, name)); err != nil {
		return err
	}
	return s.fs.SyncDir(dir)
}
