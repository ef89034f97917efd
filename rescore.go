package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"casepress/tasks"
	"casepress/tasks/instrument"
)

// Rescore asks a running casepress to score responses again.
type Rescore struct {
	URL        string `name:"admin-url" default:"http://127.0.0.1:8081" help:"The private address of the running casepress."`
	Study      string `env:"-" help:"Whose responses. Without it, those of the study without a name."`
	Instrument string `arg:"" help:"The id of the instrument."`
	Version    string `arg:"" help:"The version by which the answers are scored. The study must have it already."`
}

// rescored is one line of the answer.
type rescored struct {
	ID       string
	Revision int
	Changes  []tasks.ScoreChange
	Error    string

	Done                                          bool
	Rescored, Already, Changed, Failed, NotScored int
}

// Run prints a line for each score that changes, and how many there are. It is an error if not all could be scored.
func (r *Rescore) Run(ctx context.Context, stdout, _ io.Writer) error {
	wanted := map[string]string{"instrument": r.Instrument, "version": r.Version}
	if r.Study != "" {
		wanted["study"] = r.Study
	}
	body, err := json.Marshal(wanted)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(r.URL, "/")+"/rescore", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		var problem struct{ Detail string }
		if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&problem); err != nil {
			return errors.New(answer.Status)
		}
		return fmt.Errorf("%s: %s", answer.Status, problem.Detail)
	}
	return printRescored(stdout, answer.Body)
}

func printRescored(w io.Writer, lines io.Reader) error {
	for decoder := json.NewDecoder(lines); ; {
		var line rescored
		if err := decoder.Decode(&line); err != nil {
			return fmt.Errorf("it was cut off before all were scored; run it again: %w", err)
		}
		if line.Done {
			if _, err := fmt.Fprintf(w, "%d scored now, %d were already; %d of all changed; %d could not be; %d have no scores of their own yet\n",
				line.Rescored, line.Already, line.Changed, line.Failed, line.NotScored); err != nil {
				return err
			}
			if line.Failed > 0 {
				return fmt.Errorf("%d responses could not be scored by this version", line.Failed)
			}
			return nil
		}
		if line.Error != "" {
			if _, err := fmt.Fprintf(w, "%s revision %d: cannot be scored: %s\n", line.ID, line.Revision, strings.ReplaceAll(line.Error, "\n", "; ")); err != nil {
				return err
			}
		}
		for _, c := range line.Changes {
			if _, err := fmt.Fprintf(w, "%s revision %d: %s: %s -> %s\n", line.ID, line.Revision, c.Score, shownScore(c.Was), shownScore(c.Is)); err != nil {
				return err
			}
		}
	}
}

// shownScore is a score in a few words: "10 moderate".
func shownScore(r *instrument.Result) string {
	switch {
	case r == nil:
		return "no such score"
	case r.Value == "":
		return "none (" + r.Reason + ")"
	}
	return strings.TrimSpace(string(r.Value) + " " + r.Band)
}
