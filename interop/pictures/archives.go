package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed packages.tsv
var packagesTable string

//go:embed explained.tsv
var explainedTable string

// rows returns the rows of a table without its heading, each of n cells.
func rows(table string, n int) ([][]string, error) {
	var all [][]string
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != n {
			return nil, fmt.Errorf("want %d cells: %q", n, line)
		}
		all = append(all, cells)
	}
	return all[min(1, len(all)):], nil
}

// explained has the reason for each file that is shown otherwise, by archive and name.
type explained map[string]string

func readExplained() (explained, error) {
	all, err := rows(explainedTable, 3)
	if err != nil {
		return nil, fmt.Errorf("explained.tsv: %w", err)
	}
	known := explained{}
	for _, r := range all {
		known[r[0]+"/"+r[1]] = r[2]
	}
	return known, nil
}

// archive is a folder, or a file of tar with gzip or of zip.
type archive struct{ name, path string }

// archivesOf returns the archives to look into; those of packages.tsv are fetched if need be.
func archivesOf(ctx context.Context, set settings) ([]archive, error) {
	if set.folder != "" {
		return []archive{{filepath.Base(set.folder), set.folder}}, nil
	}
	packages, err := rows(packagesTable, 5)
	if err != nil {
		return nil, fmt.Errorf("packages.tsv: %w", err)
	}
	if err := os.MkdirAll(set.cache, 0o755); err != nil {
		return nil, err
	}
	var all []archive
	for _, p := range packages {
		registry, name, version, base, sum := p[0], p[1], p[2], p[3], p[4]
		at := filepath.Join(set.cache, base)
		if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
			if err := fetch(ctx, registry, name, version, at); err != nil {
				return nil, fmt.Errorf("fetch %s %s: %w", name, version, err)
			}
		}
		b, err := os.ReadFile(at)
		if err != nil {
			return nil, err
		}
		if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != sum {
			return nil, fmt.Errorf("%s: its SHA-256 is %x, want %s", at, got, sum)
		}
		all = append(all, archive{name, at})
	}
	return all, nil
}

// fetch brings the archive of a package by the registry's own client.
func fetch(ctx context.Context, registry, name, version, at string) error {
	dir := filepath.Dir(at)
	command := func(args ...string) error {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = dir
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, said)
		}
		return nil
	}
	switch registry {
	case "pypi":
		return command("pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", name+"=="+version)
	case "npm":
		return command("npm", "pack", "--silent", name+"@"+version)
	case "maven":
		return command("mvn", "-q", "-B", "dependency:copy", "-Dartifact="+name+":"+version+":jar:tests", "-DoutputDirectory="+dir)
	case "go":
		text, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", name+"@"+version).Output()
		if err != nil {
			return fmt.Errorf("go mod download: %w", err)
		}
		var told struct{ Zip string }
		if err := json.Unmarshal(text, &told); err != nil {
			return err
		}
		b, err := os.ReadFile(told.Zip)
		if err != nil {
			return err
		}
		return os.WriteFile(at, b, 0o600)
	}
	return fmt.Errorf("no registry %q", registry)
}

// pictureNames are the endings of names of pictures, besides those of the formats that casepress knows
// by their first bytes.
var pictureNames = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".rle", ".tif", ".tiff", ".webp", ".heic", ".heif", ".hif", ".avif"}

// isPicture says whether a file is to be shown: by its name, or because casepress takes it for a picture.
func isPicture(name string, data []byte) bool {
	return slices.Contains(pictureNames, strings.ToLower(path.Ext(name))) || recognised(data)
}

// each calls do with every picture.
func (a archive) each(do func(file) error) error {
	visit := func(name string, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !isPicture(name, b) {
			return nil
		}
		return do(file{a.name, name, b})
	}
	switch {
	case strings.HasSuffix(a.path, ".zip"), strings.HasSuffix(a.path, ".jar"):
		return eachOfZip(a.path, visit)
	case strings.HasSuffix(a.path, ".tgz"), strings.HasSuffix(a.path, ".gz"):
		return eachOfTar(a.path, visit)
	}
	return filepath.WalkDir(a.path, func(at string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(at)
		if err != nil {
			return err
		}
		defer f.Close()
		name, err := filepath.Rel(a.path, at)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(name), f)
	})
}

func eachOfZip(at string, visit func(string, io.Reader) error) error {
	z, err := zip.OpenReader(at)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, entry := range z.File {
		if !entry.Mode().IsRegular() {
			continue
		}
		r, err := entry.Open()
		if err != nil {
			return err
		}
		err = visit(entry.Name, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func eachOfTar(at string, visit func(string, io.Reader) error) error {
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for t := tar.NewReader(unzipped); ; {
		entry, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.Typeflag == tar.TypeReg {
			if err := visit(entry.Name, t); err != nil {
				return err
			}
		}
	}
}
