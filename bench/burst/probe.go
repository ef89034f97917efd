package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"
)

// The probe is a process of its own, so that what it measures is not how busy the load program is. It sends an adverse event
// each probeEvery, each of another patient, whatever became of those before, and is told of each by a webhook:
//
//	probe ──POST /adverse-events──> casepress ──POST──> probe
const probeEvery = 20 * time.Millisecond

// sample is one adverse event of the probe.
type sample struct {
	Sent     time.Time     `json:"sent"`
	Reply    time.Duration `json:"reply"`    // from sending to the 201
	Notified time.Duration `json:"notified"` // from sending to the webhook; 0: it never came
}

// probe sends adverse events to the service until the standard input ends, waits for what is still to come, and prints
// samples as JSON.
func probe(ctx context.Context, address string) error {
	p := &prober{address: address, byID: map[string]*sample{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	receiver := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = receiver.Serve(listener) }() // until Close
	defer receiver.Close()
	registration := fmt.Sprintf(`{"url":"http://%s/","types":["adverse-event"]}`, listener.Addr())
	if err := p.post(ctx, "/webhook-endpoints", []byte(registration)); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it
	}()
	var sending sync.WaitGroup
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
			sending.Go(func() { p.send(ctx, n) })
			continue
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		break
	}
	sending.Wait()
	if err := p.waitForAll(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	return json.NewEncoder(os.Stdout).Encode(p.all)
}

type prober struct {
	address string

	mu     sync.Mutex // guards the rest
	byID   map[string]*sample
	all    []*sample
	failed error
}

func (p *prober) post(ctx context.Context, path string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %d: %s", path, answer.StatusCode, text)
	}
	return err
}

func (p *prober) send(ctx context.Context, n int) {
	id := fmt.Sprintf("AE-%d", n)
	body := fmt.Appendf(nil, `{"id":%q,"study":%q,"patientId":"U%05d","description":"Dizzy since the morning.","knownAt":%q}`,
		id, studyID, n, time.Now().UTC().Format(time.RFC3339))
	s := &sample{Sent: time.Now()}
	p.mu.Lock()
	p.byID[id] = s
	p.all = append(p.all, s)
	p.mu.Unlock()
	err := p.post(ctx, "/adverse-events", body)
	took := time.Since(s.Sent)
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Reply = took
	p.failed = errors.Join(p.failed, err)
}

// ServeHTTP is the receiver of the webhooks.
func (p *prober) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var told struct {
		Data struct {
			Data struct{ SubmissionID string }
		}
	}
	err := json.NewDecoder(r.Body).Decode(&told)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = errors.Join(p.failed, err)
	// The first event of a case tells that it was received. Those of flags are not ours.
	if s := p.byID[told.Data.Data.SubmissionID]; s != nil && s.Notified == 0 {
		s.Notified = now.Sub(s.Sent)
	}
}

// probePatience is how long the last webhook may take.
const probePatience = 20 * time.Second

func (p *prober) waitForAll(ctx context.Context) error {
	for begun := time.Now(); ; {
		p.mu.Lock()
		missing := 0
		for _, s := range p.all {
			if s.Notified == 0 {
				missing++
			}
		}
		p.mu.Unlock()
		switch {
		case missing == 0:
			return nil
		case time.Since(begun) > probePatience:
			return fmt.Errorf("%d of %d adverse events were never told of", missing, len(p.all))
		}
		select {
		case <-time.After(probeEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// probing is a probe that runs.
type probing struct {
	cmd   *exec.Cmd
	end   io.Closer
	out   bytes.Buffer
	error bytes.Buffer
}

func startProbe(ctx context.Context, address string) (*probing, error) {
	p := &probing{cmd: exec.CommandContext(ctx, "/proc/self/exe", "-probe="+address)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.error
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.end = in
	return p, p.cmd.Start()
}

// samples ends the probe and returns what it has measured.
func (p *probing) samples() (all []sample, err error) {
	err = errors.Join(p.end.Close(), p.cmd.Wait())
	if err != nil {
		return nil, fmt.Errorf("probe: %w: %s", err, p.error.Bytes())
	}
	return all, json.Unmarshal(p.out.Bytes(), &all)
}
