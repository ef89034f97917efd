package handlers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// header is one of a request with so many lines, the first included.
func header(lines int) string {
	b := new(strings.Builder)
	b.WriteString("POST / HTTP/1.1\r\n")
	for i := range lines - 1 {
		fmt.Fprintf(b, "%x:\r\n", 256+i)
	}
	return b.String() + "\r\n"
}

// sentRequest is the text of a request.
type sentRequest struct{ header, body string }

// read reads requests as net/http does, in pieces of at most so many bytes. If the client waits for each answer, no piece has anything of
// the next request.
func (h *headerLines) read(pieces int, waits bool, requests ...sentRequest) error {
	all, until := "", 0
	for _, r := range requests {
		all += r.header + r.body
	}
	at := 0
	readTo := func() error {
		for at < until {
			n := len(all) - at
			if waits {
				n = until - at
			}
			n = h.most(min(pieces, headerRead, n))
			if h.add([]byte(all[at:][:n])) < n {
				return errHeaderLines
			}
			at += n
		}
		return nil
	}
	for _, r := range requests {
		h.stage.Store(headerBegins)
		until += len(r.header)
		if err := readTo(); err != nil {
			return err
		}
		h.stage.Store(headerIsIn)
		until += len(r.body)
		if err := readTo(); err != nil {
			return err
		}
	}
	return nil
}

func TestHeaderLines(t *testing.T) {
	const many = headerRead/2 + 3*maxHeaderLines // more than go with the request before, and with what may be its end
	body := strings.Repeat("\n", 3*maxHeaderLines)
	small := sentRequest{header: header(2)}
	for _, pieces := range []int{1, 2, 3, 7, 1000, 1 << 20} {
		for name, c := range map[string]struct {
			sent  []sentRequest
			waits bool
			err   error
		}{
			"as many as there may be":         {sent: []sentRequest{{header(maxHeaderLines), body}}},
			"one more":                        {sent: []sentRequest{{header: header(maxHeaderLines + 1)}}, err: errHeaderLines},
			"without its end":                 {sent: []sentRequest{{header: strings.TrimSuffix(header(maxHeaderLines+1), "\r\n")}}, err: errHeaderLines},
			"ends with newlines alone":        {sent: []sentRequest{{header: strings.ReplaceAll(header(maxHeaderLines+1), "\r", "")}}, err: errHeaderLines},
			"a second header":                 {sent: []sentRequest{{header(2), body}, {header(maxHeaderLines), body}}, waits: true},
			"too many in a second header":     {sent: []sentRequest{{header(2), body}, {header: header(maxHeaderLines + 1)}}, waits: true, err: errHeaderLines},
			"empty lines in front":            {sent: []sentRequest{small, {header: "\r\n\r\n" + header(maxHeaderLines+1)}}, waits: true, err: errHeaderLines},
			"a second header at once":         {sent: []sentRequest{{header(2), body}, {header(maxHeaderLines), body}, {header(maxHeaderLines), body}}},
			"too many at once":                {sent: []sentRequest{small, {header: header(many)}}, err: errHeaderLines},
			"too many, behind a body":         {sent: []sentRequest{{header(2), "{}"}, {header: "\r\n\r\n" + header(many)}}, err: errHeaderLines},
			"a body that looks like a header": {sent: []sentRequest{{header(2), header(many)}, {header(2), header(many)}}},
			"HTTP/2":                          {sent: []sentRequest{{header: http2Preface + "\r\n\r\nSM\r\n\r\n" + body}, {header: body}}},
			"not quite HTTP/2":                {sent: []sentRequest{{header: "PRI * HTTP/1.1\r\n\r\n"}, {header: header(maxHeaderLines + 1)}}, waits: true, err: errHeaderLines},
			"HTTP/2 later":                    {sent: []sentRequest{{header(2), "GET / HTTP/1.1\r\na:"}, {header: http2Preface + "\r\n\r\n"}, {header: header(maxHeaderLines + 1)}}, waits: true, err: errHeaderLines},
			"HTTP/2 behind an empty line":     {sent: []sentRequest{{header: "\n" + http2Preface + "\r\n\r\n"}, {header: header(maxHeaderLines + 1)}}, waits: true, err: errHeaderLines},
			"HTTP/2 with a header":            {sent: []sentRequest{{header: http2Preface + "\r\na:\r\n\r\n"}, {header: header(maxHeaderLines + 1)}}, waits: true, err: errHeaderLines},
		} {
			t.Run(fmt.Sprintf("%s, in pieces of %d", name, pieces), func(t *testing.T) {
				require.ErrorIs(t, new(headerLines).read(pieces, c.waits, c.sent...), c.err)
			})
		}
	}
}

// Wherever in a header the reading of the request before has ended, the rest of it counts; and what is read together with its end does not.
func TestHeaderLinesFromTheMiddle(t *testing.T) {
	filled := func(size int) sentRequest {
		return sentRequest{header: "GET / HTTP/1.1\r\na:" + strings.Repeat("b", size-len("GET / HTTP/1.1\r\na:\r\n\r\n")) + "\r\n\r\n"}
	}
	whole, long := header(9), header(headerRead/2+3*maxHeaderLines)
	for with := range len(whole) + 1 {
		before := filled(headerRead - with)
		require.NoError(t, new(headerLines).read(headerRead, false, before, sentRequest{whole, strings.Repeat("x\n", 3*maxHeaderLines)}), "%d bytes with the request before", with)
		require.ErrorIs(t, new(headerLines).read(headerRead, false, before, sentRequest{header: long}), errHeaderLines, "%d bytes with the request before", with)
	}
}

// Of what is behind the end of a header little is read with it, and the body in large pieces.
func TestHeaderLinesReadAhead(t *testing.T) {
	h := new(headerLines)
	for range 2 {
		h.stage.Store(headerBegins)
		require.Equal(t, headerRead, h.most(1<<20))
		require.Positive(t, h.add([]byte(header(3))))
		h.stage.Store(headerIsIn)
		require.Equal(t, 1<<20, h.most(1<<20))
	}
}
