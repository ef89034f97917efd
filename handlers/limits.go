package handlers

import (
	"cmp"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"casepress/study"
)

// Config holds the limits of the HTTP interface. The zero value of a field means its default; where a
// negative value switches a limit off, the field says so.
type Config struct {
	// Registry is what /metrics on the private address shows. [New] registers the metrics of this
	// package in it, and those of the Go runtime and of the process; other parts register their own.
	// Default: a new one.
	Registry *prometheus.Registry

	// Hosts are the names by which clients may reach the server, as they stand in the Host header, without
	// port. Loopback names, the address listened on and, on a wildcard address, every address of the
	// machine need not be listed. Requests under any other name are refused (421), because a web page
	// could otherwise read patients' data through a visitor's browser (DNS rebinding). Default none.
	Hosts []string

	// DataDir is the folder whose free space [Config.MinFreeDisk] guards. Default ".".
	DataDir string
	// MaxBodyBytes bounds the body of one upload. Default 200 MiB.
	MaxBodyBytes int64
	// MaxImages bounds the images of one case report, files and references together. Default 50.
	MaxImages int
	// MaxUploads bounds the uploads under way at once, reports and images together; one more is refused
	// (503) until one of them is answered. Each takes about 160 KiB of memory whatever its size. Default
	// 512; negative: no limit.
	MaxUploads int
	// MaxPixels bounds width times height of one image. Default 50 million.
	MaxPixels int64
	// MaxNotes bounds the characters of the notes. Default 4,000.
	MaxNotes int

	// Studies are the studies that have a file; nil: none has. A study without one is taken with defaults.
	Studies *study.Studies

	// MissingBlobs returns how many blobs are known to be gone that rows name, for /readyz; nil: none ever.
	MissingBlobs func() int

	// StallTimeout ends a request whose client has neither sent nor taken a byte for so long. A slow client
	// that keeps going is not affected. Default 30 s.
	StallTimeout time.Duration
	// UploadTimeout ends an upload that is still not complete after so long, however steadily it trickles.
	// Default 30 minutes.
	UploadTimeout time.Duration
	// StoreTimeout bounds what is done with a request after its body is in; the client leaving does not
	// shorten it. Default 30 s.
	StoreTimeout time.Duration
	// MaxWait bounds the wait of a long poll; a longer one asked for is cut to it. Default 60 s.
	MaxWait time.Duration

	// MinFreeDisk is the free space in bytes below which nothing new is taken in (507). Default 1 GiB;
	// negative: no floor.
	MinFreeDisk int64
}

func (c Config) withDefaults() Config {
	c.Registry = cmp.Or(c.Registry, prometheus.NewRegistry())
	c.DataDir = cmp.Or(c.DataDir, ".")
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 200<<20)
	c.MaxImages = cmp.Or(c.MaxImages, 50)
	c.MaxUploads = cmp.Or(c.MaxUploads, 512)
	c.MaxPixels = cmp.Or(c.MaxPixels, 50_000_000)
	c.MaxNotes = cmp.Or(c.MaxNotes, 4000)
	c.StallTimeout = cmp.Or(c.StallTimeout, 30*time.Second)
	c.UploadTimeout = cmp.Or(c.UploadTimeout, 30*time.Minute)
	c.StoreTimeout = cmp.Or(c.StoreTimeout, 30*time.Second)
	c.MaxWait = cmp.Or(c.MaxWait, 60*time.Second)
	c.MinFreeDisk = cmp.Or(c.MinFreeDisk, 1<<30)
	if c.MissingBlobs == nil {
		c.MissingBlobs = func() int { return 0 }
	}
	return c
}

// uploadLimits is what a client can check before it sends.
type uploadLimits struct {
	MaxBodyBytes       int64 `json:"maxBodyBytes"`
	MaxImages          int   `json:"maxImages"`
	MaxPixels          int64 `json:"maxPixels"`
	MaxNotesCharacters int   `json:"maxNotesCharacters"`
}

// limits answers GET /limits.
func (a *API) limits(c *gin.Context) {
	body := encodeJSON(uploadLimits{a.cfg.MaxBodyBytes, a.cfg.MaxImages, a.cfg.MaxPixels, a.cfg.MaxNotes})
	h := c.Writer.Header()
	tag := bodyTag(body)
	h.Set("Etag", tag)
	h.Set("Cache-Control", "no-cache")
	if etagMatches(c.GetHeader("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	writeBytes(c, http.StatusOK, "application/json", body)
}
