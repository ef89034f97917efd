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

// addIn adds the text in pieces of so many bytes.
func (h *headerLines) addIn(pieces int, text string) error {
	for len(text) > 0 {
		n := h.most(min(pieces, len(text)))
		if h.add([]byte(text[:n])) < n {
			return errHeaderLines
		}
		text = text[n:]
	}
	return nil
}

func TestHeaderLines(t *testing.T) {
	body := strings.Repeat("\n", 3*maxHeaderLines)
	for _, pieces := range []int{1, 2, 3, 7, 1000, 1 << 20} {
		for name, c := range map[string]struct {
			sent  string
			after string // a second header
			err   error
		}{
			"as many as there may be":         {sent: header(maxHeaderLines) + body},
			"one more":                        {sent: header(maxHeaderLines + 1), err: errHeaderLines},
			"without its end":                 {sent: strings.TrimSuffix(header(maxHeaderLines+1), "\r\n"), err: errHeaderLines},
			"ends with newlines alone":        {sent: strings.ReplaceAll(header(maxHeaderLines+1), "\r", ""), err: errHeaderLines},
			"a second header":                 {sent: header(2) + body, after: header(maxHeaderLines) + body},
			"too many in a second header":     {sent: header(2) + body, after: header(maxHeaderLines + 1), err: errHeaderLines},
			"empty lines in front":            {sent: header(2), after: "\r\n\r\n" + header(maxHeaderLines+1), err: errHeaderLines},
			"a body whose header came before": {sent: header(2), after: "\r\n" + strings.Repeat("x\r\n", 3*maxHeaderLines)},
			"its lines begin with text":       {sent: header(2), after: strings.Repeat("a,b HTTP/x.y\n", 3*maxHeaderLines)},
			"HTTP/2":                          {sent: http2Preface + "\r\n\r\nSM\r\n\r\n" + body, after: body},
			"not quite HTTP/2":                {sent: "PRI * HTTP/1.1\r\n\r\n", after: header(maxHeaderLines + 1), err: errHeaderLines},
			"HTTP/2 with a header":            {sent: http2Preface + "\r\na:\r\n\r\n", after: header(maxHeaderLines + 1), err: errHeaderLines},
		} {
			t.Run(fmt.Sprintf("%s, in pieces of %d", name, pieces), func(t *testing.T) {
				h := new(headerLines)
				h.begins.Store(true)
				err := h.addIn(pieces, c.sent)
				if err == nil {
					h.begins.Store(true)
					err = h.addIn(pieces, c.after)
				}
				require.ErrorIs(t, err, c.err)
			})
		}
	}
}

// Of what is behind the end of a header little is read with it, and the body in large pieces.
func TestHeaderLinesReadAhead(t *testing.T) {
	h := new(headerLines)
	h.begins.Store(true)
	require.Equal(t, headerRead, h.most(1<<20))
	require.NoError(t, h.addIn(headerRead, header(3)))
	require.Equal(t, 1<<20, h.most(1<<20))
	h.begins.Store(true)
	require.Equal(t, headerRead, h.most(1<<20))
}
