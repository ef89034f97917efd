package blob

import (
	"io"
	"sync"
)

// chunkBytes is what age encrypts as one.
const chunkBytes = 64 << 10

// chunkReader reads decrypted content like a file: small reads share one decrypted chunk, and io.EOF
// comes only where bytes are missing.
type chunkReader struct {
	content io.ReaderAt
	size    int64

	mu    sync.Mutex
	chunk []byte // of chunkBytes, nil until a small read
	start int64  // where the chunk begins, -1 if it holds nothing
	n     int    // how much of it there is
}

func (r *chunkReader) ReadAt(p []byte, off int64) (n int, err error) {
	if len(p) >= chunkBytes {
		n, err = r.content.ReadAt(p, off)
		if n == len(p) && err == io.EOF {
			err = nil
		}
		return n, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(p) {
		if off >= r.size {
			return n, io.EOF
		}
		if err := r.load(off - off%chunkBytes); err != nil {
			return n, err
		}
		m := copy(p[n:], r.chunk[off-r.start:r.n])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// load makes the chunk the one that begins at start. It is called with mu held.
func (r *chunkReader) load(start int64) error {
	if r.start == start {
		return nil
	}
	if r.chunk == nil {
		r.chunk = make([]byte, chunkBytes)
	}
	r.start = -1
	want := min(chunkBytes, r.size-start)
	n, err := r.content.ReadAt(r.chunk[:want], start)
	if int64(n) < want {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	r.start, r.n = start, n
	return nil
}
