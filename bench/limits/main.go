// Command limits measures what one input may cost everybody else: the real binary, in a memory cgroup of the size that
// the README names, is given hostile files and many photos from iPhones, while a small report is sent again and again.
//
//	go run ./bench/limits -photos DIR [-cases DIR] [-only TEXT] [-span 6s]
//
// For each input it starts a fresh process on a fresh data folder, measures the small report alone, then beside the
// input. It prints a Markdown table and ends with 1 if an aim is missed: every report reaches a final state, the process
// stays below its peak, the small report is not held up, and photos from iPhones are completed at their first attempt.
// Linux only; without the right to make a cgroup it says so and runs without.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	binary, cases, photos, only, dir string
	memory                           int64 // of the cgroup, bytes
	peak                             int64 // aim, bytes
	span                             time.Duration
	verbose                          bool
}

func main() {
	var set settings
	var mebi, peak int64
	flag.StringVar(&set.binary, "binary", "", "casepress to measure; empty: build this module's")
	flag.StringVar(&set.cases, "cases", "", "folder of more hostile pictures, beside those that are made here")
	flag.StringVar(&set.photos, "photos", "", "folder with a HEIC photo of 12 megapixels (*.heic): without it the rows about HEIC count as missed")
	flag.StringVar(&set.only, "only", "", "only rows whose name contains the text")
	flag.StringVar(&set.dir, "dir", "", "folder for the data; it must lie on a real disk (default: the temporary folder)")
	flag.Int64Var(&mebi, "memory", 512, "size of the cgroup in MiB")
	flag.Int64Var(&peak, "peak", 400, "aim: most resident memory in MB")
	flag.DurationVar(&set.span, "span", 6*time.Second, "how long each hostile input is sent, and the small report alone")
	flag.BoolVar(&set.verbose, "v", false, "print what casepress logs")
	flag.Parse()
	set.memory, set.peak = mebi<<20, peak*1_000_000
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	missed, err := run(ctx, set, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "limits:", err)
		os.Exit(2)
	}
	if len(missed) > 0 {
		fmt.Println("\nMissed:")
		for _, m := range missed {
			fmt.Println("-", m)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, set settings, w io.Writer) (missed []string, err error) {
	dir, err := os.MkdirTemp(set.dir, "casepress-limits-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if set.binary == "" {
		set.binary = filepath.Join(dir, "casepress")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "nomsgpack", "-o", set.binary, "casepress")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build casepress: %w\n%s", err, out)
		}
	}
	group, err := newCgroup(set.memory)
	defer func() { err = errors.Join(err, group.remove()) }()
	where := fmt.Sprintf("in %s of %d MiB, no swap", group.kind(), set.memory>>20)
	if err != nil {
		where = fmt.Sprintf("NOT in a cgroup (%v): only resident memory is measured", err)
		missed = append(missed, "no cgroup could be made")
	}
	fmt.Fprintf(w, "%s UTC, %d processors, %s, load average %s, %s.\n\n", time.Now().UTC().Format(time.DateTime), runtime.NumCPU(), runtime.Version(), loadAverage(), where)
	fmt.Fprintln(w, "| input | reports: completed / failed / refused | most attempts | peak RSS, MB | small report alone, ms: p50 / p95 | beside it: p50 / p95 / most (n) | took, s | load | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
	rows, err := inputs(set)
	if err != nil {
		return missed, err
	}
	for _, in := range rows {
		if !strings.Contains(in.name, set.only) {
			continue
		}
		r, err := measure(ctx, set, group, filepath.Join(dir, "data"), in)
		if ctx.Err() != nil {
			return missed, context.Cause(ctx)
		}
		why := r.misses(set, in)
		if err != nil {
			why = append(why, err.Error())
		}
		r.print(w, in, len(why) == 0)
		for _, m := range why {
			missed = append(missed, in.name+": "+m)
		}
	}
	return missed, nil
}

// result is what one input did.
type result struct {
	completed, failed, refused int
	attempts                   int // most of one report
	unfinished                 int
	peak                       int64
	alone, beside              []time.Duration
	took                       time.Duration
	load                       string
}

func (r *result) count(reports []outcome) {
	for _, o := range reports {
		switch {
		case o.refused:
			r.refused++
		case o.status == "completed":
			r.completed++
		case o.status == "failed":
			r.failed++
		default:
			r.unfinished++
		}
		r.attempts = max(r.attempts, o.attempts)
	}
}

// leastBound is what a small report may take however fast it is alone.
const leastBound = time.Second

func (r *result) misses(set settings, in input) (why []string) {
	if r.unfinished > 0 {
		why = append(why, fmt.Sprintf("%d reports reached no final state", r.unfinished))
	}
	if r.peak >= set.peak {
		why = append(why, fmt.Sprintf("a peak of %d MB: the aim is below %d", r.peak/1_000_000, set.peak/1_000_000))
	}
	if bound := max(3*percentile(r.alone, 95), leastBound); percentile(r.beside, 95) > bound && !in.crowd {
		why = append(why, fmt.Sprintf("p95 of the small report was %v: the aim is at most %v", percentile(r.beside, 95), bound))
	}
	if len(r.beside) == 0 || len(r.alone) == 0 {
		why = append(why, "no small report was measured")
	}
	if in.firstAttempt && (r.failed > 0 || (r.refused > 0 && !in.crowd) || r.attempts != 1) {
		why = append(why, fmt.Sprintf("%d failed, %d were refused, and one took %d attempts: the aim is all completed at the first", r.failed, r.refused, r.attempts))
	}
	return why
}

func (r *result) print(w io.Writer, in input, met bool) {
	verdict := map[bool]string{true: "met", false: "**missed**"}[met]
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	fmt.Fprintf(w, "| %s | %d / %d / %d | %d | %d | %d / %d | %d / %d / %d (%d) | %.1f | %s | %s |\n", in.name, r.completed, r.failed, r.refused, r.attempts, r.peak/1_000_000,
		ms(percentile(r.alone, 50)), ms(percentile(r.alone, 95)),
		ms(percentile(r.beside, 50)), ms(percentile(r.beside, 95)), ms(percentile(r.beside, 100)), len(r.beside), r.took.Seconds(), r.load, verdict)
}

// percentile is the value that p of a hundred do not exceed; 0 of none.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// measure starts casepress, measures the small report alone and beside the input, and ends casepress.
func measure(ctx context.Context, set settings, group *cgroup, data string, in input) (r result, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	s, err := start(ctx, set, group, data, in.args)
	if err != nil {
		return r, err
	}
	defer func() {
		if s.stop() != nil && err == nil {
			err = fmt.Errorf("casepress did not end in peace: %w", s.exit)
		}
	}()
	small := in.small
	if small == nil {
		small = smallReport
	}
	for range 2 { // what is done once a process
		if _, err := s.timed(ctx, small()); err != nil {
			return r, err
		}
	}
	alone := s.neighbour(ctx, in.every, small)
	sleep(ctx, max(set.span, 8*in.every))
	if r.alone, err = alone(); err != nil {
		return r, err
	}
	begun := time.Now()
	beside := s.neighbour(ctx, in.every, small)
	reports, err := in.send(ctx, s, set.span)
	r.count(reports)
	r.took = time.Since(begun)
	var besideErr error
	r.beside, besideErr = beside()
	var peakErr error
	r.peak, peakErr = s.peak()
	r.load = loadAverage()
	return r, errors.Join(err, besideErr, peakErr)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// loadAverage is that of the last minute.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // "" where there is none
	first, _, _ := strings.Cut(string(text), " ")
	return cmp.Or(first, "?")
}
