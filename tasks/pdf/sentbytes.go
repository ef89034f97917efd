package pdf

import (
	"crypto/sha256"
	"io"
)

// sentBytes keeps the bytes of a PDF that were written so far, but for the samples of pictures, of
// which it keeps the length. It reads as a file does, so that [Read] can read it.
type sentBytes struct {
	size  int64
	parts []part
}

// part is a stretch of the file; data is nil for samples.
type part struct {
	at, size int64
	data     []byte
}

func (r *sentBytes) keep(b []byte) {
	if n := len(r.parts); n > 0 && r.parts[n-1].data != nil {
		p := &r.parts[n-1]
		p.data = append(p.data, b...)
		p.size += int64(len(b))
	} else {
		r.parts = append(r.parts, part{r.size, int64(len(b)), append([]byte{}, b...)})
	}
	r.size += int64(len(b))
}

func (r *sentBytes) skip(n int64) {
	r.parts = append(r.parts, part{at: r.size, size: n})
	r.size += n
}

func (r *sentBytes) digest() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range r.parts {
		h.Write(p.data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// ReadAt implements [io.ReaderAt]. Samples read as zeros.
func (r *sentBytes) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	for _, p := range r.parts {
		if at < p.at+p.size && at+int64(len(b)) > p.at && p.data != nil {
			from := max(at, p.at)
			copy(b[from-at:], p.data[from-p.at:])
		}
	}
	if n := r.size - at; n < int64(len(b)) {
		return int(max(0, n)), io.EOF
	}
	return len(b), nil
}
