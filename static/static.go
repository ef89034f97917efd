// Package static implements the web page: its files are embedded in the binary. It never reads the disk, and
// the page never loads anything from another server.
package static

import "embed"

// Files holds index.html at its root and beside it everything the page loads:
// style.css, favicon.svg and the JavaScript modules, of which app.js is the
// first. The page links them relative to itself and needs no build step. Its
// Content-Security-Policy can be "default-src 'self'; img-src 'self' blob: data:":
// there is no inline script or style.
//
//go:embed index.html style.css favicon.svg *.js
var Files embed.FS
