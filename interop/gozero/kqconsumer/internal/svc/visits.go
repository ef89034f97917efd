package svc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/zeromicro/go-zero/core/logx"

	"casepress/interop/gozero/event"
)

// Visits keeps the events in a file, one in a line, and on disk before [Visits.Take] returns. A real service has its database
// here, and takes event and id in one transaction.
type Visits struct {
	mu    sync.Mutex
	taken map[string]bool // ids
	lines *file
	dead  *file
}

// letter is a dead letter.
type letter struct {
	Payload []byte `json:"payload"`
	Reason  string `json:"reason"`
}

// OpenVisits reads what an earlier process has taken.
func OpenVisits(folder string) (*Visits, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	v := &Visits{taken: map[string]bool{}}
	var err error
	if v.lines, err = openLines(filepath.Join(folder, "visits.jsonl")); err != nil {
		return nil, err
	}
	if v.dead, err = openLines(filepath.Join(folder, "dead.jsonl")); err != nil {
		return nil, errors.Join(err, v.lines.f.Close())
	}
	lines := bufio.NewScanner(v.lines.f)
	for lines.Scan() {
		e, err := event.DecodeFinished(lines.Bytes())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", v.lines.f.Name(), err), v.Close())
		}
		v.taken[e.ID] = true
	}
	if err := lines.Err(); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// file is one of lines.
type file struct {
	f    *os.File
	size int64 // of whole lines
}

// openLines opens a file of lines; half a line at its end, which nobody was told of, goes away.
func openLines(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	size := int64(bytes.LastIndexByte(content, '\n') + 1)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path)) // else a new file is gone after a power cut
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{f, size}, nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// append writes a line and returns when it is on disk. A line that did not fit is taken back. If the disk does not say that it has
// it, nobody can know what it has: the process ends, and the event comes again.
func (l *file) append(what any) error {
	line, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if _, err := l.f.Write(append(line, '\n')); err != nil {
		return errors.Join(err, l.f.Truncate(l.size))
	}
	logx.Must(l.f.Sync())
	l.size += int64(len(line)) + 1
	return nil
}

// Take takes an event, once: it may come again.
func (v *Visits) Take(e event.Finished) (first bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.taken[e.ID] {
		return false, nil
	}
	if err := v.lines.append(e); err != nil {
		return false, err
	}
	v.taken[e.ID] = true
	return true, nil
}

// Bury keeps what is no event.
func (v *Visits) Bury(payload []byte, reason error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dead.append(letter{payload, reason.Error()})
}

// Close closes the files.
func (v *Visits) Close() error { return errors.Join(v.lines.f.Close(), v.dead.f.Close()) }
