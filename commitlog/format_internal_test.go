package commitlog

import (
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzBatch decodes arbitrary bytes, and what it has encoded itself.
func FuzzBatch(f *testing.F) {
	f.Add([]byte("one"), []byte(""), uint64(7), uint8(3))
	f.Add([]byte{}, make([]byte, 300), uint64(1), uint8(200))
	f.Fuzz(func(t *testing.T, one, two []byte, base uint64, bit uint8) {
		raw := append(append([]byte(nil), one...), two...)
		if len(raw) >= batchBytes {
			_ = checkBatch(decodeBatchHeader(raw), raw)
			finishBatch(raw, crc32.Checksum(raw[batchBytes:], castagnoli), 1, base, 2, uint32(bit)) // checksum right, shape arbitrary
			_ = checkBatch(decodeBatchHeader(raw), raw)
		}
		b := appendRecord(appendRecord(make([]byte, batchBytes), one), two)
		finishBatch(b, crc32.Checksum(b[batchBytes:], castagnoli), 5, base>>1, 6, 2)
		h := decodeBatchHeader(b)
		require.NoError(t, checkBatch(h, b))
		require.Equal(t, batchHeader{salt: 5, crc: h.crc, length: uint32(8 + len(one) + len(two)), base: base >> 1, time: 6, count: 2}, h)
		r := Reader{body: b[batchBytes:]}
		require.Equal(t, string(one), string(r.shift()))
		require.Equal(t, string(two), string(r.shift()))
		b[int(bit)%len(b)] ^= 1 << (bit % 8)
		require.Error(t, checkBatch(decodeBatchHeader(b), b), "one flipped bit")
	})
}

func TestHeaderRoundTrip(t *testing.T) {
	want := header{salt: newSalt(), zeroed: 4096, limit: 1 << 30}
	got, err := decodeHeader(want.encode())
	require.NoError(t, err)
	require.Equal(t, want, got)
	newer := want.encode()
	newer[4] = 2
	_, err = decodeHeader(newer)
	require.Error(t, err)
}

func TestSegmentsGrowToFullSize(t *testing.T) {
	o, err := Options{}.withDefaults()
	require.NoError(t, err)
	var sizes []int64
	for limit := o.nextLimit(0); len(sizes) < 8; limit = o.nextLimit(limit) {
		sizes = append(sizes, limit>>10)
	}
	require.Equal(t, []int64{32, 128, 512, 2048, 8192, 32768, 65536, 65536}, sizes)
	require.Equal(t, int64(64<<20), o.nextLimit(1<<62), "whatever a header says")
}

// The checksum made from two pieces is that of the whole.
func TestTheChecksumIsOfTheWhole(t *testing.T) {
	b := make([]byte, 3<<20)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	for n := 0; n < len(b)-batchBytes; n += 1 + n/2 {
		batch := b[:batchBytes+n]
		got := joinCRC(headCRC(batch), crc32.Checksum(batch[batchBytes:], castagnoli), n)
		require.Equal(t, batchCRC(batch), got, "%d bytes", n)
	}
	const most = 1 << 30 // of zeros, in two ways
	require.Equal(t, joinCRC(joinCRC(77, 0, most-1), 0, 1), joinCRC(77, 0, most))
}

func BenchmarkJoinChecksums(b *testing.B) {
	batch := make([]byte, batchBytes+1028)
	for b.Loop() {
		joinCRC(headCRC(batch), 0, len(batch)-batchBytes)
	}
}
