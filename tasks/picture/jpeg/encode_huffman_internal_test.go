package jpeg

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// annexK2 returns the bits that T.81 K.2 needs: a Huffman tree with a symbol that never
// occurs, its codes then cut to 16 bits.
func annexK2(counts *[256]uint64) (bits uint64, longest int) {
	type node struct {
		count  uint64
		leaves []int
	}
	trees := []node{{0, []int{256}}}
	for symbol, count := range counts {
		if count > 0 {
			trees = append(trees, node{count, []int{symbol}})
		}
	}
	var length [257]int
	for len(trees) > 1 {
		slices.SortStableFunc(trees, func(a, b node) int { return int(int64(a.count) - int64(b.count)) })
		joined := node{trees[0].count + trees[1].count, slices.Concat(trees[0].leaves, trees[1].leaves)}
		for _, leaf := range joined.leaves {
			length[leaf]++
		}
		trees = append(trees[2:], joined)
	}
	var of [257]int
	for _, l := range length {
		of[l]++
		longest = max(longest, l)
	}
	for i := longest; i > maxCodeBits; i-- { // figure K.3
		for of[i] > 0 {
			j := i - 2
			for of[j] == 0 {
				j--
			}
			of[i] -= 2
			of[i-1]++
			of[j+1] += 2
			of[j]--
		}
	}
	last := maxCodeBits
	for of[last] == 0 {
		last--
	}
	of[last]-- // the symbol that never occurs
	falling := slices.Sorted(slices.Values(counts[:]))
	slices.Reverse(falling)
	at := 0
	for l := 1; l <= maxCodeBits; l++ {
		for range of[l] {
			bits += falling[at] * uint64(l)
			at++
		}
	}
	return bits, longest
}

func checkTable(t require.TestingT, counts *[256]uint64) {
	table := newBestTable(counts)
	bits, kraft := uint64(0), 0
	seen := map[byte]bool{}
	table.each(func(symbol byte, code uint64, n int) {
		require.NotZero(t, counts[symbol])
		require.False(t, seen[symbol])
		seen[symbol] = true
		require.Less(t, code, uint64(1)<<n-1, "all ones, or longer than its length")
		bits += counts[symbol] * uint64(n)
		kraft += 1 << (maxCodeBits - n)
	})
	require.Less(t, kraft, 1<<maxCodeBits)
	for symbol, count := range counts {
		require.Equal(t, count > 0, seen[byte(symbol)])
	}
	want, longest := annexK2(counts)
	if longest <= maxCodeBits {
		require.Equal(t, want, bits)
	} else {
		require.LessOrEqual(t, bits, want)
	}
}

func TestBestTable(t *testing.T) {
	var one, two, all, fibonacci, skewed [256]uint64
	one[7] = 5
	two[0], two[255] = 1, 1
	a, b := uint64(1), uint64(1)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range all {
		all[i] = 1
		skewed[i] = r.Uint64() >> (20 + r.Uint32()%40)
		if i < 60 {
			fibonacci[i], a, b = a, b, a+b
		}
	}
	for name, counts := range map[string]*[256]uint64{"one": &one, "two": &two, "all": &all, "fibonacci": &fibonacci, "skewed": &skewed} {
		t.Run(name, func(t *testing.T) { checkTable(t, counts) })
	}
}

func TestBestTableOfAnyCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var counts [256]uint64
		symbols := rapid.SliceOfN(rapid.Byte(), 1, 256).Draw(t, "symbols")
		for _, s := range symbols {
			counts[s] += 1 << rapid.IntRange(0, 30).Draw(t, "count")
		}
		checkTable(t, &counts)
	})
}

func BenchmarkBestTable(b *testing.B) {
	var counts [256]uint64
	for i := range 160 {
		counts[i] = uint64(1 + i*i*i)
	}
	for b.Loop() {
		newBestTable(&counts)
	}
}
