// Command pictures measures how casepress shrinks photos and makes the report beside those who do the same: libvips,
// ImageMagick, GraphicsMagick, the naive way in Go and a floor, interleaved in one run, each job in a process of its
// own. It prints Markdown, with the project's aims at the end. It keeps nothing and asserts nothing. Linux only.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	photos := flag.String("photos", defaultPhotos(), "folder of the photos")
	fetching := flag.Bool("fetch", false, "fill that folder first, from test data of Go modules")
	rounds := flag.Int("rounds", 5, "how often each measurement is taken")
	only := flag.String("only", "", "only the sections whose title contains one of these, separated by commas")
	rows := flag.String("rows", "", "only the contenders whose name contains one of these, separated by commas")
	files := flag.String("files", "", "only the photos with these numbers, separated by commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := error(nil)
	if *fetching {
		err = fetch(ctx, *photos, os.Stderr)
	}
	if err == nil {
		err = compare(ctx, *photos, max(1, *rounds), chosen{list(*only), list(*rows), list(*files)}, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		stop()
		os.Exit(1)
	}
}

func defaultPhotos() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "casepress-photos")
}

// chosen are parts of names; none means all.
type chosen struct{ sections, rows, photos []string }

// wanted says whether one of the parts is in the name.
func wanted(parts []string, name string) bool {
	return len(parts) == 0 || slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

// compare measures round robin and prints everything.
func compare(ctx context.Context, folder string, rounds int, only chosen, out io.Writer) error {
	begun := time.Now()
	dir, err := os.MkdirTemp("", "pictures")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, missing, err := prepare(ctx, dir, folder, only.photos)
	if err != nil {
		return err
	}
	r, sections, err := b.sections(ctx, only)
	if err != nil {
		return err
	}
	for round := range rounds {
		for _, s := range sections {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, rounds, s.title)
			if err := s.measure(ctx); err != nil {
				return err
			}
		}
	}
	small := ownSize()
	if wanted(only.sections, qualityTitle) {
		if r.verdicts, err = b.judge(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%s, %d CPUs, %s, %d rounds, %v in all, load %s. %s. RSS below %s cannot be told.\n", begun.UTC().Format(time.DateTime),
		runtime.NumCPU(), runtime.Version(), rounds, time.Since(begun).Round(time.Second), load(), versions(ctx), small)
	for _, why := range missing {
		fmt.Fprintf(out, "\nLeft out: %s\n", why)
	}
	b.print(out, r, only)
	return nil
}

// prepare builds, looks for programs and photos, and says what is not there.
func prepare(ctx context.Context, dir, folder string, numbers []string) (b *bench, missing []string, err error) {
	b = &bench{dir: dir, photos: folder}
	if err := os.MkdirAll(filepath.Join(dir, "workers"), 0o755); err != nil {
		return nil, nil, err
	}
	if b.contenders, err = contenders(ctx, dir); err != nil {
		return nil, nil, err
	}
	for _, c := range b.contenders {
		if c.missing != "" {
			missing = append(missing, c.name+" ("+c.missing+")")
		}
	}
	if why := absent("img2pdf"); why != "" {
		missing = append(missing, why)
	}
	set, lacking := present(folder, photos)
	ten, lackingTen := present(folder, tenPhotos)
	for _, name := range append(lacking, lackingTen...) {
		missing = append(missing, "photo "+name+" (not there: try -fetch)")
	}
	b.set = slices.DeleteFunc(set, func(p photo) bool { return !wanted(numbers, p.number()) })
	for _, p := range ten {
		b.ten = append(b.ten, b.photo(p))
	}
	return b, missing, nil
}

// sections returns all sections, the unwanted ones empty, and the wanted ones in their order.
func (b *bench) sections(ctx context.Context, only chosen) (r results, picked []*section, err error) {
	r = results{one: b.one(), warm: b.warm(), workers: b.workers(), whole: b.caseReport(), pdf: &section{title: pdfTitle}, stages: b.stages()}
	if wanted(only.sections, pdfTitle) {
		if r.pdf, err = b.pdf(ctx); err != nil {
			return r, nil, err
		}
	}
	for _, s := range []*section{r.one, r.warm, r.workers, r.whole, r.pdf, r.stages} {
		s.cells = slices.DeleteFunc(s.cells, func(c *cell) bool { return !wanted(only.sections, s.title) || !wanted(only.rows, c.row) })
		if len(s.cells) > 0 {
			picked = append(picked, s)
		}
	}
	return r, picked, nil
}

func (b *bench) print(out io.Writer, r results, only chosen) {
	for _, s := range []struct {
		*section
		print func()
	}{
		{r.one, func() { b.printOne(out, r.one) }},
		{r.warm, func() { b.printWarm(out, r.warm) }},
		{r.workers, func() { printWorkers(out, r.workers) }},
		{r.whole, func() { printCase(out, r.whole) }},
		{r.pdf, func() { printPDF(out, r.pdf) }},
		{r.stages, func() { printStages(out, r.stages) }},
	} {
		if len(s.cells) == 0 {
			continue
		}
		s.print()
		for _, line := range s.failures() {
			fmt.Fprintf(out, "\nFailed: %s\n", line)
		}
	}
	if len(r.verdicts) > 0 {
		printVerdicts(out, r.verdicts)
	}
	fmt.Fprint(out, "\n## Aims\n")
	printAims(out, slices.DeleteFunc(r.aims(b.set), func(a aim) bool { return len(only.sections) > 0 && a.met() == "not measured" }))
}

// load returns the machine's load averages, which the run itself drives up.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// ownSize returns this process's peak of resident memory so far.
func ownSize() string {
	text, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				return strings.TrimSpace(size)
			}
		}
	}
	return "an unknown size"
}
