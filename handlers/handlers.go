// Package handlers implements the HTTP interface of casepress: uploads, questions about reports, downloads
// and the web page. openapi.yaml is the contract, and the tests check every answer against it.
//
// It never answers 2xx to something that is not on stable storage, never reads an upload into memory, and
// never writes patient data to a log. It does not know who asks: whoever reaches the address may read and
// write everything.
//
// Writes go to the dispatcher, reads to the rows and the blobs:
//
//	POST /upload-case-report ─> form ─> blob (staged) ─> checks ─> blob (committed) ─> Accept ─> 202
//	GET  /case-reports/{id}  ─> rows ─> (none? wait for the recorder, look once more) ─> 200 or 404
package handlers

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/blob"
	"casepress/dispatcher"
	"casepress/store"
)

// API serves the HTTP interface. It is an [http.Handler]; use [New]. Its methods are safe for concurrent use.
type API struct {
	cfg   Config
	work  *dispatcher.Dispatcher
	rows  *store.Store
	blobs blob.Store
	log   *slog.Logger

	engine      *gin.Engine
	connections *connections
	admission   *admission
	hosts       *hosts
	metrics     *metrics
	parsing     turns         // of documents
	answering   turns         // of answers to responses
	streams     waiters       // for events, on streams and for pages
	statuses    waiters       // for a submission to change
	heartbeat   time.Duration // see heartbeatEach
	// urgentParsing is parsing of what must not wait behind a burst of anything else.
	urgentParsing chan struct{}
	cases         casePlaces
	listing       chan struct{} // has one for each page of a list that is being made
	progressing   chan struct{} // has one for each page of trial progress that is being made, figures and all
	rendering     chan struct{} // has one for each PDF that is being made
	batches       clientBytes
	answers       clientBytes   // that are long, and being sent
	exports       chan struct{} // has the exports under way
	exportsFrom   clientPlaces
	receipts      chan struct{} // has what is taken apart of questions about receipts
	// webhookTurn holds a token while an act on an endpoint is decided on and stored.
	webhookTurn chan struct{}

	draining  chan struct{} // closed by Drain
	drainOnce sync.Once
}

// New returns the HTTP interface over the parts that do the work, none of which it closes. A nil log
// discards.
func New(cfg Config, work *dispatcher.Dispatcher, rows *store.Store, blobs blob.Store, log *slog.Logger) *API {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg = cfg.withDefaults()
	a := &API{
		cfg: cfg, work: work, rows: rows, blobs: blobs, log: log,
		heartbeat:     heartbeatEach,
		admission:     newAdmission(cfg, work),
		hosts:         newHosts(cfg.Hosts),
		parsing:       newTurns(),
		answering:     newTurns(),
		urgentParsing: make(chan struct{}, 2),
		cases:         casePlaces{clients: clientPlaces{each: maxCasesFrom}, making: make(chan struct{}, cfg.Processors), wait: caseWait},
		listing:       make(chan struct{}, cfg.Processors),
		progressing:   make(chan struct{}, cfg.Processors),
		rendering:     make(chan struct{}, 2),
		exports:       make(chan struct{}, maxExports),
		exportsFrom:   clientPlaces{each: maxExportsFrom},
		receipts:      make(chan struct{}, 2),
		draining:      make(chan struct{}),
		webhookTurn:   make(chan struct{}, 1),
	}
	a.metrics = newMetrics(a)
	a.connections = newConnections(cfg, log)
	a.engine = a.routes()
	return a
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.engine.ServeHTTP(w, r) }

// Drain announces the end: /readyz answers 503 and waiting polls return what they have. Requests are still
// served. Calling it again changes nothing.
func (a *API) Drain() { a.drainOnce.Do(func() { close(a.draining) }) }

func (a *API) isDraining() bool {
	select {
	case <-a.draining:
		return true
	default:
		return false
	}
}
