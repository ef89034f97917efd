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
