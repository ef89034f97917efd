//go:build ignore

// Command makecases makes cases-before.tar.gz, a data folder with adverse events as casepress left it before these were cases, and
// what its clients were answered:
//
//	git archive 6726342 | tar -x -C /tmp/earlier && (cd /tmp/earlier && go build -o casepress .)
//	go run makecases.go /tmp/earlier/casepress cases-before.tar.gz
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

const response = `{"id":"QR-%","instrument":"phq-9","version":"1","patientId":"P%","visitId":"V02","language":"en","authored":"2026-11-26T20:00:00+08:00",
"answers":{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":1}}`

func main() {
	binary, out := os.Args[1], os.Args[2]
	top := must(os.MkdirTemp("", "cases-"))
	defer os.RemoveAll(top)
	data := filepath.Join(top, "data")
	cmd := exec.Command(binary, "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--log-format=json", "--data-dir="+data)
	stderr := must(cmd.StderrPipe())
	check(cmd.Start())
	url := ""
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var line struct{ Msg, For, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" && line.For == "http" {
			url = "http://" + line.Addr
		}
		if line.Msg == "listening" && line.For == "admin" {
			break
		}
	}
	go io.Copy(io.Discard, stderr)
	var told []json.RawMessage
	for _, n := range []string{"1", "2", "3"} {
		request := must(http.NewRequest(http.MethodPut, url+"/questionnaire-responses/QR-"+n, strings.NewReader(strings.ReplaceAll(response, "%", n))))
		request.Header.Set("Content-Type", "application/json")
		answer := must(http.DefaultClient.Do(request))
		var got struct{ AdverseEvents []string }
		check(json.NewDecoder(answer.Body).Decode(&got))
		shown := must(http.Get(url + "/adverse-events/" + got.AdverseEvents[0] + "?wait=20s"))
		told = append(told, bytes.TrimSpace(must(io.ReadAll(shown.Body))))
	}
	check(cmd.Process.Kill())
	_ = cmd.Wait()
	check(os.RemoveAll(filepath.Join(data, "lock")))
	check(os.WriteFile(filepath.Join(top, "told.json"), must(json.Marshal(told)), 0o600))
	f := must(os.Create(out))
	zipped := gzip.NewWriter(f)
	w := tar.NewWriter(zipped)
	check(filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content := must(os.ReadFile(path))
		check(w.WriteHeader(&tar.Header{Name: filepath.ToSlash(must(filepath.Rel(top, path))), Size: int64(len(content)), Mode: 0o600}))
		_, err = w.Write(content)
		return err
	}))
	check(w.Close())
	check(zipped.Close())
	check(f.Close())
}
