package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// fetch fills the folder with the photos it lacks: out of the module cache, where the Go command puts them, and
// turned by jpegtran. It never asks for a version other than those in the table.
func fetch(ctx context.Context, dir string, out io.Writer) error {
	if err := os.MkdirAll(filepath.Join(dir, "ten"), 0o755); err != nil {
		return err
	}
	for _, list := range [][]photo{photos, tenPhotos} {
		_, missing := present(dir, list)
		for _, p := range list {
			if !slices.Contains(missing, p.name) {
				continue
			}
			err := p.make(ctx, dir)
			if errors.Is(err, exec.ErrNotFound) && p.from != "" {
				fmt.Fprintf(out, "%s left out: not installed: jpegtran\n", p.name)
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			fmt.Fprintln(out, filepath.Join(dir, p.name))
		}
	}
	return nil
}

func (p photo) make(ctx context.Context, dir string) error {
	data, err := p.bytes(ctx, dir)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); p.sha256 != "" && hex.EncodeToString(sum[:]) != p.sha256 {
		return errors.New("not the bytes that were expected")
	}
	return os.WriteFile(filepath.Join(dir, p.name), data, 0o600)
}

func (p photo) bytes(ctx context.Context, dir string) ([]byte, error) {
	switch {
	case p.from == "":
		folder, err := moduleFolder(ctx, p.module)
		if err != nil {
			return nil, err
		}
		return os.ReadFile(filepath.Join(folder, p.path))
	case p.transform == nil:
		return os.ReadFile(filepath.Join(dir, p.from))
	}
	args := append([]string{"-copy", "all"}, p.transform...)
	return exec.CommandContext(ctx, "jpegtran", append(args, filepath.Join(dir, p.from))...).Output()
}

// moduleFolder returns where the Go command keeps a module, downloading it if need be.
func moduleFolder(ctx context.Context, module string) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w", module, err)
	}
	var told struct{ Dir string }
	return told.Dir, json.Unmarshal(text, &told)
}
