package handlers

import "sync"

// uploads counts the uploads under way and the bytes that they may still store.
type uploads struct {
	mu    sync.Mutex // guards the rest
	count int
	bytes int64
}

// enter counts one more upload of at most size bytes until leave is called. It returns a fault if there
// are limit already; a negative limit means none.
func (u *uploads) enter(limit int, size int64) (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if limit >= 0 && u.count >= limit {
		return nil, &fault{code: codeTooManyUploads, args: []any{limit}, extras: extras{Limit: int64(limit)}}
	}
	u.count++
	u.bytes += size
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.count--
		u.bytes -= size
	}, nil
}

// reserved is how many bytes the uploads under way may store in all.
func (u *uploads) reserved() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes
}
