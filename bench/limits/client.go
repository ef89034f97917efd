package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"sync"
	"time"
)

// form is a report to send.
type form struct {
	contentType string
	body        []byte
}

// newForm is a report with the pictures as files.
func newForm(pictures ...[]byte) form {
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	err := m.WriteField("patientId", "P001")
	for i, p := range pictures {
		part, partErr := m.CreateFormFile("images", fmt.Sprintf("%d.img", i))
		if partErr == nil {
			_, partErr = part.Write(p)
		}
		err = errors.Join(err, partErr)
	}
	if err = errors.Join(err, m.Close()); err != nil {
		panic(err) // writing to memory does not fail
	}
	return form{m.FormDataContentType(), b.Bytes()}
}

// outcome is what became of a report.
type outcome struct {
	id, status string
	attempts   int
	refused    bool // with a 4xx
	accepted   time.Time
}

// finalTimeout is how long a report may take to reach a final state.
const finalTimeout = 10 * time.Minute

// submit sends the report and returns once it is accepted or refused.
func (s *process) submit(ctx context.Context, f form) (outcome, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.http+"/upload-case-report", bytes.NewReader(f.body))
	if err != nil {
		return outcome{}, err
	}
	request.Header.Set("Content-Type", f.contentType)
	code, body, err := do(request)
	o := outcome{accepted: time.Now()}
	switch {
	case err != nil:
		return o, err
	case code == http.StatusAccepted:
		var answer struct{ ID string }
		err := json.Unmarshal(body, &answer)
		o.id = answer.ID
		return o, err
	case code >= 400 && code < 500:
		o.refused = true
		return o, nil
	}
	return o, fmt.Errorf("upload: %d: %s", code, body)
}

// final waits until the report is completed or failed.
func (s *process) final(ctx context.Context, o outcome) (outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, finalTimeout, fmt.Errorf("report %s is not finished after %v", o.id, finalTimeout))
	defer cancel()
	for !o.refused && o.status != "completed" && o.status != "failed" {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+"/case-reports/"+o.id+"?wait=20s", nil)
		if err != nil {
			return o, err
		}
		code, body, err := do(request)
		if err != nil {
			return o, err
		}
		if code != http.StatusOK {
			return o, fmt.Errorf("status of %s: %d: %s", o.id, code, body)
		}
		var answer struct {
			Status   string
			Attempts int
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return o, err
		}
		o.status, o.attempts = answer.Status, answer.Attempts
	}
	return o, nil
}

// all sends the reports at once and waits for all. What it knows of them is returned with an error too.
func (s *process) all(ctx context.Context, forms ...form) ([]outcome, error) {
	outcomes, errs := make([]outcome, len(forms)), make([]error, len(forms))
	var sending sync.WaitGroup
	for i, f := range forms {
		sending.Go(func() {
			if outcomes[i], errs[i] = s.submit(ctx, f); errs[i] == nil {
				outcomes[i], errs[i] = s.final(ctx, outcomes[i])
			}
		})
	}
	sending.Wait()
	return outcomes, errors.Join(errs...)
}

// timed sends the report and returns the time from its receipt until it is completed.
func (s *process) timed(ctx context.Context, f form) (time.Duration, error) {
	o, err := s.submit(ctx, f)
	if err == nil {
		o, err = s.final(ctx, o)
	}
	took := time.Since(o.accepted)
	if err == nil && o.status != "completed" {
		err = fmt.Errorf("the small report is %q", o.status)
	}
	return took, err
}

// neighbour sends a small report each so often, whether or not the one before is finished, until the returned function
// is called; that waits for all of them.
func (s *process) neighbour(ctx context.Context, every time.Duration, next func() form) (end func() ([]time.Duration, error)) {
	quit := make(chan struct{})
	var mu sync.Mutex // guards took and failed
	var took []time.Duration
	var failed error
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-quit:
				return
			case <-ctx.Done():
				return
			}
			f := next()
			running.Go(func() {
				t, err := s.timed(ctx, f)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = fmt.Errorf("the small report: %w", err)
					return
				}
				took = append(took, t)
			})
		}
	})
	return func() ([]time.Duration, error) {
		close(quit)
		running.Wait()
		return took, failed
	}
}

func do(request *http.Request) (code int, body []byte, err error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}
