package handlers

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/blob"
	"casepress/store"
	"casepress/tasks"
)

// reportPDF answers GET /case-reports/{id}/report.pdf.
func (a *API) reportPDF(c *gin.Context) {
	row, err := a.completedRow(c)
	if err == nil {
		_, result := caseReportOf(row)
		err = a.serveBlob(c, result.PDF.SHA256, "application/pdf", row.ID+".pdf")
	}
	if err != nil {
		a.fail(c, err)
	}
}

// reportImage answers GET /case-reports/{id}/images/{n}: the image as the PDF shows it, or its thumbnail. The
// original is not served here: see [API.original].
func (a *API) reportImage(c *gin.Context) {
	thumb, err := thumbOf(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	row, err := a.completedRow(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	n, err := imageNumber(c.Param("n"), row)
	if err != nil {
		a.fail(c, err)
		return
	}
	_, result := caseReportOf(row)
	made := result.Images[n-1]
	out, mediaType, name := made.Full, outputType(made), row.ID+"-"+strconv.Itoa(n)
	if thumb {
		out, mediaType, name = made.Thumb, mediaJPEG, name+"-thumb"
	}
	if out.SHA256 == "" {
		a.fail(c, refuse(codeNoPicture, n))
		return
	}
	if err := a.serveBlob(c, out.SHA256, mediaType, name+extensions[mediaType]); err != nil {
		a.fail(c, err)
	}
}

// The media types of compressed images.
const mediaJPEG, mediaPNG = "image/jpeg", "image/png"

var extensions = map[string]string{mediaJPEG: ".jpg", mediaPNG: ".png"}

func thumbOf(c *gin.Context) (bool, error) {
	query, err := queryOf(c, "size")
	if err != nil {
		return false, err
	}
	switch query["size"] {
	case "", "full":
		return false, nil
	case "thumb":
		return true, nil
	}
	return false, invalid("size", textBadChoice, "full, thumb")
}

// imageNumber reads the 1-based position of an image in the report.
func imageNumber(s string, row store.Row) (int, error) {
	n, ok := counted(s)
	report, result := caseReportOf(row)
	if !ok || n > len(result.Images) {
		return 0, refuse(codeNoImage, printable(s), len(report.Images))
	}
	return n, nil
}

// completedRow returns the row of a report whose results exist.
func (a *API) completedRow(c *gin.Context) (store.Row, error) {
	row, err := a.findRow(c.Request.Context(), caseReportRef(c.Param("id")))
	if err != nil {
		return row, err
	}
	if row.Status == tasks.Completed {
		return row, nil
	}
	if !row.Status.Final() {
		setRetryAfter(c.Writer.Header(), pollAfter(row))
	}
	return row, &fault{code: codeNotReady, args: []any{statusTexts[row.Status]}, extras: extras{ReportStatus: string(row.Status)}}
}

// verifiedFor is how long a file that was read and found sound is served without being read again, as long as it
// is unchanged.
const verifiedFor = 5 * time.Minute

// serveBlob answers with a blob, see [serveContent].
func (a *API) serveBlob(c *gin.Context, digest, mediaType, name string) error {
	b, err := blob.OpenVerified(c.Request.Context(), a.blobs, blob.Key(digest), verifiedFor)
	if err != nil {
		return err
	}
	defer b.Close() // it is only read: closing it cannot lose anything
	h := c.Writer.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Disposition", `inline; filename="`+name+`"`) // ids need no quoting
	h.Set("Etag", contentTag(digest))
	h.Set("Cache-Control", "private, no-cache")
	return serveContent(c, b)
}

// serveContent answers with content, or the part or the "not modified" that the request asks for. It returns
// a fault if the request asks for what cannot be; the error is nil once an answer has begun.
func serveContent(c *gin.Context, content io.ReadSeeker) error {
	plainRange(c.Request.Header)
	w := &refusals{ResponseWriter: c.Writer}
	http.ServeContent(w, c.Request, "", time.Time{}, content)
	switch w.refused {
	case 0:
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		size, err := content.Seek(0, io.SeekEnd)
		if err != nil {
			return fmt.Errorf("serve content: %w", err)
		}
		c.Header("Content-Range", "bytes */"+strconv.FormatInt(size, 10)) // also of one that is malformed
		return refuse(codeRange)
	case http.StatusPreconditionFailed:
		return refuse(codePrecondition)
	}
	return fmt.Errorf("serve content: status %d", w.refused)
}

// plainRange changes the Range header where [http.ServeContent] would not do as RFC 9110 has it: a unit that the server does
// not know is ignored (section 14.2), units are the same in capitals (14.1), and the last 0 bytes are none (14.1.2).
func plainRange(h http.Header) {
	ranges, given := h["Range"]
	if !given {
		return
	}
	unit, set, _ := strings.Cut(ranges[0], "=")
	if !strings.EqualFold(unit, "bytes") || len(ranges) > 1 {
		h.Del("Range")
		return
	}
	if set = strings.TrimSpace(set); strings.HasPrefix(set, "-0") && strings.Trim(set[1:], "0") == "" {
		set = strconv.Itoa(math.MaxInt) + "-" // which is refused
	}
	h.Set("Range", "bytes="+set)
}

// refusals holds back what [http.ServeContent] answers when it refuses, so that a problem can be sent
// instead.
type refusals struct {
	http.ResponseWriter
	refused int // the status, 0 if it did not refuse
}

func (w *refusals) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		w.refused = status
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *refusals) Write(p []byte) (int, error) {
	if w.refused != 0 {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
