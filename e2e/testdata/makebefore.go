//go:build ignore

// Command makebefore makes before.tar.gz, data folders as an earlier casepress left them, with what its
// clients sent and what they were answered:
//
//	git archive 8c327d2 | tar -x -C /tmp/earlier && (cd /tmp/earlier && go build -o casepress .)
//	go run makebefore.go /tmp/earlier/casepress before.tar.gz
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// upload is a report that was sent. The test has the same types.
type upload struct {
	Form    url.Values
	Files   []string          // in sent/
	Receipt json.RawMessage   // the answer to the upload
	Status  json.RawMessage   // GET /case-reports/{id} afterwards; null if nobody asked
	Gets    map[string]string // path and SHA-256 of the answer
}

type folder struct {
	Args    []string // of the program
	Uploads []*upload
	Put     map[string]string // image id to file: put ahead for P001, named by no report so far
}

type manifest struct{ Folders map[string]*folder }

type program struct {
	cmd  *exec.Cmd
	http string
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func main() {
	binary, out := os.Args[1], os.Args[2]
	top := must(os.MkdirTemp("", "before-"))
	defer os.RemoveAll(top)
	sent := filepath.Join(top, "sent")
	check(os.Mkdir(sent, 0o700))
	for _, name := range []string{"a.jpg", "b.jpg", "c.jpg", "d.jpg"} {
		check(os.WriteFile(filepath.Join(sent, name), picture(), 0o600))
	}
	broken := append(picture()[:64], bytes.Repeat([]byte{0xFF, 0xD9}, 8)...)
	check(os.WriteFile(filepath.Join(sent, "broken.jpg"), broken, 0o600))
	key := filepath.Join(top, "vault.key")
	check(exec.Command(binary, "vault-key", key).Run())

	all := manifest{map[string]*folder{}}
	for name, args := range map[string][]string{
		"keep": nil, "drop": {"--originals=drop"}, "vault": {"--originals=vault", "--vault-key-file=" + key},
	} {
		f := &folder{Put: map[string]string{"IMG-AHEAD": "d.jpg"}}
		if len(args) > 0 {
			f.Args = args[:1]
		}
		all.Folders[name] = f
		fill(binary, filepath.Join(top, name), sent, f, args)
	}
	check(os.WriteFile(filepath.Join(top, "manifest.json"), must(json.MarshalIndent(all, "", "  ")), 0o600))
	pack(top, out)
}

// fill makes one folder: reports that completed, one of them with a picture that cannot be read, one that
// failed, one that waits for its second attempt, one that was answered just before the program was killed, and
// images that were put ahead.
func fill(binary, data, sent string, f *folder, args []string) {
	p := start(binary, data, args...)
	p.put(sent, "IMG007", "c.jpg")
	p.put(sent, "IMG-AHEAD", "d.jpg")
	f.Uploads = []*upload{
		{Form: url.Values{"patientId": {"P001"}, "visitId": {"V02"}, "reportId": {"CR-1"}, "notes": {"发热三天, fever for 3 days"},
			"capturedAt": {"2026-11-21T19:57:31+08:00"}}, Files: []string{"a.jpg", "b.jpg"}},
		{Form: url.Values{"patientId": {"P001"}, "reportId": {"CR-2"}, "imageId": {"IMG007"}}},
		{Form: url.Values{"patientId": {"P002"}, "reportId": {"CR-3"}}, Files: []string{"broken.jpg", "a.jpg"}},
	}
	for _, u := range f.Uploads {
		p.upload(sent, u)
		p.await(u, `"completed"`)
		p.files(u)
	}
	p.stop()

	// Nothing can be done in a nanosecond.
	p = start(binary, data, append(args, "--task-timeout=1ns", "--max-attempts=1")...)
	failed := &upload{Form: url.Values{"patientId": {"P003"}, "reportId": {"CR-4"}}, Files: []string{"b.jpg"}}
	p.upload(sent, failed)
	p.await(failed, `"failed"`)
	p.stop()
	p = start(binary, data, append(args, "--task-timeout=1ns")...)
	waiting := &upload{Form: url.Values{"patientId": {"P004"}, "reportId": {"CR-5"}}, Files: []string{"c.jpg", "d.jpg"}}
	p.upload(sent, waiting)
	p.await(waiting, `"retrying"`)
	last := &upload{Form: url.Values{"patientId": {"P004"}, "reportId": {"CR-6"}}, Files: []string{"d.jpg"}}
	p.upload(sent, last)
	p.kill()
	f.Uploads = append(f.Uploads, failed, waiting, last)
	check(os.RemoveAll(filepath.Join(data, "lock")))
}

func start(binary, data string, args ...string) *program {
	args = append([]string{"--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0",
		"--log-format=json", "--data-dir=" + data}, args...)
	p := &program{cmd: exec.Command(binary, args...)}
	stderr := must(p.cmd.StderrPipe())
	check(p.cmd.Start())
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var line struct{ Msg, For, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "listening" {
			log.Println(lines.Text())
			continue
		}
		switch line.For {
		case "http":
			p.http = "http://" + line.Addr
		case "admin":
			go io.Copy(io.Discard, stderr)
			return p
		}
	}
	log.Fatal("it does not serve")
	return nil
}

func (p *program) stop() {
	check(p.cmd.Process.Signal(syscall.SIGTERM))
	check(p.cmd.Wait())
}

func (p *program) kill() {
	check(p.cmd.Process.Kill())
	_ = p.cmd.Wait()
}

func (p *program) do(method, path, contentType string, body []byte, want int) []byte {
	request := must(http.NewRequest(method, p.http+path, bytes.NewReader(body)))
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	answer := must(http.DefaultClient.Do(request))
	defer answer.Body.Close()
	content := must(io.ReadAll(answer.Body))
	if answer.StatusCode != want {
		log.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, content)
	}
	return content
}

func (p *program) put(sent, imageID, file string) {
	p.do(http.MethodPut, "/images/"+imageID+"?patientId=P001", "image/jpeg", must(os.ReadFile(filepath.Join(sent, file))), http.StatusCreated)
}

func (p *program) upload(sent string, u *upload) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for name, values := range u.Form {
		check(form.WriteField(name, values[0]))
	}
	for _, file := range u.Files {
		_, err := must(form.CreateFormFile("images", file)).Write(must(os.ReadFile(filepath.Join(sent, file))))
		check(err)
	}
	check(form.Close())
	u.Receipt = p.do(http.MethodPost, "/upload-case-report", form.FormDataContentType(), b.Bytes(), http.StatusAccepted)
}

// await waits for the status.
func (p *program) await(u *upload, status string) {
	for !strings.Contains(string(u.Status), `"status":`+status) {
		u.Status = p.do(http.MethodGet, "/case-reports/"+u.Form.Get("reportId"), "", nil, http.StatusOK)
	}
}

// files notes what can be downloaded of a completed report.
func (p *program) files(u *upload) {
	u.Gets = map[string]string{}
	base := "/case-reports/" + u.Form.Get("reportId")
	paths := []string{base + "/report.pdf"}
	var status struct {
		Images []struct{ URL, ThumbURL string }
	}
	check(json.Unmarshal(u.Status, &status))
	for n, img := range status.Images {
		if img.URL != "" {
			paths = append(paths, img.URL, img.ThumbURL)
		} else {
			log.Printf("%s has nothing of picture %d", base, n+1)
		}
	}
	for _, path := range paths {
		sum := sha256.Sum256(p.do(http.MethodGet, path, "", nil, http.StatusOK))
		u.Gets[path] = hex.EncodeToString(sum[:])
	}
}

// picture is a small photo that no other one is equal to.
func picture() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 48, 32))
	c := color.RGBA{uint8(rand.N(256)), uint8(rand.N(256)), uint8(rand.N(256)), 255}
	for i := range 48 * 32 {
		c.R++
		img.SetRGBA(i%48, i/48, c)
	}
	var b bytes.Buffer
	check(jpeg.Encode(&b, img, nil))
	// A comment, which the picture made of it does not have: FF FE, length, text.
	comment := fmt.Appendf(nil, "%016x", rand.Uint64())
	return append(append([]byte{0xFF, 0xD8, 0xFF, 0xFE, 0, byte(len(comment) + 2)}, comment...), b.Bytes()[2:]...)
}

func pack(top, out string) {
	f := must(os.Create(out))
	zipped := must(gzip.NewWriterLevel(f, gzip.BestCompression))
	w := tar.NewWriter(zipped)
	check(filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content := must(os.ReadFile(path))
		check(w.WriteHeader(&tar.Header{Name: must(filepath.Rel(top, path)), Mode: 0o600, Size: int64(len(content))}))
		_, err = w.Write(content)
		return err
	}))
	check(w.Close())
	check(zipped.Close())
	check(f.Close())
	fmt.Println(must(os.Stat(out)).Size(), "bytes")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
