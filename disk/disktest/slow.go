package disktest

import (
	"io/fs"
	"time"

	"casepress/disk"
)

// NewSlow wraps a file system: what makes data durable takes so long, on the clock of a bubble of testing/synctest. There
// everything that can be handed in meanwhile is, so that a test can count what becomes durable together.
func NewSlow(inner disk.FS, takes time.Duration) disk.FS { return &slowFS{inner, takes} }

type slowFS struct {
	disk.FS
	takes time.Duration
}

func (s *slowFS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &slowFile{f, s.takes, flag&disk.Durable != 0}, nil
}

type slowFile struct {
	disk.File
	takes   time.Duration
	durable bool
}

func (f *slowFile) WriteAt(p []byte, off int64) (int, error) {
	f.wait()
	return f.File.WriteAt(p, off)
}

func (f *slowFile) Write(p []byte) (int, error) {
	f.wait()
	return f.File.Write(p)
}

func (f *slowFile) wait() {
	if f.durable {
		time.Sleep(f.takes)
	}
}

func (f *slowFile) Sync() error {
	time.Sleep(f.takes)
	return f.File.Sync()
}
