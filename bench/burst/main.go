// Command burst measures the hour in which everybody's phone asks: 10,000 patients hand their answers to the PHQ-9 in at
// once, 50 of them with an urgent flag. The same requests go, by turns, to casepress, to casepress on a log that forgets,
// to a service that keeps everything in memory, and to one that writes a row of PostgreSQL a request. It prints Markdown
// and ends with 1 if something was lost, doubled, not scored or scored wrongly, or if an aim was missed. Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	responses, flagged int
	connections        []int
	rounds             int
	binary, before     string // "" for the latter: no second casepress is measured
	dir                string
	postgres           string // folder of its programs; "": there is none
	photos             string
	only               []string // keys of contenders and parts; none: all
	profile            string
	verbose            bool
}

func main() {
	var set settings
	flag.IntVar(&set.responses, "responses", 10_000, "how many responses, each of another patient")
	flag.IntVar(&set.flagged, "flagged", 50, "how many of them raise an urgent flag")
	connections := flag.String("connections", "256,1000", "numbers of connections")
	flag.IntVar(&set.rounds, "rounds", 3, "how often each is measured, by turns")
	flag.StringVar(&set.binary, "binary", "", "casepress to measure; empty: build this module's")
	flag.StringVar(&set.before, "before", "", "an earlier casepress to measure as well, by turns")
	flag.StringVar(&set.dir, "dir", "", "folder for the data; it must lie on a real disk (default: the temporary folder)")
	flag.StringVar(&set.postgres, "postgres", "/usr/lib/postgresql/15/bin", "folder of PostgreSQL's initdb and postgres; without them its rows are left out")
	flag.StringVar(&set.photos, "photos", "", "folder with a HEIC photo of 12 megapixels (*.heic): without it fairness is not measured")
	only := flag.String("only", "", "only these, with commas between them: "+strings.Join(keys, ", "))
	flag.StringVar(&set.profile, "cpuprofile", "", "write profiles of casepress in each burst, 1 s from its start, to files whose names begin so")
	flag.BoolVar(&set.verbose, "v", false, "print each round as it ends")
	serve := flag.String("serve", "", "for the program itself: be the contender of this name")
	probed := flag.String("probe", "", "for the program itself: send adverse events to this address until the standard input ends")
	address := flag.String("addr", "", "for the program itself: address to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var missed []string
	err := set.check(*connections, *only)
	switch {
	case err != nil:
	case *probed != "":
		err = probe(ctx, *probed)
	case *serve != "":
		err = serveContender(ctx, *serve, *address, set.dir)
	default:
		missed, err = run(ctx, set)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "burst:", err)
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

// keys are what -only takes.
var keys = []string{"casepress", "before", "forgetful", "memory", "postgres", "killed", "fairness", "urgent"}

// has says whether what has the key is to be measured.
func (set *settings) has(key string) bool {
	return len(set.only) == 0 || slices.Contains(set.only, key)
}

func (set *settings) check(connections, only string) error {
	if only != "" {
		set.only = strings.Split(only, ",")
	}
	for _, key := range set.only {
		if !slices.Contains(keys, key) {
			return fmt.Errorf("-only has %q; there are %s", key, strings.Join(keys, ", "))
		}
	}
	for text := range strings.SplitSeq(connections, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 10_000 {
			return fmt.Errorf("-connections has %q: each must be 1 to 10000", text)
		}
		set.connections = append(set.connections, n)
	}
	if set.rounds < 1 || set.flagged < 0 || set.flagged > set.responses {
		return errors.New("-rounds must be at least 1, and -flagged 0 to -responses")
	}
	return nil
}

// contender is what the burst is sent to.
type contender struct {
	key, name string
	// program and arguments of a service on this address with this data folder.
	command func(address, admin, data string) (program string, args []string)
	// settle waits until all is scored, and tells when the last one was, and everything that is stored.
	settle func(ctx context.Context, p *process, n int) (stored, error)
	// before is done before the service starts, and undone by what it returns; nil: nothing.
	before func(ctx context.Context, data string) (undo func() error, err error)
	kill   bool // with SIGKILL when half is accepted, and started again
}

func contenders(set settings) []contender {
	self := func(name string) func(address, admin, data string) (string, []string) {
		return func(address, admin, data string) (string, []string) {
			return "/proc/self/exe", []string{"-serve=" + name, "-addr=" + address + "," + admin, "-dir=" + data}
		}
	}
	binary := func(program string) func(address, admin, data string) (string, []string) {
		return func(address, admin, data string) (string, []string) {
			return program, []string{
				"--http-addr=" + address, "--admin-addr=" + admin, "--grpc-addr=127.0.0.1:0",
				"--data-dir=" + filepath.Join(data, "data"), "--studies=" + filepath.Join(data, "studies"),
			}
		}
	}
	all := []contender{{key: "casepress", name: "casepress", command: binary(set.binary), settle: settleCasepress}}
	if set.before != "" {
		all = append(all, contender{key: "before", name: "casepress, before", command: binary(set.before), settle: settleCasepress})
	}
	all = append(all,
		contender{key: "forgetful", name: "casepress, forgetful", command: self("forgetful"), settle: settleCasepress},
		contender{key: "memory", name: "in memory", command: self("memory"), settle: settlePeer},
	)
	if _, err := os.Stat(filepath.Join(set.postgres, "initdb")); err == nil {
		all = append(all, contender{key: "postgres", name: "PostgreSQL", command: self("postgres"), settle: settlePeer, before: set.startPostgres})
	}
	return append(all, contender{key: "killed", name: "casepress, killed", command: binary(set.binary), settle: settleCasepress, kill: true})
}

// build makes the binary of casepress in its own module: this one keeps no sums of what only casepress itself needs.
func build(ctx context.Context, binary string) error {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "casepress")
	root, err := list.Output()
	if err != nil {
		return fmt.Errorf("find casepress: %w", err)
	}
	compile := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "nomsgpack", "-o", binary, ".")
	compile.Dir = strings.TrimSpace(string(root))
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("build casepress: %w\n%s", err, out)
	}
	return nil
}

func run(ctx context.Context, set settings) (missed []string, err error) {
	dir, err := os.MkdirTemp(set.dir, "casepress-burst-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user
		return nil, err
	}
	if set.binary == "" {
		set.binary = filepath.Join(dir, "casepress")
		if err := build(ctx, set.binary); err != nil {
			return nil, err
		}
	}
	fmt.Printf("%s UTC, %d processors, %s, load average %s; %d responses, %d with an urgent flag, %d rounds.\n\n",
		time.Now().UTC().Format(time.DateTime), runtime.NumCPU(), runtime.Version(), loadAverage(), set.responses, set.flagged, set.rounds)
	responses := newResponses(set.responses, set.flagged, "")
	table := newTable()
	for _, connections := range set.connections {
		for range set.rounds {
			for _, c := range contenders(set) {
				if !set.has(c.key) {
					continue
				}
				r, err := measure(ctx, set, filepath.Join(dir, "round"), c, connections, responses)
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				if err != nil {
					missed = append(missed, fmt.Sprintf("%s, %d connections: %v", c.name, connections, err))
					continue
				}
				if set.verbose {
					fmt.Fprintf(os.Stderr, "%s, %d connections: %s\n", c.name, connections, r)
				}
				table.add(c.name, connections, r)
			}
		}
	}
	if len(table.rows)+len(missed) == 0 && !set.has("fairness") && !set.has("urgent") {
		return nil, fmt.Errorf("-only %s: nothing was measured", strings.Join(set.only, ","))
	}
	table.print(os.Stdout)
	missed = append(missed, table.aims()...)
	if set.has("urgent") {
		late, err := urgent(ctx, set, filepath.Join(dir, "urgent"), contenders(set)[0], responses)
		if err != nil {
			return missed, err
		}
		missed = append(missed, late...)
	}
	if set.has("fairness") {
		unfair, err := fairness(ctx, set, filepath.Join(dir, "fair"), contenders(set)[0], responses)
		if err != nil {
			return missed, err
		}
		missed = append(missed, unfair...)
	}
	return missed, nil
}

// result is one burst.
type result struct {
	took       time.Duration // from the first request to the last acceptance
	replies    []time.Duration
	untilScore time.Duration // from the last acceptance to the last score
	peak       int64         // bytes
	cpu        time.Duration // of the service, until the last score
	acceptCPU  time.Duration // of it, until the last acceptance
	loadCPU    time.Duration // of this program
	refused    int           // 503
	cut        int           // connections that ended before the answer
	replayed   int
	down       time.Duration // from the kill until it answers again
	load       string
}

func (r result) perSecond() float64 { return float64(len(r.replies)) / r.took.Seconds() }

func (r result) String() string {
	return fmt.Sprintf("%.0f/s, took %.2f s, p50 %v p99 %v max %v, last score after %v, peak %d MB, CPU %d / %d µs + %d µs, 503 %d, cut %d, replayed %d, load %s",
		r.perSecond(), r.took.Seconds(), percentile(r.replies, 50), percentile(r.replies, 99), percentile(r.replies, 100), r.untilScore, r.peak/1_000_000,
		r.acceptCPU.Microseconds()/int64(len(r.replies)), r.cpu.Microseconds()/int64(len(r.replies)), r.loadCPU.Microseconds()/int64(len(r.replies)), r.refused, r.cut, r.replayed, r.load)
}

// measure sends one burst to a fresh service, and checks what it made of it.
func measure(ctx context.Context, set settings, data string, c contender, connections int, responses []response) (r result, err error) {
	p, err := prepare(ctx, set, data, c)
	defer func() { err = errors.Join(err, p.end(), os.RemoveAll(data)) }()
	if err != nil {
		return r, err
	}
	before, own := p.cpu(), ownCPU()
	b := newBurst(p.http, connections, responses)
	if c.kill {
		b.half = func() {
			killed := time.Now()
			r.peak, _ = p.peak()
			if err := p.kill(); err != nil {
				b.fail(err)
				return
			}
			before = 0
			if err := p.start(ctx); err != nil {
				b.fail(err)
				return
			}
			r.down = time.Since(killed)
		}
	}
	profiled := make(chan error, 1)
	go func() { profiled <- p.profile(ctx, set.profile) }()
	err = errors.Join(b.run(ctx), <-profiled)
	if err != nil {
		return r, err
	}
	r.took, r.replies = b.last.Sub(b.first), b.replies
	r.acceptCPU, r.loadCPU = p.cpu()-before, ownCPU()-own
	r.refused, r.cut, r.replayed = int(b.refused.Load()), int(b.cut.Load()), int(b.replayed.Load())
	kept, err := c.settle(ctx, p, len(responses))
	r.cpu, r.load = kept.cpu-before, loadAverage()
	if err != nil {
		return r, err
	}
	r.untilScore = max(0, kept.lastScore.Sub(b.last))
	peak, err := p.peak()
	r.peak = max(r.peak, peak)
	if err != nil {
		return r, err
	}
	return r, kept.compare(responses)
}

// prepare makes the data folder and starts the service. The process may be ended in any case.
func prepare(ctx context.Context, set settings, data string, c contender) (*process, error) {
	p := &process{dir: data, verbose: set.verbose}
	if err := errors.Join(os.MkdirAll(filepath.Join(data, "studies"), 0o755), os.WriteFile(filepath.Join(data, "studies", studyID+".json"), []byte(studyFile), 0o644)); err != nil {
		return p, err
	}
	if c.before != nil {
		undo, err := c.before(ctx, data)
		if err != nil {
			return p, err
		}
		p.undo = undo
	}
	ports, err := freePorts(2)
	if err != nil {
		return p, err
	}
	p.http, p.admin = ports[0], ports[1]
	p.program, p.args = c.command(p.http, p.admin, data)
	return p, p.start(ctx)
}

// percentile is the value that p of a hundred do not exceed; 0 of none.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, (len(sorted)*p+99)/100-1)].Round(100 * time.Microsecond)
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // "" where there is none
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it is always known
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
