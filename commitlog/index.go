package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"casepress/disk"
)

// These constants are part of the format on disk, drawn in docs/commit-log-format.md. Do not change them.
const (
	indexMagic       = "cpix"
	indexHeaderBytes = 64
	indexEntryBytes  = 24
)

var errBadIndex = errors.New("index is damaged")

// encodeIndex writes down all that Open needs to know of a closed segment.
func encodeIndex(s *segment) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, indexHeaderBytes+indexEntryBytes*len(s.index)+4)
	b = append(b, indexMagic...)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint64(b, ^s.salt)
	b = le.AppendUint64(b, s.base)
	b = le.AppendUint64(b, s.end)
	b = le.AppendUint64(b, uint64(s.size))
	b = le.AppendUint64(b, uint64(s.first))
	b = le.AppendUint64(b, uint64(s.last))
	b = le.AppendUint64(b, uint64(len(s.index)))
	for _, e := range s.index {
		b = le.AppendUint64(b, e.base)
		b = le.AppendUint64(b, uint64(e.time))
		b = le.AppendUint64(b, uint64(e.pos))
	}
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeIndex fills s from an index that belongs to the segment with s's base and salt.
func decodeIndex(b []byte, s *segment) error {
	le := binary.LittleEndian
	if len(b) < indexHeaderBytes+4 || string(b[:4]) != indexMagic || le.Uint32(b[4:]) != formatVersion {
		return errBadIndex
	}
	body, sum := b[:len(b)-4], le.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum || le.Uint64(b[8:]) != ^s.salt || le.Uint64(b[16:]) != s.base {
		return errBadIndex
	}
	entries := body[indexHeaderBytes:]
	if len(entries)%indexEntryBytes != 0 || uint64(len(entries)/indexEntryBytes) != le.Uint64(b[56:]) {
		return errBadIndex
	}
	s.end, s.size = le.Uint64(b[24:]), int64(le.Uint64(b[32:]))
	s.first, s.last = int64(le.Uint64(b[40:])), int64(le.Uint64(b[48:]))
	s.index = make([]entry, 0, len(entries)/indexEntryBytes)
	for ; len(entries) > 0; entries = entries[indexEntryBytes:] {
		e := entry{base: le.Uint64(entries), time: int64(le.Uint64(entries[8:])), pos: int64(le.Uint64(entries[16:]))}
		if e.base < s.base || e.base >= s.end || e.pos < headerBytes || e.pos >= s.size {
			return errBadIndex
		}
		s.index = append(s.index, e)
	}
	return nil
}

// saveIndex puts the index of a closed segment beside it, whole or not at all.
func saveIndex(fsys disk.FS, path string, content []byte) error {
	temp := path + tempSuffix
	f, err := fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write index: %w", errors.Join(err, fsys.Remove(temp)))
	}
	if err := fsys.Rename(temp, path); err != nil {
		return fmt.Errorf("write index: %w", errors.Join(err, fsys.Remove(temp)))
	}
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	return nil
}

// loadIndex reads the index of s; the error is fs.ErrNotExist, errBadIndex, a *CorruptionError or a failure to read.
func loadIndex(fsys disk.FS, s *segment) error {
	f, err := fsys.OpenFile(s.indexPath(), os.O_RDONLY, 0)
	if errors.Is(err, disk.ErrNotFile) { // no other one could be put in its place
		return &CorruptionError{File: s.indexPath(), Err: err}
	}
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	// A segment has at most one entry every indexEvery bytes; anything larger is not its index.
	if size > indexHeaderBytes+4+indexEntryBytes*(s.size/indexEvery+2) {
		return errBadIndex
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read index: %w", err)
	}
	return decodeIndex(b, s)
}
