// Package blob defines the store of bytes under the SHA-256 of their content: images, PDFs and
// originals. [Store] says what every implementation promises; package blob/disk keeps them in a
// folder, and package blob/blobtest checks an implementation.
//
// A blob never changes and is never lost once Commit or Put has returned nil, except that an
// original which was stored in a droppable way is deleted when [Store.Drop] is told to. A store does
// not know what the bytes mean.
package blob

import (
	"context"
	"errors"
	"io"
)

// What callers branch on.
var (
	// ErrNotFound says that no blob has this key.
	ErrNotFound = errors.New("blob: not found")
	// ErrPoisoned is in every error of a store that, after a failed write, can no longer tell what
	// is on stable storage. It takes nothing more until it is opened anew; reading goes on.
	ErrPoisoned = errors.New("blob: store is poisoned by an earlier failure")
)

// Originals says what becomes of content that is staged. Content that is Put is not concerned.
type Originals string

// The ways to keep originals.
const (
	// Keep keeps them as they came, for ever.
	Keep Originals = "keep"
	// Vault keeps them encrypted, from their first byte on disk.
	Vault Originals = "vault"
	// Drop keeps them until [Store.Drop] deletes them, encrypted if there are keys.
	Drop Originals = "drop"
)

// Store is an open store of blobs. Its methods may be called by many goroutines at once. Those that
// may have to wait, for a disk, a network or another call, end with the error of their context when
// that ends; what they were to do may then have happened or not.
type Store interface {
	// Stage reads an original to its end into a local temp file, encrypted if originals are to be.
	// An error of r comes back wrapped. After an error nothing stays behind. The context is looked at
	// between two reads of r.
	Stage(ctx context.Context, r io.Reader) (Staged, error)

	// Put stores all of r, which is derived from originals or kept by somebody else: it is stored as
	// it is and never dropped. size is in bytes. What is there already is not written again.
	Put(ctx context.Context, r io.Reader) (k Key, size int64, err error)

	// Open opens the blob with this key, or says [ErrNotFound]; a text that is no key names no blob.
	Open(ctx context.Context, k Key) (Blob, error)

	// Has reports whether a blob of this key and size that was Put is there. It looks no further than
	// at the size.
	Has(ctx context.Context, k Key, size int64) (bool, error)

	// Hold keeps an original from being dropped until release is called, or says [ErrNotFound].
	// While the original is being dropped, Hold waits for the outcome. To release twice is harmless.
	Hold(ctx context.Context, k Key) (release func(), err error)

	// Drop deletes those originals among keys that unneeded returns. unneeded is asked about the ones
	// that nobody holds; until Drop returns, nobody can begin to hold them, so what unneeded learns
	// stays true. held are the ones that were passed over because somebody holds them. After an error
	// a deletion may or may not have happened, and Drop may be called again.
	//
	// Content that was Put, or staged while originals were kept, is never deleted, whatever its key.
	Drop(ctx context.Context, keys []Key, unneeded func(context.Context, []Key) ([]Key, error)) (held []Key, err error)

	// EachOriginal calls visit with the keys of originals that may be dropped, some at a time, until
	// it has seen all or visit returns an error. What is stored or dropped meanwhile may be missing
	// or not.
	EachOriginal(ctx context.Context, visit func([]Key) error) error

	// Err is nil unless the store takes nothing more: then it Is [ErrPoisoned] and tells why.
	Err() error

	// Close releases what the store itself holds. Blobs and staged content are closed by their holders.
	Close() error
}

// Staged is content that has been received and hashed but is no blob yet. It must be ended by
// Discard, after Commit too. It is for one goroutine.
type Staged interface {
	// Key names the blob that this will be.
	Key() Key

	// Size is the length of the content in bytes.
	Size() int64

	// Open reads the content until Commit or Discard. Several readers may be open.
	Open() *io.SectionReader

	// Commit returns when the content is on stable storage under its key; if it was there before,
	// nothing is written. After an error it is not stored as far as this call goes, and the same
	// content may be staged again. In any case the temp file is gone. From the beginning of Commit to
	// Discard an original is held: see [Store.Hold].
	Commit(ctx context.Context) error

	// Discard gives up what is not committed. After Commit it only lets go of the content: from now on
	// it may be dropped. A second time it does nothing.
	Discard() error
}

// Blob is an open blob, decrypted if it is sealed. It must be closed. Its methods other than Read and
// Seek may be called by many goroutines at once.
type Blob interface {
	io.Reader
	io.Seeker
	io.ReaderAt
	io.Closer

	// Size is the length of the content in bytes.
	Size() int64
}
