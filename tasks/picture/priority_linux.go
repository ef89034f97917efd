package picture

import "syscall"

// niceness is by how much pictures are nicer to others than the rest of the process. Each step takes a fifth off the share of a
// processor (sched(7)): beside one that is always busy, a tenth is left for pictures, so that they never starve.
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
