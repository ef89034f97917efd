package handlers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"

	"casepress/handlers"
)

// contract is openapi.yaml with what kinds add.
var contract = sync.OnceValue(func() *openapi3.T {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(handlers.OpenAPI())
	if err != nil {
		panic(err)
	}
	if err := doc.Validate(loader.Context); err != nil {
		panic(err)
	}
	for _, binary := range []string{"application/pdf", "image/jpeg", "image/png", "application/yaml", "text/csv", "application/x-ndjson", "text/event-stream"} {
		openapi3filter.RegisterBodyDecoder(binary, openapi3filter.FileBodyDecoder)
	}
	openapi3filter.RegisterBodyDecoder("application/fhir+json", openapi3filter.RegisteredBodyDecoder("application/json"))
	return doc
})

// answer is a response, read and held against the contract.
type answer struct {
	testing.TB
	*http.Response
	body []byte
}

// do sends a request and holds the answer against the contract.
func (s *service) do(r *http.Request) answer {
	s.Helper()
	response, err := s.client.Do(r)
	require.NoError(s, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(s, err)
	require.NoError(s, response.Body.Close())
	a := answer{s.TB, response, body}
	a.holdsContract()
	return a
}

// holdsContract fails the test unless the answer is one that openapi.yaml allows.
func (a answer) holdsContract() {
	a.Helper()
	require.NotEmpty(a, a.Header.Get("X-Request-Id"))
	require.Equal(a, "nosniff", a.Header.Get("X-Content-Type-Options"))
	if a.Request.Method == http.MethodHead {
		require.Empty(a, a.body)
		return
	}
	isFHIR := strings.HasPrefix(a.Request.URL.Path, "/fhir/R4/")
	if a.StatusCode >= 400 {
		require.NotEmpty(a, a.Header.Get("Content-Language"))
		if isFHIR {
			require.Equal(a, "application/fhir+json", a.Header.Get("Content-Type"))
			require.Equal(a, "OperationOutcome", a.json()["resourceType"])
		} else {
			require.Equal(a, "application/problem+json", a.Header.Get("Content-Type"))
			require.Equal(a, float64(a.StatusCode), a.json()["status"])
		}
	}
	route := routeOf(a.Request)
	if route == nil { // no such address or method, or the page
		if a.StatusCode >= 400 && !isFHIR {
			schema := contract().Components.Schemas["Problem"].Value
			require.NoError(a, schema.VisitJSON(a.json(), openapi3.EnableJSONSchema2020(), openapi3.VisitAsResponse()))
		}
		return
	}
	err := openapi3filter.ValidateResponse(a.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: a.Request, Route: route},
		Status:                 a.StatusCode, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	require.NoError(a, err, "%s %s: %d %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.body)
}

// routeOf finds what the contract has to say about a request.
func routeOf(r *http.Request) *routers.Route {
	for path, item := range contract().Paths.Map() {
		op := item.GetOperation(r.Method)
		if op != nil && matches(path, r.URL.Path) {
			return &routers.Route{Spec: contract(), Path: path, PathItem: item, Method: r.Method, Operation: op}
		}
	}
	return nil
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(want, got string) bool {
		return want == got || strings.HasPrefix(want, "{") && got != ""
	})
}

func (a answer) json() map[string]any {
	a.Helper()
	var v map[string]any
	require.NoError(a, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

// get reads a member by its path, like "receipt.sha256".
func (a answer) get(path string) any {
	a.Helper()
	var v any = a.json()
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		require.True(a, ok, "%s in %s", path, a.body)
		v = m[name]
	}
	return v
}

// is checks status and, for a problem, its code.
func (a answer) is(status int, code ...string) answer {
	a.Helper()
	require.Equal(a, status, a.StatusCode, "%s", a.body)
	if len(code) > 0 {
		require.Equal(a, code[0], a.get("code"), "%s", a.body)
	}
	return a
}

func TestRoutesAreTheContract(t *testing.T) {
	s := open(t)
	written := map[string]bool{}
	for path, item := range contract().Paths.Map() {
		for method := range item.Operations() {
			written[method+" "+path] = true
			if method == http.MethodGet {
				written["HEAD "+path] = true
			}
		}
	}
	served := map[string]bool{}
	for _, route := range handlers.Routes(s.API) {
		path := regexp.MustCompile(`:(\w+)`).ReplaceAllString(route.Path, "{$1}")
		if !isPage(path) {
			served[route.Method+" "+path] = true
		}
	}
	require.Equal(t, written, served)
}

func TestCodesAreTheContract(t *testing.T) {
	var written []string
	for _, code := range contract().Components.Schemas["Code"].Value.Enum {
		written = append(written, code.(string))
	}
	require.ElementsMatch(t, handlers.Codes(), written)
}
