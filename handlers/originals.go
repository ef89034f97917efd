package handlers

import (
	"cmp"
	"context"
	"errors"

	"github.com/gin-gonic/gin"

	"casepress/blob"
	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// original answers GET /originals/{sha256} on the private address: the bytes as they were handed in,
// decrypted if they are kept so. They may tell a position and a device; the public address serves none.
func (a *API) original(c *gin.Context) {
	sha256 := c.Param("sha256")
	img, err := a.findOriginal(c.Request.Context(), sha256)
	if errors.Is(err, store.ErrNotFound) {
		err = refuse(codeNoOriginal)
	}
	if err == nil {
		err = a.serveBlob(c, img.SHA256, img.MediaType, img.SHA256)
	}
	if errors.Is(err, blob.ErrNotFound) {
		err = a.explainGone(c.Request.Context(), img.SHA256, err)
	}
	if err != nil {
		a.fail(c, err)
	}
}

// explainGone tells an original that was dropped on purpose from one whose file is missing. Once the rows show
// everything, they know.
func (a *API) explainGone(ctx context.Context, sha256 string, gone error) error {
	if err := a.work.CaughtUp(ctx); err != nil {
		return err
	}
	dropped, err := a.rows.Unneeded(ctx, []string{sha256})
	if err == nil && len(dropped) > 0 {
		return &fault{code: codeOriginalDropped, cause: gone}
	}
	return cmp.Or(err, gone)
}

// findOriginal looks an original up, and again once the rows show everything accepted so far.
func (a *API) findOriginal(ctx context.Context, sha256 string) (tasks.Image, error) {
	if !blob.Key(sha256).Valid() {
		return tasks.Image{}, store.ErrNotFound
	}
	return dispatcher.Lookup(ctx, a.work, func(ctx context.Context) (tasks.Image, error) {
		return a.rows.Original(ctx, sha256)
	}, topicsOf(tasks.KindImage().Name)...)
}

// hold keeps an image that was put earlier until the form is discarded, or reports that its original has been
// dropped.
func (a *API) hold(ctx context.Context, from *formImage, found tasks.Image) (dropped bool, err error) {
	release, err := a.blobs.Hold(ctx, blob.Key(found.SHA256))
	if errors.Is(err, blob.ErrNotFound) {
		return true, nil
	}
	from.release = release
	return false, err
}
