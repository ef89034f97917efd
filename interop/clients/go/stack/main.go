// net/http by hand: upload, the same again, poll, and resume after a cut.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"clients/files"
)

const patient = "P-net-http"

type accepted struct {
	ID        string
	StatusURL string
	Receipt   struct{ SHA256 string }
	Images    []struct{ SHA256 string }
}

type report struct {
	Status, Notes string
	Images        []struct{ SHA256 string }
	Problems      []struct{ Detail string }
	Report        *struct {
		URL, SHA256 string
		Bytes       int64
	}
}

// do sends a request and reads the answer; want is its status.
func do(r *http.Request, want int, into any) http.Header {
	response := files.Must(http.DefaultClient.Do(r))
	body := files.Must(io.ReadAll(response.Body))
	files.Check(response.Body.Close() == nil, "the body does not end")
	files.Check(response.StatusCode == want, "%s %s: %d %s", r.Method, r.URL, response.StatusCode, body)
	if raw, ok := into.(*[]byte); ok {
		*raw = body
	} else if into != nil {
		files.Check(json.Unmarshal(body, into) == nil, "%s", body)
	}
	return response.Header
}

func request(method, path string, body io.Reader) *http.Request {
	return files.Must(http.NewRequest(method, files.URL+path, body))
}

// upload makes the form anew for each try.
func upload() *http.Request {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	files.Check(form.WriteField("patientId", patient) == nil && form.WriteField("notes", files.Notes) == nil, "form")
	for _, path := range files.Photos {
		part := files.Must(form.CreateFormFile("images", filepath.Base(path)))
		files.Must(part.Write(files.Read(path)))
	}
	files.Check(form.Close() == nil, "form")
	r := request(http.MethodPost, "/upload-case-report", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Idempotency-Key", `"hand-net-http"`)
	return r
}

func stored(a accepted) {
	var digests []string
	for _, image := range a.Images {
		digests = append(digests, image.SHA256)
	}
	files.StoredReport(a.ID, a.Receipt.SHA256, digests)
}

func check(got report, paths ...string) {
	files.Check(got.Status == "completed" && got.Notes == files.Notes && len(got.Problems) == 0 && len(got.Images) == len(paths), "%+v", got)
	for i, path := range paths {
		files.Check(got.Images[i].SHA256 == files.Digest(files.Read(path)), "image %d is another", i+1)
	}
}

// half gives half of the bytes and breaks.
type half struct{ r io.Reader }

func (h half) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("cut")
	}
	return n, err
}

func main() {
	var first, again accepted
	do(upload(), http.StatusAccepted, &first)
	stored(first)
	header := do(upload(), http.StatusAccepted, &again)
	files.Check(header.Get("Idempotency-Replayed") == "true" && again.Receipt == first.Receipt, "%+v, not %+v", again, first)

	var got report
	for etag := ""; got.Status != "completed"; {
		r := request(http.MethodGet, first.StatusURL+"?wait=20s", nil)
		if etag != "" {
			r.Header.Set("If-None-Match", etag)
		}
		response := files.Must(http.DefaultClient.Do(r))
		if response.StatusCode != http.StatusNotModified {
			files.Check(response.StatusCode == http.StatusOK && json.NewDecoder(response.Body).Decode(&got) == nil, "%s", response.Status)
			etag = response.Header.Get("Etag")
		}
		files.Check(response.Body.Close() == nil && got.Status != "failed", "%+v", got)
	}
	check(got, files.Photos...)
	var pdf []byte
	do(request(http.MethodGet, got.Report.URL, nil), http.StatusOK, &pdf)
	files.CheckPDF(pdf, got.Report.Bytes, got.Report.SHA256)

	// The line breaks in the middle of an image: nothing is there. Then it is put, and found by HEAD.
	photo := files.Read(files.Photos[1])
	const address = "/images/IMG-cut?patientId=" + patient
	r := request(http.MethodPut, address, half{bytes.NewReader(photo[:len(photo)/2])})
	r.ContentLength = int64(len(photo))
	_, err := http.DefaultClient.Do(r)
	files.Check(err != nil, "half an image was answered")
	do(request(http.MethodHead, address, nil), http.StatusNotFound, nil)
	var image struct{ PatientID, ImageID, SHA256 string }
	do(request(http.MethodPut, address, bytes.NewReader(photo)), http.StatusCreated, &image)
	files.StoredImage(image.PatientID, image.ImageID, image.SHA256)
	header = do(request(http.MethodHead, address, nil), http.StatusOK, nil)
	files.Check(header.Get("Etag") == `"`+files.Digest(photo)+`"`, "ETag %s", header.Get("Etag"))

	form := url.Values{"patientId": {patient}, "imageId": {"IMG-cut"}, "reportId": {"hand-net-http-named"}, "notes": {files.Notes}}
	r = request(http.MethodPost, "/upload-case-report", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var named accepted
	do(r, http.StatusAccepted, &named)
	stored(named)
	var last report
	do(request(http.MethodGet, named.StatusURL+"?wait=60s", nil), http.StatusOK, &last)
	check(last, files.Photos[1])
}
