// Package static keeps the files of the web page inside the binary. It never
// reads the disk, and the page never loads anything from another server.
package static

import "embed"

// Files holds index.html, app.js, style.css and favicon.svg at its root. The
// page links them relative to itself, so it works under any path prefix. Its
// Content-Security-Policy can be "default-src 'self'; img-src 'self' blob: data:":
// there is no inline script or style.
//
//go:embed index.html app.js style.css favicon.svg
var Files embed.FS
