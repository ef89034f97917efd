package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Private takes all rights to files and folders from everybody but their owners: of 0644 remains 0600, of 0755 0700. It fails at
// nothing: what could not be closed, since another user owns it or the file system has no such rights, is counted. What is not
// there is passed over, and links are followed. On systems other than Unix it does nothing.
type Private struct {
	Open int   // files and folders that could not be closed
	Err  error // why, of the first; it names the file
}

// others are the rights of everybody but the owner.
const others fs.FileMode = 0o077

// Tree closes what is at name and, if that is a folder, what is in it, so many levels deep: 0 is the folder alone. Folders in it
// that are private already are not looked into: nobody else can open anything there. Since each folder is closed after what is in
// it, one that is private was made so or is done, also after a kill.
func (p *Private) Tree(name string, levels int) { p.tree(name, levels, true) }

func (p *Private) tree(name string, levels int, root bool) {
	if !hasOwners {
		return
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		p.note(err)
		return
	}
	open := info.Mode()&others != 0
	if info.IsDir() && levels > 0 && (root || open) {
		entries, err := os.ReadDir(name)
		if err != nil {
			p.note(err)
		}
		for _, e := range entries {
			p.tree(filepath.Join(name, e.Name()), levels-1, false)
		}
	}
	if open && (info.IsDir() || info.Mode().IsRegular()) {
		if err := os.Chmod(name, info.Mode()&^others); err != nil {
			p.note(err)
		}
	}
}

func (p *Private) note(err error) {
	if p.Open++; p.Err == nil {
		p.Err = err
	}
}

// errShared says why a folder is left as it is.
var errShared = errors.New("it holds what other users own; give the service a folder of its own")

// Folder closes a folder that somebody else may have made, but not one that is plainly not for this process alone, such as /tmp or
// /var/lib: one that another user owns, that anybody may make files in, or that holds something another user owns, aside from
// lost+found, which a file system of its own has.
func (p *Private) Folder(dir string) {
	if !hasOwners {
		return
	}
	info, err := os.Stat(dir)
	if err != nil {
		p.note(err)
		return
	}
	if info.Mode()&others == 0 {
		return
	}
	if err := sharedFolder(dir, info); err != nil {
		p.note(&fs.PathError{Op: "close to others", Path: dir, Err: err})
		return
	}
	p.Tree(dir, 0)
}

func sharedFolder(dir string, info fs.FileInfo) error {
	switch {
	case !isOurs(info):
		return errors.New("another user owns it")
	case info.Mode()&fs.ModeSticky != 0:
		return errShared
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !isOurs(info) && e.Name() != "lost+found" {
			return errShared
		}
	}
	return nil
}
