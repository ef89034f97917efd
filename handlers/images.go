package handlers

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/tasks"
)

// storedImage is the answer to an image put ahead of its report.
type storedImage struct {
	PatientID string `json:"patientId"`
	ImageID   string `json:"imageId"`
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"mediaType"`
}

// putImage answers PUT /images/{imageId}?patientId=.
func (a *API) putImage(c *gin.Context) {
	imageID := c.Param("imageId")
	patientID, err := checkPutImage(c, imageID)
	if err != nil {
		a.fail(c, err)
		return
	}
	img, created, err := a.acceptImage(c.Request, patientID, imageID)
	if err != nil {
		a.fail(c, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	writeJSON(c, status, "application/json", storedImage{patientID, img.ImageID, img.SHA256, img.Bytes, img.MediaType})
}

// checkPutImage checks everything but the body and returns the patientId.
func checkPutImage(c *gin.Context, imageID string) (patientID string, err error) {
	query, err := queryOf(c, "patientId")
	if err != nil {
		return "", err
	}
	var faults []fieldFault
	for _, f := range []*fieldFault{checkPathID("imageId", imageID), checkID("patientId", query["patientId"])} {
		if f != nil {
			faults = append(faults, *f)
		}
	}
	if len(faults) > 0 {
		return "", &fault{code: codeInvalidInput, fields: faults}
	}
	if e := c.GetHeader("Content-Encoding"); e != "" && e != "identity" {
		return "", refuse(codeUnsupportedType, "Content-Encoding "+printable(e), "identity")
	}
	return query["patientId"], nil
}

// acceptImage stores the body as an image of the patient. created is false if
// the same bytes were there before.
func (a *API) acceptImage(r *http.Request, patientID, imageID string) (img tasks.Image, created bool, err error) {
	digests, err := parseContentDigest(r.Header.Values("Content-Digest"))
	if err != nil {
		return img, false, err
	}
	staged, err := a.blobs.Stage(reading(r), digests.reading(r.Body))
	if err != nil {
		return img, false, err
	}
	defer func() { err = afterDiscard(err, staged.Discard()) }()
	if err := digests.verify(staged.Key()); err != nil {
		return img, false, err
	}
	if img, err = a.inspect(r.Context(), "body", "", staged); err != nil {
		return img, false, err
	}
	if !honestImageID(imageID, img.SHA256) {
		return img, false, invalid("imageId", textIDReserved)
	}
	img.ImageID = imageID

	ctx, cancel := a.detached(r)
	defer cancel()
	if err := staged.Commit(ctx); err != nil {
		return img, false, err
	}
	created, err = a.work.RegisterImage(ctx, patientID, img)
	if e, ok := errors.AsType[*dispatcher.ConflictError](err); ok {
		err = &fault{code: codeImageConflict, args: []any{imageID}, extras: extras{StoredSHA256: e.Stored, OfferedSHA256: e.Offered}}
	}
	return img, created, err
}
