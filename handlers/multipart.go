package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"casepress/blob"
	"casepress/tasks"
	"casepress/tasks/picture"
)

// readMultipart reads the parts one after the other; files go straight to the
// blob store, so memory does not grow with the upload.
func (a *API) readMultipart(f *form, r *http.Request) error {
	parts, err := r.MultipartReader()
	if err != nil {
		return malformed(err)
	}
	ctx := reading(r)
	for {
		part, err := parts.NextPart()
		if err == io.EOF { // bare, after the closing boundary; a wrapped one means cut short
			break
		}
		if err != nil {
			return malformed(err)
		}
		if err := a.readPart(ctx, f, part); err != nil {
			return err
		}
	}
	// What follows the closing boundary means nothing, but only a body read to
	// its end is known to be complete.
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

func (a *API) readPart(ctx context.Context, f *form, part *multipart.Part) error {
	name := part.FormName()
	if name == "" {
		return malformed(errors.New("a part without a name"))
	}
	if err := f.expect(name, a.cfg.MaxImages); err != nil {
		return err
	}
	field := name
	if name == "images" {
		field = fmt.Sprintf("images[%d]", len(f.images)+1)
	}
	switch e := strings.ToLower(part.Header.Get("Content-Transfer-Encoding")); e {
	case "", "binary", "7bit", "8bit":
	default:
		return invalid(field, textEncoding, printable(e))
	}
	if name == "images" {
		return a.readFile(ctx, f, field, part)
	}
	if _, params, err := mime.ParseMediaType(part.Header.Get("Content-Type")); err == nil {
		if err := checkCharset(field, params); err != nil {
			return err
		}
	}
	value, err := a.readValue(part)
	if err != nil {
		return err
	}
	f.add(name, value)
	return nil
}

// readValue reads a field that is not a file. It stops where every field is too
// long already, and what it returns then is refused as such.
func (a *API) readValue(part io.Reader) (string, error) {
	limit := 1024 + utf8.UTFMax*int64(a.cfg.MaxNotes)
	value, err := io.ReadAll(io.LimitReader(partReader{part}, limit))
	return string(value), err
}

// readFile stages an image and takes it into the form.
func (a *API) readFile(ctx context.Context, f *form, field string, part *multipart.Part) error {
	staged, err := a.blobs.Stage(ctx, partReader{part})
	if err != nil {
		return fmt.Errorf("stage %s: %w", field, err)
	}
	f.images = append(f.images, formImage{staged: staged})
	label := fileLabel(part.FileName())
	img, err := a.inspect(ctx, field, label, staged)
	if err != nil {
		return err
	}
	img.ImageID, img.Name = tasks.DerivedImageID(img.SHA256), label
	f.images[len(f.images)-1].image = img
	return nil
}

// inspect returns what the staged bytes are, or a fault of the field if they are
// not an image or a larger one than allowed. A format or a header that cannot be
// decoded is let in: the original is kept.
func (a *API) inspect(ctx context.Context, field, label string, staged *blob.Staged) (tasks.Image, error) {
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

// fileLabel makes a client's file name fit to be kept and shown: the last
// element of a path of any system, printable, at most 100 characters.
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
	if err != nil && err != io.EOF {
		err = malformed(err)
	}
	return n, err
}

// malformed turns an error of the multipart reader into a fault, unless it is
// one of the body's own already.
func malformed(err error) error {
	if _, ok := errors.AsType[*fault](err); ok {
		return err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &fault{code: codeIncompleteBody, cause: err}
	}
	return &fault{code: codeMalformedForm, args: []any{"multipart/form-data"}, cause: err}
}
