package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// finish puts the document's own ToUnicode map in place of gofpdf's, which says
// that every code is its character, and checks that the file holds the pages and
// pictures it should.
func finish(w io.Writer, raw []byte, codes *codes, pages, pictures int) error {
	f, err := readFile(raw)
	if err != nil {
		return fmt.Errorf("check PDF: %w", err)
	}
	if n := f.count("/Type /Page\n"); n != pages {
		return fmt.Errorf("check PDF: %d pages, want %d", n, pages)
	}
	if n := f.count("/Subtype /Image\n"); n != pictures {
		return fmt.Errorf("check PDF: %d pictures, want %d", n, pictures)
	}
	n, err := f.find("/CMapName /Adobe-Identity-UCS")
	if err != nil {
		return fmt.Errorf("check PDF: ToUnicode: %w", err)
	}
	cmap := codes.toUnicode()
	object := fmt.Appendf(nil, "%d 0 obj\n<</Length %d>>\nstream\n%s\nendstream\nendobj\n", n, len(cmap), cmap)
	if err := f.writeWith(w, n, object); err != nil {
		return fmt.Errorf("write PDF: %w", err)
	}
	return nil
}

// file is a PDF as gofpdf writes it: objects, one cross-reference table, a trailer.
//
//	%PDF-1.3 | 1 0 obj … endobj | … | xref | 0 count | count x 20 bytes | trailer | startxref | offset | %%EOF
type file struct {
	raw     []byte
	offsets []int // of object n, at n; 0 is not used
	table   int   // offset of "xref"
	entries int   // offset of the table's first entry
}

const entrySize = len("0000000000 00000 n \n")

var errPDF = errors.New("not the PDF that gofpdf writes")

func readFile(raw []byte) (file, error) {
	f := file{raw: raw}
	tail := bytes.LastIndex(raw, []byte("startxref\n"))
	if tail < 0 {
		return f, errPDF
	}
	number, _, _ := bytes.Cut(raw[tail+len("startxref\n"):], []byte("\n"))
	var err error
	if f.table, err = strconv.Atoi(string(number)); err != nil || f.table < 0 || f.table > tail {
		return f, errPDF
	}
	var count int
	if _, err := fmt.Sscanf(string(raw[f.table:min(len(raw), f.table+40)]), "xref\n0 %d\n", &count); err != nil {
		return f, errPDF
	}
	f.entries = f.table + len("xref\n0 \n") + len(strconv.Itoa(count))
	if count < 1 || f.entries+count*entrySize > tail {
		return f, errPDF
	}
	for i := range count {
		at, err := strconv.Atoi(string(raw[f.entries+i*entrySize:][:10]))
		if err != nil || at > f.table {
			return f, errPDF
		}
		f.offsets = append(f.offsets, at)
	}
	return f, nil
}

// head returns the beginning of object n, before any stream.
func (f file) head(n int) []byte {
	head, _, _ := bytes.Cut(f.raw[f.offsets[n]:min(f.table, f.offsets[n]+1000)], []byte("stream\n"))
	head, _, _ = bytes.Cut(head, []byte("endobj"))
	return head
}

// count returns how many objects say so in their beginning.
func (f file) count(what string) (total int) {
	for n := 1; n < len(f.offsets); n++ {
		if bytes.Contains(f.head(n), []byte(what)) {
			total++
		}
	}
	return total
}

// find returns the first object, not longer than a kilobyte, that contains what.
func (f file) find(what string) (int, error) {
	for n := 1; n < len(f.offsets); n++ {
		if bytes.Contains(f.head(n), []byte("/Type")) {
			continue
		}
		body, _, whole := bytes.Cut(f.raw[f.offsets[n]:min(f.table, f.offsets[n]+1000)], []byte("endobj"))
		if whole && bytes.Contains(body, []byte(what)) {
			return n, nil
		}
	}
	return 0, errPDF
}

// writeWith writes the file with another object n and every offset behind it
// moved.
func (f file) writeWith(w io.Writer, n int, object []byte) error {
	from, to := f.offsets[n], f.table
	for _, at := range f.offsets {
		if at > from && at < to {
			to = at
		}
	}
	shift := len(object) - (to - from)
	var entries []byte
	for i, at := range f.offsets {
		if at > from {
			at += shift
		}
		entries = fmt.Appendf(entries, "%010d", at)
		entries = append(entries, f.raw[f.entries+i*entrySize+10:][:entrySize-10]...)
	}
	end := f.entries + len(f.offsets)*entrySize
	start := bytes.LastIndex(f.raw, []byte("startxref\n"))
	last := fmt.Appendf(nil, "startxref\n%d\n%%%%EOF\n", f.table+shift)
	for _, part := range [][]byte{f.raw[:from], object, f.raw[to:f.entries], entries, f.raw[end:start], last} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
