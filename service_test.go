package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

var built struct {
	once sync.Once
	dir  string
	err  error
}

// binary builds the real program once per test run.
func binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "casepress-test-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "casepress"), ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	require.NoError(t, built.err)
	return filepath.Join(built.dir, "casepress")
}

// service is a running casepress process.
type service struct {
	url, admin string
	grpc       string
	cmd        *exec.Cmd
	logs       *lockedBuffer
	ended      chan struct{}
	exit       error // set before ended is closed
}

// launch starts casepress on data and returns at once; listening is closed when
// it serves.
func launch(t testing.TB, data string, args ...string) (s *service, listening <-chan struct{}) {
	t.Helper()
	args = append([]string{"--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--log-format=json", "--data-dir=" + data}, args...)
	s = &service{cmd: exec.Command(binary(t), args...), logs: &lockedBuffer{}, ended: make(chan struct{})}
	stderr, err := s.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	ready := make(chan struct{})
	go func() {
		defer close(s.ended)
		s.follow(stderr, ready)
		s.exit = s.cmd.Wait()
	}()
	t.Cleanup(s.kill)
	return s, ready
}

// follow reads the log until the process ends and learns the addresses from it.
func (s *service) follow(stderr io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.logs.writeLine(lines.Text())
		var line struct{ Msg, For, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "listening" {
			continue
		}
		switch line.For {
		case "http":
			s.url = "http://" + line.Addr
		case "grpc":
			s.grpc = line.Addr
		case "admin":
			s.admin = "http://" + line.Addr
			close(ready)
		}
	}
}

// start launches casepress and waits until it serves.
func start(t testing.TB, data string, args ...string) *service {
	t.Helper()
	s, listening := launch(t, data, args...)
	select {
	case <-listening:
	case <-s.ended:
		t.Fatalf("casepress ended: %s", s.logs)
	case <-time.After(30 * time.Second):
		t.Fatalf("casepress does not listen: %s", s.logs)
	}
	return s
}

func (s *service) kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.ended
}

// stop asks the process to end and wants it to do so in peace.
func (s *service) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.ended
	require.NoError(t, s.exit, "%s", s.logs)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) writeLine(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < 1<<20 {
		l.b.WriteString(line + "\n")
	}
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// picture is a small photo that nobody has sent before.
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

// get does one request that must be answered.
func (s *service) get(t testing.TB, path string) (code int, header http.Header, body []byte) {
	t.Helper()
	code, header, body, err := send(t.Context(), http.MethodGet, s.url+path, "", nil)
	require.NoError(t, err, "%s", s.logs)
	return code, header, body
}

// final waits until the report is completed or failed.
func (s *service) final(t testing.TB, id string) status {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		code, _, body := s.get(t, "/case-reports/"+id+"?wait=20s")
		require.Equal(t, http.StatusOK, code, "%s: %s", id, body)
		var st status
		require.NoError(t, json.Unmarshal(body, &st))
		if st.Status == "completed" || st.Status == "failed" {
			return st
		}
	}
	t.Fatalf("%s is not finished after two minutes\n%s", id, s.logs)
	return status{}
}
