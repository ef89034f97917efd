package tasks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"casepress/blob"
)

// PictureCache keeps what became of images between two attempts, by the digest of the original and the options:
// [casepress/store.Store] in the service.
type PictureCache interface {
	FinishedPicture(ctx context.Context, sha256, options string) (ImageResult, bool, error)
	KeepPicture(ctx context.Context, sha256, options string, r ImageResult) error
}

// flushEach is how long finished pictures gather before they are kept: a report of a few photos is done before,
// and costs no write more.
const flushEach = 5 * time.Second

// finishedPictures are those of one attempt. It lets a later attempt begin where this one ended, be it by an
// error, by a shutdown, or by a death of the process, which loses at most the last flushEach.
type finishedPictures struct {
	cache   PictureCache // nil keeps nothing
	blobs   blob.Store
	options string
	log     *slog.Logger

	mu      sync.Mutex // guards the rest
	pending map[string]ImageResult
	flushed time.Time
}

func newFinishedPictures(p *Processor) *finishedPictures {
	return &finishedPictures{
		cache: p.PictureCache, blobs: p.Blobs, options: p.Pictures.Key(), log: p.logger(),
		pending: map[string]ImageResult{}, flushed: time.Now(),
	}
}

// find returns what an earlier attempt made of the original, if it is still there. A cache that fails costs no more
// than the work once again: the rows behind it may be damaged, which is no fault of the report's.
func (f *finishedPictures) find(ctx context.Context, sha256 string) (made ImageResult, found bool, err error) {
	if f.cache == nil {
		return made, false, nil
	}
	made, found, err = f.cache.FinishedPicture(ctx, sha256, f.options)
	if err != nil && ctx.Err() == nil {
		f.log.Warn("finished pictures cannot be looked up", "err", err)
		return ImageResult{}, false, nil
	}
	if err != nil || !found {
		return ImageResult{}, false, err
	}
	for _, out := range []Output{made.Full, made.Thumb} {
		sound, err := f.isSound(ctx, out)
		if err != nil || !sound {
			return ImageResult{}, false, err
		}
	}
	return made, true, nil
}

// isSound reports whether the output is there with its own bytes. One that is not is made again, and storing it
// mends what is damaged.
func (f *finishedPictures) isSound(ctx context.Context, out Output) (bool, error) {
	b, err := blob.OpenVerified(ctx, f.blobs, blob.Key(out.SHA256), verifiedFor)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return b.Size() == out.Bytes, b.Close()
}

// add takes a finished picture, and keeps those that have gathered when it is time.
func (f *finishedPictures) add(ctx context.Context, sha256 string, made ImageResult) {
	if f.cache == nil {
		return
	}
	f.mu.Lock()
	f.pending[sha256] = made
	due := time.Since(f.flushed) >= flushEach
	f.mu.Unlock()
	if due {
		f.flush(ctx)
	}
}

// flush keeps all that have gathered. If that fails, the next attempt does the work once again.
func (f *finishedPictures) flush(ctx context.Context) {
	f.mu.Lock()
	pending := f.pending
	f.pending, f.flushed = map[string]ImageResult{}, time.Now()
	f.mu.Unlock()
	for sha256, made := range pending {
		if err := f.cache.KeepPicture(ctx, sha256, f.options, made); err != nil {
			f.log.Warn("finished pictures cannot be kept", "err", err)
			f.putBack(pending)
			return
		}
		delete(pending, sha256)
	}
}

// putBack keeps what could not be kept for the next flush.
func (f *finishedPictures) putBack(pending map[string]ImageResult) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for sha256, made := range pending {
		if _, newer := f.pending[sha256]; !newer {
			f.pending[sha256] = made
		}
	}
}
