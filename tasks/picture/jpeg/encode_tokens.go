package jpeg

import (
	"math/bits"
	"sync"
)

// A token is what one Huffman code and the bits behind it will say:
//
//	class(1) | symbol(8) | value(7)
//
// The symbol of an AC coefficient is run(4) | size(4), as in T.81. That of a DC
// difference is size(4) | 15, which no AC coefficient has, so one table serves both.
// A value of more than 7 bits follows in a word of its own.
const (
	tokenValueBits = 7
	tokenSymbols   = 1 << (16 - tokenValueBits)
	symbolEndBlock = 0x00
	symbolZeroRun  = 0xf0
	symbolDC       = 0x0f
)

const (
	tokensPerChunk = 1 << 15
	// tokensPerBlock is more than any block needs: two words for each coefficient.
	tokensPerBlock = 2 * 64
)

// tokenChunk is a piece of a picture's tokens. A block's tokens are in one chunk.
type tokenChunk struct {
	words [tokensPerChunk]uint16
	used  int
}

var tokenChunks = sync.Pool{New: func() any { return new(tokenChunk) }}

// tokenBuffer keeps a scan's tokens and how often each symbol is among them.
type tokenBuffer struct {
	chunks []*tokenChunk
	counts [tokenSymbols]uint64
}

func (t *tokenBuffer) reset() {
	t.release()
	clear(t.counts[:])
}

func (t *tokenBuffer) release() {
	for i, c := range t.chunks {
		tokenChunks.Put(c)
		t.chunks[i] = nil
	}
	t.chunks = t.chunks[:0]
}

// room returns a chunk that n more words fit in.
func (t *tokenBuffer) room(n int) *tokenChunk {
	if len(t.chunks) > 0 {
		if c := t.chunks[len(t.chunks)-1]; c.used+n <= tokensPerChunk {
			return c
		}
	}
	c := tokenChunks.Get().(*tokenChunk)
	c.used = 0
	t.chunks = append(t.chunks, c)
	return c
}

// appendMCU appends c's blocks of the x-th MCU of the row. A block beyond the plane,
// which no decoder shows, repeats the one before it as cheaply as can be: no change
// of DC, no AC.
func (t *tokenBuffer) appendMCU(c *encodeComponent, x int) {
	for i := range c.rowsPerMCU {
		r := &c.rows[i]
		for b := x * c.perMCU; b < (x+1)*c.perMCU; b++ {
			chunk := t.room(tokensPerBlock)
			if b >= r.blocks {
				t.appendBlock(chunk, c.class, 0, 0, &[64]int16{})
				continue
			}
			coefficients := (*[64]int16)(r.coefficients[64*b:])
			dc := int32(coefficients[0])
			t.appendBlock(chunk, c.class, dc-c.before, r.nonzero[b], coefficients)
			c.before = dc
		}
	}
}

// appendBlock appends one block's tokens.
func (t *tokenBuffer) appendBlock(chunk *tokenChunk, class int, difference int32, nonzero uint64, coefficients *[64]int16) {
	const mask = tokensPerChunk - 1
	words, n, counts := &chunk.words, chunk.used, &t.counts
	classBit := uint16(class) << 15

	size, value := magnitude(difference)
	n = t.put(chunk, n, classBit|uint16(size<<4|symbolDC)<<tokenValueBits, size, value)

	next := 1
	for todo := inZigzag(nonzero &^ 1); todo != 0; todo &= todo - 1 {
		at := bits.TrailingZeros64(todo)
		run := at - next
		next = at + 1
		for ; run > 15; run -= 16 {
			n = t.put(chunk, n, classBit|symbolZeroRun<<tokenValueBits, 0, 0)
		}
		v := int32(coefficients[fdctPosition[at&63]&63])
		if small := uint32(v + 127); small < 255 {
			w := classBit | uint16(run)<<(4+tokenValueBits) | smallTokens[small&255]
			words[n&mask] = w
			counts[w>>tokenValueBits]++
			n++
			continue
		}
		size, value := magnitude(v)
		n = t.put(chunk, n, classBit|uint16(run<<4|size)<<tokenValueBits, size, value)
	}
	if next < 64 {
		n = t.put(chunk, n, classBit|symbolEndBlock, 0, 0)
	}
	chunk.used = n
}

// put writes one token at n and returns where the next one goes.
func (t *tokenBuffer) put(chunk *tokenChunk, n int, token uint16, size int, value uint16) int {
	t.counts[token>>tokenValueBits]++
	if size <= tokenValueBits {
		chunk.words[n] = token | value
		return n + 1
	}
	chunk.words[n], chunk.words[n+1] = token, value
	return n + 2
}

// magnitude returns T.81's category of v and the bits that tell v within it.
func magnitude(v int32) (size int, value uint16) {
	sign := v >> 31
	size = bits.Len32(uint32((v ^ sign) - sign))
	return size, uint16(v+sign) & (1<<size - 1)
}

// smallTokens has, for each value from -127 to 127, the size and the value of a token.
var smallTokens = func() (t [256]uint16) {
	for v := int32(-127); v <= 127; v++ {
		size, value := magnitude(v)
		t[v+127] = uint16(size)<<tokenValueBits | value
	}
	return t
}()

// inZigzag turns a set of coefficients in the order of fdct into one in zigzag order.
func inZigzag(nonzero uint64) uint64 {
	t := &zigzagSets
	return t[0][byte(nonzero)] | t[1][byte(nonzero>>8)] | t[2][byte(nonzero>>16)] | t[3][byte(nonzero>>24)] |
		t[4][byte(nonzero>>32)] | t[5][byte(nonzero>>40)] | t[6][byte(nonzero>>48)] | t[7][byte(nonzero>>56)]
}

// zigzagSets has, for each eighth of a set in the order of fdct, the same set in
// zigzag order.
var zigzagSets = func() (t [8][256]uint64) {
	for at, position := range fdctPosition {
		for set := range 256 {
			if set&(1<<(position&7)) != 0 {
				t[position>>3][set] |= 1 << at
			}
		}
	}
	return t
}()
