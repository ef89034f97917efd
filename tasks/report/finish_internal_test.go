package report

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzReadFile requires that the check of a file refuses what it does not know,
// and never panics.
func FuzzReadFile(f *testing.F) {
	var pdf bytes.Buffer
	_, err := Render(&pdf, Document{Notes: "患者", ReceivedAt: time.Unix(0, 0)})
	require.NoError(f, err)
	f.Add(pdf.Bytes())
	f.Add([]byte("xref\n0 1\n0000000000 65535 f \ntrailer\nstartxref\n0\n%%EOF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = finish(io.Discard, b, newCodes(), 1, 0)
	})
}

func TestFinishRefusesAnotherCount(t *testing.T) {
	var pdf bytes.Buffer
	_, err := Render(&pdf, Document{ReceivedAt: time.Unix(0, 0)})
	require.NoError(t, err)
	require.ErrorContains(t, finish(io.Discard, pdf.Bytes(), newCodes(), 2, 0), "1 pages, want 2")
	require.ErrorContains(t, finish(io.Discard, pdf.Bytes(), newCodes(), 1, 1), "0 pictures, want 1")
	require.ErrorIs(t, finish(io.Discard, nil, newCodes(), 0, 0), errPDF)
}
