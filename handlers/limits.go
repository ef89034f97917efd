package handlers

import (
	"cmp"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"casepress/study"
	"casepress/tasks"
)

// Defaults of [Config]. The command line has them from here.
const (
	DefaultMaxBodyBytes         = 200 << 20
	DefaultMaxImages            = 50
	DefaultMaxUploads           = 512
	DefaultMaxUploadsPerAddress = 128
	DefaultMaxPixels            = 50_000_000
	DefaultMaxNotes             = 4000
	DefaultMaxBatchEntries      = 200
	DefaultMaxBatchBytes        = 1 << 20
	DefaultStallTimeout         = 30 * time.Second
	DefaultUploadTimeout        = 30 * time.Minute
	DefaultStoreTimeout         = 30 * time.Second
	DefaultMinUploadRate        = 1 << 10
	DefaultUploadRateSpan       = 30 * time.Second
	DefaultMaxWait              = 60 * time.Second
	DefaultMinFreeDisk          = 1 << 30
	DefaultMaxStreams           = 256
	DefaultMaxWebhookEndpoints  = 32
	DefaultMaxStreamsPerAddress = 32
	DefaultMinFreeDiskUrgent    = 64 << 20

	DefaultMaxConnections           = 4096
	DefaultMaxConnectionsPerAddress = 1536
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
	// (503) until one of them is answered. Each takes about 160 KiB of memory whatever its size. Documents of at most 64 KiB are
	// not among them: 24 MiB of these may be under way with their headers, and 6 MiB from one client address. Default 512; negative: no limit.
	MaxUploads int
	// MaxUploadsPerAddress bounds the uploads under way at once from one client address; one more is refused (503). An IPv6
	// address counts with its /64 network, all of which one client may have. Behind a proxy all clients have the proxy's
	// address: set ClientHeader then, or switch this off. The uploads of one address, if they are more than one, may also
	// announce no more than an eighth of the disk that is free above MinFreeDisk. Default 128; negative: no limit and no
	// share, nor one of documents or of adverse events.
	MaxUploadsPerAddress int
	// ClientHeader is the header in which a proxy tells the client's address, such as X-Forwarded-For, whose last address
	// counts. It is believed whoever sends it, so set it only if every request comes through the proxy. "": the address
	// of the connection counts, and so it does for a request without an address in the header. Default "".
	ClientHeader string
	// MaxConnections bounds the connections to the public address, and MaxConnectionsPerAddress those from one client address, an
	// IPv6 address with its /64 network. Where there are as many, the one that has been idle for longest between two requests is
	// closed for a new one; if none is idle, the new one is answered 503 and closed. The address is that of the connection, whatever
	// ClientHeader says, for no header has come yet: behind a proxy it is the proxy's, so raise MaxConnectionsPerAddress there or switch it
	// off. Default 4,096 and 1,536; negative: no limit.
	MaxConnections           int
	MaxConnectionsPerAddress int
	// Processors is how many pages of lists are made at once, and how many cases and pages of trial progress. Each takes a
	// processor's time and up to 40 MB. Default GOMAXPROCS; fewer where that is more than the machine has.
	Processors int
	// MaxPixels bounds width times height of one image. Default 50 million.
	MaxPixels int64
	// MaxNotes bounds the characters of the notes. Default 4,000.
	MaxNotes int
	// MaxBatchEntries and MaxBatchBytes bound one batch of questionnaire responses; so does MaxBodyBytes, and no batch can
	// be larger than [MaxBatchMemoryFrom]. Default 200 and 1 MiB.
	MaxBatchEntries int
	MaxBatchBytes   int64

	// Studies are the studies that have a file; nil: none has. A study without one is taken with defaults.
	Studies *study.Studies

	// Progress is where /trial-progress is read from. Default: it is not served.
	Progress TrialProgress

	// MissingBlobs returns how many blobs are known to be gone that rows name, for /readyz; nil: none ever.
	MissingBlobs func() int

	// Timeline writes the timeline of an adverse event as a PDF; nil: there is none.
	Timeline func(w io.Writer, s tasks.Submission, sequence uint64, entries []tasks.TimelineEntry) error

	// StallTimeout ends a request whose client has not sent a byte for so long, or not taken the next 16 KiB of its answer, or
	// the next 64 KiB of a long one, or up to an eighth longer. A slow client that keeps going is not affected, however long the answer is. Default 30 s.
	StallTimeout time.Duration
	// UploadTimeout ends an upload that is still not complete after so long, however steadily it trickles.
	// Default 30 minutes.
	UploadTimeout time.Duration
	// MinUploadRate is the bytes a second that an upload must bring, measured over each UploadRateSpan that the server has
	// waited for it; a slower one is ended (408), because it would hold its place for hours. Default 1 KiB over 30 s;
	// negative: no limit.
	MinUploadRate  int64
	UploadRateSpan time.Duration
	// StoreTimeout bounds what is done with a request after its body is in; the client leaving does not
	// shorten it. Default 30 s.
	StoreTimeout time.Duration
	// MaxWait bounds the wait of a long poll; a longer one asked for is cut to it. Default 60 s.
	MaxWait time.Duration

	// MaxStreams bounds the clients that are kept waiting for events, on streams or for pages; one more is refused (503).
	// Each takes about 200 KiB of memory. MaxStreamsPerAddress bounds those from one client address, which counts as for
	// MaxUploadsPerAddress. As many more may wait for a submission to change; what is beyond that is answered at once, as
	// without the wait. Default 256 and 32; negative: no limit.
	MaxStreams           int
	MaxStreamsPerAddress int

	// WebhookAllow are networks that events may be sent to although they are not public: see [notify.Config].
	WebhookAllow []netip.Prefix
	// MaxWebhookEndpoints bounds the endpoints that events are sent to; one more is refused (409). Default 32.
	MaxWebhookEndpoints int

	// MinFreeDisk is the free space in bytes below which nothing new is taken in (507). Default 1 GiB;
	// negative: no floor.
	MinFreeDisk int64
	// MinFreeDiskUrgent is the same for adverse events and what is done with them: what lies between the two is kept for
	// them. It must be less than MinFreeDisk. Default 64 MiB; negative, or where MinFreeDisk is: no floor.
	MinFreeDiskUrgent int64
}

func (c Config) withDefaults() Config {
	c.Registry = cmp.Or(c.Registry, prometheus.NewRegistry())
	c.DataDir = cmp.Or(c.DataDir, ".")
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, DefaultMaxBodyBytes)
	c.MaxImages = cmp.Or(c.MaxImages, DefaultMaxImages)
	c.MaxUploads = cmp.Or(c.MaxUploads, DefaultMaxUploads)
	c.MaxUploadsPerAddress = cmp.Or(c.MaxUploadsPerAddress, DefaultMaxUploadsPerAddress)
	c.MaxConnections = cmp.Or(c.MaxConnections, DefaultMaxConnections)
	c.MaxConnectionsPerAddress = cmp.Or(c.MaxConnectionsPerAddress, DefaultMaxConnectionsPerAddress)
	c.Processors = cmp.Or(c.Processors, runtime.GOMAXPROCS(0))
	c.MaxPixels = cmp.Or(c.MaxPixels, DefaultMaxPixels)
	c.MaxNotes = cmp.Or(c.MaxNotes, DefaultMaxNotes)
	c.MaxBatchEntries = cmp.Or(c.MaxBatchEntries, DefaultMaxBatchEntries)
	c.MaxBatchBytes = min(cmp.Or(c.MaxBatchBytes, DefaultMaxBatchBytes), c.MaxBodyBytes)
	c.StallTimeout = cmp.Or(c.StallTimeout, DefaultStallTimeout)
	c.UploadTimeout = cmp.Or(c.UploadTimeout, DefaultUploadTimeout)
	c.MinUploadRate = cmp.Or(c.MinUploadRate, DefaultMinUploadRate)
	c.UploadRateSpan = cmp.Or(c.UploadRateSpan, DefaultUploadRateSpan)
	c.StoreTimeout = cmp.Or(c.StoreTimeout, DefaultStoreTimeout)
	c.MaxWait = cmp.Or(c.MaxWait, DefaultMaxWait)
	c.MinFreeDisk = cmp.Or(c.MinFreeDisk, DefaultMinFreeDisk)
	c.MaxWebhookEndpoints = cmp.Or(c.MaxWebhookEndpoints, DefaultMaxWebhookEndpoints)
	c.MaxStreams = cmp.Or(c.MaxStreams, DefaultMaxStreams)
	c.MaxStreamsPerAddress = cmp.Or(c.MaxStreamsPerAddress, DefaultMaxStreamsPerAddress)
	c.MinFreeDiskUrgent = cmp.Or(c.MinFreeDiskUrgent, DefaultMinFreeDiskUrgent)
	if c.MissingBlobs == nil {
		c.MissingBlobs = func() int { return 0 }
	}
	if c.Timeline == nil {
		c.Timeline = func(io.Writer, tasks.Submission, uint64, []tasks.TimelineEntry) error {
			return errors.New("nothing here makes timelines")
		}
	}
	return c
}

// uploadLimits is what a client can check before it sends.
type uploadLimits struct {
	MaxBodyBytes       int64 `json:"maxBodyBytes"`
	MaxImages          int   `json:"maxImages"`
	MaxPixels          int64 `json:"maxPixels"`
	MaxNotesCharacters int   `json:"maxNotesCharacters"`
	MaxBatchEntries    int   `json:"maxBatchEntries"`
	MaxBatchBytes      int64 `json:"maxBatchBytes"`
}

// limits answers GET /limits.
func (a *API) limits(c *gin.Context) {
	body := encodeJSON(uploadLimits{a.cfg.MaxBodyBytes, a.cfg.MaxImages, a.cfg.MaxPixels, a.cfg.MaxNotes, a.cfg.MaxBatchEntries, a.cfg.MaxBatchBytes})
	a.answerTagged(c, "application/json", body)
}
