package store

import (
	"context"
	"hash/maphash"
	"strconv"
	"strings"

	"casepress/tasks"
)

// maxBlobsAtOnce bounds the rows that are read at once to see which blobs they name.
const maxBlobsAtOnce = 256

// EachBlob calls visit with the digest of every blob that a row names, some at a time, until it has seen all or visit
// returns an error. One that several rows or columns name comes more than once. It reads all rows of the tables that name
// blobs, in the order of their keys, and holds no transaction meanwhile. Of what is recorded or completed while it reads, some
// may be missing; what rows named before is not, also if it moves from one table to another: see [tasks.Rows].
func (s *Store) EachBlob(ctx context.Context, visit func(digests []string) error) error {
	for _, kind := range tasks.Kinds() {
		for _, in := range kind.Rows.Blobs {
			var after []any
			for {
				digests, last, rows, err := s.blobsAfter(ctx, in, after)
				if err != nil {
					return s.explain(err, "blobs of %s", in.Table)
				}
				if len(digests) > 0 {
					if err := visit(digests); err != nil {
						return err
					}
				}
				if rows < maxBlobsAtOnce {
					break
				}
				after = last
			}
		}
	}
	return nil
}

// blobsAfter reads the rows that follow the one with the key after, from the first one if it is nil: the digests that they
// name, the key of the last of them, and how many they are.
func (s *Store) blobsAfter(ctx context.Context, in tasks.BlobColumns, after []any) (digests []string, last []any, n int, err error) {
	rows, err := s.queries.query(ctx, blobsQuery(in, len(after) > 0), append(after, maxBlobsAtOnce)...)
	if err != nil {
		return nil, nil, 0, err
	}
	last, named := make([]any, len(in.Key)), make([]string, len(in.Columns))
	to := make([]any, 0, len(last)+len(named))
	for i := range last {
		to = append(to, &last[i])
	}
	for i := range named {
		to = append(to, &named[i])
	}
	err = tasks.EachRow(rows, func() error {
		n++
		if err := rows.Scan(to...); err != nil {
			return err
		}
		for _, column := range named {
			of := []string{column}
			if in.Digests != nil {
				if of, err = in.Digests(column); err != nil {
					return err
				}
			}
			for _, digest := range of {
				if digest != "" {
					digests = append(digests, digest)
				}
			}
		}
		return nil
	})
	return digests, last, n, err
}

// blobsQuery reads the next rows in the order of the key.
func blobsQuery(in tasks.BlobColumns, next bool) string {
	key := strings.Join(in.Key, ", ")
	query, parameters := `SELECT `+key+`, `+strings.Join(in.Columns, ", ")+` FROM `+in.Table, 0
	if next {
		var after []string
		for range in.Key {
			parameters++
			after = append(after, "$"+strconv.Itoa(parameters))
		}
		query += ` WHERE (` + key + `) > (` + strings.Join(after, ", ") + `)`
	}
	return query + ` ORDER BY ` + key + ` LIMIT $` + strconv.Itoa(parameters+1)
}

// NamedBlobs returns the blobs that rows name, as [Store.EachBlob] does. A blob that was just stored and waits to be named is
// not among them, and the rows must be up to date.
func (s *Store) NamedBlobs(ctx context.Context) (*BlobSet, error) {
	set := newBlobSet()
	err := s.EachBlob(ctx, func(digests []string) error {
		for _, digest := range digests {
			set.add(digest)
		}
		return nil
	})
	return set, err
}

// BlobSet is a set of digests that takes two to four bytes for each, and 256 KiB at least. It knows every one that is in it; of those
// that are not, it takes about one in 300 for known, and each set another. The one that made it may use it.
//
// It is a row of Bloom filters, each twice as large as the one before (Almeida and others, Scalable Bloom Filters, 2007).
type BlobSet struct {
	seed    maphash.Seed
	filters []bloomFilter
	room    int // of the last filter
}

// bloomFilter has blobBits bits for each digest that it may take; their number is a power of two.
type bloomFilter []uint64

const (
	blobBits   = 16
	blobProbes = 8
	firstRoom  = 1 << 17 // digests of the first filter
)

func newBlobSet() *BlobSet { return &BlobSet{seed: maphash.MakeSeed()} }

// Has reports whether the digest is in the set, or looks so.
func (b *BlobSet) Has(digest string) bool { return b.has(maphash.String(b.seed, digest)) }

func (b *BlobSet) has(hash uint64) bool {
	for _, f := range b.filters {
		if f.has(hash) {
			return true
		}
	}
	return false
}

func (b *BlobSet) add(digest string) {
	hash := maphash.String(b.seed, digest)
	if b.has(hash) {
		return
	}
	if b.room == 0 {
		b.room = firstRoom << len(b.filters)
		b.filters = append(b.filters, make(bloomFilter, b.room*blobBits/64))
	}
	b.room--
	f := b.filters[len(b.filters)-1]
	for i := range uint64(blobProbes) {
		at := f.bit(hash, i)
		f[at/64] |= 1 << (at % 64)
	}
}

func (f bloomFilter) has(hash uint64) bool {
	for i := range uint64(blobProbes) {
		if at := f.bit(hash, i); f[at/64]&(1<<(at%64)) == 0 {
			return false
		}
	}
	return true
}

// bit is the i-th bit of a digest: the halves of its hash give as many as are needed (Kirsch and Mitzenmacher, Less Hashing,
// Same Performance, 2006).
func (f bloomFilter) bit(hash, i uint64) uint64 {
	return (hash + i*(hash>>32|1)) % uint64(64*len(f))
}
