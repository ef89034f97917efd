package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a service that runs, or will.
type process struct {
	http, admin string // addresses
	dir         string
	program     string
	args        []string
	verbose     bool
	undo        func() error // after its end; may be nil

	cmd   *exec.Cmd
	ended chan struct{}
	exit  error // set before ended is closed
}

// start starts it, again if it has been killed, and waits until it is ready. What it logs goes to a file.
func (p *process) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd, p.ended = exec.CommandContext(ctx, p.program, p.args...), make(chan struct{})
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return err
	}
	cmd, ended := p.cmd, p.ended
	go func() {
		defer close(ended)
		p.exit = cmd.Wait()
	}()
	deadline := time.After(time.Minute)
	for {
		if code, _, err := get(ctx, "http://"+p.http+"/readyz"); err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("the service ended: %w\n%s", p.exit, p.logged())
		case <-deadline:
			return fmt.Errorf("the service is not ready\n%s", p.logged())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// logged is the end of the log.
func (p *process) logged() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log")) // "" if there is none
	return string(text[max(0, len(text)-2000):])
}

// kill ends it with SIGKILL.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.ended
	p.cmd = nil
	return nil
}

// end asks it to end if it runs, and undoes what was done before.
func (p *process) end() (err error) {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.ended:
		case <-time.After(time.Minute):
			_ = p.cmd.Process.Kill() // it may have ended
			<-p.ended
		}
		if p.exit != nil {
			err = fmt.Errorf("the service did not end in peace: %w\n%s", p.exit, p.logged())
		}
	}
	if p.undo != nil {
		err = errors.Join(err, p.undo())
	}
	return err
}

// peak is the most resident memory so far, in bytes.
func (p *process) peak() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("the service has ended")
}

// clockTick is the unit of times in /proc: 100 a second on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// cpu is the processor time so far; 0 if it is not known.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may have spaces. utime and stime are the 14th and 15th field: proc(5).
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0
	}
	user, userErr := strconv.Atoi(fields[11])
	system, systemErr := strconv.Atoi(fields[12])
	if userErr != nil || systemErr != nil {
		return 0
	}
	return time.Duration(user+system) * clockTick
}

// profile writes a processor profile of the next second to a file of its own whose name begins so, unless that is "" or it is a peer.
func (p *process) profile(ctx context.Context, begin string) error {
	if begin == "" {
		return nil
	}
	code, body, err := get(ctx, "http://"+p.admin+"/debug/pprof/profile?seconds=1")
	if err != nil || code != http.StatusOK {
		return nil // a peer has no such address
	}
	return os.WriteFile(fmt.Sprintf("%s.%d", begin, time.Now().UnixMilli()), body, 0o644)
}

// freePorts returns addresses on which nobody listens.
func freePorts(n int) (all []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all, nil
}

func get(ctx context.Context, url string) (code int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}

func getJSON(ctx context.Context, url string, to any) error {
	code, body, err := get(ctx, url)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("%s: %d: %s", url, code, body)
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
