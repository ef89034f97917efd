// Package commitlog keeps records in the order they were appended and never calls one appended before
// it is on stable storage; it never changes a record, nor looks into one.
//
// A log is a folder of segments. Many appends share one write: the committer writes all that gathered
// during the last write as one batch, with one call that returns when the bytes are on stable storage.
// One commit is in flight at a time, so a power cut can tear only the last batch.
//
// # Files
//
//	00000000000000000000.log   segment, named by the offset of its first record
//	00000000000000000000.idx   its index, only for a sealed segment
//	00000000000000018734.log   the last segment is active: it is written to
//	next.log.tmp               a segment that is prepared; removed by Open
//
// Integers are little-endian; checksums are CRC-32C.
//
//	segment   +--------+-------+-------+-----+----------------+
//	          | header | batch | batch | ... | zeros           |   zeros only while it is active
//	          +--------+-------+-------+-----+----------------+
//
//	header    | "cplg" | version 4 | ^salt 8 | zeroed 8 | limit 8 | 0 28 | crc 4 |
//	           0        4           8         16         24        32     60    64
//
//	batch     | salt 8 | crc 4 | length 4 | base 8 | time 8 | count 4 | 0 4 | record | record ... |
//	           0        8       12         16       24       32        36    40
//
//	record    | length 4 | payload |
//
// The salt is random for each segment and opens each of its batches. A payload that looks like a batch,
// even a copy of another log, is therefore never taken for one. A batch's checksum covers the salt and
// everything behind the checksum. Its time is in microseconds since 1970 and never less than that of the
// batch before. A batch never crosses segments. A batch of no records is a seal: it is written after
// the last records by Close and by recovery, so that damage to them is seen and not taken for a
// torn commit.
//
//	index     | "cpix" | version 4 | ^salt 8 | base 8 | end 8 | size 8 | first 8 | last 8 | n 8 | n entries | crc 4 |
//	           0        4           8         16       24      32       40        48       56    64
//
//	entry     | base 8 | time 8 | position 8 |     of a batch about every 64 KiB
//
// docs/commit-log-format.md says what recovery does with all this, and what is promised.
package commitlog
