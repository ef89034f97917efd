package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The rows of the tables.
const (
	press      = "casepress"
	pressGo    = "casepress, no assembly"
	naive      = "std + imaging"
	vipsCLI    = "vipsthumbnail"
	vipsInside = "govips, one thread"
	magick     = "ImageMagick"
	graphics   = "GraphicsMagick"
	half       = "djpeg -scale 1/2"
	img2pdf    = "img2pdf"
)

// A contender is one way to shrink a photo to 1600 px at quality 80, upright, without metadata.
type contender struct {
	name    string
	missing string // why it is left out, if it is
	once    func(in, out string) []string
	warm    func(in, out string) []string // repeats in one process and tells the best; nil if it cannot
	nothing bool                          // makes no picture: a floor
}

// contenders builds our own programs into dir and looks for the others.
func contenders(ctx context.Context, dir string) ([]contender, error) {
	plain, pure, simple, inside := filepath.Join(dir, "press"), filepath.Join(dir, "press-go"), filepath.Join(dir, "naive"), filepath.Join(dir, "govips")
	for _, b := range []struct{ out, tags, source string }{{plain, "", "./press"}, {pure, "purego", "./press"}, {simple, "", "./naive"}} {
		if err := build(ctx, b.out, b.tags, b.source, "0"); err != nil {
			return nil, err
		}
	}
	list := []contender{
		{name: press, once: verb(plain, "photo"), warm: verb(plain, "warm", "3")},
		{name: pressGo, once: verb(pure, "photo"), warm: verb(pure, "warm", "3")},
		{name: vipsCLI, missing: absent("vipsthumbnail"), once: thumbnail},
		{name: vipsInside, warm: verb(inside, "5")},
		{name: naive, once: verb(simple), warm: verb(simple, "2")},
		imageMagick(ctx),
		{name: graphics, missing: absent("gm"), once: func(in, out string) []string {
			return []string{"gm", "convert", "-size", "1600x1600", in, "-auto-orient", "-filter", "Lanczos", "-resize", "1600x1600", "+profile", "*", "-quality", "80", out}
		}},
		{name: half, missing: absent("djpeg"), nothing: true, once: func(in, _ string) []string {
			return []string{"djpeg", "-scale", "1/2", "-outfile", os.DevNull, in}
		}},
	}
	if err := build(ctx, inside, "govips", "./govips", "1"); err != nil {
		list[3].missing = "not built: libvips-dev, pkg-config and gcc are needed"
	}
	return list, nil
}

// verb returns a command line of a program of ours.
func verb(program string, args ...string) func(in, out string) []string {
	return func(in, out string) []string { return append(append([]string{program}, args...), in, out) }
}

func thumbnail(in, out string) []string {
	return []string{"vipsthumbnail", "--size", "1600x1600", "-o", out + "[Q=80,strip]", in}
}

// build makes a program of this module. The child is static unless it must have cgo, as `make build` builds casepress.
func build(ctx context.Context, out, tags, source, cgo string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-o", out, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", source, err, text)
	}
	return nil
}

// absent says that a program is not installed, or nothing.
func absent(program string) string {
	if _, err := exec.LookPath(program); err != nil {
		return "not installed: " + program
	}
	return ""
}

// imageMagick finds the program under the name that it has here; others are called convert too.
func imageMagick(ctx context.Context) contender {
	for _, name := range []string{"magick", "convert-im6.q16", "convert"} {
		text, err := exec.CommandContext(ctx, name, "-version").Output()
		if err == nil && bytes.Contains(text, []byte("ImageMagick")) {
			return contender{name: magick, once: func(in, out string) []string {
				return []string{name, "-define", "jpeg:size=1600x1600", in, "-auto-orient", "-resize", "1600x1600", "-strip", "-quality", "80", out}
			}}
		}
	}
	return contender{name: magick, missing: "not installed: ImageMagick"}
}

// versions says who took part, in one line.
func versions(ctx context.Context) string {
	var found []string
	for _, argv := range [][]string{{"vips", "--version"}, {"convert-im6.q16", "-version"}, {"gm", "-version"}, {"djpeg", "-version"}, {"img2pdf", "--version"}} {
		text, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
		if line, _, _ := strings.Cut(string(text), "\n"); err == nil {
			words := strings.Fields(strings.TrimPrefix(line, "Version: "))
			found = append(found, strings.Join(words[:min(3, len(words))], " "))
		}
	}
	return strings.Join(found, "; ")
}
