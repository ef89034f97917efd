package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"casepress/blob"
	"casepress/tasks"
)

// The fields of an upload. Every other one is refused: in clinical data a misspelt field must not vanish.
var (
	singleFields = []string{"study", "site", "patientId", "visitId", "notes", "capturedAt", "reportId"}
	knownFields  = strings.Join(singleFields, ", ") + ", images, imageId"
)

// form is an upload as it came in: complete, each file staged and an image; the values are not checked yet, and it may have had
// fields that are not known, which [form.report] refuses together with all else that is wrong.
type form struct {
	values map[string]string // of singleFields
	images []formImage       // in the order of the form
	// unknown are the faults of fields that are not known, each name once.
	unknown []fieldFault
}

// maxUnknownFields is how many of them an answer names. A form with more is not read any further.
const maxUnknownFields = 20

// formImage is a file that was sent or the id of an image put earlier.
type formImage struct {
	staged  blob.Staged // nil for an id
	release func()      // ends the hold on the original of an id; nil unless it is held
	image   tasks.Image // only ImageID for an id
}

// readForm reads the body of an upload to its end. On an error nothing stays staged; otherwise the caller
// discards the form once done with it.
func (a *API) readForm(r *http.Request) (*form, error) {
	f := &form{values: map[string]string{}}
	if err := a.readInto(f, r); err != nil {
		return nil, afterDiscard(err, f.discard())
	}
	return f, nil
}

func (a *API) readInto(f *form, r *http.Request) error {
	const understood = "multipart/form-data, application/x-www-form-urlencoded"
	header := r.Header.Get("Content-Type")
	if header == "" && r.ContentLength == 0 {
		return nil // an empty form; the checks will name the missing fields
	}
	if err := checkWholeBody(r.Header); err != nil {
		return err
	}
	mediaType, params, err := parseContentType(header)
	if err != nil {
		return refuse(codeUnsupportedType, shownType(header), understood)
	}
	switch mediaType {
	case "multipart/form-data":
		return a.readMultipart(f, r, params["boundary"])
	case "application/x-www-form-urlencoded":
		return a.readURLEncoded(f, r.Body, params["charset"])
	}
	return refuse(codeUnsupportedType, "Content-Type "+mediaType, understood)
}

// checkWholeBody returns a fault for a body that is encoded, such as compressed, or a part of something: what is stored are the
// bytes as they come, and a part must not be taken for the whole (RFC 9110, section 14.5).
func checkWholeBody(h http.Header) error {
	if h.Get("Content-Range") != "" {
		return invalid("Content-Range", textNoParts)
	}
	for _, e := range h.Values("Content-Encoding") {
		if e != "" && !strings.EqualFold(e, "identity") {
			return refuse(codeUnsupportedType, "Content-Encoding "+printable(e), "identity")
		}
	}
	return nil
}

// shownType names a Content-Type that is refused.
func shownType(header string) string {
	if header == "" {
		return "A body without Content-Type"
	}
	return "Content-Type " + printable(header)
}

// parseContentType is [mime.ParseMediaType], but takes an unquoted boundary with characters that would
// have to be quoted, as in boundary====1616056691487===: several clients send it. Without a quote in the
// whole header, every ";" separates two parameters, so it cannot be misread.
func parseContentType(header string) (mediaType string, params map[string]string, err error) {
	mediaType, params, err = mime.ParseMediaType(header)
	if err == nil || strings.Contains(header, `"`) {
		return mediaType, params, err
	}
	mediaType, rest, _ := strings.Cut(header, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	if mediaType != "multipart/form-data" {
		return "", nil, err
	}
	params = map[string]string{}
	for param := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(param, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := params[name]; twice {
			return "", nil, err
		}
		params[name] = strings.TrimSpace(value)
	}
	if params["boundary"] == "" {
		return mediaType, params, nil // which is said as such
	}
	if !unquotedBoundary.MatchString(params["boundary"]) {
		return "", nil, err
	}
	return mediaType, params, nil
}

// unquotedBoundary has the characters that RFC 2046 allows, without the blank.
var unquotedBoundary = regexp.MustCompile(`^[0-9A-Za-z'()+_,./:=?-]{1,70}$`)

// readURLEncoded reads a form that names images but carries none. It is small, so it is read whole. As
// in browsers, only "&" separates fields: a raw ";" belongs to the value.
func (a *API) readURLEncoded(f *form, body io.Reader, charset string) error {
	// A character is at most 4 bytes, and each of them %XX.
	limit := 64<<10 + 12*int64(a.cfg.MaxNotes) + 256*int64(a.cfg.MaxImages)
	limit = min(limit, a.cfg.MaxBodyBytes)
	encoded, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return err
	}
	if int64(len(encoded)) > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	for pair := range strings.SplitSeq(string(encoded), "&") {
		if pair == "" {
			continue
		}
		escapedName, escapedValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(escapedName)
		if err != nil {
			return malformedForm(formURLEncoded, textBadEscape, err)
		}
		value, err := url.QueryUnescape(escapedValue)
		if err != nil {
			return malformedForm(formURLEncoded, textBadEscape, err)
		}
		name = withoutBrackets(name)
		if unknown, err := f.noteUnknown(name); err != nil {
			return err
		} else if unknown {
			continue
		}
		if err := checkCharset(name, charset, value); err != nil {
			return err
		}
		if err := a.addField(f, name, value); err != nil {
			return err
		}
	}
	return nil
}

// addField takes in a field that is not a file. An empty imageId or images is what HTML forms and
// generated clients send for a field that was not filled in: it counts as absent.
func (a *API) addField(f *form, name, value string) error {
	if (name == "imageId" || name == "images") && value == "" {
		return nil
	}
	if name == "images" {
		return invalid("images", textNeedsMultipart)
	}
	if err := f.expect(name, a.cfg.MaxImages); err != nil {
		return err
	}
	f.add(name, value)
	return nil
}

// withoutBrackets returns the name of a repeated field as the contract has it: axios, PHP and others
// write images[] and imageId[].
func withoutBrackets(name string) string {
	if base, ok := strings.CutSuffix(name, "[]"); ok && (base == "images" || base == "imageId") {
		return base
	}
	return name
}

func isKnownField(name string) bool {
	return name == "images" || name == "imageId" || slices.Contains(singleFields, name)
}

// noteUnknown reports whether a field of this name is not known, and notes it. It returns a fault if the form must not be read any
// further.
func (f *form) noteUnknown(name string) (unknown bool, err error) {
	if isKnownField(name) {
		return false, nil
	}
	shown := printable(name)
	if base, _, ok := strings.Cut(name, "["); ok && isKnownField(base) {
		return true, invalid(shown, textBrackets, base)
	}
	if slices.ContainsFunc(f.unknown, func(u fieldFault) bool { return u.field == shown }) {
		return true, nil
	}
	wrong := fieldFault{field: shown, detail: textUnknownField, args: []any{knownFields}}
	if len(f.unknown) > 0 { // what is known was said
		wrong = fieldFault{field: shown, detail: textUnknownToo}
	}
	if f.unknown = append(f.unknown, wrong); len(f.unknown) > maxUnknownFields {
		return true, &fault{code: codeInvalidInput, fields: f.unknown}
	}
	return true, nil
}

// expect returns a fault unless one more field of this name, which is known, may come.
func (f *form) expect(name string, maxImages int) error {
	if name == "images" || name == "imageId" {
		if len(f.images) == maxImages {
			return &fault{code: codeTooManyImages, args: []any{maxImages}, extras: extras{Limit: int64(maxImages)}}
		}
		return nil
	}
	if _, twice := f.values[name]; twice {
		return invalid(name, textRepeated)
	}
	return nil
}

// add takes in a field that is expected and not a file.
func (f *form) add(name, value string) {
	if name == "imageId" {
		f.images = append(f.images, formImage{image: tasks.Image{ImageID: value}})
		return
	}
	f.values[name] = value
}

// discard removes the files that are staged and not committed, and releases the originals that are held.
func (f *form) discard() error {
	var errs []error
	for _, img := range f.images {
		if img.staged != nil {
			errs = append(errs, img.staged.Discard())
		}
		if img.release != nil {
			img.release()
		}
	}
	return errors.Join(errs...)
}

// afterDiscard returns the error of a request whose staged files were discarded. If discarding failed
// too, it returns that error, because somebody has to look at the disk.
func afterDiscard(err, discarding error) error {
	if err == nil || discarding == nil {
		return err
	}
	return fmt.Errorf("discard what was staged: %w", discarding)
}

// commitsAtOnce is how many files of one form are synced at the same time. Disks combine such syncs, so
// this is faster than one after the other.
const commitsAtOnce = 8

// commit makes every file durable. If one fails, those that were committed stay: they are stored under
// their digest and the next try needs them.
func (f *form) commit(ctx context.Context) error {
	errs := make([]error, len(f.images))
	slots := make(chan struct{}, commitsAtOnce)
	var wg sync.WaitGroup
	for i, img := range f.images {
		if img.staged == nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = img.staged.Commit(ctx)
			<-slots
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// asciiCharsets are those whose first 128 characters are ASCII's and that clients declare out of habit.
var asciiCharsets = []string{"iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252"}

// checkCharset returns a fault if text is declared to be in anything but UTF-8, unless it is ASCII and so
// means the same in the charset declared.
func checkCharset[T string | []byte](field, charset string, value T) error {
	switch charset = strings.ToLower(charset); {
	case charset == "", charset == "utf-8", charset == "utf8", charset == "us-ascii":
		return nil
	case slices.Contains(asciiCharsets, charset) && isASCII(value):
		return nil
	}
	return invalid(printable(field), textCharset, printable(charset))
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// printable returns a client's word so that it can be repeated in an answer: escaped and cut.
func printable(s string) string {
	quoted := fmt.Sprintf("%.80q", s)
	return quoted[1 : len(quoted)-1]
}
