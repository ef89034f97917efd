package commitlog

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batchCRC covers the whole batch but the checksum's own four bytes.
func batchCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:8], castagnoli), castagnoli, b[12:])
}

// headCRC is the part of the checksum that comes from the header.
func headCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:8], castagnoli), castagnoli, b[12:batchBytes])
}

// joinCRC returns the checksum of two pieces of data from those of each, n being the length of the second. So the
// records can be summed up as they come, while the disk is busy, although the header in front of them is known last.
func joinCRC(first, second uint32, n int) uint32 {
	for _, shift := range shifts {
		if n == 0 {
			break
		}
		if n&1 != 0 {
			first = times(shift, first)
		}
		n >>= 1
	}
	return first ^ second
}

// A checksum is a polynomial over bits, the highest bit of the word belonging to the lowest power; to append a zero byte
// is to multiply by x^8. shifts[i] is x^(8*2^i): it appends 2^i zeros.
var shifts = func() (s [32]uint32) {
	s[0] = 1 << (31 - 8)
	for i := 1; i < len(s); i++ {
		s[i] = times(s[i-1], s[i-1])
	}
	return s
}()

// times multiplies two polynomials modulo that of the checksum.
func times(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		b = b>>1 ^ crc32.Castagnoli*(b&1)
	}
	return product
}
