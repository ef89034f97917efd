// Command press does one job with casepress's own packages and ends, so that a parent can measure it as a process.
// Build it with -tags purego for the twin without assembly. The parent is in the folder above; nobody else calls it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"

	"casepress/tasks/picture"
)

// A job takes the arguments after its name and returns what the parent is to be told, or nil.
type job func(ctx context.Context, args []string) (any, error)

var jobs = map[string]job{
	"photo":   photo,
	"warm":    warm,
	"stages":  stages,
	"workers": workers,
	"case":    caseReport,
	"pdf":     makePDF,
}

func main() {
	asServed()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "press:", err)
		stop()
		os.Exit(1)
	}
}

// asServed sets the runtime up as casepress serve does with its defaults.
func asServed() {
	debug.SetMemoryLimit(picture.DefaultBudget + 72<<20)
	debug.SetGCPercent(200)
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
}

// run does args: -cpuprofile and a file, if wanted, a job and its arguments.
func run(ctx context.Context, args []string) error {
	if len(args) > 2 && args[0] == "-cpuprofile" {
		file, err := os.Create(args[1])
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		args = args[2:]
	}
	if len(args) == 0 || jobs[args[0]] == nil {
		return errors.New("no such job")
	}
	told, err := jobs[args[0]](ctx, args[1:])
	if err != nil || told == nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(told)
}

// split returns so many leading arguments, the first of which is a number if numbered, and the others.
func split(args []string, leading int) (first []string, rest []string, n int, err error) {
	if len(args) < leading {
		return nil, nil, 0, errors.New("too few arguments")
	}
	n, err = strconv.Atoi(args[0])
	return args[:leading], args[leading:], n, err
}
