// Command bench measures casepress beside NATS JetStream, Redis streams and the bare disk in one process and one
// run, and prints Markdown. It keeps nothing: every measurement starts with an empty folder, and asserts nothing.
// Linux only, as it tells the page cache to forget files.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// settings are how long and how often to measure.
type settings struct {
	dir     string        // where the folders go; must lie on a real disk
	rounds  int           // each measurement is taken once a round
	span    time.Duration // of a measurement
	warmUp  time.Duration // before it, not counted
	consume int           // messages of a consuming measurement; the slower ones take a share of it
	pings   int           // messages of a latency measurement
	pause   time.Duration // between those
	cpu     bool          // tell the processor time of a message instead of messages a second, where that is measured
}

// unit and format are those of what publishing costs.
func (s settings) unit() string {
	if s.cpu {
		return "µs CPU a message"
	}
	return "messages/s"
}

func (s settings) format() func(float64) string {
	if s.cpu {
		return microseconds
	}
	return perSecond
}

func main() {
	full := settings{rounds: 3, span: time.Second, warmUp: 200 * time.Millisecond, consume: 240_000, pings: 200, pause: 2 * time.Millisecond}
	set := full
	flag.StringVar(&set.dir, "dir", os.TempDir(), "folder on the disk to be measured")
	flag.IntVar(&set.rounds, "rounds", full.rounds, "how often each measurement is taken")
	flag.DurationVar(&set.span, "span", full.span, "length of a measurement")
	flag.BoolVar(&set.cpu, "cpu", false, "publish: microseconds of processor time a message, of this process with clients and server, instead of messages a second")
	only := flag.String("only", "", "run only the sections whose title contains this")
	rows := flag.String("rows", "", "run only the rows that contain this")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the run to this file")
	quick := flag.Bool("quick", false, "a few seconds in all: shows that everything runs, the figures mean nothing")
	tenMillion := flag.Bool("tenmillion", false, "measure opening and seeking in 100 thousand, 1 million and 10 million messages instead")
	probing := flag.String("probe", "", "for the program itself: measure the data folder that is given and print JSON")
	flag.Parse()
	debug.SetGCPercent(200) // both as the service does
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	if *quick {
		set.rounds, set.span, set.warmUp, set.consume, set.pings = 1, 20*time.Millisecond, 5*time.Millisecond, 4000, 10
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *probing != "":
		err = probe(ctx, *probing, os.Stdout)
	case *tenMillion:
		err = growth(ctx, set, *quick, os.Stdout)
	default:
		err = profiled(*profile, func() error { return compare(ctx, set, *only, *rows, os.Stdout) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// profiled runs do, with a CPU profile if a file is named.
func profiled(name string, do func() error) error {
	if name == "" {
		return do()
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return do()
}

// compare runs the chosen sections round robin and prints their tables.
func compare(ctx context.Context, set settings, only, rows string, out io.Writer) error {
	begun := time.Now()
	var chosen []*section
	for _, s := range sections(set) {
		if strings.Contains(s.title, only) {
			s.cells = slices.DeleteFunc(s.cells, func(c cell) bool { return !strings.Contains(c.row, rows) })
			chosen = append(chosen, s)
		}
	}
	for round := range set.rounds {
		for _, s := range chosen {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, set.rounds, s.title)
			if err := s.measure(ctx, set); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(out, "%s, %d CPUs, %s, 1 KiB messages, %d rounds of %v, %v in all, load %s\n",
		begun.UTC().Format(time.DateTime), runtime.NumCPU(), runtime.Version(), set.rounds, set.span,
		time.Since(begun).Round(time.Second), load())
	if why := noRedis(); why != "" {
		fmt.Fprintf(out, "\nRedis was skipped: %s\n", why)
	}
	for _, s := range chosen {
		s.print(out)
	}
	return nil
}

// load returns the machine's load averages, which the run itself drives up.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
