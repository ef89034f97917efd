package handlers_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// What generators of clients need: without it none of them could send a file or fetch a PDF. interop/clients
// generates, compiles and runs the clients themselves.
func TestContractSuitsGenerators(t *testing.T) {
	doc := contract()
	require.NotNil(t, doc.Security)
	require.Empty(t, doc.Security, "no security, and said so")
	tags := map[string]bool{}
	for _, tag := range doc.Tags {
		tags[tag.Name] = true
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			require.NotEmpty(t, op.OperationID, name)
			require.NotEmpty(t, op.Summary, name)
			require.Len(t, op.Tags, 1, name)
			require.True(t, tags[op.Tags[0]], name)
			if op.RequestBody != nil {
				checkContent(t, name, op.RequestBody.Value.Content)
			}
			for _, response := range op.Responses.Map() {
				checkContent(t, name, response.Value.Content)
			}
		}
	}
	upload := doc.Paths.Value("/upload-case-report").Post.RequestBody.Value.Content
	for _, form := range []string{"multipart/form-data", "application/x-www-form-urlencoded"} {
		encoding := upload[form].Encoding["imageId"]
		require.Equal(t, "form", encoding.Style, form)
		require.True(t, *encoding.Explode, form)
	}
	properties := upload["multipart/form-data"].Schema.Value.Properties
	require.Equal(t, "binary", properties["images"].Value.Items.Value.Format)
	// With a media type for the part, typescript-axios sends the files as one part of JSON: "[{}]".
	require.NotContains(t, upload["multipart/form-data"].Encoding, "images")
	// As a date-time, capturedAt would be a time in the clients: TypeScript sends it in UTC, Java without its seconds.
	capturedAt := properties["capturedAt"].Value
	require.Empty(t, capturedAt.Format)
	for _, as := range []string{"2026-11-21T19:58:00+08:00", "2016-12-31t23:59:60.5z"} {
		require.NoError(t, capturedAt.VisitJSON(as), as)
	}
	for _, as := range []string{"2026-11-21T19:58+08:00", "2026-11-21T19:58:00", "2026-11-21T19:58:00+24:00", ""} {
		require.Error(t, capturedAt.VisitJSON(as), as)
	}
	for name, schema := range doc.Components.Schemas {
		checkInline(t, name, schema.Value)
	}
}

func checkContent(t *testing.T, name string, content openapi3.Content) {
	for mediaType, media := range content {
		require.NotNil(t, media.Schema, "%s: %s", name, mediaType)
		if strings.HasPrefix(mediaType, "image/") || mediaType == "application/octet-stream" || mediaType == "application/pdf" {
			require.True(t, media.Schema.Value.Type.Is("string"), "%s: %s", name, mediaType)
			require.Equal(t, "binary", media.Schema.Value.Format, "%s: %s", name, mediaType)
		}
	}
}

// checkInline fails for an object within another schema that has no name of its own: generators would make
// one up, each another.
func checkInline(t *testing.T, name string, schema *openapi3.Schema) {
	inner := map[string]*openapi3.SchemaRef{}
	for property, ref := range schema.Properties {
		inner[property] = ref
	}
	if schema.Items != nil {
		inner["items"] = schema.Items
	}
	for property, ref := range inner {
		if ref.Ref == "" {
			require.Empty(t, ref.Value.Properties, "%s.%s needs a name", name, property)
			checkInline(t, name+"."+property, ref.Value)
		}
	}
}

func TestOpenAPIAsJSON(t *testing.T) {
	s := open(t)
	a := s.get("/openapi.json").is(http.StatusOK)
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	var served, written map[string]any
	require.NoError(t, json.Unmarshal(a.body, &served))
	text, err := contract().MarshalJSON()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &written))
	require.Equal(t, written["paths"].(map[string]any)["/limits"], served["paths"].(map[string]any)["/limits"])
	doc, err := openapi3.NewLoader().LoadFromData(a.body)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	require.Len(t, doc.Paths.Map(), len(contract().Paths.Map()))
}

func TestLimits(t *testing.T) {
	s := open(t)
	a := s.get("/limits").is(200)
	require.Equal(t, map[string]any{"maxBodyBytes": float64(200 << 20), "maxImages": float64(50), "maxPixels": float64(50_000_000), "maxNotesCharacters": float64(4000), "maxBatchEntries": float64(200), "maxBatchBytes": float64(1 << 20)}, a.json())
	s.get("/limits", "If-None-Match", a.Header.Get("Etag")).is(304)
}
