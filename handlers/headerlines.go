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
// not looked at, and may be the beginning of the next.
const headerRead = 4 << 10

// errHeaderLines ends a connection; net/http answers it with 400.
var errHeaderLines = errors.New("a header has too many lines")

// headerLines counts the lines of each header that comes in on a connection of HTTP/1. HTTP/2 counts a header's fields by
// itself: 32 bytes each besides its own.
type headerLines struct {
	begins atomic.Bool // the next byte is the first of a header

	// The rest belongs to whoever reads, one at a time.
	ended   bool // the header has
	lines   int
	length  int    // of the line that is coming, without its end
	first   []byte // the beginning of the first line, up to the length of http2Preface
	last    []byte // the end of the first line, up to that of a version
	tooMany bool   // a header has too many lines
	http2   bool   // the connection speaks HTTP/2 from here on
}

// http2Preface is how a client begins that speaks HTTP/2 (RFC 9113, section 3.4). An empty line follows.
const http2Preface = "PRI * HTTP/2.0"

// most is how many bytes may be read next, of n.
func (h *headerLines) most(n int) int {
	if h.http2 || h.ended && !h.begins.Load() {
		return n
	}
	return min(n, headerRead)
}

// add counts the lines in what was read next. It returns how many bytes of it are of a header that is not too long; if these
// are not all, nothing more may be read.
func (h *headerLines) add(b []byte) (fine int) {
	if h.http2 || len(b) == 0 {
		return len(b)
	}
	if h.begins.CompareAndSwap(true, false) {
		h.ended, h.lines, h.length, h.first, h.last = false, 0, 0, h.first[:0], h.last[:0]
	}
	for rest := b; !h.ended && len(rest) > 0; {
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
		h.length += len(bytes.TrimSuffix(line, []byte("\r")))
		rest = behind
		switch {
		case !whole || h.length == 0 && h.lines == 0: // net/http passes over some empty lines in front
		case h.length == 0:
			h.ended, h.http2 = true, h.lines == 1 && string(h.first) == http2Preface
		case h.lines == 0 && !endsWithVersion(h.last):
			h.ended = true // of a body, whose header came in with the request before; or net/http refuses it here
		default:
			h.lines, h.length = h.lines+1, 0
		}
	}
	return len(b)
}

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
