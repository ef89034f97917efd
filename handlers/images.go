package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"casepress/blob"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// storedImageAnswer is the answer to an image put ahead of its report, and to the question about it.
type storedImageAnswer struct {
	Study     *string `json:"study"`
	PatientID string  `json:"patientId"`
	ImageID   string  `json:"imageId"`
	SHA256    string  `json:"sha256"`
	Bytes     int64   `json:"bytes"`
	MediaType string  `json:"mediaType"`
}

// putImage answers PUT /images/{imageId}?study=&patientId=.
func (a *API) putImage(c *gin.Context) {
	imageID := c.Param("imageId")
	of, err := checkPutImage(c, imageID)
	if err != nil {
		a.fail(c, err)
		return
	}
	img, created, err := a.acceptImage(c.Request, of, imageID)
	if err != nil {
		a.fail(c, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	writeJSON(c, status, "application/json", imageStored(of, img))
}

func imageStored(of tasks.Subject, img tasks.Image) storedImageAnswer {
	return storedImageAnswer{stringOrNull(of.Study), of.PatientID, img.ImageID, img.SHA256, img.Bytes, img.MediaType}
}

// storedImage answers GET /images/{imageId}?study=&patientId=: whether the image is there. It does not send the
// image, which may tell where it was taken; see [API.original].
func (a *API) storedImage(c *gin.Context) {
	imageID := c.Param("imageId")
	of, err := checkImageQuery(c, imageID)
	if err != nil {
		a.fail(c, err)
		return
	}
	img, err := a.findImage(c.Request.Context(), of, imageID)
	if errors.Is(err, store.ErrNotFound) {
		err = refuse(codeImageNotStored, imageID)
	}
	if err == nil {
		err = a.checkOriginal(c.Request.Context(), img)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	h := c.Writer.Header()
	h.Set("Etag", contentTag(img.SHA256))
	h.Set("Cache-Control", "private, no-cache")
	if etagMatches(c.GetHeader("If-None-Match"), contentTag(img.SHA256)) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	writeJSON(c, http.StatusOK, "application/json", imageStored(of, img))
}

// checkOriginal reads the original of an image through, since a client may delete its own copy by the answer. One that
// is sealed with a key that is not at hand must be there; its bytes are not compared.
func (a *API) checkOriginal(ctx context.Context, img tasks.Image) error {
	b, err := blob.OpenVerified(ctx, a.blobs, blob.Key(img.SHA256), verifiedFor)
	switch {
	case err == nil:
		return b.Close()
	case errors.Is(err, blob.ErrKey):
		release, err := a.blobs.Hold(ctx, blob.Key(img.SHA256))
		if err == nil {
			release()
		}
		return err
	case errors.Is(err, blob.ErrNotFound):
		return a.explainGone(ctx, img.SHA256, err)
	}
	return err
}

// checkImageQuery checks the imageId and the query, and returns whose image it is.
func checkImageQuery(c *gin.Context, imageID string) (of tasks.Subject, err error) {
	query, err := queryOf(c, "study", "patientId")
	if err != nil {
		return of, err
	}
	wrong := []*fieldFault{checkPathID("imageId", imageID), checkStudy(query["study"]), checkID("patientId", query["patientId"])}
	var faults []fieldFault
	for _, f := range wrong {
		if f != nil {
			faults = append(faults, *f)
		}
	}
	if len(faults) > 0 {
		return of, &fault{code: codeInvalidInput, fields: faults}
	}
	return tasks.Subject{Study: query["study"], PatientID: query["patientId"]}, nil
}

// checkPutImage checks everything but the body and returns whose image it is.
func checkPutImage(c *gin.Context, imageID string) (of tasks.Subject, err error) {
	if of, err = checkImageQuery(c, imageID); err != nil {
		return of, err
	}
	return of, checkWholeBody(c.Request.Header)
}

// acceptImage stores the body as an image of the patient. created is false if the same bytes were there
// before.
func (a *API) acceptImage(r *http.Request, of tasks.Subject, imageID string) (img tasks.Image, created bool, err error) {
	body, err := digestBody(r)
	if err != nil {
		return img, false, err
	}
	staged, err := a.blobs.Stage(stageContext(r), body)
	if err != nil {
		return img, false, err
	}
	defer func() { err = afterDiscard(err, staged.Discard()) }()
	if err := body.verify(); err != nil {
		return img, false, err
	}
	ctx, cancel := a.detached(r) // the body is in: it is stored even if the client leaves
	defer cancel()
	if img, err = a.inspect(ctx, "body", "", staged); err != nil {
		return img, false, err
	}
	if !imageIDAllowed(imageID, img.SHA256) {
		return img, false, invalid("imageId", textIDReserved)
	}
	img.ImageID = imageID
	if err := staged.Commit(ctx); err != nil {
		return img, false, err
	}
	content := tasks.PatientImage{Study: of.Study, PatientID: of.PatientID, Image: img}
	got, err := a.work.Accept(ctx, tasks.NewSubmission(tasks.KindImage(), content))
	if e, ok := errors.AsType[*dispatcher.ConflictError](err); ok {
		return img, false, &fault{code: codeImageConflict, args: []any{imageID}, extras: extras{StoredSHA256: e.Stored, OfferedSHA256: e.Offered}}
	}
	if err != nil {
		return img, false, acceptFault(err, textImageUnknown)
	}
	err = a.work.CaughtUp(ctx, tasks.TopicImages)            // a report may name it as soon as this is answered
	if err != nil && !errors.Is(err, dispatcher.ErrBehind) { // else it is safe, and a report that names it waits for the rows
		f := asFault(err)
		f.stored = true
		return img, false, f
	}
	return img, !got.Replayed, nil
}
