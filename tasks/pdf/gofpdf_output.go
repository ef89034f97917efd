package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// gofpdfOutput is a PDF as gofpdf writes it: objects, one cross-reference table, a trailer. The last
// object is the catalog, the one before it the document information, object 1 the list of pages,
// object 2 the resources of all pages.
//
//	%PDF-1.3 | 1 0 obj … endobj | … | xref | 0 count | count x 20 bytes | trailer | startxref | offset | %%EOF
type gofpdfOutput struct {
	objects [][]byte // the body of object n at n; 0 is not used
}

const resources = 2

func (d gofpdfOutput) information() int { return len(d.objects) - 2 }
func (d gofpdfOutput) catalog() int     { return len(d.objects) - 1 }

const entrySize = len("0000000000 00000 n \n")

var errGofpdfOutput = errors.New("not a PDF in the form that gofpdf writes")

func parseGofpdfOutput(raw []byte) (gofpdfOutput, error) {
	table, err := findTable(raw)
	if err != nil {
		return gofpdfOutput{}, err
	}
	offsets, err := parseOffsets(raw[table:])
	if err != nil || len(offsets) < 5 {
		return gofpdfOutput{}, errGofpdfOutput
	}
	sorted := append(slices.Clone(offsets[1:]), table)
	slices.Sort(sorted)
	d := gofpdfOutput{objects: make([][]byte, len(offsets))}
	for n := 1; n < len(offsets); n++ {
		i, _ := slices.BinarySearch(sorted, offsets[n])
		if i+1 >= len(sorted) || sorted[i+1] > table {
			return gofpdfOutput{}, errGofpdfOutput
		}
		body, ok := bytes.CutPrefix(raw[sorted[i]:sorted[i+1]], fmt.Appendf(nil, "%d 0 obj\n", n))
		body, whole := bytes.CutSuffix(body, []byte("\nendobj\n"))
		if !ok || !whole {
			return gofpdfOutput{}, errGofpdfOutput
		}
		d.objects[n] = body
	}
	return d, nil
}

// findTable returns the offset of the cross-reference table.
func findTable(raw []byte) (int, error) {
	const mark = "startxref\n"
	tail := bytes.LastIndex(raw, []byte(mark))
	if tail < 0 {
		return 0, errGofpdfOutput
	}
	number, _, _ := bytes.Cut(raw[tail+len(mark):], []byte("\n"))
	at, err := strconv.Atoi(string(number))
	if err != nil || at < 0 || at > tail {
		return 0, errGofpdfOutput
	}
	return at, nil
}

// parseOffsets returns the offsets of the objects by number, from a cross-reference table.
func parseOffsets(b []byte) ([]int, error) {
	var count int
	if _, err := fmt.Sscanf(string(b[:min(len(b), 40)]), "xref\n0 %d\n", &count); err != nil || count < 1 {
		return nil, errGofpdfOutput
	}
	entries := len("xref\n0 \n") + len(strconv.Itoa(count))
	if count > len(b)/entrySize || entries+count*entrySize > len(b) {
		return nil, errGofpdfOutput
	}
	offsets := make([]int, count)
	for i := range offsets {
		at, err := strconv.Atoi(string(b[entries+i*entrySize:][:10]))
		if err != nil || at < 0 {
			return nil, errGofpdfOutput
		}
		offsets[i] = at
	}
	return offsets, nil
}

// outline returns the catalog's reference to the bookmarks.
func (d gofpdfOutput) outline() (string, error) {
	_, after, ok := bytes.Cut(d.objects[d.catalog()], []byte("/Outlines "))
	reference, _, cut := bytes.Cut(after, []byte("\n"))
	if !ok || !cut {
		return "", errGofpdfOutput
	}
	return string(reference), nil
}

// content returns the stream of object n, and whether it has one.
func (d gofpdfOutput) content(n int) ([]byte, bool) {
	_, after, begins := bytes.Cut(d.objects[n], []byte(">>\nstream\n"))
	content, ends := bytes.CutSuffix(after, []byte("\nendstream"))
	return content, begins && ends
}
