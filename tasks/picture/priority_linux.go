package picture

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// niceness is by how much pictures are nicer to others than the rest of the process. Each step takes a fifth off the share of a
// processor (sched(7)): of a processor with one other thread that is always busy a tenth is left for a picture, with three a thirtieth.
const niceness = 10

// lowerPriority lowers the priority of the calling thread. That is always allowed; where a sandbox forbids it all the same, the
// thread goes on as it is, which makes nothing wrong and only others slower.
func lowerPriority() {
	const nicest, thisThread = 19, 0
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, thisThread) // 20 less the niceness: getpriority(2), "C library/kernel differences"
	if err != nil {
		return
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, thisThread, min(20-raw+niceness, nicest))
}

// threadID names the calling thread.
func threadID() int { return unix.Gettid() }

// threadTime is how much of a processor's time a thread of this process has used. The error is that of a thread that has ended.
func threadTime(id int) (time.Duration, error) {
	const perThread, scheduled = 4, 2
	clock := int32(^id<<3 | perThread | scheduled) // pthread_getcpuclockid(3); CPUCLOCK_SCHED in the kernel's posix-timers_types.h
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}
