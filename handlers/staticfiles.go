package handlers

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"io/fs"
	"path"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"

	"casepress/static"
)

//go:embed openapi.yaml
var openAPIText []byte

// openAPIJSON is openapi.yaml as JSON, for tools that do not read YAML.
var openAPIJSON = sync.OnceValue(func() []byte {
	text, err := yaml.YAMLToJSON(openAPI())
	if err != nil {
		panic(err) // it is embedded: the tests read it
	}
	return text
})

// file is an embedded file, ready to be served.
type file struct {
	content   []byte
	mediaType string
	etag      string
}

// mediaTypes are ours because those of package mime depend on the machine.
var mediaTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".ico": "image/x-icon",
	".js": "text/javascript; charset=utf-8", ".json": "application/json", ".png": "image/png",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8", ".webmanifest": "application/manifest+json",
	".woff2": "font/woff2", ".yaml": "application/yaml",
}

func newFile(name string, content []byte) file {
	mediaType, ok := mediaTypes[path.Ext(name)]
	if !ok {
		mediaType = "application/octet-stream"
	}
	sum := sha256.Sum256(content)
	return file{content, mediaType, contentTag(hex.EncodeToString(sum[:]))}
}

// pageFiles returns the page's files by their address; index.html is "/".
func pageFiles() map[string]file {
	files := map[string]file{}
	err := fs.WalkDir(static.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := static.Files.ReadFile(name)
		if err != nil {
			return err
		}
		address := "/" + name
		if name == "index.html" {
			address = "/"
		}
		files[address] = newFile(name, content)
		return nil
	})
	if err != nil {
		panic(err) // embedded files can always be read
	}
	return files
}

// contentSecurityPolicy lets the page load nothing but its own files and show the pictures it was given, and
// keeps others from framing it.
const contentSecurityPolicy = "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// serveFile serves an embedded file. Browsers must ask each time, so that they show a new release at
// once; as long as there is none, the answer is 304.
func (a *API) serveFile(f file) gin.HandlerFunc {
	return func(c *gin.Context) {
		h := c.Writer.Header()
		h.Set("Content-Type", f.mediaType)
		h.Set("Etag", f.etag)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		if err := serveContent(c, bytes.NewReader(f.content)); err != nil {
			a.fail(c, err)
		}
	}
}
