package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // what casepress makes
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"casepress/tasks/picture"
)

//go:embed pillow.py
var pillowProgram string

const (
	maxSide   = 1600 // pixels of the longer side, of all three
	viewLimit = 2 * time.Minute
)

// view is what one program shows of a file: a picture, or what it says instead.
type view struct {
	img   image.Image
	error string
	notes []string // of casepress
}

func (v view) shown() bool { return v.img != nil }

// viewers are the three programs, for one worker.
type viewers struct {
	set    settings
	dir    string // for the file and what is made of it
	pillow *pillow
}

func newViewers(set settings) (*viewers, error) {
	dir, err := os.MkdirTemp("", "casepress-pictures")
	return &viewers{set: set, dir: dir}, err
}

func (v *viewers) close() {
	if v.pillow != nil {
		v.pillow.stop()
	}
	os.RemoveAll(v.dir)
}

// recognised says whether casepress takes the bytes for a picture.
func recognised(b []byte) bool {
	_, err := picture.Inspect(context.Background(), bytes.NewReader(b), int64(len(b)))
	return !errors.Is(err, picture.ErrNotImage)
}

// byCasepress shows a file as a task does, at the defaults.
func byCasepress(ctx context.Context, b []byte) (view, error) {
	res, err := picture.Process(ctx, bytes.NewReader(b), int64(len(b)), picture.NewBudget(picture.DefaultBudget), picture.Options{MaxSide: maxSide})
	var p *picture.Problem
	if errors.As(err, &p) {
		return view{error: p.Code}, nil
	}
	if err != nil {
		return view{}, err
	}
	img, _, err := image.Decode(bytes.NewReader(res.Full.Data))
	if err != nil {
		return view{}, fmt.Errorf("what casepress made: %w", err)
	}
	v := view{img: img}
	for _, n := range res.Notes {
		v.notes = append(v.notes, n.Code)
	}
	return v, nil
}

// byVips shows a file with vipsthumbnail. It is told to convert to sRGB only where there is a profile: asked to
// convert what has none, it changes the values of sRGB.
func (v *viewers) byVips(ctx context.Context, path string) (view, error) {
	seen, profile, err := v.vipsthumbnail(ctx, path)
	if err == nil && profile {
		seen, _, err = v.vipsthumbnail(ctx, path, "--eprofile", "srgb")
	}
	return seen, err
}

// vipsthumbnail says too whether what it made has a profile.
func (v *viewers) vipsthumbnail(ctx context.Context, path string, options ...string) (view, bool, error) {
	out := filepath.Join(v.dir, "vips.png")
	ctx, cancel := context.WithTimeout(ctx, viewLimit)
	defer cancel()
	args := append([]string{path, "--size", fmt.Sprintf("%dx%d>", maxSide, maxSide), "-o", out}, options...)
	cmd := exec.CommandContext(ctx, "vipsthumbnail", args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return view{}, false, err
	}
	b, readErr := take(out)
	if readErr != nil { // what it says beside a picture is no matter
		return view{error: cmp.Or(firstLine(said.String()), fmt.Sprint(err))}, false, nil
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil { // it stopped half way
		return view{error: cmp.Or(firstLine(said.String()), err.Error())}, false, nil
	}
	return view{img: img}, hasProfile(b), nil
}

// hasProfile says whether a PNG has a colour profile in front of its pixels.
func hasProfile(b []byte) bool {
	head, _, _ := bytes.Cut(b, []byte("IDAT"))
	return bytes.Contains(head, []byte("iCCP"))
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// take reads a file and removes it.
func take(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.Remove(path)
	}
	return b, err
}

// pillow is a Python that shows one file after the other.
type pillow struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
	cancel  context.CancelFunc
}

func startPillow(ctx context.Context, python string) (*pillow, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &pillow{cmd: exec.CommandContext(ctx, python, "-c", pillowProgram, fmt.Sprint(maxSide)), cancel: cancel}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	p.in, p.answers = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	return p, nil
}

func (p *pillow) stop() {
	p.in.Close()
	p.cancel()
	_ = p.cmd.Wait() // it was told to end
}

// byPillow shows a file with Pillow. A Python that dies of it, or takes too long, is started anew.
func (v *viewers) byPillow(ctx context.Context, path string) (view, error) {
	if v.pillow == nil {
		p, err := startPillow(ctx, v.set.python)
		if err != nil {
			return view{}, err
		}
		v.pillow = p
	}
	out := filepath.Join(v.dir, "pillow.png")
	timer := time.AfterFunc(viewLimit, v.pillow.cancel)
	defer timer.Stop()
	var answer string
	_, err := fmt.Fprintf(v.pillow.in, "%s\t%s\n", path, out)
	if err == nil {
		answer, err = v.pillow.answers.ReadString('\n')
	}
	if err != nil {
		v.pillow.stop()
		v.pillow = nil
		if ctx.Err() != nil {
			return view{}, context.Cause(ctx)
		}
		return view{error: "Python died"}, nil
	}
	if answer != "ok\n" {
		return view{error: firstLine(answer)}, nil
	}
	b, err := take(out)
	if err != nil {
		return view{}, err
	}
	img, err := png.Decode(bytes.NewReader(b))
	return view{img: img}, err
}

// compare shows a file with all three.
func (v *viewers) compare(ctx context.Context, f file) (outcome, error) {
	path := filepath.Join(v.dir, "file"+strings.ToLower(filepath.Ext(f.name)))
	if err := os.WriteFile(path, f.data, 0o600); err != nil {
		return outcome{}, err
	}
	defer os.Remove(path)
	ours, err := byCasepress(ctx, f.data)
	if err != nil {
		return outcome{}, err
	}
	vips, err := v.byVips(ctx, path)
	if err != nil {
		return outcome{}, err
	}
	pil, err := v.byPillow(ctx, path)
	if err != nil {
		return outcome{}, err
	}
	c, detail := judge(ours, vips, pil)
	if v.set.keep != "" && (c.mustBeExplained() || v.set.verbose) {
		err = v.store(f, ours, vips, pil)
	}
	return outcome{f.archive, f.name, c, detail}, err
}

// store keeps a file and what the three show of it.
func (v *viewers) store(f file, ours, vips, pil view) error {
	base := filepath.Join(v.set.keep, strings.NewReplacer("/", "_", ":", "_").Replace(f.archive+"_"+f.name))
	if err := os.MkdirAll(v.set.keep, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(base, f.data, 0o600); err != nil {
		return err
	}
	for name, shown := range map[string]view{"casepress": ours, "vips": vips, "pillow": pil} {
		if !shown.shown() {
			continue
		}
		var b bytes.Buffer
		if err := png.Encode(&b, shown.img); err != nil {
			return err
		}
		if err := os.WriteFile(base+"."+name+".png", b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// printVersions prints what the others are.
func printVersions(ctx context.Context, set settings, out io.Writer) error {
	vips, err := exec.CommandContext(ctx, "vipsthumbnail", "--vips-version").Output()
	if err != nil {
		return fmt.Errorf("vipsthumbnail (Debian: libvips-tools): %w", err)
	}
	const ask = "import PIL, pillow_heif; print('Pillow', PIL.__version__, 'with pillow-heif', pillow_heif.__version__)"
	pil, err := exec.CommandContext(ctx, set.python, "-c", ask).Output()
	if err != nil {
		return fmt.Errorf("%s without the packages of requirements.txt: %w", set.python, err)
	}
	fmt.Fprintf(out, "%s, %s\n\n", firstLine(string(vips)), firstLine(string(pil)))
	return nil
}

// covers says whether a remark of casepress says that a picture may look otherwise elsewhere. That it is
// the first of several does not: the others show the first too.
func covers(notes []string) bool {
	return slices.ContainsFunc(notes, func(code string) bool {
		return code != picture.CodeFirstFrame && code != picture.CodeFirstPage
	})
}
