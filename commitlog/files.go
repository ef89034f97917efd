package commitlog

import (
	"container/list"
	"sync"

	"casepress/disk"
)

// Files bounds how many files several logs hold open together: the one that each log is written to, or the segment that a commit
// waits for, and one for each reader that reads from the disk. Who needs a file when there are as many as there may be gets the place of the one that was not
// used for the longest time, which is closed and opened again when it is needed. While all are in use he waits.
//
// Not counted are files that are open for a moment: by Open and Verify, two at a time, and of segments that are prepared ahead or
// closed, eight at a time.
type Files struct {
	background chan struct{} // a place for each segment that is being prepared ahead or closed

	mu      sync.Mutex
	places  int       // that are free
	idle    list.List // of *heldFile: open and not in use; the longest unused first
	waiting list.List // of chan struct{}: closed when the one who waits has got a place
}

// backgroundFiles is how many segments are prepared ahead or closed at once.
const backgroundFiles = 8

// NewFiles bounds the files of the logs that are opened with it to at most most, which is at least 1.
func NewFiles(most int) *Files {
	return &Files{places: max(most, 1), background: make(chan struct{}, backgroundFiles)}
}

// enterBackground waits for its turn to prepare a segment ahead or to close one, and returns what ends it.
func (f *Files) enterBackground() (leave func()) {
	f.background <- struct{}{}
	return func() { <-f.background }
}

// heldFile is a file that stays open between uses, for as long as nobody else needs its place. use and its end are called by
// one goroutine at a time.
type heldFile struct {
	files *Files
	open  func() (disk.File, error)

	file disk.File     // nil: it is not open and has no place. Guarded by files.mu while it is not in use
	idle *list.Element // in files.idle; nil while it is in use or has no place. Guarded by files.mu
}

// use returns the file, and opens it if need be. Until done is called nobody closes it. After an error done must not be called.
func (h *heldFile) use() (disk.File, error) {
	if h.reclaim() {
		return h.file, nil
	}
	h.files.takePlace()
	file, err := h.open()
	if err != nil {
		h.files.freePlace()
		return nil, err
	}
	h.file = file
	return file, nil
}

// reclaim takes the file out of those that may be closed. It returns false if it is not open.
func (h *heldFile) reclaim() bool {
	h.files.mu.Lock()
	defer h.files.mu.Unlock()
	if h.idle == nil {
		return false
	}
	h.files.idle.Remove(h.idle)
	h.idle = nil
	return true
}

// done ends a use.
func (h *heldFile) done() {
	f := h.files
	f.mu.Lock()
	if f.waiting.Len() == 0 {
		h.idle = f.idle.PushBack(h)
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	_ = h.close() // somebody waits for the place
}

// close closes the file, if it is open. It must not be in use by anybody else.
func (h *heldFile) close() error {
	h.reclaim()
	if h.file == nil {
		return nil
	}
	err := h.file.Close()
	h.file = nil
	h.files.freePlace()
	return err
}

// takePlace waits for a place for one more file.
func (f *Files) takePlace() {
	f.mu.Lock()
	if f.places > 0 {
		f.places--
		f.mu.Unlock()
		return
	}
	if oldest := f.idle.Front(); oldest != nil {
		h := f.idle.Remove(oldest).(*heldFile)
		file := h.file
		h.file, h.idle = nil, nil
		f.mu.Unlock()
		_ = file.Close() // what was written to it is durable
		return
	}
	free := make(chan struct{})
	f.waiting.PushBack(free)
	f.mu.Unlock()
	<-free
}

// freePlace gives a place back, to the one who waits the longest if anybody does.
func (f *Files) freePlace() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first := f.waiting.Front(); first != nil {
		close(f.waiting.Remove(first).(chan struct{}))
		return
	}
	f.places++
}
