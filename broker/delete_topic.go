package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"casepress/disk"
)

// A tombstone is a file beside the topic's folder, named ~ and the topic. Once it is durable the topic is gone,
// whatever is left of its folder; it is removed after the folder. No topic's name has a ~ in it.
const tombstone = "~"

// DeleteTopic removes a topic with its messages and groups. A power cut leaves it whole or gone. It returns
// ErrNoTopic, or ErrBusy while any of its groups has members. Deliveries of it are lost. Its dead-letter topic
// stays.
func (b *Broker) DeleteTopic(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := b.topic(name)
	if isDamage(err) {
		return b.deleteDamaged(name)
	}
	if err != nil {
		return err
	}
	removed := make(chan struct{})
	if err := b.unlist(t, removed); err != nil {
		return err
	}
	defer b.endRemoval(name, removed)
	// Nobody waits for this but whoever makes a topic of that name.
	if err := errors.Join(t.close(), b.removeDeleted(name)); err != nil {
		return fmt.Errorf("delete topic %s: it is gone, its files not yet: %w", name, err)
	}
	return nil
}

// deleteDamaged removes a topic that could not be opened.
func (b *Broker) deleteDamaged(name string) error {
	b.mu.Lock()
	if b.closed.Load() || b.damaged[name] == nil || b.busy(name) != nil {
		b.mu.Unlock()
		return fmt.Errorf("%w: %q", ErrBusy, name)
	}
	removed := make(chan struct{})
	b.removing[name] = removed
	b.removals.Add(1)
	b.mu.Unlock()
	defer b.endRemoval(name, removed)
	if err := b.writeTombstone(name); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	b.mu.Lock()
	delete(b.damaged, name)
	b.mu.Unlock()
	if err := b.removeDeleted(name); err != nil {
		return fmt.Errorf("delete topic %s: it is gone, its files not yet: %w", name, err)
	}
	return nil
}

// unlist makes a topic without members gone, durably, and says that its files are being removed. After an error it is as it
// was, and nothing is being removed.
func (b *Broker) unlist(t *topic, removed chan struct{}) error {
	t.creating.Lock()
	defer t.creating.Unlock()
	if err := t.refuseMembers(); err != nil {
		return err
	}
	b.mu.Lock()
	if b.closed.Load() {
		b.mu.Unlock()
		return ErrClosed
	}
	b.removing[t.name] = removed
	b.removals.Add(1)
	b.mu.Unlock()
	if err := b.writeTombstone(t.name); err != nil {
		err = fmt.Errorf("delete topic %s: %w", t.name, errors.Join(err, b.undoTombstone(t)))
		b.endRemoval(t.name, removed)
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	topics := maps.Clone(*b.topics.Load())
	delete(topics, t.name)
	b.topics.Store(&topics)
	return nil
}

// endRemoval lets those go on who wait to make a topic of that name.
func (b *Broker) endRemoval(name string, removed chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.removing, name)
	close(removed)
	b.removals.Done()
}

// refuseMembers keeps new members and groups away, if there is nobody. The caller holds creating.
func (t *topic) refuseMembers() error {
	if t.deleted.Load() {
		return fmt.Errorf("%w: %q", ErrNoTopic, t.name)
	}
	groups := t.allGroups()
	for i, g := range groups {
		g.lifecycle.Lock()
		busy := g.cancel != nil
		g.deleted = g.deleted || !busy
		g.lifecycle.Unlock()
		if busy {
			for _, g := range groups[:i] {
				g.restore()
			}
			return fmt.Errorf("%w: group %s of topic %s has members", ErrBusy, g.name, t.name)
		}
	}
	t.deleted.Store(true)
	return nil
}

// allowMembers undoes refuseMembers.
func (t *topic) allowMembers() {
	t.deleted.Store(false)
	for _, g := range t.allGroups() {
		g.restore()
	}
}

func (g *group) restore() {
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	g.deleted = false
}

// writeTombstone writes the tombstone. After an error it may or may not be there.
func (b *Broker) writeTombstone(name string) error {
	path := filepath.Join(b.dir, tombstone+name)
	f, err := b.opts.FS.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return b.opts.FS.SyncDir(b.dir)
}

// undoTombstone takes back a tombstone that could not be made durable. If that fails too, a power cut may or may not
// delete the topic: then it takes nothing more until the broker is opened again.
func (b *Broker) undoTombstone(t *topic) error {
	err := b.opts.FS.Remove(filepath.Join(b.dir, tombstone+t.name))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = b.opts.FS.SyncDir(b.dir)
	}
	if err != nil {
		return errors.Join(err, t.close())
	}
	t.allowMembers()
	return nil
}

// removeDeleted removes what is left of a topic with a tombstone, then the tombstone.
func (b *Broker) removeDeleted(name string) error {
	if err := removeAll(b.opts.FS, filepath.Join(b.dir, name)); err != nil {
		return err
	}
	if err := b.opts.FS.SyncDir(b.dir); err != nil {
		return err
	}
	if err := b.opts.FS.Remove(filepath.Join(b.dir, tombstone+name)); err != nil {
		return err
	}
	return b.opts.FS.SyncDir(b.dir)
}

// finishDeletions ends every deletion that a crash or a failure left halfway.
func (b *Broker) finishDeletions(entries []fs.DirEntry) error {
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), tombstone); ok && !e.IsDir() && checkName(name, maxTopicFolder) == nil {
			if err := b.removeDeleted(name); err != nil {
				return fmt.Errorf("remove deleted topic %s: %w", name, err)
			}
		}
	}
	return nil
}

// finishDeletion ends the deletion of a topic of that name, if one was left halfway. The caller has the turn of creating.
func (b *Broker) finishDeletion(name string) error {
	switch _, err := b.opts.FS.Stat(filepath.Join(b.dir, tombstone+name)); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return b.removeDeleted(name)
}

// removeAll removes a folder with everything in it. It is no error if there is none.
func removeAll(fsys disk.FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			err = errors.Join(err, removeAll(fsys, path))
			continue
		}
		err = errors.Join(err, fsys.Remove(path))
	}
	if err == nil {
		err = fsys.SyncDir(dir) // not the folder before what is in it
	}
	if err != nil {
		return err
	}
	return fsys.Remove(dir)
}
