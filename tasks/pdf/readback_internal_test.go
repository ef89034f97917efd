package pdf

import (
	"bufio"
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sample(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	_, err := Render(&file, Document{Notes: "患者", ReceivedAt: time.Unix(0, 0)})
	require.NoError(t, err)
	return file.Bytes()
}

// FuzzRead requires that reading a document back refuses what is not one, and
// never panics.
func FuzzRead(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte("xref\n0 1\n0000000000 65535 f \ntrailer\nstartxref\n0\n%%EOF\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Read(bytes.NewReader(b), int64(len(b)))
		_, _ = parseGofpdfOutput(b)
	})
}

// FuzzPictureFile requires that no picture, however broken, does more than fail.
func FuzzPictureFile(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03 and more"))
	f.Add([]byte(pngMagic + "\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\x00\x00\x00\x00IEND\xaeB`\x82"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parsePictureFile(bufio.NewReader(bytes.NewReader(b)))
		if err == nil {
			_ = s.copySamples(io.Discard)
		}
	})
}

// TestVerifyFindsWhatIsMissing changes what was laid out after the file was made.
func TestVerifyFindsWhatIsMissing(t *testing.T) {
	sent := &sentBytes{}
	sent.keep(sample(t))
	l := newLayout(Document{Notes: "患者", ReceivedAt: time.Unix(0, 0)})
	pages := l.document()
	require.NoError(t, verify(sent, pages, nil))
	require.ErrorContains(t, verify(sent, append(pages, &page{}), nil), "1 pages, want 2")
	require.ErrorContains(t, verify(sent, pages, []picture{{}}), "0 pictures, want 1")
	pages[0].pictures = []placed{{}}
	require.ErrorContains(t, verify(sent, pages, nil), "page 1: 0 pictures, want 1")
	pages[0].pictures = nil
	pages[0].texts = pages[0].texts[1:]
	require.ErrorContains(t, verify(sent, pages, nil), "page 1: the text is not")
	sent.keep([]byte("more"))
	require.ErrorIs(t, verify(sent, pages, nil), errContents)
}

func TestSentBytesReadAcrossParts(t *testing.T) {
	r := &sentBytes{}
	r.keep([]byte("abc"))
	r.keep([]byte("def"))
	r.skip(4)
	r.keep([]byte("xyz"))
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.size))
	require.NoError(t, err)
	require.Equal(t, "abcdef\x00\x00\x00\x00xyz", string(got))
	b := make([]byte, 5)
	_, err = r.ReadAt(b, 4)
	require.NoError(t, err)
	require.Equal(t, "ef\x00\x00\x00", string(b))
}
