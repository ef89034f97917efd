package picture

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// threads are those of the goroutines that decode one picture, which have one each that is used for nothing else.
//
// The system gives such a thread a processor last, where it knows such priorities (Linux) and [Budget.leavesRoom]. Decoding occupies a
// processor for up to seconds, and what has a moment's work to do would stand in line with it as its equal, which is all that Go's own
// scheduler knows. See decision 31. What is decoded may so have to wait for a processor, and a wait is no work: what the
// threads of a picture have worked is what the system counted for them.
//
// A thread's priority cannot be raised again without special rights. So the thread ends with the goroutine: it is locked and
// never unlocked. Such a goroutine only computes and reads its file; it holds no lock that others than pictures wait for.
type threads struct {
	mu    sync.Mutex            // guards the rest
	begun map[int]time.Duration // by the id of a thread that goes on: what it had used before
	ended time.Duration         // what those have used that do not
	lost  bool                  // the system did not tell
}

// take gives the calling goroutine a thread of its own. end is to be called before the goroutine ends.
func (t *threads) take(lowPriority bool) (end func()) {
	runtime.LockOSThread()
	if lowPriority {
		lowerPriority()
	}
	id := threadID()
	before, err := threadTime(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.lost = true
		return func() {}
	}
	if t.begun == nil {
		t.begun = map[int]time.Duration{}
	}
	t.begun[id] = before
	return func() {
		after, err := threadTime(id)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.lost = t.lost || err != nil
		t.ended += after - t.begun[id]
		delete(t.begun, id)
	}
}

// worked is for how long a processor has worked for the picture since start; where the system does not tell, how much time has gone by.
func (t *threads) worked(start time.Time) time.Duration {
	gone := time.Since(start)
	t.mu.Lock()
	defer t.mu.Unlock()
	used := t.ended
	for id, before := range t.begun {
		now, err := threadTime(id)
		t.lost = t.lost || err != nil
		used += now - before
	}
	if t.lost {
		return gone
	}
	return min(gone, used)
}

// atLowPriority runs step in a goroutine that has a thread of its own, and returns its error. A panic of step becomes an error.
func (j *job) atLowPriority(step func() error) error {
	ended := make(chan error, 1)
	go func() {
		end := j.threads.take(j.budget.leavesRoom())
		var err error
		defer func() {
			if r := recover(); r != nil {
				err = &panicked{r, debug.Stack()}
			}
			end()
			ended <- err
		}()
		err = step()
	}()
	return <-ended
}
