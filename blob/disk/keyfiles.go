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

// Every key that ever sealed has a file in <dir>/keys with its public name, so that a folder is never
// opened without a key that it needs. The file's name is the beginning of the SHA-256 of the public
// name: a damaged file is told from one of a key that is not there.
//
//	<dir>/keys/<32 hex> "age1…\n"
const keysName = "keys"

// maxKeyFile is more than a public name has, in bytes.
const maxKeyFile = 64 << 10

// checkKeys refuses the folder if it needs a key that is not there.
func (s *store) checkKeys() error {
	given := map[string]string{} // public names by their files' names
	if s.keys != nil {
		for _, public := range s.keys.Public() {
			given[keyFileName(public)] = public
		}
	}
	used, err := s.keyFiles()
	if err != nil {
		return err
	}
	for _, name := range used {
		if err := s.checkKey(name, given[name]); err != nil {
			return err
		}
	}
	if s.original != encrypted || slices.Contains(used, keyFileName(s.keys.Public()[0])) {
		return nil
	}
	return s.recordKey(s.keys.Public()[0])
}

// checkKey checks the file of a key that has sealed, and writes it anew if it is damaged. given is the
// public name of the key if that is there, else "".
func (s *store) checkKey(name, given string) error {
	path := filepath.Join(s.dir, keysName, name)
	content, err := s.readFile(path)
	if err != nil {
		return err
	}
	public := strings.TrimSpace(string(content))
	switch {
	case given != "" && public != given:
		return s.recordKey(given)
	case given != "":
		return nil
	case keyFileName(public) == name:
		return fmt.Errorf("%w: originals here are sealed with the key whose public name is %s", blob.ErrKey, public)
	}
	return fmt.Errorf("%w: originals here are sealed with a key whose public name stood in %s, which is damaged: restore it from a backup, or remove it if every key that ever sealed here is given", blob.ErrKey, path)
}

// keyFileName is the name of the file with this public name in it.
func keyFileName(public string) string {
	sum := sha256.Sum256([]byte(public))
	return hex.EncodeToString(sum[:16])
}

// keyFiles are the names of the files of keys that have sealed. Others are none of the store's.
func (s *store) keyFiles() (names []string, err error) {
	entries, err := s.fs.ReadDir(filepath.Join(s.dir, keysName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if b, err := hex.DecodeString(e.Name()); err == nil && len(b) == 16 {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// readFile reads a small file, or the beginning of a larger one.
func (s *store) readFile(name string) (content []byte, err error) {
	f, err := s.fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, 0, min(size, maxKeyFile)))
}

// recordKey is durable before the first original is sealed with the key.
func (s *store) recordKey(public string) error {
	dir := filepath.Join(s.dir, keysName)
	if err := s.fs.MkdirAll(dir, dirPerm); err != nil {
		return err
	}
	name := keyFileName(public)
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
