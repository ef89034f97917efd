package handlers

import (
	"net/http"
	"net/http/pprof"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin returns the handler for a private address: /metrics, /debug/pprof/,
// /healthz and /readyz, /lanes, and originals. Profiles show memory and so patient data: the address
// must not be reachable by others.
func (a *API) Admin() http.Handler {
	e := a.newEngine()
	get(e, "/healthz", a.healthz)
	get(e, "/readyz", a.readyz)
	get(e, "/originals/:sha256", a.original)
	get(e, "/lanes", a.lanes)
	e.PUT("/lanes/:name", a.putLane)
	e.POST("/rescore", a.rescore)
	get(e, "/metrics", gin.WrapH(promhttp.HandlerFor(a.cfg.Registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, Registry: a.cfg.Registry,
	})))
	get(e, "/debug/pprof/", gin.WrapF(pprof.Index))
	get(e, "/debug/pprof/cmdline", gin.WrapF(pprof.Cmdline))
	get(e, "/debug/pprof/profile", gin.WrapF(pprof.Profile))
	get(e, "/debug/pprof/symbol", gin.WrapF(pprof.Symbol))
	get(e, "/debug/pprof/trace", gin.WrapF(pprof.Trace))
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		get(e, "/debug/pprof/"+name, gin.WrapH(pprof.Handler(name)))
	}
	return e
}
