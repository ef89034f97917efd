package jpeg

import (
	"cmp"
	"slices"
)

// maxCodeBits is the longest Huffman code that JPEG allows.
const maxCodeBits = 16

// bestTable is a Huffman table made for one picture, as a DHT segment tells it: how
// many codes there are of each length, and the symbols, shortest code first.
type bestTable struct {
	lengths [maxCodeBits]byte
	symbols [256]byte
	used    int
}

// newBestTable returns the table that writes symbols, as often as counts says, in the
// fewest bits that codes of at most 16 bits can. Symbols that never occur have no
// code, and no code is all ones (T.81 C).
//
// The lengths come from package-merge (Larmore and Hirschberg 1990): T.81's own way
// (K.2) needs the same number of bits wherever no code wants to be longer than 16,
// and often a few more elsewhere.
func newBestTable(counts *[256]uint64) bestTable {
	// The symbol that never occurs gets the last of the longest codes: all ones.
	const never = 256
	leaves := make([]codeLeaf, 1, len(counts)+1)
	leaves[0].symbol = never
	for symbol, count := range counts {
		if count > 0 {
			leaves = append(leaves, codeLeaf{count: count, symbol: symbol})
		}
	}
	slices.SortStableFunc(leaves, func(a, b codeLeaf) int { return cmp.Compare(a.count, b.count) })
	packageMerge(leaves)
	slices.SortFunc(leaves, func(a, b codeLeaf) int {
		return cmp.Or(cmp.Compare(a.bits, b.bits), cmp.Compare(a.symbol, b.symbol))
	})
	var t bestTable
	for _, l := range leaves[:len(leaves)-1] {
		t.lengths[l.bits-1]++
		t.symbols[t.used] = byte(l.symbol)
		t.used++
	}
	return t
}

// codeLeaf is a symbol and, when packageMerge is done, the length of its code.
type codeLeaf struct {
	count  uint64
	symbol int
	bits   int
}

// packageMerge sets the leaves' bits; leaves come in rising order of count. The list
// of each level holds the leaves and the pairs of the level before, cheapest first;
// a leaf's code is as long as there are levels where it is among the items that the
// first 2n-2 of the last level are made of.
func packageMerge(leaves []codeLeaf) {
	n := len(leaves)
	var isLeaf [maxCodeBits][2*257 - 1]bool
	var lists [2][2*257 - 1]uint64
	before := lists[0][:0]
	for level := range isLeaf {
		list := lists[level&1][:0]
		for leaf, pair := 0, 0; leaf < n || pair+1 < len(before); {
			isLeaf[level][len(list)] = pair+1 >= len(before) || leaf < n && leaves[leaf].count <= before[pair]+before[pair+1]
			if isLeaf[level][len(list)] {
				list = append(list, leaves[leaf].count)
				leaf++
			} else {
				list = append(list, before[pair]+before[pair+1])
				pair += 2
			}
		}
		before = list
	}
	for level, items := maxCodeBits-1, 2*n-2; level >= 0; level-- {
		taken := 0
		for _, is := range isLeaf[level][:items] {
			if is {
				leaves[taken].bits++
				taken++
			}
		}
		items = 2 * (items - taken)
	}
}

// each calls f with each symbol of t and its code.
func (t *bestTable) each(f func(symbol byte, code uint64, bits int)) {
	code, at := uint64(0), 0
	for i, count := range t.lengths {
		for range count {
			f(t.symbols[at], code, i+1)
			code++
			at++
		}
		code <<= 1
	}
}
