package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// These constants are part of the format on disk, drawn in docs/commit-log-format.md. Do not change them.
const (
	segmentMagic   = "cplg"
	formatVersion  = 1
	headerBytes    = 64
	batchBytes     = 40 // of a batch's header
	recordOverhead = 4
)

// Reasons found inside a CorruptionError.
var (
	errBadHeader   = errors.New("segment header is damaged")
	errNoBatch     = errors.New("no batch where one belongs")
	errBatchLength = errors.New("batch length reaches past the data")
	errBatchCRC    = errors.New("batch checksum does not match")
	errBatchShape  = errors.New("batch does not hold the records it announces")
	errBatchOrder  = errors.New("batch does not follow the one before it")
	errVersion     = errors.New("segment is of another format version")
)

func isFormatError(err error) bool {
	for _, known := range []error{errBadHeader, errVersion, errNoBatch, errBatchLength, errBatchCRC, errBatchShape, errBatchOrder, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// header is the start of a segment file. The salt stands there inverted, so that the only places where
// it stands as it is are batches.
type header struct {
	salt   uint64
	zeroed int64 // bytes written ahead; the file is never shorter while the segment is active
	limit  int64 // size to which it may grow, unless a single batch is larger
}

func (h header) encode() []byte {
	b := make([]byte, headerBytes)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[4:], formatVersion)
	binary.LittleEndian.PutUint64(b[8:], ^h.salt)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.zeroed))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.limit))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func decodeHeader(b []byte) (header, error) {
	if len(b) < headerBytes || string(b[:4]) != segmentMagic {
		return header{}, errBadHeader
	}
	if binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return header{}, errBadHeader
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != formatVersion {
		return header{}, fmt.Errorf("%w: %d, this program reads %d", errVersion, v, formatVersion)
	}
	h := header{
		salt:   ^binary.LittleEndian.Uint64(b[8:]),
		zeroed: int64(binary.LittleEndian.Uint64(b[16:])),
		limit:  int64(binary.LittleEndian.Uint64(b[24:])),
	}
	if h.salt == 0 || h.zeroed < headerBytes || h.limit < headerBytes {
		return header{}, errBadHeader
	}
	return h, nil
}

// batchHeader is the start of a batch.
type batchHeader struct {
	salt   uint64
	crc    uint32
	length uint32 // bytes of records behind the header
	base   uint64 // offset of the first record
	time   int64  // microseconds since 1970, never less than the batch before
	count  uint32 // records; 0 in a seal
}

func (h batchHeader) size() int64 { return batchBytes + int64(h.length) }
func (h batchHeader) end() uint64 { return h.base + uint64(h.count) }

func decodeBatchHeader(b []byte) batchHeader {
	return batchHeader{
		salt:   binary.LittleEndian.Uint64(b),
		crc:    binary.LittleEndian.Uint32(b[8:]),
		length: binary.LittleEndian.Uint32(b[12:]),
		base:   binary.LittleEndian.Uint64(b[16:]),
		time:   int64(binary.LittleEndian.Uint64(b[24:])),
		count:  binary.LittleEndian.Uint32(b[32:]),
	}
}

// finishBatch fills in the header in front of the records and the checksum over both, sum being that of the records.
func finishBatch(b []byte, sum uint32, salt, base uint64, time int64, count uint32) {
	binary.LittleEndian.PutUint64(b, salt)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-batchBytes))
	binary.LittleEndian.PutUint64(b[16:], base)
	binary.LittleEndian.PutUint64(b[24:], uint64(time))
	binary.LittleEndian.PutUint32(b[32:], count)
	binary.LittleEndian.PutUint32(b[36:], 0)
	binary.LittleEndian.PutUint32(b[8:], joinCRC(headCRC(b), sum, len(b)-batchBytes))
}

func appendRecord(b, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// checkBatch verifies the checksum and that the records fill the batch exactly.
func checkBatch(h batchHeader, b []byte) error {
	if batchCRC(b) != h.crc {
		return errBatchCRC
	}
	rest := b[batchBytes:]
	for range h.count {
		if len(rest) < recordOverhead {
			return errBatchShape
		}
		n := binary.LittleEndian.Uint32(rest)
		if uint64(n) > uint64(len(rest)-recordOverhead) {
			return errBatchShape
		}
		rest = rest[recordOverhead+n:]
	}
	if len(rest) != 0 || h.end() < h.base {
		return errBatchShape
	}
	return nil
}
