package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"casepress/disk"
)

const floorBytes = 64 << 20

// floor is what the machine can do at most, as in commitlog/bench_test.go: one zeroed file written over and over,
// two buffers, a write and a fdatasync for all that gathered. No format, no checksum, no index, no new segments.
type floor struct {
	file     disk.File
	wake     chan struct{}
	finished chan struct{}

	mu      sync.Mutex // guards filling and done
	filling []byte
	done    chan struct{} // closed when what is in filling is on stable storage
	err     error         // written before done is closed
}

func zeroed(dir string) (disk.File, error) {
	file, err := disk.OS.OpenFile(filepath.Join(dir, "floor"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for pos := int64(0); pos < floorBytes; pos += 1 << 20 {
		if _, err := file.WriteAt(make([]byte, 1<<20), pos); err != nil {
			return nil, err
		}
	}
	return file, file.Sync()
}

func openFloor(dir string) (func() error, func() error, error) {
	file, err := zeroed(dir)
	if err != nil {
		return nil, nil, err
	}
	f := &floor{file: file, done: make(chan struct{}), wake: make(chan struct{}, 1), finished: make(chan struct{})}
	go f.commits()
	return f.append, f.close, nil
}

func (f *floor) append() error {
	f.mu.Lock()
	first := len(f.filling) == 0
	f.filling = append(f.filling, payload...)
	done := f.done
	f.mu.Unlock()
	if first {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	<-done
	return f.err
}

func (f *floor) commits() {
	defer close(f.finished)
	var spare []byte
	pos := int64(0)
	for range f.wake {
		f.mu.Lock()
		buf, done := f.filling, f.done
		f.filling, f.done = spare[:0], make(chan struct{})
		f.mu.Unlock()
		if pos+int64(len(buf)) > floorBytes {
			pos = 0
		}
		if _, err := f.file.WriteAt(buf, pos); err != nil {
			f.err = err
		}
		if err := f.file.Sync(); err != nil {
			f.err = err
		}
		pos += int64(len(buf))
		spare = buf
		close(done)
	}
}

func (f *floor) close() error {
	close(f.wake)
	<-f.finished
	return f.file.Close()
}

// pingDisk has one write and one sync, and nothing to handle or acknowledge: the same figure stands in each column.
func pingDisk(_ context.Context, dir string) (func() (ping, error), func() error, error) {
	file, err := zeroed(dir)
	if err != nil {
		return nil, nil, err
	}
	pos := int64(0)
	return func() (ping, error) {
		_, err := file.WriteAt(payload, pos)
		if err == nil {
			err = file.Sync()
		}
		pos += int64(len(payload))
		now := time.Now()
		return ping{sent: now, handled: now, acked: now, durable: now}, err
	}, file.Close, nil
}
