package handlers

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"
)

// Routes lists what the engine serves.
func Routes(a *API) gin.RoutesInfo { return a.engine.Routes() }

// Codes lists the codes that problems can have.
func Codes() []string {
	var codes []string
	for c := range codeTable {
		codes = append(codes, string(c))
	}
	return codes
}

// PagePaths lists the addresses of the page's files.
func PagePaths() []string {
	var paths []string
	for path := range pageFiles() {
		paths = append(paths, path)
	}
	return paths
}

// OpenAPI is the contract as it is served.
func OpenAPI() []byte { return openAPI() }

// Handle adds a route.
func Handle(a *API, path string, h gin.HandlerFunc) { a.engine.GET(path, h) }

// Forget makes admission measure anew.
func Forget(a *API) {
	a.admission.free.forget()
	for _, b := range a.admission.backlog {
		b.forget()
	}
}

func (c *cached[T]) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loadedAt = time.Time{}
}

// UploadsUnderWay is how many uploads are counted.
func UploadsUnderWay(a *API) int {
	a.admission.uploads.mu.Lock()
	defer a.admission.uploads.mu.Unlock()
	return a.admission.uploads.count
}

// SetFreeDisk makes the disk have as much free space from now on: others write to the real one.
func SetFreeDisk(a *API, bytes uint64) {
	a.admission.free.load = func(context.Context) (uint64, error) { return bytes, nil }
}

// FailFreeDisk makes the free space of the disk be one that cannot be measured.
func FailFreeDisk(a *API, err error) {
	a.admission.free.load = func(context.Context) (uint64, error) { return 0, err }
}

// SetHeartbeat makes streams that are opened from now on be silent for no longer than d.
func SetHeartbeat(a *API, d time.Duration) { a.heartbeat = d }

// Waiting is how many clients are kept waiting for events.
func Waiting(a *API) int {
	a.streams.mu.Lock()
	defer a.streams.mu.Unlock()
	return a.streams.count
}

// WaitingForStatus is how many clients are kept waiting for a submission to change.
func WaitingForStatus(a *API) int {
	a.statuses.mu.Lock()
	defer a.statuses.mu.Unlock()
	return a.statuses.count
}

// HoldBatches counts so many bytes of batches of a client until release is called.
func HoldBatches(a *API, address string, n int64) (release func()) {
	return a.batches.keep(networkOf(address), int(n))
}

// HoldAnswers is as if so many bytes of long answers were being sent to a client until release is called.
func HoldAnswers(a *API, address string, n int) (release func()) {
	return a.answers.keep(networkOf(address), n)
}

// AnswersHeld is how many bytes of long answers are being sent.
func AnswersHeld(a *API) int64 {
	all, _ := a.answers.add(networkOf("192.0.2.255"), 0)
	return all
}

// BatchesHeld is how many bytes of batches there are.
func BatchesHeld(a *API) int64 {
	all, _ := a.batches.add(networkOf("192.0.2.255"), 0)
	return all
}

// TakeCasePlaces takes the places of all clients that the address stands for until left is called, and lets nobody wait long.
func TakeCasePlaces(a *API, address string) (left func()) {
	a.cases.wait = time.Millisecond
	var leave []func()
	for range maxCasesFrom {
		one, err := a.cases.clients.enter(context.Background(), networkOf(address))
		if err != nil {
			panic(err)
		}
		leave = append(leave, one)
	}
	return func() {
		for _, one := range leave {
			one()
		}
		a.cases.wait = caseWait
	}
}

// HoldCases is as if as many bytes of long cases were being sent to each address as may be, until release is called.
func HoldCases(a *API, addresses ...string) (release func()) {
	var all []func()
	for _, address := range addresses {
		leave, err := a.cases.clients.enter(context.Background(), networkOf(address))
		if err != nil {
			panic(err)
		}
		one, err := a.cases.hold(networkOf(address), maxCaseBytesFrom)
		if err != nil {
			panic(err)
		}
		all = append(all, one, leave)
	}
	return func() {
		for _, one := range all {
			one()
		}
	}
}

// CasePlaces is how many clients have places, and how many bytes of long cases are being sent.
func CasePlaces(a *API) (clients int, bytes int64) {
	a.cases.clients.mu.Lock()
	defer a.cases.clients.mu.Unlock()
	a.cases.mu.Lock()
	defer a.cases.mu.Unlock()
	return len(a.cases.clients.from), a.cases.bytes
}

// MakeProgress takes the places of all that make trial progress until made is called.
func MakeProgress(a *API) (made func()) {
	for range cap(a.progressing) {
		a.progressing <- struct{}{}
	}
	return func() {
		for range cap(a.progressing) {
			<-a.progressing
		}
	}
}

// PagesAtOnce is how many pages of lists, cases and pages of trial progress are made at once.
func PagesAtOnce(a *API) []int { return []int{cap(a.listing), cap(a.cases.making), cap(a.progressing)} }

// DocumentTurns are the turns under which documents are read: whoever sends takes one, and receives to give it back.
func DocumentTurns(a *API) chan struct{} { return a.parsing }
