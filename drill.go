package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Drill has the exercises.
type Drill struct {
	SAE DrillSAE `cmd:"" name:"sae" help:"Hand in an adverse event that is marked as an exercise, see it handed over and somebody notified, acknowledge and close it, and print a verdict; exit 1 if something did not hold."`
}

// DrillSAE goes the way of an adverse event, from the report to the closing.
type DrillSAE struct {
	Server  string        `default:"http://127.0.0.1:8080" env:"-" help:"Address of a running casepress."`
	Study   string        `env:"-" help:"Study whose ladder is tried. Without it, the webhooks are that are registered for adverse-event."`
	Patient string        `default:"EXERCISE" env:"-" help:"Patient id of the exercise."`
	Name    string        `default:"casepress drill" env:"-" help:"Name by which it is acknowledged and closed."`
	Within  time.Duration `default:"2m" env:"-" help:"How soon somebody must be notified. A ladder whose first rung waits needs more."`
}

const (
	// drillCall bounds one request.
	drillCall = 10 * time.Second
	// drillEnding bounds the tries at one of the steps that end it.
	drillEnding = 30 * time.Second
	// drillHandOver is how soon an urgent worker must have it in hand.
	drillHandOver = 5 * time.Second
	// drillPoll is the pause between two questions.
	drillPoll = 200 * time.Millisecond
	// drillAnswer is how much is read of an answer.
	drillAnswer = 4 << 20
)

// drillCase is what is read of a case.
type drillCase struct {
	ID, State    string
	Exercise     bool
	HandedOverAt *time.Time
	NotifiedAt   *time.Time
	Timeline     []drillStep
}

type drillStep struct {
	At                           time.Time
	Step                         string
	Who, Channel                 *string
	Reason                       string
	AfterSeconds, ElapsedSeconds float64
}

// check is one line of the verdict.
type check struct {
	what  string
	took  time.Duration
	limit time.Duration
	err   error
}

// Run goes the whole way and prints the verdict. What was begun is ended also if something did not hold, so that nobody is told of
// an exercise for ever.
func (d *DrillSAE) Run(ctx context.Context, stdout, _ io.Writer) error {
	if d.Within <= 0 {
		return fmt.Errorf("--within is %v: it must be more than 0", d.Within)
	}
	server, err := url.Parse(d.Server)
	if err != nil || server.Host == "" || server.Scheme != "http" && server.Scheme != "https" {
		return fmt.Errorf("--server is %q: it must be an address such as http://127.0.0.1:8080", d.Server)
	}
	r := &drillRun{DrillSAE: d, base: strings.TrimSuffix(server.String(), "/"), id: "DRILL-" + time.Now().UTC().Format("20060102T150405") + "-" + rand.Text()[:6]}
	r.do(ctx, "accepted", drillCall, r.report)
	if r.isRefused() {
		return r.verdict(stdout) // there is nothing to end
	}
	if r.checks[0].err == nil {
		r.do(ctx, "handed over", drillHandOver, r.until(func(c drillCase) bool { return c.HandedOverAt != nil }, "no worker of the lane urgent has taken it over"))
		r.do(ctx, "somebody notified", d.Within, r.until(func(c drillCase) bool { return c.NotifiedAt != nil }, "no channel has taken an alert of it"))
		r.do(ctx, "kept out of the lists", drillCall, r.unlisted)
	}
	ending := context.WithoutCancel(ctx) // an interrupt must not leave it open
	r.do(ending, "acknowledged", drillEnding, r.step("acknowledge", map[string]string{"name": d.Name, "decision": "not-serious", "note": "Exercise"}, "acknowledged"))
	r.do(ending, "closed", drillEnding, r.step("close", map[string]string{"name": d.Name, "reason": "Exercise"}, "closed"))
	r.do(ctx, "timeline as JSON", drillCall, r.timeline)
	r.do(ctx, "timeline as a PDF", drillCall, r.pdf)
	return r.verdict(stdout)
}

// drillRun is one drill.
type drillRun struct {
	*DrillSAE
	base, id string
	last     drillCase
	checks   []check
}

// do measures one part, which must be over within the limit.
func (r *drillRun) do(ctx context.Context, what string, limit time.Duration, part func(context.Context) error) {
	begun := time.Now()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := part(limited)
	r.checks = append(r.checks, check{what, time.Since(begun), limit, err})
}

// isRefused reports whether the server has refused the report, or was not reached. After any other failure it may have taken it.
func (r *drillRun) isRefused() bool {
	err := r.checks[0].err
	network, ok := errors.AsType[*net.OpError](err)
	return isRefusal(err) || ok && network.Op == "dial"
}

// answerError is an answer with another status than the one that was wanted.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return e.text }

// isRefusal reports whether the server has said that the same request cannot succeed.
func isRefusal(err error) bool {
	answer, ok := errors.AsType[*answerError](err)
	return ok && answer.status >= 400 && answer.status < 500 && answer.status != http.StatusTooManyRequests
}

func (r *drillRun) report(ctx context.Context) error {
	document := map[string]any{
		"id": r.id, "patientId": r.Patient, "description": "Exercise. No patient is concerned.", "knownAt": time.Now().UTC().Format(time.RFC3339Nano),
		"reporter": r.Name, "exercise": true,
	}
	if r.Study != "" {
		document["study"] = r.Study
	}
	_, err := r.call(ctx, http.MethodPost, "/adverse-events", document, http.StatusCreated)
	return err
}

// until asks until the case is as told.
func (r *drillRun) until(as func(drillCase) bool, otherwise string) func(context.Context) error {
	return func(ctx context.Context) error {
		pause := time.NewTicker(drillPoll)
		defer pause.Stop()
		for {
			err := r.read(ctx)
			if err == nil && as(r.last) {
				return nil
			}
			select {
			case <-pause.C:
			case <-ctx.Done():
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
				return errors.New(otherwise)
			}
		}
	}
}

// read reads the case.
func (r *drillRun) read(ctx context.Context) error {
	body, err := r.call(ctx, http.MethodGet, "/adverse-events/"+r.id, nil, http.StatusOK)
	if err != nil {
		return err
	}
	return r.take(body)
}

func (r *drillRun) take(body []byte) error {
	var c drillCase
	if err := json.Unmarshal(body, &c); err != nil {
		return fmt.Errorf("the answer is no case: %w", err)
	}
	r.last = c
	return nil
}

// unlisted looks that the exercise is in no list but where it is asked for.
func (r *drillRun) unlisted(ctx context.Context) error {
	for _, want := range []struct {
		query  string
		listed bool
	}{{"", false}, {"&exercise=only", true}} {
		body, err := r.call(ctx, http.MethodGet, "/adverse-events?limit=200&patientId="+url.QueryEscape(r.Patient)+want.query, nil, http.StatusOK)
		if err != nil {
			return err
		}
		var page struct{ Items []drillCase }
		if err := json.Unmarshal(body, &page); err != nil {
			return fmt.Errorf("the answer is no list: %w", err)
		}
		listed := slices.ContainsFunc(page.Items, func(c drillCase) bool { return c.ID == r.id && c.Exercise })
		if listed != want.listed {
			return fmt.Errorf("listed at ?exercise%s: %v", strings.TrimPrefix(want.query, "&exercise"), listed)
		}
	}
	return nil
}

// step takes a step, and tries until the server has taken or refused it: an exercise that is left open wakes people for ever.
func (r *drillRun) step(path string, document any, state string) func(context.Context) error {
	return func(ctx context.Context) error {
		body, err := r.call(ctx, http.MethodPost, "/adverse-events/"+r.id+"/"+path, document, http.StatusOK)
		for err != nil && !isRefusal(err) && ctx.Err() == nil {
			select {
			case <-time.After(drillPoll):
			case <-ctx.Done():
			}
			body, err = r.call(ctx, http.MethodPost, "/adverse-events/"+r.id+"/"+path, document, http.StatusOK)
		}
		if err != nil {
			return err
		}
		if err := r.take(body); err != nil {
			return err
		}
		if r.last.State != state {
			return fmt.Errorf("the case is %s", r.last.State)
		}
		return nil
	}
}

// timeline looks that every part of the way is a step, in order.
func (r *drillRun) timeline(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	if !r.last.Exercise {
		return errors.New("the case is not marked as an exercise")
	}
	at := 0
	for _, want := range []string{"received", "acknowledged", "closed"} {
		i := slices.IndexFunc(r.last.Timeline[at:], func(s drillStep) bool { return s.Step == want })
		if i < 0 {
			return fmt.Errorf("%s is missing, or not in its place", want)
		}
		at += i + 1
	}
	for _, want := range []string{"handed-over", "notified"} { // side by side
		if !slices.ContainsFunc(r.last.Timeline, func(s drillStep) bool { return s.Step == want }) {
			return fmt.Errorf("%s is missing", want)
		}
	}
	return nil
}

func (r *drillRun) pdf(ctx context.Context) error {
	body, err := r.call(ctx, http.MethodGet, "/adverse-events/"+r.id+"/timeline.pdf", nil, http.StatusOK)
	if err == nil && !bytes.HasPrefix(body, []byte("%PDF-")) {
		err = errors.New("the answer is no PDF")
	}
	return err
}

// call makes one request and returns the body of an answer with this status; any other is an error that says what the server did.
func (r *drillRun) call(ctx context.Context, method, path string, document any, status int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, drillCall)
	defer cancel()
	var body io.Reader
	if document != nil {
		text, err := json.Marshal(document)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, r.base+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, drillAnswer))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != status {
		var problem struct{ Detail string }
		_ = json.Unmarshal(text, &problem) // what is no problem has no words
		return nil, &answerError{answer.StatusCode, fmt.Sprintf("%s %s: %s %s", method, path, answer.Status, problem.Detail)}
	}
	return text, nil
}

// verdict prints what was measured, and the timeline. Its error is that something did not hold.
func (r *drillRun) verdict(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "Exercise %s at %s\n\nCHECK\tTOOK\tLIMIT\t\n", r.id, r.base)
	var broken []string
	for _, c := range r.checks {
		held := "held"
		if c.err != nil {
			held = "DID NOT HOLD: " + c.err.Error()
			broken = append(broken, c.what)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", c.what, c.took.Round(time.Millisecond), c.limit, held)
	}
	if len(r.last.Timeline) > 0 {
		fmt.Fprint(out, "\nSTEP\tAFTER\tSINCE KNOWN\tWHO\n")
	}
	for _, s := range r.last.Timeline {
		var who []string
		for _, one := range []*string{s.Who, s.Channel, &s.Reason} {
			if one != nil && *one != "" {
				who = append(who, *one)
			}
		}
		fmt.Fprintf(out, "%s\t%.3f s\t%.3f s\t%s\n", s.Step, s.AfterSeconds, s.ElapsedSeconds, strings.Join(who, " · "))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if slices.Contains(broken, "closed") {
		fmt.Fprintf(w, "\nIf %s is there, acknowledge and close it by hand: people may be told of it until then.\n", r.id)
	}
	if len(broken) > 0 {
		return fmt.Errorf("the drill did not hold: %s", strings.Join(broken, ", "))
	}
	_, err := fmt.Fprintln(w, "\nThe drill held.")
	return err
}
