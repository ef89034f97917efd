package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newPicture is a small photo that nobody has sent before.
func newPicture(t testing.TB) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 48, 32))
	c := color.RGBA{uint8(rand.N(256)), uint8(rand.N(256)), uint8(rand.N(256)), 255}
	for i := range 48 * 32 {
		c.R++
		img.SetRGBA(i%48, i/48, c)
	}
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, nil))
	// A comment makes the bytes unique whatever the colours: FF FE, length, text.
	unique := fmt.Appendf(nil, "%016x", rand.Uint64())
	return append(append([]byte{0xFF, 0xD8, 0xFF, 0xFE, 0, byte(len(unique) + 2)}, unique...), b.Bytes()[2:]...)
}

// accepted is the body of a 202.
type accepted struct {
	ID      string
	Receipt struct {
		SHA256     string
		Sequence   uint64
		ReceivedAt time.Time
	}
	Images []struct {
		ImageID, SHA256 string
		Bytes           int64
	}
}

// status is the body of GET /case-reports/{id}, as far as the tests look at it.
type status struct {
	ID, PatientID, Status, Error string
	Attempts                     int
	Report                       *struct {
		URL, SHA256  string
		Bytes, Pages int
	}
	Problems []struct{ Code string }
}

func multipartForm(t testing.TB, fields url.Values, images ...[]byte) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for name, values := range fields {
		for _, v := range values {
			require.NoError(t, form.WriteField(name, v))
		}
	}
	for i, img := range images {
		part, err := form.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {fmt.Sprintf(`form-data; name="images"; filename="%d.jpg"`, i)},
			"Content-Type":        {"image/jpeg"},
		})
		require.NoError(t, err)
		_, err = part.Write(img)
		require.NoError(t, err)
	}
	require.NoError(t, form.Close())
	return form.FormDataContentType(), b.Bytes()
}

// send does one request; a network error is what a killed server looks like.
func send(ctx context.Context, method, to, contentType string, body []byte) (code int, header http.Header, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, response.Header, answer, err
}
