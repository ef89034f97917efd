package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// payload is what every message carries.
var payload = make([]byte, 1024)

// An opener opens a contender in an empty folder. send returns when the message is answered.
type opener func(dir string) (send func() error, end func() error, err error)

// work is a load that runs until stop is set.
type work struct {
	run func(stop *atomic.Bool, answered *atomic.Int64) error
	end func() error
}

// rate runs a load of so many messages in flight and returns the messages answered a second after the warm-up.
func rate(set settings, inFlight int, open func() (work, error)) ([]float64, error) {
	w, err := open()
	if err != nil {
		return nil, err
	}
	var stop atomic.Bool
	var answered atomic.Int64
	failed := make(chan error, 1)
	go func() { failed <- w.run(&stop, &answered) }()
	time.Sleep(set.warmUp)
	before, begun, busy := answered.Load(), time.Now(), processorTime()
	time.Sleep(set.span)
	for range 4 { // some answer their senders all at once, seconds apart
		if answered.Load()-before >= int64(4*inFlight) {
			break
		}
		time.Sleep(set.span)
	}
	count, span := answered.Load()-before, time.Since(begun)
	busy = processorTime() - busy
	stop.Store(true)
	err = errors.Join(<-failed, w.end())
	if set.cpu {
		return []float64{float64(busy.Nanoseconds()) / 1000 / float64(count)}, err
	}
	return []float64{float64(count) / span.Seconds()}, err
}

// processorTime is what this process has used so far, in user and system mode.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are right
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// parallel is a load of n senders, each of which waits for its answer.
func parallel(n int, dir string, open opener) (work, error) {
	send, end, err := open(dir)
	if err != nil {
		return work{}, err
	}
	return work{end: end, run: func(stop *atomic.Bool, answered *atomic.Int64) error {
		var wg sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			wg.Go(func() {
				for !stop.Load() {
					if errs[i] = send(); errs[i] != nil {
						return
					}
					answered.Add(1)
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}}, nil
}

// stream is a load of one sender that goes on while up to inFlight messages are unanswered. send hands one message
// over and returns what waits for its answer.
func stream(inFlight int, send func() (wait func() error, err error), end func() error) work {
	return work{end: end, run: func(stop *atomic.Bool, answered *atomic.Int64) error {
		waits := make(chan func() error, inFlight-2) // the waiter and the sender have one each in their hands
		done := make(chan error, 1)
		go func() {
			var failed error
			for wait := range waits {
				if err := wait(); err != nil {
					failed = err
					stop.Store(true)
				}
				answered.Add(1)
			}
			done <- failed
		}()
		var failed error
		for !stop.Load() && failed == nil {
			var wait func() error
			if wait, failed = send(); failed == nil {
				waits <- wait
			}
		}
		close(waits)
		return errors.Join(failed, <-done)
	}}
}

// A pinger opens a contender in an empty folder. Each call of ping sends one message and returns when it was sent,
// handled and acknowledged, and the acknowledgement is durable.
type pinger func(ctx context.Context, dir string) (ping func() (ping, error), end func() error, err error)

// A ping is when things were done with one message; zero where that does not apply.
type ping struct{ sent, handled, acked, durable time.Time }

// pings returns the medians, in ms, of sent, handled, the later of sent and acked, and durable.
func pings(ctx context.Context, set settings, dir string, open pinger) ([]float64, error) {
	one, end, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	figures := make([][]float64, 4)
	for range set.pings {
		time.Sleep(set.pause)
		begun := time.Now()
		p, err := one()
		if err != nil {
			return nil, errors.Join(err, end())
		}
		for i, at := range []time.Time{p.sent, p.handled, slices.MaxFunc([]time.Time{p.sent, p.acked}, time.Time.Compare), p.durable} {
			if !at.IsZero() {
				figures[i] = append(figures[i], float64(at.Sub(begun).Nanoseconds())/1e6)
			}
		}
	}
	medians := make([]float64, 4)
	for i := range figures {
		medians[i] = median(figures[i])
	}
	return medians, end()
}
