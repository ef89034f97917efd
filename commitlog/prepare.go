package commitlog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"casepress/disk"
)

const tempSegment = "next" + segmentSuffix + tempSuffix

// plan is what a segment shall be like.
type plan struct {
	limit int64
	zero  bool  // write zeros ahead
	least int64 // but so many in any case: the batch that waits for the segment must find room on the disk
}

// prepared is a segment file that waits under a temporary name, closed.
type prepared struct {
	header header
	temp   string
}

// prepare makes a segment file, on stable storage, with zeros up to its limit or as many as there are, and no fewer
// than the plan's least, when hurry turns true.
func prepare(fsys disk.FS, dir string, want plan, hurry *atomic.Bool) (*prepared, error) {
	p := &prepared{header: header{salt: newSalt(), limit: want.limit}, temp: filepath.Join(dir, tempSegment)}
	f, err := fsys.OpenFile(p.temp, writeFlags|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("prepare segment: %w", err)
	}
	if err := errors.Join(p.fill(f, want, hurry), f.Close()); err != nil {
		return nil, fmt.Errorf("prepare segment: %w", errors.Join(err, p.discard(fsys)))
	}
	return p, nil
}

// fill writes zeros, then the header that tells how many. Each chunk is durable when it is written, so
// that a commit in between, or one that needs the segment, never waits for more than one chunk.
func (p *prepared) fill(f disk.File, want plan, hurry *atomic.Bool) error {
	pos, least := int64(0), roundUp(want.least)
	end := least
	if want.zero {
		end = max(end, roundUp(want.limit))
	}
	for pos < end && (pos < max(least, 1) || !hurry.Load()) {
		n := min(int64(len(zeros)), end-pos)
		if pos < least {
			n = min(n, least-pos)
		}
		if _, err := f.WriteAt(zeros[:n], pos); err != nil {
			return err
		}
		pos += n
	}
	p.header.zeroed = max(pos, blockBytes)
	return p.writeHeader(f)
}

func (p *prepared) writeHeader(f disk.File) error {
	first := disk.Aligned(blockBytes)
	copy(first, p.header.encode())
	if _, err := f.WriteAt(first, 0); err != nil {
		return err
	}
	return f.Sync()
}

// install gives the file its final name, durably. An error that Is ErrNotPrepared means that it has its old name still.
func (p *prepared) install(fsys disk.FS, path string) error {
	if err := fsys.Rename(p.temp, path); err != nil {
		return renameFailed(fsys, p.temp, path, err)
	}
	return fsys.SyncDir(filepath.Dir(path))
}

func (p *prepared) discard(fsys disk.FS) error {
	return fsys.Remove(p.temp)
}

// newSalt is random so that no payload can look like a batch of this segment, and never zero so that
// zeros cannot either.
func newSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) | 1
}
