package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	urgentConnections = 256
	urgentSpan        = 5 * time.Second // of what has no end of its own
	// The aims: from sending to the webhook.
	urgentAim      = 250 * time.Millisecond
	urgentAimTimes = 3 // as long as when there is nothing else to do
)

// The situations in which adverse events are timed.
const (
	whenIdle     = "nothing else"
	whenBurst    = "the burst, until its last score"
	whenPictures = "pictures in work on all processors"
	whenBoth     = "both"
)

func situations() []string { return []string{whenIdle, whenBurst, whenPictures, whenBoth} }

// urgent measures how long an adverse event takes to be answered and to be told of by a webhook, beside nothing, the burst,
// pictures, and both.
func urgent(ctx context.Context, set settings, data string, c contender, responses []response) (missed []string, err error) {
	photos, err := readPhotos(set.photos)
	if err != nil {
		return nil, err
	}
	if len(photos) == 0 {
		missed = append(missed, "adverse events beside pictures were not measured: -photos is not given")
	}
	rounds := map[string][][]sample{}
	for range set.rounds {
		round, err := urgentRound(ctx, set, data, c, responses, photos)
		if err != nil {
			return missed, err
		}
		for name, samples := range round {
			rounds[name] = append(rounds[name], samples)
		}
	}
	notified := func(s sample) time.Duration { return s.Notified }
	reply := func(s sample) time.Duration { return s.Reply }
	of := func(samples []sample, figure func(sample) time.Duration, p int) time.Duration {
		var all []time.Duration
		for _, s := range samples {
			all = append(all, figure(s))
		}
		return percentile(all, p)
	}
	idle := slices.Concat(rounds[whenIdle]...)
	fmt.Printf("\nAn adverse event every %v, %d rounds, load average %s.\n\n", probeEvery, set.rounds, loadAverage())
	fmt.Println("| adverse events beside | sent | 201, ms: p50 / p99 / max | webhook, ms: p50 / p99 / max | times idle: p50 / p99 | p99 of the rounds |\n|---|---|---|---|---|---|")
	for _, name := range situations() {
		all := slices.Concat(rounds[name]...)
		if len(all) == 0 {
			continue
		}
		var each []string
		for _, round := range rounds[name] {
			each = append(each, fmt.Sprintf("%.0f", ms(of(round, notified, 99))))
		}
		p99, idle99 := of(all, notified, 99), of(idle, notified, 99)
		fmt.Printf("| %s | %d | %.1f / %.1f / %.1f | %.1f / %.1f / %.1f | %.1f / %.1f | %s |\n", name, len(all), ms(of(all, reply, 50)), ms(of(all, reply, 99)), ms(of(all, reply, 100)),
			ms(of(all, notified, 50)), ms(p99), ms(of(all, notified, 100)), ms(of(all, notified, 50))/ms(of(idle, notified, 50)), ms(p99)/ms(idle99), strings.Join(each, ", "))
		if p99 > urgentAim {
			missed = append(missed, fmt.Sprintf("adverse events beside %s: told after %v (p99); the aim is %v", name, p99, urgentAim))
		}
		if p99 > urgentAimTimes*idle99 {
			missed = append(missed, fmt.Sprintf("adverse events beside %s: told after %.1f times as long as idle (p99); the aim is %d", name, ms(p99)/ms(idle99), urgentAimTimes))
		}
	}
	return missed, nil
}

// readPhotos reads one HEIC and one JPEG photo of the folder, as far as they are there.
func readPhotos(folder string) (photos [][]byte, err error) {
	if folder == "" {
		return nil, nil
	}
	for _, pattern := range []string{"*.heic", "*.jpg"} {
		names, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil || len(names) == 0 {
			return nil, errors.Join(fmt.Errorf("no %s in %s", pattern, folder), err)
		}
		photo, err := os.ReadFile(names[0])
		if err != nil {
			return nil, err
		}
		photos = append(photos, photo)
	}
	return photos, nil
}

// urgentRound times adverse events in all situations, one after the other, at a fresh casepress.
func urgentRound(ctx context.Context, set settings, data string, c contender, responses []response, photos [][]byte) (round map[string][]sample, err error) {
	c.command = withArgs(c.command, "--webhook-allow=127.0.0.0/8")
	p, err := prepare(ctx, set, data, c)
	defer func() { err = errors.Join(err, p.end(), os.RemoveAll(data)) }()
	if err != nil {
		return nil, err
	}
	probe, err := startProbe(ctx, p.http)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // the first ones, which prepare statements and dial
	windows := map[string][2]time.Time{}
	during := func(name string, do func() error) {
		if err == nil {
			begun := time.Now()
			err = do()
			windows[name] = [2]time.Time{begun, time.Now()}
		}
	}
	span := func() error { time.Sleep(urgentSpan); return nil }
	burst := func() error {
		if err := newBurst(p.http, urgentConnections, responses).run(ctx); err != nil {
			return err
		}
		return idleLanes(ctx, p, "questionnaires")
	}
	during(whenIdle, span)
	during(whenBurst, burst)
	if len(photos) > 0 && err == nil {
		stop := p.keepDecoding(ctx, photos)
		time.Sleep(time.Second) // until they are being decoded
		during(whenPictures, span)
		responses = newResponses(len(responses), set.flagged, "again-")
		during(whenBoth, burst)
		err = errors.Join(err, stop())
	}
	samples, probeErr := probe.samples()
	if err := errors.Join(err, probeErr); err != nil {
		return nil, err
	}
	round = map[string][]sample{}
	for name, window := range windows {
		for _, s := range samples {
			if s.Sent.After(window[0]) && s.Sent.Before(window[1]) {
				round[name] = append(round[name], s)
			}
		}
	}
	return round, nil
}

func withArgs(command func(address, admin, data string) (string, []string), more ...string) func(address, admin, data string) (string, []string) {
	return func(address, admin, data string) (string, []string) {
		program, args := command(address, admin, data)
		return program, append(args, more...)
	}
}

// keepDecoding hands in reports of each photo, one after the other, until stop is called.
func (p *process) keepDecoding(ctx context.Context, photos [][]byte) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, len(photos))
	for _, photo := range photos {
		go func() {
			var err error
			for err == nil && ctx.Err() == nil {
				var all [][]byte
				for range 4 {
					all = append(all, differently(photo))
				}
				var id string
				if id, err = p.report(ctx, all...); err == nil {
					err = p.completed(ctx, id)
				}
			}
			if ctx.Err() != nil {
				err = nil
			}
			failed <- err
		}()
	}
	return func() (err error) {
		cancel()
		for range photos {
			err = errors.Join(err, <-failed)
		}
		return err
	}
}
