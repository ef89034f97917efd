// Package stopwatch keeps the time that a piece of work takes when it is done over and over in one process: by the
// clock, and of the processors in all threads. It never counts the first time, which it tells apart.
package stopwatch

import (
	"time"

	"golang.org/x/sys/unix"
)

// Best are milliseconds: of the first time, and the least of each kind of all others.
type Best struct{ FirstWall, FirstCPU, Wall, CPU float64 }

// Repeat does the work once, and then n times more; n is at least 1.
func Repeat(n int, work func() error) (Best, error) {
	var b Best
	for i := range n + 1 {
		cpu, begun := ProcessorTime(), time.Now()
		if err := work(); err != nil {
			return b, err
		}
		wall, spent := Milliseconds(time.Since(begun)), Milliseconds(ProcessorTime()-cpu)
		switch i {
		case 0:
			b.FirstWall, b.FirstCPU = wall, spent
		case 1:
			b.Wall, b.CPU = wall, spent
		default:
			b.Wall, b.CPU = min(b.Wall, wall), min(b.CPU, spent)
		}
	}
	return b, nil
}

// ProcessorTime is what this process has used since it began, in all its threads.
func ProcessorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // no error is possible with this argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Milliseconds returns d in milliseconds, with a fraction.
func Milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
