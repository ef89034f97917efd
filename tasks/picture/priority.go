package picture

import (
	"runtime"
	"runtime/debug"
)

// atLowPriority runs step in a goroutine that has taken a thread for itself, and returns its error. A panic of step becomes an
// error.
func atLowPriority(step func() error) error {
	ended := make(chan error, 1)
	go func() {
		takeThread()
		defer func() {
			if r := recover(); r != nil {
				ended <- &panicked{r, debug.Stack()}
			}
		}()
		ended <- step()
	}()
	return <-ended
}

// takeThread gives the calling goroutine a thread of its own to which the system gives a processor last, where it knows such
// priorities (Linux). Decoding occupies a processor for up to seconds, and what has a moment's work to do would stand in line
// with it as its equal, which is all that Go's own scheduler knows. See decision 31.
//
// A thread's priority cannot be raised again without special rights. So the thread ends with the goroutine: it is locked and
// never unlocked. Such a goroutine only computes and reads its file; it holds no lock that others than pictures wait for.
func takeThread() {
	runtime.LockOSThread()
	lowerPriority()
}
