package pdf

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Contents are what a PDF of [Render] shows, read back from its bytes.
type Contents struct {
	// Pages holds the text of every page in the order in which it is drawn.
	Pages []string
	// Pictures stand in the order of the file, each once.
	Pictures []Picture
	// Shown is how often pictures are drawn on each page.
	Shown []int
}

// Picture is a picture in a PDF.
type Picture struct {
	Width, Height int
	// At and Bytes say where its samples lie in the file.
	At, Bytes int64
}

// Read reads a PDF that [Render] made in the order in which a PDF reader does: trailer, catalog,
// pages, text, typefaces. It checks that every reference leads to an object and that nothing is cut
// off. A PDF of another program is an error. It holds the file in memory but for the pictures.
func Read(r io.ReaderAt, size int64) (Contents, error) {
	d := &readBack{r: r, size: size}
	if err := d.open(); err != nil {
		return Contents{}, fmt.Errorf("read pdf: %w", err)
	}
	c, err := d.contents()
	if err != nil {
		return Contents{}, fmt.Errorf("read pdf: %w", err)
	}
	return c, nil
}

// readBack is a PDF being read.
type readBack struct {
	r       io.ReaderAt
	size    int64
	trailer []byte
	offsets []int
	sorted  []int
	fonts   map[string]map[string]string // by name in the pages: code in hex -> text

	unpacker io.ReadCloser // one for all streams: it holds 40 kB
}

var errContents = errors.New("not a PDF of this package, or damaged")

func (d *readBack) bytes(from, to int64) ([]byte, error) {
	const most = 64 << 20
	if from < 0 || to < from || to > d.size || to-from > most {
		return nil, errContents
	}
	b := make([]byte, to-from)
	_, err := d.r.ReadAt(b, from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, err
}

func (d *readBack) open() error {
	tail, err := d.bytes(max(0, d.size-64), d.size)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(tail, []byte("\n%%EOF\n")) {
		return errContents
	}
	_, number, _ := bytes.Cut(tail, []byte("startxref\n"))
	number, _, _ = bytes.Cut(number, []byte("\n"))
	at, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return errContents
	}
	table, err := d.bytes(at, d.size)
	if err != nil {
		return err
	}
	if d.offsets, err = parseOffsets(table); err != nil {
		return err
	}
	_, d.trailer, _ = bytes.Cut(table, []byte("trailer\n"))
	d.sorted = append(slices.Clone(d.offsets[1:]), int(at))
	slices.Sort(d.sorted)
	return nil
}

// span returns where object n begins and ends.
func (d *readBack) span(n int) (from, to int64, err error) {
	if n < 1 || n >= len(d.offsets) {
		return 0, 0, fmt.Errorf("object %d: %w", n, errContents)
	}
	i, _ := slices.BinarySearch(d.sorted, d.offsets[n])
	if i+1 >= len(d.sorted) {
		return 0, 0, fmt.Errorf("object %d: %w", n, errContents)
	}
	return int64(d.sorted[i]), int64(d.sorted[i+1]), nil
}

// object returns the body of object n.
func (d *readBack) object(n int) ([]byte, error) {
	from, to, err := d.span(n)
	if err != nil {
		return nil, err
	}
	b, err := d.bytes(from, to)
	if err != nil {
		return nil, err
	}
	b, begins := bytes.CutPrefix(b, fmt.Appendf(nil, "%d 0 obj\n", n))
	b, ends := bytes.CutSuffix(b, []byte("\nendobj\n"))
	if !begins || !ends {
		return nil, fmt.Errorf("object %d: %w", n, errContents)
	}
	return b, nil
}

// stream returns what object n holds, unpacked.
func (d *readBack) stream(n int) ([]byte, error) {
	b, err := d.object(n)
	if err != nil {
		return nil, err
	}
	dict, data, ok := bytes.Cut(b, []byte("stream\n"))
	data, ends := bytes.CutSuffix(data, []byte("\nendstream"))
	if length, err := number(dict, "/Length "); err != nil || !ok || !ends || length != len(data) {
		return nil, fmt.Errorf("object %d: %w", n, errContents)
	}
	if d.unpacker == nil {
		d.unpacker, err = zlib.NewReader(bytes.NewReader(data))
	} else {
		err = d.unpacker.(zlib.Resetter).Reset(bytes.NewReader(data), nil)
	}
	if err != nil {
		return nil, fmt.Errorf("object %d: %w", n, err)
	}
	const most = 64 << 20
	out, err := io.ReadAll(io.LimitReader(d.unpacker, most))
	return out, errors.Join(err, d.unpacker.Close())
}

// number returns the number after a key, or the object that the key refers to.
func number(dict []byte, key string) (int, error) {
	_, after, ok := bytes.Cut(dict, []byte(key))
	end := bytes.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })
	if !ok || end < 0 {
		return 0, fmt.Errorf("%s: %w", strings.TrimSpace(key), errContents)
	}
	return strconv.Atoi(string(after[:end]))
}

// resolve returns the body of the object that a key refers to.
func (d *readBack) resolve(dict []byte, key string) ([]byte, error) {
	n, err := number(dict, key)
	if err != nil {
		return nil, err
	}
	return d.object(n)
}

// between returns what stands between two marks, as fields.
func between(b []byte, from, to string) []string {
	_, b, _ = bytes.Cut(b, []byte(from))
	b, _, _ = bytes.Cut(b, []byte(to))
	return strings.Fields(string(b))
}

func (d *readBack) contents() (c Contents, err error) {
	catalog, err := d.resolve(d.trailer, "/Root ")
	if err != nil {
		return c, err
	}
	list, err := d.resolve(catalog, "/Pages ")
	if err != nil {
		return c, err
	}
	kids := between(list, "/Kids [", "]")
	if count, err := number(list, "/Count "); err != nil || 3*count != len(kids) {
		return c, fmt.Errorf("list of pages: %w", errContents)
	}
	pictures := map[string]bool{}
	for i := 0; i < len(kids); i += 3 {
		page, err := d.resolve([]byte("/Page "+kids[i]+" "), "/Page ")
		if err != nil {
			return c, err
		}
		if d.fonts == nil {
			if err := d.resources(page, &c, pictures); err != nil {
				return c, err
			}
		}
		text, shown, err := d.page(page, pictures)
		if err != nil {
			return c, fmt.Errorf("page %d: %w", i/3+1, err)
		}
		c.Pages, c.Shown = append(c.Pages, text), append(c.Shown, shown)
	}
	return c, nil
}
