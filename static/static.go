// Package static implements the web pages: their files are embedded in the binary. It never reads the disk, and
// the pages never load anything from another server.
package static

import "embed"

// Files holds five pages and beside them everything they load: style sheets, icons and JavaScript modules.
// index.html, which begins with app.js, is for case reports; questionnaires.html is for patients who answer a
// questionnaire, responses.html for staff who read the answers, desk.html for those who deal with adverse events, and
// progress.html for whoever follows a trial. The last two follow the events of the server (see current.js), and all tabs of
// a browser share one stream of them, in the shared worker events-worker.js. The pages link their files relative to
// themselves and need no build step. Their Content-Security-Policy can be "default-src 'self'; img-src 'self' blob:
// data:": there is no inline script or style. questionnaires-worker.js is a service worker, which lets
// questionnaires.html be opened without a connection; browsers take it from https addresses and localhost alone.
//
//go:embed *.html *.css *.svg *.js
var Files embed.FS
