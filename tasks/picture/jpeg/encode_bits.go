package jpeg

import "encoding/binary"

// tokenCode is what a token turns into: the Huffman code, shifted to leave room for
// the value's bits, over the number of both's bits together.
//
//	code and room(32) | long(1) | bits(7)
//
// long says that the value is in a word of its own.
type tokenCode uint64

const tokenCodeLong = 1 << 7

// appendTokens appends the scan's data: each token's code and value, bit by bit, with
// a 0 after every 0xff byte, the last byte filled with ones.
func (t *tokenBuffer) appendTokens(out []byte, codes *[tokenSymbols]tokenCode) []byte {
	var pending uint64 // the lowest used bits of it
	used := uint(0)
	for _, chunk := range t.chunks {
		words := chunk.words[:chunk.used]
		for i := 0; i < len(words); i++ {
			word := words[i]
			code := codes[word>>tokenValueBits]
			value := uint64(word & (1<<tokenValueBits - 1))
			if code&tokenCodeLong != 0 {
				i++
				value = uint64(words[i])
			}
			n := uint(code & (tokenCodeLong - 1))
			value |= uint64(code >> 8)
			if used += n; used <= 64 {
				pending = pending<<(n&63) | value
				continue
			}
			used -= 64
			out = appendStuffed(out, pending<<((n-used)&63)|value>>(used&63))
			pending = value
		}
	}
	return appendLast(out, pending, used)
}

// appendStuffed appends eight bytes, with a 0 after every 0xff.
func appendStuffed(out []byte, eight uint64) []byte {
	const low, high = 0x0101010101010101, 0x8080808080808080
	if (^eight-low)&eight&high == 0 { // no byte of ^eight is 0
		return binary.BigEndian.AppendUint64(out, eight)
	}
	for shift := 56; shift >= 0; shift -= 8 {
		b := byte(eight >> shift)
		if out = append(out, b); b == 0xff {
			out = append(out, 0)
		}
	}
	return out
}

// appendLast appends the lowest used bits of pending.
func appendLast(out []byte, pending uint64, used uint) []byte {
	fill := -used & 7
	pending = pending<<fill | (1<<fill - 1)
	for used += fill; used > 0; used -= 8 {
		b := byte(pending >> (used - 8))
		if out = append(out, b); b == 0xff {
			out = append(out, 0)
		}
	}
	return out
}
