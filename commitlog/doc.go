// Package commitlog implements an append-only log in a folder: bytes in, offsets out.
//
// It promises that a record whose Append returned nil is on stable storage and is read back byte by byte, after a kill,
// a power cut, a full disk or a failed write; that no record is changed, invented or moved; and that damage before the
// end of the log is never skipped, but is an error that names the file and the position. It does not look into records,
// and it does not notice when the newest batch of a log that was not closed is damaged and its seal is not yet written:
// that looks like a commit that a power cut tore.
//
// A log is a folder of segments. Many appends share one write: the committer writes all that gathered during the last
// write as one batch, with one call that returns when the bytes are on stable storage. One commit is in flight at a
// time, so a power cut can tear only the last batch.
//
// The format of the files, what Open does with whatever it finds, and the limits are described in
// docs/commit-log-format.md. The constants of the format are in format.go and index.go.
package commitlog
