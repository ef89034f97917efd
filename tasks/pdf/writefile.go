package pdf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// write writes the PDF to w, verifies what it wrote, and returns the size of the file.
func write(w io.Writer, doc Document, pages []*page) (int64, error) {
	var faces typefaces
	keys, distinct := pictureKeys(doc.Images)
	raw, err := draw(doc, pages, keys, &faces)
	if err != nil {
		return 0, err
	}
	d, err := parseGofpdfOutput(raw)
	if err != nil {
		return 0, err
	}
	sent := &sentBytes{}
	f := &file{w: w, sent: sent, offsets: make([]int64, len(d.objects)), reader: bufio.NewReaderSize(nil, 64<<10)}
	if err := f.document(doc, d, &faces, distinct); err != nil {
		return 0, err
	}
	if err := verify(sent, pages, distinct); err != nil {
		return 0, fmt.Errorf("read back: %w", err)
	}
	return sent.size, nil
}

// picture is one picture of the file, used by one image or several.
type picture struct {
	name  string // in the pages
	image int    // the first that shows it
}

// pictureKeys returns the name of the picture of every image, and a list of the pictures without
// repeats.
func pictureKeys(images []Image) (names []string, distinct []picture) {
	known := map[string]string{}
	names = make([]string, len(images))
	for i, img := range images {
		if img.Problem != "" {
			continue
		}
		key := fmt.Sprintf("%s %d %d", img.Key, img.Width, img.Height)
		name, ok := known[key]
		if !ok || img.Key == "" {
			name = fmt.Sprintf("I%d", i+1)
			known[key] = name
			distinct = append(distinct, picture{name, i})
		}
		names[i] = name
	}
	return names, distinct
}

// file is the PDF being written. After the first error it writes nothing more.
type file struct {
	w       io.Writer
	sent    *sentBytes
	offsets []int64       // of object n, at n
	reader  *bufio.Reader // of one picture after the other
	err     error
}

func (f *file) write(b []byte) {
	if f.err != nil {
		return
	}
	if _, f.err = f.w.Write(b); f.err == nil {
		f.sent.keep(b)
	}
}

// begin begins object n and keeps its offset for the table.
func (f *file) begin(n int) {
	for len(f.offsets) <= n {
		f.offsets = append(f.offsets, 0)
	}
	f.offsets[n] = f.sent.size
	f.write(fmt.Appendf(nil, "%d 0 obj\n", n))
}

func (f *file) object(n int, body string) {
	f.begin(n)
	f.write([]byte(body + "\nendobj\n"))
}

// stream writes a compressed stream.
func (f *file) stream(n int, keys string, data []byte) {
	packed, err := deflated(data)
	if err != nil {
		f.err = errors.Join(f.err, err)
		return
	}
	f.object(n, fmt.Sprintf("<<%s/Filter /FlateDecode /Length %d>>\nstream\n%s\nendstream", keys, len(packed), packed))
}

var profile = sync.OnceValue(srgb)

// document writes the whole file:
//
//	header | pages, outline, information by gofpdf | typefaces | metadata, colours, catalog, resources | pictures | cross-reference table, trailer
func (f *file) document(doc Document, d gofpdfOutput, faces *typefaces, pictures []picture) error {
	f.write([]byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"))
	meta := metadataOf(doc)
	for n := 1; n < d.information(); n++ {
		switch content, ok := d.content(n); {
		case n == resources:
		case ok:
			f.stream(n, "", content)
		default:
			f.object(n, string(d.objects[n]))
		}
	}
	stamp := "(D:" + meta.time.Format("20060102150405")
	f.object(d.information(), strings.ReplaceAll(string(d.objects[d.information()]), stamp+")", stamp+"Z)"))
	next, fonts := len(d.objects), ""
	for _, g := range faces {
		if g == nil {
			continue
		}
		fonts += fmt.Sprintf("/F%d %d 0 R ", g.face, next)
		if err := g.write(f, next); err != nil {
			return err
		}
		next += fontObjects
	}
	if err := f.catalog(d, meta, next); err != nil {
		return err
	}
	next += 3
	uses := ""
	for i, p := range pictures {
		uses += fmt.Sprintf("/%s %d 0 R ", p.name, next+2*i)
	}
	f.object(resources, fmt.Sprintf("<</ProcSet [/PDF /Text /ImageB /ImageC] /Font <<%s>> /XObject <<%s>>>>", fonts, uses))
	// What was written so far holds everything but the samples of the pictures.
	sum := f.sent.digest()
	id := [16]byte(sum[:16])
	f.metadata(next-3, meta, id)
	for i, p := range pictures {
		if err := f.picture(next+2*i, doc.Images[p.image]); err != nil {
			return fmt.Errorf("image %d: %w", p.image+1, err)
		}
	}
	f.crossReferences(d, id)
	return f.err
}

// catalog writes the catalog and the colour profile of the samples. Object number will be the
// metadata.
func (f *file) catalog(d gofpdfOutput, meta metadata, number int) error {
	outline, err := d.outline()
	if err != nil {
		return err
	}
	f.stream(number+1, "/N 3 ", profile())
	f.object(number+2, fmt.Sprintf("<</Type /OutputIntent /S /GTS_PDFA1 /OutputConditionIdentifier (sRGB) /Info (sRGB IEC61966-2.1) /DestOutputProfile %d 0 R>>", number+1))
	f.object(d.catalog(), fmt.Sprintf("<</Type /Catalog /Pages 1 0 R /Outlines %s /PageMode /UseOutlines /Lang (%s) /ViewerPreferences <</DisplayDocTitle true>> /Metadata %d 0 R /OutputIntents [%d 0 R]>>",
		outline, meta.language, number, number+2))
	return f.err
}

func (f *file) metadata(n int, meta metadata, id [16]byte) {
	xmp := meta.xmp(id)
	f.object(n, fmt.Sprintf("<</Type /Metadata /Subtype /XML /Length %d>>\nstream\n%s\nendstream", len(xmp), xmp))
}

// picture copies one picture from its reader into the file. Its length is known only afterwards and
// is an object of its own, n+1.
func (f *file) picture(n int, img Image) (err error) {
	if img.Open == nil {
		return errors.New("no picture and no problem")
	}
	r, err := img.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f.reader.Reset(r)
	s, err := parsePictureFile(f.reader)
	if err != nil {
		return err
	}
	if s.width != img.Width || s.height != img.Height {
		return fmt.Errorf("the picture is %d x %d, not %d x %d", s.width, s.height, img.Width, img.Height)
	}
	space := "/DeviceRGB"
	if s.colours == 1 {
		space = "/DeviceGray"
	}
	f.begin(n)
	f.write(fmt.Appendf(nil, "<</Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace %s /BitsPerComponent 8 %s /Length %d 0 R>>\nstream\n",
		s.width, s.height, space, s.filter, n+1))
	if f.err != nil {
		return f.err
	}
	counted := &counter{w: f.w}
	err = s.copySamples(counted)
	f.sent.skip(counted.n)
	if err != nil {
		return err
	}
	f.write([]byte("\nendstream\nendobj\n"))
	f.object(n+1, fmt.Sprint(counted.n))
	return f.err
}

// counter counts what passes through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// crossReferences writes the table of the objects' offsets and the trailer, which end the file.
func (f *file) crossReferences(d gofpdfOutput, id [16]byte) {
	at := f.sent.size
	b := fmt.Appendf(nil, "xref\n0 %d\n0000000000 65535 f \n", len(f.offsets))
	for _, offset := range f.offsets[1:] {
		b = fmt.Appendf(b, "%010d 00000 n \n", offset)
	}
	f.write(fmt.Appendf(b, "trailer\n<</Size %d /Root %d 0 R /Info %d 0 R /ID [<%X> <%X>]>>\nstartxref\n%d\n%%%%EOF\n",
		len(f.offsets), d.catalog(), d.information(), id, id, at))
}
