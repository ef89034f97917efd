package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/disk"
	"casepress/tasks"
)

// BenchmarkAccept measures accepted submissions a second over HTTP on loopback,
// the clients on the same cores: a form that names an image put before, so that
// the record in the log is all that has to become durable. "forgetful" is the
// same service on a log that never waits for the disk: what durability costs is
// the ratio of the two. Workers stand still; rows are made meanwhile.
func BenchmarkAccept(b *testing.B) {
	for _, connections := range []int{1, 16, 64, 256} {
		for _, log := range []struct {
			name string
			fs   disk.FS
		}{{"durable", disk.OS}, {"forgetful", forgetfulFS{disk.OS}}} {
			b.Run(fmt.Sprintf("connections=%d/%s", connections, log.name), func(b *testing.B) {
				benchmarkAccept(b, log.fs, connections)
			})
		}
	}
}

// forgetfulFS is a disk on which nothing is ever waited for.
type forgetfulFS struct{ disk.FS }

func (f forgetfulFS) SyncDir(string) error { return nil }

func (f forgetfulFS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	file, err := f.FS.OpenFile(name, flag&^(disk.Durable|disk.Direct), perm)
	if err != nil {
		return nil, err
	}
	return forgetfulFile{file}, nil
}

type forgetfulFile struct{ disk.File }

func (forgetfulFile) Sync() error { return nil }

func benchmarkAccept(b *testing.B, fsys disk.FS, connections int) {
	address := acceptService(b, fsys)
	body := "patientId=P001&visitId=V02&imageId=IMG007"
	request := fmt.Appendf(nil, "POST /upload-case-report HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body)

	var left atomic.Int64
	var clients sync.WaitGroup
	start := make(chan struct{})
	for range connections {
		conn, err := net.Dial("tcp", address)
		require.NoError(b, err)
		clients.Go(func() {
			defer conn.Close()
			answers := bufio.NewReader(conn)
			<-start
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				if err := readAccepted(answers); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	left.Store(int64(b.N))
	b.ResetTimer()
	close(start)
	clients.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
}

// readAccepted reads one answer as cheaply as can be: the clients share the
// server's cores.
func readAccepted(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 202")) {
		return fmt.Errorf("answer %q", line)
	}
	return discardAnswer(r)
}

// discardAnswer reads what follows the first line.
func discardAnswer(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if _, err := fmt.Sscan(string(value), &length); err != nil {
				return err
			}
		}
	}
	if length == 0 {
		return errors.New("an answer without a length")
	}
	_, err := r.Discard(length)
	return err
}

// acceptService serves on a data folder of its own whose log is on fs, with
// IMG007 in place.
func acceptService(b *testing.B, fsys disk.FS) (address string) {
	dir := b.TempDir()
	c := config(dir)
	c.LogDisk, c.MaxPendingBytes = fsys, 1<<30
	c.NewTask = func(tasks.Work) (tasks.Task, error) { return idle{}, nil }
	s := open(b, c)
	server := httptest.NewServer(s.API)
	b.Cleanup(func() {
		server.Close()
		require.NoError(b, closeNow(s))
	})
	image, err := http.NewRequest(http.MethodPut, server.URL+"/images/IMG007?patientId=P001", bytes.NewReader(newPicture(b)))
	require.NoError(b, err)
	answer, err := http.DefaultClient.Do(image)
	require.NoError(b, err)
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(b, errors.Join(err, answer.Body.Close()))
	require.Equal(b, http.StatusCreated, answer.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	return strings.TrimPrefix(server.URL, "http://")
}

// idle is a task that waits until it is interrupted.
type idle struct{}

func (idle) Execute(ctx context.Context) (tasks.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
