package handlers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"casepress/blob"
	"casepress/tasks"
	"casepress/tasks/picture"
)

// maxPartHeader bounds the header of one part, in bytes: names, values, and for each line four more, for ": " and the line's
// end. Go's own limit of 10 MB would be held in memory for every upload under way. Real headers have a few hundred bytes.
const maxPartHeader = 16 << 10

// partHeaderRead is how much is read for a header: it comes with the boundary in front of it, and with blanks that do not
// count.
const partHeaderRead = maxPartHeader + 8<<10

// readMultipart reads the parts one after the other; files go straight to the blob store, so memory does not
// grow with the upload.
func (a *API) readMultipart(f *form, r *http.Request, boundary string) error {
	if boundary == "" {
		return malformedForm(formMultipart, textNoBoundary, nil)
	}
	body := &headerLimit{body: r.Body}
	parts := multipart.NewReader(body, boundary)
	ctx := stageContext(r)
	for n := 1; ; n++ {
		body.allow(partHeaderRead)
		part, err := parts.NextPart()
		if body.failed != nil { // a line that was cut short passes for a whole one
			err = body.failed
		}
		if err == io.EOF { // bare, after the closing boundary; a wrapped one means cut short
			break
		}
		if err != nil {
			return headerFault(err, n)
		}
		body.unlimited = true
		if headerBytes(part.Header) > maxPartHeader {
			return malformedPart(n, textLongPartHeader, errPartHeader)
		}
		if err := a.readPart(ctx, f, part, n); err != nil {
			return err
		}
		// NextPart would read over the rest of this part and count it as a header.
		if _, err := io.Copy(io.Discard, partReader{part}); err != nil {
			return err
		}
	}
	// What follows the closing boundary means nothing, but only a body read to its end is known to be
	// complete.
	_, err := io.Copy(io.Discard, r.Body)
	return err
}

// headerLimit is the body of a form, bounded while the header of a part is read.
type headerLimit struct {
	body      io.Reader
	unlimited bool
	left      int
	failed    error // of a read, but the end
}

// errPartHeader says that no header of a part ended within the limit.
var errPartHeader = errors.New("header of a part is too long")

func (l *headerLimit) allow(n int) { l.unlimited, l.left = false, n }

func (l *headerLimit) Read(p []byte) (n int, err error) {
	switch {
	case l.unlimited:
		n, err = l.body.Read(p)
	case l.left <= 0:
		err = errPartHeader
	default:
		n, err = l.body.Read(p[:min(len(p), l.left)])
		l.left -= n
	}
	if err != nil && err != io.EOF {
		l.failed = err
	}
	return n, err
}

// headerBytes is the size of a header as [maxPartHeader] counts it.
func headerBytes(h textproto.MIMEHeader) (n int) {
	for name, values := range h {
		for _, value := range values {
			n += len(name) + len(value) + len(": \r\n")
		}
	}
	return n
}

func (a *API) readPart(ctx context.Context, f *form, part *multipart.Part, n int) error {
	for _, header := range []string{"Content-Disposition", "Content-Type", "Content-Transfer-Encoding"} {
		if len(part.Header.Values(header)) > 1 { // readers would disagree about which one counts
			return malformedPart(n, textPartHeaderTwice, nil, header)
		}
	}
	name, fileName, err := disposition(part.Header.Get("Content-Disposition"))
	if err != nil {
		return malformedPart(n, textBadDisposition, err)
	}
	if name == "" {
		return malformedPart(n, textNoPartName, nil)
	}
	name = withoutBrackets(name)
	if unknown, err := f.noteUnknown(name); unknown || err != nil {
		return err
	}
	if name != "images" {
		return a.readField(f, name, part)
	}
	content := io.Reader(partReader{part})
	if fileName == "" {
		// An HTML form sends this for a file input that was not filled in.
		var first [1]byte
		switch _, err := io.ReadFull(content, first[:]); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		content = io.MultiReader(bytes.NewReader(first[:]), content)
	}
	if err := f.expect(name, a.cfg.MaxImages); err != nil {
		return err
	}
	field := fmt.Sprintf("images[%d]", len(f.images)+1)
	if err := checkTransferEncoding(field, part); err != nil {
		return err
	}
	err = a.readFile(ctx, f, field, fileLabel(fileName), content)
	if wrong, ok := errors.AsType[*fault](err); ok && wrong.code == codeNotAnImage && fileName == "" {
		wrong.fields[0].detail = textNoFileName // most often it is the name of a file, instead of the file
	}
	return err
}

func checkTransferEncoding(field string, part *multipart.Part) error {
	switch e := strings.ToLower(part.Header.Get("Content-Transfer-Encoding")); e {
	case "", "binary", "7bit", "8bit":
		return nil
	default:
		return invalid(field, textEncoding, printable(e))
	}
}

// lenientDisposition matches what some clients send for a file whose name has a quote in it. Only the
// file's name, which is a label, can be meant otherwise.
var lenientDisposition = regexp.MustCompile(`^form-data; name="([^"\\;]*)"; filename="([^;]*)"$`)

// disposition reads the name of a part and of its file. Without a Content-Disposition both are empty.
func disposition(header string) (name, fileName string, err error) {
	if header == "" {
		return "", "", nil
	}
	kind, params, err := mime.ParseMediaType(header)
	if err != nil {
		if m := lenientDisposition.FindStringSubmatch(header); m != nil {
			return m[1], m[2], nil
		}
		return "", "", err
	}
	if kind != "form-data" {
		return "", "", fmt.Errorf("%s instead of form-data", kind)
	}
	return params["name"], params["filename"], nil
}

// readField reads a field that is not a file.
func (a *API) readField(f *form, name string, part *multipart.Part) error {
	if name != "imageId" { // an empty one is absent, so whether one more may come is seen later
		if err := f.expect(name, a.cfg.MaxImages); err != nil {
			return err
		}
	}
	if err := checkTransferEncoding(name, part); err != nil {
		return err
	}
	value, err := a.readValue(partReader{part})
	if err != nil {
		return err
	}
	if header := part.Header.Get("Content-Type"); header != "" {
		mediaType, params, err := mime.ParseMediaType(header)
		if err != nil && !isASCII(value) {
			return invalid(name, textPartType, printable(header))
		}
		if mediaType == "application/json" {
			if value, err = decodeJSONString(name, value); err != nil {
				return err
			}
		}
		if err := checkCharset(name, params["charset"], value); err != nil {
			return err
		}
	}
	return a.addField(f, name, value)
}

// decodeJSONString reads a text that is sent as JSON, as Retrofit does with a converter: its quotes and
// escapes are not part of the text.
func decodeJSONString(name, encoded string) (string, error) {
	if !utf8.ValidString(encoded) {
		return "", invalid(name, textNotUTF8)
	}
	var value *string
	if err := json.Unmarshal([]byte(encoded), &value); err != nil || value == nil {
		return "", invalid(name, textNotJSONString)
	}
	if halfCharacter(encoded) { // package json would put U+FFFD in its place
		return "", invalid(name, textNotJSONString)
	}
	return *value, nil
}

// halfCharacter reports whether a valid JSON text has an escape that is half of a character beyond U+FFFF
// without the other half beside it.
func halfCharacter(encoded string) bool {
	var first rune // of a pair that is not complete
	for i := 0; i < len(encoded); i++ {
		escaped := rune(0)
		if encoded[i] == '\\' {
			i++
			if encoded[i] == 'u' {
				unit, _ := strconv.ParseUint(encoded[i+1:i+5], 16, 16) // it is valid JSON
				escaped = rune(unit)
				i += 4
			}
		}
		switch {
		case first != 0:
			if utf16.DecodeRune(first, escaped) == utf8.RuneError {
				return true
			}
			first = 0
		case utf16.IsSurrogate(escaped):
			first = escaped
		}
	}
	return first != 0
}

// readValue reads a field that is not a file. It reads no more than is needed to see that the field is
// too long; the checks refuse it then.
func (a *API) readValue(part io.Reader) (string, error) {
	limit := 1024 + 12*int64(a.cfg.MaxNotes) // a character is at most 12 bytes, as two escapes in JSON
	value, err := io.ReadAll(io.LimitReader(part, limit))
	return string(value), err
}

// readFile stages an image and takes it into the form.
func (a *API) readFile(ctx context.Context, f *form, field, label string, content io.Reader) error {
	staged, err := a.blobs.Stage(ctx, content)
	if err != nil {
		return fmt.Errorf("stage %s: %w", field, err)
	}
	f.images = append(f.images, formImage{staged: staged})
	img, err := a.inspect(ctx, field, label, staged)
	if err != nil {
		return err
	}
	img.ImageID, img.Name = tasks.DerivedImageID(img.SHA256), label
	f.images[len(f.images)-1].image = img
	return nil
}

// inspect returns what the staged bytes are, or a fault of the field if they are not an image or a larger one
// than allowed. A format or a header that cannot be decoded is accepted: the original is kept.
func (a *API) inspect(ctx context.Context, field, label string, staged blob.Staged) (tasks.Image, error) {
	refused := func(c code, detail text, args ...any) error {
		f := fieldFault{field: field, detail: detail, args: args}
		if label != "" {
			f.shown = field + " (" + label + ")"
		}
		return &fault{code: c, fields: []fieldFault{f}}
	}
	if staged.Size() == 0 {
		return tasks.Image{}, refused(codeInvalidInput, textEmptyImage)
	}
	info, err := picture.Inspect(ctx, staged.Open(), staged.Size())
	if errors.Is(err, picture.ErrNotImage) {
		return tasks.Image{}, refused(codeNotAnImage, textNotAnImage)
	}
	if err != nil {
		return tasks.Image{}, fmt.Errorf("inspect staged image: %w", err)
	}
	if int64(info.Width)*int64(info.Height) > a.cfg.MaxPixels {
		return tasks.Image{}, refused(codeImageTooLarge, textTooManyPixels, info.Width, info.Height, grouped(a.cfg.MaxPixels))
	}
	return tasks.Image{SHA256: string(staged.Key()), Bytes: staged.Size(), MediaType: info.MediaType}, nil
}

// fileLabel makes a client's file name fit to be kept and shown: the last element of a path of any system,
// printable, at most 100 characters.
func fileLabel(name string) string {
	name = strings.ToValidUTF8(name[strings.LastIndexAny(name, `/\`)+1:], "\uFFFD")
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > 100 {
		return string(runes[:100])
	}
	return name
}

// partReader tells errors of the form from those of the disk it is copied to.
type partReader struct{ part io.Reader }

func (r partReader) Read(p []byte) (int, error) {
	n, err := r.part.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // only the bare one is the end; a wrapped one means cut short
		err = multipartFault(err, malformedForm(formMultipart, textNoClosingBoundary, err))
	}
	return n, err
}

// Forms as answers call them.
const (
	formMultipart  = "multipart/form-data"
	formURLEncoded = "application/x-www-form-urlencoded"
)

// malformedForm is the fault of a body that is not what its Content-Type says.
func malformedForm(form string, reason text, cause error) *fault {
	return &fault{code: codeMalformedForm, args: []any{form, reason}, cause: cause}
}

// malformedPart is the fault of the nth part of a form.
func malformedPart(n int, reason text, cause error, args ...any) *fault {
	field := fmt.Sprintf("part %d", n)
	return &fault{code: codeMalformedForm, fields: []fieldFault{{field: field, detail: reason, args: args}}, cause: cause}
}

// headerFault turns an error from before the content of the nth part into a fault.
func headerFault(err error, n int) error {
	atEnd := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	tooLong := errors.Is(err, errPartHeader)
	switch {
	case n == 1 && (atEnd || tooLong || errors.Is(err, bufio.ErrBufferFull)):
		return multipartFault(err, malformedForm(formMultipart, textOtherBoundary, err))
	case atEnd:
		return multipartFault(err, malformedForm(formMultipart, textNoClosingBoundary, err))
	case tooLong:
		return multipartFault(err, malformedPart(n, textLongPartHeader, err))
	}
	return multipartFault(err, malformedPart(n, textBadPartHeader, err))
}

// multipartFault returns err if it is one of the body's own: the connection broke, or the body is too
// large. Any other comes from a body that is complete, and sending it again would not help: malformed
// says why.
func multipartFault(err error, malformed *fault) error {
	if _, ok := errors.AsType[*fault](err); ok {
		return err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return malformed
}
