package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// settleTimeout is how long scoring may take.
const settleTimeout = 2 * time.Minute

// settleCasepress waits until casepress has no work left, and reads everything through its lists.
func settleCasepress(ctx context.Context, p *process, _ int) (stored, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, fmt.Errorf("not all is scored after %v", settleTimeout))
	defer cancel()
	for {
		err := idle(ctx, p)
		if err != nil {
			return stored{}, err
		}
		cpu := p.cpu()
		s, err := readCasepress(ctx, p)
		s.cpu = cpu
		if !errors.Is(err, errUnfinished) {
			return s, err
		}
	}
}

// idle waits until no lane has work.
func idle(ctx context.Context, p *process) error { return idleLanes(ctx, p) }

// idleLanes waits until none of these lanes has work; none: no lane at all.
func idleLanes(ctx context.Context, p *process, names ...string) error {
	for {
		var lanes struct {
			Items []struct {
				Name          string
				Busy, Waiting int
			}
		}
		if err := getJSON(ctx, "http://"+p.admin+"/lanes", &lanes); err != nil {
			return err
		}
		left := 0
		for _, l := range lanes.Items {
			if len(names) == 0 || slices.Contains(names, l.Name) {
				left += l.Busy + l.Waiting
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// errUnfinished says that a response was between two lanes' counts.
var errUnfinished = errors.New("a response is not finished")

func readCasepress(ctx context.Context, p *process) (stored, error) {
	var s stored
	err := pages(ctx, "http://"+p.http+path, func(item responseItem) error {
		one := storedResponse{ID: item.ID, SHA256: item.Receipt.SHA256}
		for _, score := range item.Scores {
			if score.ID == "total" {
				one.Total = score.Value
			}
		}
		switch {
		case item.Status == "failed":
			return fmt.Errorf("%s has failed", item.ID)
		case item.FinishedAt == nil:
			return errUnfinished
		}
		if item.FinishedAt.After(s.lastScore) {
			s.lastScore = *item.FinishedAt
		}
		s.responses = append(s.responses, one)
		return nil
	})
	if err != nil {
		return s, err
	}
	return s, pages(ctx, "http://"+p.http+"/adverse-events", func(item struct {
		Source struct{ ID string }
	}) error {
		s.adverseEvents = append(s.adverseEvents, item.Source.ID)
		return nil
	})
}

// responseItem is what is read of a response in a list.
type responseItem struct {
	ID, Status string
	Receipt    struct {
		SHA256 string `json:"sha256"`
	}
	Scores []struct {
		ID    string
		Value *int64
	}
	FinishedAt *time.Time
}

// pages reads a list page by page.
func pages[T any](ctx context.Context, list string, take func(T) error) error {
	for cursor := ""; ; {
		var page struct {
			Items    []T
			Next     *string
			UpToDate bool
		}
		address := list + "?limit=100"
		if cursor != "" {
			address += "&cursor=" + url.QueryEscape(cursor)
		}
		if err := getJSON(ctx, address, &page); err != nil {
			return err
		}
		if !page.UpToDate {
			return fmt.Errorf("%s is not up to date", list)
		}
		for _, item := range page.Items {
			if err := take(item); err != nil {
				return err
			}
		}
		if page.Next == nil {
			return nil
		}
		cursor = *page.Next
	}
}

// scoredPeer is what a peer answers when it is asked what it has.
type scoredPeer struct {
	Responses     []storedResponse `json:"responses"`
	AdverseEvents []string         `json:"adverseEvents"`
	LastScore     time.Time        `json:"lastScore"`
}

// settlePeer waits until a peer has scored as many.
func settlePeer(ctx context.Context, p *process, n int) (stored, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, fmt.Errorf("not all is scored after %v", settleTimeout))
	defer cancel()
	for {
		var got scoredPeer
		cpu := p.cpu()
		if err := getJSON(ctx, "http://"+p.http+"/stored", &got); err != nil {
			return stored{}, err
		}
		if len(got.Responses) >= n {
			return stored{got.Responses, got.AdverseEvents, got.LastScore, cpu}, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return stored{}, context.Cause(ctx)
		}
	}
}
