package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"casepress/blob"
	"casepress/disk"
)

// explainKeys says of an error about the keys of the vault which flag is to be changed.
func (c *Serve) explainKeys(err error) error {
	switch {
	case !errors.Is(err, blob.ErrKey):
		return err
	case c.VaultKeyFile == "":
		return fmt.Errorf("%w; --vault-key-file must name the file with that key", err)
	}
	return fmt.Errorf("%w; the file %s of --vault-key-file does not hold it", err, c.VaultKeyFile)
}

// vaultKeys reads the key file, nil without one.
func (c *Serve) vaultKeys() (*blob.Keys, error) {
	if c.VaultKeyFile == "" {
		return nil, nil
	}
	if inside(c.DataDir, c.VaultKeyFile) {
		return nil, fmt.Errorf("--vault-key-file: %s lies in the data folder, whose originals it is to protect: keep it elsewhere", c.VaultKeyFile)
	}
	f, err := os.Open(c.VaultKeyFile)
	if err != nil {
		return nil, fmt.Errorf("--vault-key-file: %w", err)
	}
	keys, err := blob.ParseKeys(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("--vault-key-file: %s: %w", c.VaultKeyFile, err)
	}
	return keys, nil
}

// inside reports whether the file lies in the folder or below it.
func inside(folder, file string) bool {
	rel, err := filepath.Rel(realPath(folder), realPath(file))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// realPath is the absolute path without links, as far as it exists.
func realPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

// VaultKey makes a key for the vault.
type VaultKey struct {
	File string `arg:"" help:"File to write the key to. It must not exist."`
}

// Run writes the key, readable by its owner only, and prints its public name.
func (v *VaultKey) Run(_ context.Context, stdout, _ io.Writer) error {
	f, err := os.OpenFile(v.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	public, err := blob.NewKey(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = disk.OS.SyncDir(filepath.Dir(v.File)) // or a power cut could take the key of what it has sealed
	}
	if err != nil {
		return errors.Join(err, os.Remove(v.File))
	}
	_, err = fmt.Fprintf(stdout, "%s: a key for --vault-key-file. Its public name is %s\nKeep a copy where no disk failure reaches it: without it, the originals that it seals cannot be read by anybody.\n", v.File, public)
	return err
}
