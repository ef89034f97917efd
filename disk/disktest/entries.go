package disktest

import (
	"io/fs"
	"maps"
	"time"
)

// entryChange is a change of folder entries that a power cut undoes as a whole or not at all.
type entryChange struct {
	dir  string           // whose sync makes it durable
	set  map[string]*node // nil removes the name
	only *entryChange     // happens only with or after this one: a file that moves is never lost
	done bool             // durable
}

func (e *entryChange) apply(names map[string]*node) {
	for name, n := range e.set {
		if n == nil {
			delete(names, name)
		} else {
			names[name] = n
		}
	}
}

// change alters entries for running programs; c is locked.
func (c *CrashFS) change(e *entryChange) error {
	if c.after != nil {
		return ErrPowerCut
	}
	e.apply(c.names)
	c.pending = append(c.pending, e)
	if err := c.step(); err != nil {
		return err
	}
	return c.step()
}

func (c *CrashFS) syncEntries(dir string) {
	needed := map[*entryChange]bool{}
	for _, e := range c.pending {
		if e.dir == dir && e.only != nil {
			needed[e.only] = true
		}
	}
	var left []*entryChange
	for _, e := range c.pending {
		if e.dir != dir && !needed[e] {
			left = append(left, e)
			continue
		}
		e.apply(c.durable)
		e.done = true
	}
	c.pending = left
}

// entriesAfterCut decides which of the pending changes survive.
func (c *CrashFS) entriesAfterCut(keep float64) map[string]*node {
	names := maps.Clone(c.durable)
	survived := map[*entryChange]bool{}
	for _, e := range c.pending {
		possible := e.only == nil || e.only.done || survived[e.only]
		if possible && c.rng.Float64() < keep {
			e.apply(names)
			survived[e] = true
		}
	}
	return names
}

// fileInfo is what Stat knows.
type fileInfo struct {
	name     string
	size     int64
	dir      bool
	modified time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) IsDir() bool        { return i.dir }
func (i fileInfo) ModTime() time.Time { return i.modified }
func (i fileInfo) Sys() any           { return nil }

func (i fileInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
