package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSoak loads the real binary for CASEPRESS_SOAK (a duration; skipped without)
// and compares goroutines, open files and memory of the first third after a
// warm-up with those of the last.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("CASEPRESS_SOAK"))
	if err != nil {
		t.Skip("set CASEPRESS_SOAK=10m to run")
	}
	s := start(t, t.TempDir())
	end := time.Now().Add(length)
	var clients sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		clients.Go(func() {
			for time.Now().Before(end) {
				soakOnce(t, s)
				done.Add(1)
			}
		})
	}
	var samples []map[string]float64
	tick := time.NewTicker(length / 120)
	defer tick.Stop()
	for time.Now().Before(end) {
		<-tick.C
		samples = append(samples, s.metrics(t))
	}
	clients.Wait()

	warm := samples[len(samples)/6:]
	first, last := warm[:len(warm)/3], warm[2*len(warm)/3:]
	t.Logf("%d reports uploaded, finished and fetched in %v", done.Load(), length)
	for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes"} {
		before, after := median(first, name), median(last, name)
		t.Logf("%-32s first third %14.0f, last third %14.0f, %+.1f %%", name, before, after, 100*(after/before-1))
		require.LessOrEqual(t, after, 1.25*before, "%s grows", name)
	}
}

func soakOnce(t *testing.T, s *process) {
	fields := url.Values{"patientId": {fmt.Sprintf("P%03d", rand.N(500))}, "notes": {"soak"}}
	contentType, body := multipartForm(t, fields, newPicture(t), newPicture(t))
	code, header, answer, err := send(t.Context(), http.MethodPost, s.url+"/upload-case-report", contentType, body)
	if err != nil || code != http.StatusAccepted {
		t.Errorf("upload: %d %s %v", code, answer, err)
		return
	}
	where := header.Get("Location")
	for range 100 {
		if _, _, answer, err = send(t.Context(), http.MethodGet, s.url+where+"?wait=20s", "", nil); err != nil || bytes.Contains(answer, []byte(`"completed"`)) {
			break
		}
	}
	code, _, answer, err = send(t.Context(), http.MethodGet, s.url+where+"/report.pdf", "", nil)
	if err != nil || code != http.StatusOK {
		t.Errorf("fetch: %d %s %v", code, answer, err)
	}
}

// metrics reads the unlabelled metrics of the admin address.
func (s *process) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	code, _, body, err := send(t.Context(), http.MethodGet, s.admin+"/metrics", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	values := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	return values
}

func median(samples []map[string]float64, name string) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, s[name])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
