package blob

import (
	"io"
	"sync"
)

// chunkBytes is what age encrypts as one.
const chunkBytes = 64 << 10

// steady reads decrypted content like a file: in small pieces without decrypting,
// and allocating, a chunk for each, and with io.EOF only where bytes are missing.
type steady struct {
	content io.ReaderAt
	size    int64

	mu    sync.Mutex
	chunk []byte // of chunkBytes, nil until a small read
	at    int64  // where the chunk begins, -1 if it holds nothing
	n     int    // how much of it there is
}

func (s *steady) ReadAt(p []byte, off int64) (n int, err error) {
	if len(p) >= chunkBytes {
		n, err = s.content.ReadAt(p, off)
		if n == len(p) && err == io.EOF {
			err = nil
		}
		return n, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		if off >= s.size {
			return n, io.EOF
		}
		if err := s.load(off - off%chunkBytes); err != nil {
			return n, err
		}
		m := copy(p[n:], s.chunk[off-s.at:s.n])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// load makes the chunk the one that begins at at. It is called with mu held.
func (s *steady) load(at int64) error {
	if s.at == at {
		return nil
	}
	if s.chunk == nil {
		s.chunk = make([]byte, chunkBytes)
	}
	s.at = -1
	n, err := s.content.ReadAt(s.chunk[:min(chunkBytes, s.size-at)], at)
	if err != nil && err != io.EOF {
		return err
	}
	s.at, s.n = at, n
	return nil
}
