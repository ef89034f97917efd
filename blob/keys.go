package blob

import (
	"errors"
	"fmt"
	"io"
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

// Public names each key, the one that seals first. The names tell keys apart and open nothing.
func (k *Keys) Public() []string { return k.public }

// Seal encrypts what is written to it into w, from the first byte on. Nothing can be read back before
// it is closed, which leaves w open.
func (k *Keys) Seal(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, k.seal) }

// Open reads, at random, what was sealed into size bytes, and tells how many bytes that are. The
// error Is [ErrKey] if k is nil or none of its keys opens it.
func (k *Keys) Open(sealed io.ReaderAt, size int64) (content io.ReaderAt, contentSize int64, err error) {
	if k == nil {
		return nil, 0, ErrKey
	}
	content, contentSize, err = age.DecryptReaderAt(sealed, size, k.open...)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return nil, 0, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &chunkReader{content: content, size: contentSize, start: -1}, contentSize, err
}
