package blob

import "encoding/hex"

// Key names a blob: the SHA-256 of its content in lower-case hex.
type Key string

// Valid reports whether k is 64 lower-case hex digits, and so safe in a path.
func (k Key) Valid() bool {
	if len(k) != 64 {
		return false
	}
	for _, c := range []byte(k) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// shard is where the blob with this valid key lies.
func (s *Store) shard(k Key) *shard {
	var first [1]byte
	if _, err := hex.Decode(first[:], []byte(k[:2])); err != nil {
		panic(err) // callers check Valid
	}
	return &s.shards[first[0]]
}
