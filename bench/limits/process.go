package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running casepress.
type process struct {
	http, admin, grpc string // addresses
	cmd               *exec.Cmd
	ended             chan struct{}
	exit              error // set before ended is closed
}

// start starts casepress with its defaults and args, inside the group if there is one, and waits until it listens.
func start(ctx context.Context, set settings, group *cgroup, data string, args []string) (*process, error) {
	args = append([]string{
		"--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--log-format=json", "--data-dir=" + data,
	}, args...)
	s := &process{cmd: exec.CommandContext(ctx, set.binary, args...), ended: make(chan struct{})}
	if group != nil {
		// The shell enters the group and becomes casepress: not a page of it lies outside.
		enter := append([]string{"-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(group.dir, "cgroup.procs"), set.binary}, args...)
		s.cmd = exec.CommandContext(ctx, "/bin/sh", enter...)
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	listening := make(chan struct{})
	go func() {
		defer close(s.ended)
		s.follow(stderr, listening, set.verbose)
		s.exit = s.cmd.Wait()
	}()
	select {
	case <-listening:
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("casepress ended: %w", s.exit)
	case <-time.After(30 * time.Second):
		return nil, errors.Join(errors.New("casepress does not listen"), s.stop())
	}
}

// follow reads the log and learns the addresses from it.
func (s *process) follow(stderr io.Reader, listening chan<- struct{}, verbose bool) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Msg, For, Addr, Level string }
		readable := json.Unmarshal(lines.Bytes(), &line) == nil
		if verbose || !readable || line.Level == "ERROR" {
			fmt.Fprintln(os.Stderr, lines.Text())
		}
		if line.Msg != "listening" {
			continue
		}
		switch line.For {
		case "http":
			s.http = line.Addr
		case "grpc":
			s.grpc = line.Addr
		case "admin":
			s.admin = line.Addr
			close(listening)
		}
	}
}

// stop asks casepress to end, and kills it after a minute.
func (s *process) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.ended
	}
	return s.exit
}

// peak is the most resident memory so far, in bytes.
func (s *process) peak() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("casepress has been killed")
}

// cgroup is a memory cgroup below our own, so that whatever bounds us bounds it too.
type cgroup struct {
	dir     string
	version int
}

// newCgroup makes one of so many bytes and no swap. On an error the group is nil, which can be used.
func newCgroup(bytes int64) (*cgroup, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("casepress-limits-%d", os.Getpid())
	for line := range strings.Lines(string(text)) {
		// hierarchy-ID:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		var g *cgroup
		var limits [][2]string
		switch {
		case len(parts) < 3:
			continue
		case parts[1] == "memory":
			g = &cgroup{filepath.Join("/sys/fs/cgroup/memory", parts[2], name), 1}
			limits = [][2]string{{"memory.limit_in_bytes", fmt.Sprint(bytes)}, {"memory.memsw.limit_in_bytes", fmt.Sprint(bytes)}}
		case parts[1] == "" && exists("/sys/fs/cgroup/cgroup.controllers"):
			g = &cgroup{filepath.Join("/sys/fs/cgroup", parts[2], name), 2}
			limits = [][2]string{{"memory.max", fmt.Sprint(bytes)}, {"memory.swap.max", "0"}}
		default:
			continue
		}
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			return nil, err
		}
		for _, l := range limits {
			err := os.WriteFile(filepath.Join(g.dir, l[0]), []byte(l[1]), 0o644)
			if errors.Is(err, os.ErrNotExist) && (l[0] == "memory.memsw.limit_in_bytes" || l[0] == "memory.swap.max") {
				continue // a kernel that does not count swap
			}
			if err != nil {
				return nil, errors.Join(err, g.remove())
			}
		}
		return g, nil
	}
	return nil, errors.New("this process is in no memory cgroup")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (g *cgroup) kind() string {
	if g == nil {
		return "no cgroup"
	}
	return fmt.Sprintf("a memory cgroup (v%d)", g.version)
}

func (g *cgroup) remove() error {
	if g == nil {
		return nil
	}
	return os.Remove(g.dir)
}
