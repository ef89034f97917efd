package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"casepress/tasks"
)

// Routes that other files of the package name.
const (
	routeUpload   = "/upload-case-report"
	routeImage    = "/images/:imageId"
	routeReceipts = "/receipts/check"
	routeRetry    = "/case-reports/:id/retry"
)

// newEngine returns an engine with everything that all routes have in common, and with answers for
// addresses and methods that are not served.
func (a *API) newEngine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false // a redirect of a POST would lose its body, and problem+json is promised
	if err := e.SetTrustedProxies(nil); err != nil {
		panic(err) // nil is always a valid list
	}
	e.NoRoute(a.noRoute)
	e.NoMethod(a.noMethod)
	e.Use(a.observe, a.recoverPanics, a.keepDeadlines, a.knownHost, a.sameOrigin)
	return e
}

func (a *API) routes() *gin.Engine {
	e := a.newEngine()
	caseReports := a.admit(tasks.KindCaseReport().Lane, a.cfg.MaxBodyBytes)
	e.POST(routeUpload, caseReports, a.uploadCaseReport)
	e.PUT(routeImage, caseReports, a.putImage)
	get(e, routeImage, a.storedImage)
	get(e, "/limits", a.limits)
	get(e, "/case-reports", a.caseReports)
	get(e, "/case-reports/:id", a.caseReport)
	get(e, "/case-reports/:id/report.pdf", a.reportPDF)
	get(e, "/case-reports/:id/images/:n", a.reportImage)
	e.POST(routeRetry, a.retry(tasks.KindCaseReport()))
	a.receiptRoutes(e)
	a.responseRoutes(e)
	a.exportRoutes(e)
	a.adverseEventRoutes(e)
	a.instrumentRoutes(e)
	a.fhirRoutes(e)
	if a.cfg.Progress.Rows != nil {
		get(e, "/trial-progress", a.trialProgress)
	}
	for _, k := range tasks.Kinds() {
		if k.JSON != nil {
			a.documentRoutes(e, k)
		}
	}

	get(e, routeEvents, a.events)
	a.webhookRoutes(e)

	get(e, "/healthz", a.healthz)
	get(e, "/readyz", a.readyz)
	get(e, "/openapi.yaml", a.serveFile(newFile("openapi.yaml", openAPI())))
	get(e, "/openapi.json", a.serveFile(newFile("openapi.json", openAPIJSON())))
	for path, f := range pageFiles() {
		get(e, path, a.serveFile(f))
	}
	return e
}

// get registers GET and HEAD.
func get(e *gin.Engine, path string, h gin.HandlerFunc) {
	e.GET(path, h)
	e.HEAD(path, h)
}

// sameOrigin keeps pages of other sites from sending reports through a browser. Requests that do not come
// from a browser pass.
func (a *API) sameOrigin(c *gin.Context) {
	if err := crossOrigin.Check(c.Request); err != nil {
		a.fail(c, &fault{code: codeCrossOrigin, cause: err})
		c.Abort()
	}
}

var crossOrigin = http.NewCrossOriginProtection()
