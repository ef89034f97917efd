// Command pictures shows every picture inside the public packages of packages.tsv three times, with the
// code that casepress shows pictures with, with libvips and with Pillow, and compares what each shows:
// upright, in sRGB, over white, at most 1600 pixels.
//
//	go run ./interop/pictures [-python PYTHON] [-only TEXT] [-folder DIR] [-keep DIR] [-v]
//
// It prints how many files of each package fall into each class, and each file that casepress shows
// unlike others without a word, or refuses though both others show it. Each such file is named in
// explained.tsv with the reason; the command ends with 1 if one is not, or if a reason is left over.
// The archives are fetched by the registries' own clients into the user's cache, and their SHA-256 is
// checked; nothing of them is written into the repository.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// settings are the flags.
type settings struct {
	python, only, folder, keep, cache string
	verbose                           bool
}

func main() {
	var set settings
	cache, _ := os.UserCacheDir()
	flag.StringVar(&set.python, "python", "python3", "Python that has the packages of requirements.txt")
	flag.StringVar(&set.only, "only", "", "only files whose package and name contain the text; reasons left over are then no failure")
	flag.StringVar(&set.folder, "folder", "", "a folder of pictures, or an archive, in place of the packages")
	flag.StringVar(&set.keep, "keep", "", "folder for the pictures that are not the same: the file, and what each shows")
	flag.StringVar(&set.cache, "cache", filepath.Join(cache, "casepress", "pictures"), "folder for the archives")
	flag.BoolVar(&set.verbose, "v", false, "print a line for every file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	whole, err := run(ctx, set, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(2)
	}
	if !whole {
		os.Exit(1)
	}
}

// file is one file of an archive.
type file struct {
	archive, name string
	data          []byte
}

// outcome is what became of one file.
type outcome struct {
	archive, name string
	class         class
	detail        string
}

// run says whether every difference is explained, and every explanation is of a difference.
func run(ctx context.Context, set settings, out io.Writer) (bool, error) {
	known, err := readExplained()
	if err != nil {
		return false, err
	}
	archives, err := archivesOf(ctx, set)
	if err != nil {
		return false, err
	}
	if err := printVersions(ctx, set, out); err != nil {
		return false, err
	}
	outcomes, err := compareAll(ctx, set, archives)
	if err != nil {
		return false, err
	}
	return report(set, outcomes, known, out), nil
}

// compareAll compares every file of the archives, one worker a processor.
func compareAll(ctx context.Context, set settings, archives []archive) ([]outcome, error) {
	work, ctx := errgroup.WithContext(ctx)
	files := make(chan file)
	work.Go(func() error {
		defer close(files)
		for _, a := range archives {
			err := a.each(func(f file) error {
				if !strings.Contains(f.archive+"/"+f.name, set.only) {
					return nil
				}
				select {
				case files <- f:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
			if err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
		}
		return nil
	})
	var mutex sync.Mutex
	var outcomes []outcome
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() error {
			v, err := newViewers(set)
			if err != nil {
				return err
			}
			defer v.close()
			for f := range files {
				o, err := v.compare(ctx, f)
				if err != nil {
					return fmt.Errorf("%s/%s: %w", f.archive, f.name, err)
				}
				mutex.Lock()
				outcomes = append(outcomes, o)
				mutex.Unlock()
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(outcomes, func(a, b outcome) int {
		return cmp.Or(cmp.Compare(a.archive, b.archive), cmp.Compare(a.class, b.class), cmp.Compare(a.name, b.name))
	})
	return outcomes, nil
}

// report prints the table and what must be explained. It says whether all is explained.
func report(set settings, outcomes []outcome, known explained, out io.Writer) bool {
	counts := map[string]map[class]int{}
	whole, used := true, map[string]bool{}
	for _, o := range outcomes {
		if counts[o.archive] == nil {
			counts[o.archive] = map[class]int{}
		}
		counts[o.archive][o.class]++
		reason, ok := known[o.archive+"/"+o.name]
		used[o.archive+"/"+o.name] = ok && o.class.mustBeExplained()
		switch {
		case o.class.mustBeExplained() && !ok:
			whole, reason = false, "NOT EXPLAINED"
		case !set.verbose && !o.class.mustBeExplained():
			continue
		}
		fmt.Fprintf(out, "%s/%s\t%s\t%s\t%s\n", o.archive, o.name, o.class, o.detail, reason)
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if set.only == "" && set.folder == "" && !used[name] {
			whole = false
			fmt.Fprintf(out, "%s\tan explanation of nothing\n", name)
		}
	}
	names := slices.Sorted(maps.Keys(counts))
	fmt.Fprintf(out, "\n| | %s |\n|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, c := range classes {
		fmt.Fprintf(out, "| %s |", c)
		for _, name := range names {
			fmt.Fprintf(out, " %d |", counts[name][c])
		}
		fmt.Fprintln(out)
	}
	return whole
}
