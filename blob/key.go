package blob

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
