// Package blob defines the store of bytes under the SHA-256 of their content: images, PDFs and
// originals. [Store] says what every implementation promises; package blob/disk keeps them in a
// folder, and package blob/blobtest checks an implementation.
//
// A blob never changes and is never lost once Commit or Put has returned nil, except that
// [Store.Drop] deletes originals which were stored in a droppable way, and [Store.Collect] deletes
// what nobody needs any more. A store does not know what the bytes mean or who needs them.
//
// A medium may change bytes all the same. So whoever works on a blob or sends it to somebody verifies
// it first: see [OpenVerified]. What is staged or Put again is verified too, and if what lies under
// its digest is not sound, the bytes that have just come take its place.
package blob

import (
	"context"
	"errors"
	"io"
	"time"
)

// What callers branch on.
var (
	// ErrNotFound says that no blob has this key.
	ErrNotFound = errors.New("blob: not found")
	// ErrPoisoned is in every error of a store that, after a failed write, can no longer tell what
	// is on stable storage. It takes nothing more until it is opened anew; reading goes on.
	ErrPoisoned = errors.New("blob: store is poisoned by an earlier failure")
	// ErrUnavailable says that the machine could not do what storing needs: its disk failed or is full, a folder of the store is
	// not there, or too many files are open. Nothing is stored by the call, which may work later. The cause is wrapped too.
	ErrUnavailable = errors.New("blob: cannot be stored now")
	// ErrCorrupt says that the bytes of a blob are not those that its digest names. The error names the
	// key. The same bytes, staged or Put again, mend it.
	ErrCorrupt = errors.New("blob: content is damaged")
	// ErrStagingFull says that too many uploads, or too many bytes, are being received at once. It
	// passes when others end.
	ErrStagingFull = errors.New("blob: too much is being received at once")
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
	// An error of r comes back wrapped; [ErrStagingFull] if a limit of the store is reached, [ErrUnavailable] if
	// the machine is to blame. After an error nothing stays behind. The context is looked at between two reads of r.
	Stage(ctx context.Context, r io.Reader) (Staged, error)

	// Put stores all of r, which is derived from originals or kept by somebody else: it is stored as
	// it is and never dropped. size is in bytes. What is there already is not written again.
	Put(ctx context.Context, r io.Reader) (k Key, size int64, err error)

	// Open opens the blob with this key, or says [ErrNotFound]; a text that is no key names no blob.
	// It does not verify the content, but says [ErrCorrupt] of what cannot even be opened.
	Open(ctx context.Context, k Key) (Blob, error)

	// Has reports whether a blob of this key and size that was Put is there. It looks no further than
	// at the size.
	Has(ctx context.Context, k Key, size int64) (bool, error)

	// Hold keeps a blob from being dropped or collected until release is called, or says [ErrNotFound].
	// While that is being decided, Hold waits for the outcome. To release twice is harmless.
	Hold(ctx context.Context, k Key) (release func(), err error)

	// Drop deletes those originals among keys that unneeded returns. unneeded is asked about the ones
	// that nobody holds; until Drop returns, nobody can begin to hold them, so what unneeded learns
	// stays true; it may return none but those. held are the ones that were passed over because somebody holds them. After an error
	// a deletion may or may not have happened, and Drop may be called again.
	//
	// Content that was Put, or staged while originals were kept, is never dropped, whatever its key.
	Drop(ctx context.Context, keys []Key, unneeded func(context.Context, []Key) ([]Key, error)) (held []Key, err error)

	// EachOriginal calls visit with the keys of originals that may be dropped, some at a time, until
	// it has seen all or visit returns an error. What is stored or dropped meanwhile may be missing
	// or not.
	EachOriginal(ctx context.Context, visit func([]Key) error) error

	// Each calls visit with everything that is stored, some at a time, until it has seen all or visit
	// returns an error. A blob that is stored in two ways comes twice. What is stored or deleted
	// meanwhile may be missing or not.
	Each(ctx context.Context, visit func([]Info) error) error

	// Collect deletes the blobs, in whatever way they are stored, that nobody has used for the time
	// given and that unneeded returns. A use is a Commit, a Put or a Has of it. unneeded is asked
	// about those that nobody holds; until it is acted upon, nobody can begin to hold them, and a blob
	// that is Put meanwhile stays. It must know everybody who needs a blob: originals, pictures and
	// PDFs alike. unused is at least [MinUnused], and longer than any work takes from its first Put to the
	// moment when unneeded knows of it. After an error what was collected so far is told.
	Collect(ctx context.Context, unused time.Duration, unneeded func(context.Context, []Key) ([]Key, error)) (Collected, error)

	// Scrub verifies everything that is stored, at no more than the given number of bytes a second. A
	// damaged blob ends nothing: it is in the answer, and in Corrupt. Where it begins is random,
	// so that restarts do not leave the end unread for ever.
	Scrub(ctx context.Context, bytesPerSecond int64) (Scrubbed, error)

	// Corrupt are the blobs that were found damaged and neither mended nor deleted since, at most
	// [MaxCorrupt] of them. A restart forgets them until they are found again.
	Corrupt() []Key

	// Staging is how many bytes have been received into temp files that are no blobs yet.
	Staging() int64

	// Ready is nil if blobs can be stored, as far as can be told without storing one: else it tells why, that
	// which Err tells included.
	Ready() error

	// Err is nil unless the store takes nothing more: then it Is [ErrPoisoned] and tells why.
	Err() error

	// Close releases what the store itself holds. Blobs and staged content are closed by their holders.
	Close() error
}

// MinUnused is the shortest time after which [Store.Collect] deletes what nobody needs.
const MinUnused = time.Hour

// MaxCorrupt is how many damaged blobs [Store.Corrupt] names at most.
const MaxCorrupt = 1000

// Info describes one way in which a blob is stored.
type Info struct {
	Key Key
	// StoredBytes is what it takes up: a little more than the content if that is encrypted.
	StoredBytes int64
	// Used is when it was stored or, to within a minute, last used: see [Store.Collect].
	Used time.Time
	// Droppable says that it is an original that [Store.Drop] may delete.
	Droppable bool
}

// Collected is what [Store.Collect] has deleted.
type Collected struct {
	Blobs int
	Bytes int64
}

// Scrubbed is what [Store.Scrub] has read.
type Scrubbed struct {
	Blobs int
	Bytes int64
	// Corrupt are those that are damaged or cannot be read, at most [MaxCorrupt] of them.
	Corrupt []Key
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

// Blob is an open blob, decrypted if it is encrypted. It must be closed. Its methods other than Read and
// Seek may be called by many goroutines at once.
type Blob interface {
	io.Reader
	io.Seeker
	io.ReaderAt
	io.Closer

	// Verify reads the whole content and returns nil if the digest is the one that names it, else an
	// error that Is [ErrCorrupt]. Another error says that it could not be read. If the same store
	// found the same file sound no longer than within ago, it is not read again; 0 always reads.
	// Where Read goes on does not change.
	Verify(ctx context.Context, within time.Duration) error

	// Size is the length of the content in bytes.
	Size() int64
}

// OpenVerified opens a blob and verifies it: see [Store.Open] and [Blob.Verify]. Whoever works on the
// bytes gives 0 for within; who serves the same ones often may give some minutes.
func OpenVerified(ctx context.Context, from opener, k Key, within time.Duration) (Blob, error) {
	b, err := openVerified(ctx, from, k, within)
	if errors.Is(err, ErrCorrupt) {
		// The store may have the content in another way too, and knows now which one is damaged.
		b, err = openVerified(ctx, from, k, within)
	}
	return b, err
}

func openVerified(ctx context.Context, from opener, k Key, within time.Duration) (Blob, error) {
	b, err := from.Open(ctx, k)
	if err != nil {
		return nil, err
	}
	if err := b.Verify(ctx, within); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// opener is what of a Store opens a blob.
type opener interface {
	Open(ctx context.Context, k Key) (Blob, error)
}
