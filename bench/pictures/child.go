package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// usage is what a job cost: milliseconds of all its processors and of the clock, and resident memory at its peak in
// megabytes (10^6 bytes). more are figures that the job told itself.
type usage struct {
	cpu, wall, rss float64
	more           map[string]float64
}

// child runs a command to its end and returns what the kernel says it used, its own children included.
//
// The kernel counts a process's peak from before its exec, when it still was this one: nothing below this program's
// own size can be told, so it must stay small until the last process has been measured.
func child(ctx context.Context, argv ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return usage{}, fmt.Errorf("%s: %w: %s", argv[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	u := usage{wall: milliseconds(time.Since(begun)), cpu: milliseconds(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.rss = float64(r.Maxrss) * 1024 / 1e6
	}
	if text := strings.TrimSpace(stdout.String()); strings.HasPrefix(text, "{") {
		if err := json.Unmarshal([]byte(text), &u.more); err != nil {
			return usage{}, fmt.Errorf("%s: %w", argv[0], err)
		}
	}
	return u, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// told runs a command that measures itself and returns its own best figures.
func told(ctx context.Context, argv ...string) (usage, error) {
	u, err := child(ctx, argv...)
	if err == nil {
		u.cpu, u.wall = u.more["CPU"], u.more["Wall"]
	}
	return u, err
}

// lanes runs lists of commands side by side, each list one after the other. Processor time adds up; so does memory, of
// the largest in each list.
func lanes(ctx context.Context, lists ...[][]string) (usage, error) {
	used, errs := make([]usage, len(lists)), make([]error, len(lists))
	begun := time.Now()
	var wg sync.WaitGroup
	for i, list := range lists {
		wg.Go(func() {
			for _, argv := range list {
				var u usage
				if u, errs[i] = child(ctx, argv...); errs[i] != nil {
					return
				}
				used[i].cpu += u.cpu
				used[i].rss = max(used[i].rss, u.rss)
			}
		})
	}
	wg.Wait()
	sum := usage{wall: milliseconds(time.Since(begun))}
	for i, u := range used {
		if errs[i] != nil {
			return usage{}, errs[i]
		}
		sum.cpu += u.cpu
		sum.rss += u.rss
	}
	return sum, nil
}

// then adds what runs after u.
func (u usage) then(next usage) usage {
	return usage{cpu: u.cpu + next.cpu, wall: u.wall + next.wall, rss: max(u.rss, next.rss)}
}
