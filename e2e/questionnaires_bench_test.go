package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

// BenchmarkQuestionnaires measures answers to the PHQ-9 that are accepted a second over HTTP on loopback, the clients on
// the same cores, one in 200 with a raised flag; how long after the last answer the last one is scored; and the
// processor's time for one of them from the first byte to the score, the client's included.
func BenchmarkQuestionnaires(b *testing.B) {
	for _, connections := range []int{64, 256, 1000} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) { benchmarkQuestionnaires(b, connections) })
	}
}

func benchmarkQuestionnaires(b *testing.B, connections int) {
	c := config(b.TempDir())
	c.NewTask, c.HTTP.MaxUploads = nil, -1
	s := open(b, c)
	server := httptest.NewServer(s.API)
	b.Cleanup(func() {
		server.Close()
		require.NoError(b, closeNow(s))
	})
	var next atomic.Int64
	var clients sync.WaitGroup
	start := make(chan struct{})
	for range connections {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(b, err)
		clients.Go(func() {
			defer conn.Close()
			answers := bufio.NewReader(conn)
			<-start
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				if _, err := conn.Write(phq9Request(i)); err != nil {
					b.Error(err)
					return
				}
				if err := readAnswer(answers, http.StatusCreated); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	before := processorTime()
	b.ResetTimer()
	close(start)
	clients.Wait()
	accepted := b.Elapsed()
	b.ReportMetric(float64(b.N)/accepted.Seconds(), "accepted/s")
	var counts map[string]map[tasks.Status]int
	var err error
	require.Eventually(b, func() bool {
		counts, err = s.Rows.Counts(b.Context())
		return err != nil || counts["questionnaire-response"][tasks.Completed] == b.N
	}, 10*time.Minute, 5*time.Millisecond)
	require.NoError(b, err)
	require.Equal(b, b.N/200, counts["adverse-event"][tasks.Accepted]+counts["adverse-event"][tasks.Processing]+counts["adverse-event"][tasks.Completed])
	b.StopTimer()
	b.ReportMetric((b.Elapsed() - accepted).Seconds(), "s-until-scored")
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// phq9Request is the i-th request, each 200th of which raises the flag.
func phq9Request(i int) []byte {
	flag := 0
	if i%200 == 0 {
		flag = 2
	}
	body := fmt.Appendf(nil, `{"id":"QR-%d","study":"S1","instrument":"phq-9","version":"1","patientId":"P%d","visitId":"V02","language":"en",`+
		`"authored":"2026-11-26T20:03:11+08:00","answers":{"1":0,"2":1,"3":2,"4":1,"5":2,"6":1,"7":3,"8":2,"9":%d},"scores":{"total":12}}`, i, i, flag)
	return append(fmt.Appendf(nil, "POST /questionnaire-responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
}

// readAnswer reads one answer as cheaply as can be.
func readAnswer(r *bufio.Reader, status int) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, fmt.Appendf(nil, "HTTP/1.1 %d", status)) {
		return fmt.Errorf("answer %q", line)
	}
	return discardAnswer(r)
}
