package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"casepress/broker"
	"casepress/commitlog"
)

const growthBytes = 200 // of a message

// probed is what a fresh process found in a data folder.
type probed struct {
	OpenCold, OpenWarm   time.Duration // of the broker
	RSS                  int64         // bytes, with the broker open and its topic described
	SeekOffset, SeekTime [2]time.Duration
	Bytes                int64 // on disk
}

// growth fills a topic and lets a fresh process look at it whenever it is ten times as large.
func growth(ctx context.Context, set settings, quick bool, out io.Writer) error {
	sizes := []int{100_000, 1_000_000, 10_000_000}
	if quick {
		sizes = []int{1_000, 10_000}
	}
	dir, err := os.MkdirTemp(set.dir, "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(out, "\n## Messages on disk, %d bytes each, load %s\n\n", growthBytes, load())
	fmt.Fprintln(out, "| messages | on disk | broker opens, cold | warm | memory (RSS) | read at random offset, p50 / p99 | find random time, p50 / p99 |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	have := 0
	for _, n := range sizes {
		if err := grow(ctx, dir, n-have, n); err != nil {
			return err
		}
		have = n
		p, err := probeApart(ctx, dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "| %s | %d MB | %v | %v | %d MB | %v / %v | %v / %v |\n", perSecond(float64(n)), p.Bytes>>20,
			p.OpenCold.Round(100*time.Microsecond), p.OpenWarm.Round(100*time.Microsecond), p.RSS>>20,
			p.SeekOffset[0].Round(time.Microsecond), p.SeekOffset[1].Round(time.Microsecond),
			p.SeekTime[0].Round(time.Microsecond), p.SeekTime[1].Round(time.Microsecond))
	}
	return nil
}

// grow publishes more messages, n in all, and sets a group to the middle of them.
func grow(ctx context.Context, dir string, more, n int) (err error) {
	b, err := newPress(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := fillPress(ctx, b, more, growthBytes); err != nil {
		return err
	}
	_, err = b.SetPosition(topic, "half", broker.FromOffset(uint64(n/2)))
	return err
}

// probeApart measures in a process of its own, so that its memory is its own.
func probeApart(ctx context.Context, dir string) (p probed, err error) {
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	command := exec.CommandContext(ctx, self, "-probe", dir)
	var answer bytes.Buffer
	command.Stdout, command.Stderr = &answer, os.Stderr
	if err := command.Run(); err != nil {
		return p, err
	}
	return p, json.Unmarshal(answer.Bytes(), &p)
}

func probe(_ context.Context, dir string, out io.Writer) error {
	var p probed
	var err error
	if p.Bytes, err = forget(dir); err != nil {
		return err
	}
	for _, took := range []*time.Duration{&p.OpenCold, &p.OpenWarm} {
		if *took, p.RSS, err = openOnce(dir); err != nil {
			return err
		}
	}
	l, err := commitlog.Open(filepath.Join(dir, "broker", topic, "log"), commitlog.Options{})
	if err != nil {
		return err
	}
	if err := p.seek(l); err != nil {
		return errors.Join(err, l.Close())
	}
	return errors.Join(l.Close(), json.NewEncoder(out).Encode(p))
}

func openOnce(dir string) (took time.Duration, rss int64, err error) {
	begun := time.Now()
	b, err := newPress(dir)
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(begun)
	if _, err := b.Topic(topic); err != nil {
		return 0, 0, errors.Join(err, b.Close())
	}
	return took, resident(), b.Close()
}

// seek looks at 2,000 random places, whatever happens to be in the page cache.
func (p *probed) seek(l *commitlog.Log) error {
	random := rand.New(rand.NewPCG(1, 2))
	segments := l.Segments()
	first, last := segments[0].First, segments[len(segments)-1].Last
	var offsets, moments []time.Duration
	for range 2000 {
		begun := time.Now()
		records, err := l.Read(random.Uint64N(l.End()), 1)
		if err != nil || len(records) == 0 {
			return fmt.Errorf("read %d records: %w", len(records), err)
		}
		offsets = append(offsets, time.Since(begun))
		at := first.Add(time.Duration(random.Int64N(int64(last.Sub(first)))))
		begun = time.Now()
		if _, err := l.OffsetAt(at); err != nil {
			return err
		}
		moments = append(moments, time.Since(begun))
	}
	p.SeekOffset, p.SeekTime = percentiles(offsets), percentiles(moments)
	return nil
}

func percentiles(took []time.Duration) [2]time.Duration {
	slices.Sort(took)
	return [2]time.Duration{took[len(took)/2], took[len(took)*99/100]}
}

// forget drops the folder's files from the page cache and returns their sizes.
func forget(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		bytes += info.Size()
		return errors.Join(file.Sync(), unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
	})
	return bytes, err
}

// resident returns the process's resident memory in bytes, or 0.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
