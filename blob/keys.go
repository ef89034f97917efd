package blob

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
	"time"

	"filippo.io/age"
)

// ErrKey says that originals are sealed with a key that was not given.
var ErrKey = errors.New("blob: key is missing")

// Keys seals originals and opens them again. The first of them seals, all of
// them open. It is safe for concurrent use.
type Keys struct {
	open []age.Identity
	seal age.Recipient
	// public names each key, in the order of open. It tells keys apart and opens
	// nothing.
	public []string
}

// ParseKeys reads what [NewKey] or age-keygen wrote, one key a line; empty lines
// and lines that begin with # are passed over. An error never shows a key.
func ParseKeys(r io.Reader) (*Keys, error) {
	identities, err := age.ParseIdentities(r)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	k := &Keys{open: identities}
	for i, identity := range identities {
		recipient, public, err := publicOf(identity)
		if err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		if i == 0 {
			k.seal = recipient
		}
		k.public = append(k.public, public)
	}
	return k, nil
}

func publicOf(identity age.Identity) (age.Recipient, string, error) {
	switch i := identity.(type) {
	case *age.X25519Identity:
		return i.Recipient(), i.Recipient().String(), nil
	case *age.HybridIdentity:
		return i.Recipient(), i.Recipient().String(), nil
	}
	return nil, "", fmt.Errorf("a key of kind %T cannot be used here", identity)
}

// NewKey makes a key and writes it as [ParseKeys] and the age command read it.
// public names it.
func NewKey(w io.Writer) (public string, err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	public = key.Recipient().String()
	_, err = fmt.Fprintf(w, "# created: %s\n# public key: %s\n%s\n", time.Now().UTC().Format(time.RFC3339), public, key)
	if err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	return public, nil
}

// sealing encrypts what is written to it into w, from the first byte on.
func (k *Keys) sealing(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, k.seal) }

// opened reads the content of a sealed file of size bytes, at random.
func (k *Keys) opened(sealed io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	if k == nil {
		return nil, 0, ErrKey
	}
	content, n, err := age.DecryptReaderAt(sealed, size, k.open...)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return nil, 0, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &steady{content: content, size: n, at: -1}, n, err
}

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
		if s.keys == nil || !slices.Contains(s.keys.public, public) {
			return fmt.Errorf("%w: originals here are sealed with the key whose public name is %s", ErrKey, public)
		}
	}
	if s.original != sealed || slices.Contains(used, s.keys.public[0]) {
		return nil
	}
	return s.noteKey(s.keys.public[0])
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
		b, err := s.read(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		public = append(public, strings.TrimSpace(string(b)))
	}
	return public, nil
}

func (s *Store) read(name string) (content []byte, err error) {
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

// noteKey is durable before the first original is sealed with the key.
func (s *Store) noteKey(public string) error {
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
