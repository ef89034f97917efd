package embedded

import (
	"hash/maphash"
	"sync"

	"casepress/tasks"
)

// known remembers the keys of a topic's submissions, so that Accept need not ask the rows about one that is new: in a
// burst nearly all are. It is a Bloom filter: a key that it lacks is in no record of the topic, and of those that it does not
// lack one in a hundred is not there either, which the rows then tell.
//
// It is made of the log. Until every record of earlier processes was read, which comparing rows and log does, it lacks
// nothing; nor does it where the log has lost its beginning, or has more than maxKnown keys, or has a record that this
// program cannot read: another version may have made a row of it. A key gets here before its submission is no longer
// pending, so there is no moment in which neither has it.
type known struct {
	seed maphash.Seed

	mu     sync.RWMutex // guards the rest
	layers []knownLayer // each has room for as many as all before it
	whole  bool         // every record of earlier processes was read
	unsure bool         // a record could not be read: nobody knows its key
	full   bool
	count  int // keys in all layers
}

type knownLayer struct {
	bits []uint64
	free int // how many more keys it takes
}

const (
	firstKnown    = 64 << 10 // keys of the first layer
	maxKnown      = 16 << 20 // keys in all, in 20 MiB
	bitsPerKnown  = 10
	hashesOfKnown = 7
)

func newKnown() *known { return &known{seed: maphash.MakeSeed()} }

// keyOf is what a submission is known by.
func keyOf(s tasks.Submission) string { return s.Kind.Name + "/" + s.Content.Key() }

// add remembers keys.
func (k *known) add(rows []tasks.Recorded) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range rows {
		if k.full {
			return
		}
		if !r.Kind.IsSubmission() {
			continue
		}
		// What is there already, as where rows are tried to be written again and again, takes no room.
		if h := maphash.String(k.seed, keyOf(r.Submission)); !k.has(h) {
			k.addHash(h)
		}
	}
}

// has reports whether the hash was added, or seems so. It is called with mu held.
func (k *known) has(h uint64) bool {
	for i := range k.layers {
		if k.layers[i].each(h, func(word *uint64, bit uint64) bool { return *word&bit != 0 }) {
			return true
		}
	}
	return false
}

// addHash is called with mu held.
func (k *known) addHash(h uint64) {
	if len(k.layers) == 0 || k.layers[len(k.layers)-1].free == 0 {
		if k.count >= maxKnown {
			k.full, k.layers = true, nil
			return
		}
		room := max(firstKnown, k.count)
		k.layers = append(k.layers, knownLayer{make([]uint64, room*bitsPerKnown/64+1), room})
	}
	last := &k.layers[len(k.layers)-1]
	last.each(h, func(word *uint64, bit uint64) bool {
		*word |= bit
		return true
	})
	last.free--
	k.count++
}

// each visits the bits of a hash until visit is false.
func (l *knownLayer) each(h uint64, visit func(word *uint64, bit uint64) bool) bool {
	step := h>>32 | 1
	for range hashesOfKnown {
		at := h % uint64(len(l.bits)*64)
		if !visit(&l.bits[at/64], 1<<(at%64)) {
			return false
		}
		h += step<<32 | step
	}
	return true
}

// setWhole says that every record of earlier processes was added.
func (k *known) setWhole() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.whole = true
}

// setUnsure says that a record could not be read.
func (k *known) setUnsure() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unsure = true
}

// lacks reports whether no record of the topic has the key. While it is not sure, it is false.
func (k *known) lacks(key string) bool {
	h := maphash.String(k.seed, key)
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.whole && !k.unsure && !k.full && !k.has(h)
}
