package handlers

import (
	"bytes"
	"errors"
	"sync/atomic"
)

// maxHeaderLines bounds the lines of a header, the first included. Each takes about a hundred bytes of memory however few are
// sent: a header of [maxHeader] bytes in lines of five would take more than twenty times its bytes, and net/http bounds bytes only.
const maxHeaderLines = 100

// headerRead is how many bytes are read at a time while a header comes in, as many as net/http asks for: what lies behind its end is
// not looked at, and may be the beginning of the next, of which only the rest counts.
const headerRead = 4 << 10

// errHeaderLines ends a connection; net/http answers it with 400.
var errHeaderLines = errors.New("a header has too many lines")

// headerLines counts the lines of each header that comes in on a connection of HTTP/1. HTTP/2 counts a header's fields by
// itself: 32 bytes each besides its own.
type headerLines struct {
	stage atomic.Int32

	// The rest belongs to whoever reads, one at a time.
	headers int  // that have begun, up to 2
	front   bool // an empty line came first
	lines   int
	length  int    // of the line that is coming, without its end
	first   []byte // the beginning of the first line, up to the length of http2Preface
	last    []byte // the end of the first line, up to that of a version
	tooMany bool   // a header has too many lines
	http2   bool   // the connection speaks HTTP/2 from here on
}

// The stages of a request.
const (
	headerIsIn   int32 = iota // what is read is of its body, or the first byte of the next request
	headerBegins              // what is read next is of its header
	headerComes               // and some has been
)

// http2Preface is how a client begins that speaks HTTP/2 (RFC 9113, section 3.4). An empty line follows. Anywhere else than at
// the beginning of a connection it means nothing, least of all where what is read may be the rest of a line.
const http2Preface = "PRI * HTTP/2.0"

// most is how many bytes may be read next, of n.
func (h *headerLines) most(n int) int {
	if h.http2 || h.stage.Load() == headerIsIn {
		return n
	}
	return min(n, headerRead)
}

// add counts the lines in what was read next. It returns how many bytes of it are of a header that is not too long; if these
// are not all, nothing more may be read.
//
// A header may have begun in what was read of the request before, which was not looked at: so what seems to be its end is none if net/http
// reads on.
func (h *headerLines) add(b []byte) (fine int) {
	switch {
	case h.http2 || len(b) == 0:
		return len(b)
	case h.stage.CompareAndSwap(headerBegins, headerComes):
		h.headers = min(h.headers+1, 2)
		h.front, h.lines, h.length, h.first, h.last = false, 0, 0, h.first[:0], h.last[:0]
	case h.stage.Load() == headerIsIn:
		return len(b)
	}
	for rest := b; len(rest) > 0; {
		line, behind, whole := bytes.Cut(rest, []byte("\n"))
		if h.lines == maxHeaderLines && !isReturn(line) {
			h.tooMany = true
			return len(b) - len(rest)
		}
		if h.lines == 0 {
			h.first = append(h.first, line[:min(len(line), len(http2Preface)-len(h.first))]...)
			h.last = append(h.last, line[max(0, len(line)-versionLength-1):]...)
			h.last = h.last[max(0, len(h.last)-versionLength-1):]
		}
		h.length += lengthOf(line)
		rest = behind
		switch {
		case !whole:
		case h.length == 0 && h.lines == 0: // net/http passes over some
			h.front = true
		case h.length == 0:
			h.http2 = h.headers == 1 && !h.front && h.lines == 1 && string(h.first) == http2Preface
			h.pass(rest)
			return len(b)
		case h.lines == 0 && h.front && !endsWithVersion(h.last): // the empty line was the end, and this is of a body
			h.lines = 1
			h.pass(rest)
			return len(b)
		default:
			h.lines, h.length = h.lines+1, 0
		}
	}
	return len(b)
}

// pass does not count the lines of b, and knows only how long the last one is.
func (h *headerLines) pass(b []byte) { h.length = lengthOf(b[bytes.LastIndexByte(b, '\n')+1:]) }

// lengthOf is that of a line, or of a part of one, without its end.
func lengthOf(line []byte) int { return len(bytes.TrimSuffix(line, []byte("\r"))) }

// versionLength is that of HTTP/1.1.
const versionLength = len("HTTP/1.1")

// endsWithVersion reports whether a line may be the first of a header (RFC 9112, section 3).
func endsWithVersion(line []byte) bool {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) < versionLength {
		return false
	}
	v := line[len(line)-versionLength:]
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	return string(v[:5]) == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7])
}

// isReturn reports whether it may be an empty line, or the beginning of one.
func isReturn(line []byte) bool { return len(line) == 0 || len(line) == 1 && line[0] == '\r' }
