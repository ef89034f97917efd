package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// receipts are what the clients know: every receipt they were given.
type receipts struct {
	mu      sync.Mutex
	byID    map[string]promise
	offered map[string]bool // ids of the clients' own, whatever became of them
	some    chan struct{}   // closed with the first receipt
}

// promise is a receipt and the request that earned it.
type promise struct {
	accepted
	contentType string
	body        []byte
}

func newReceipts() *receipts {
	return &receipts{byID: map[string]promise{}, offered: map[string]bool{}, some: make(chan struct{})}
}

func (r *receipts) keep(p promise) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byID) == 0 {
		close(r.some)
	}
	r.byID[p.ID] = p
}

func (r *receipts) offer(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offered[id] = true
}

func (r *receipts) any() (promise, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.byID { // map order is random enough
		return p, true
	}
	return promise{}, false
}

// TestKill loads the real binary and kills it with SIGKILL at random moments,
// start-up included, CASEPRESS_KILL_ROUNDS times (6 by default, 20 in CI). Every
// 202 ever answered must end completed or failed, with its PDF, once.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 6
	if n, err := strconv.Atoi(os.Getenv("CASEPRESS_KILL_ROUNDS")); err == nil {
		rounds = n
	}
	data := t.TempDir()
	known := newReceipts()
	for round := range rounds {
		killedRound(t, data, known, round)
	}
	require.NotEmpty(t, known.byID, "nothing was accepted in %d rounds", rounds)
	t.Logf("%d rounds, %d receipts", rounds, len(known.byID))

	s := start(t, data)
	for id, p := range known.byID {
		checkKept(t, s, p, s.final(t, id))
	}
	checkList(t, s, known)
	checkReplays(t, s, known)
	s.stop(t)
	checkNoTempFiles(t, data)
}

// killedRound kills the program in the middle of its start in every fourth round, else while clients load it.
func killedRound(t *testing.T, data string, known *receipts, round int, args ...string) {
	s, listening := launch(t, data, args...)
	if round%4 == 0 {
		select {
		case <-time.After(time.Duration(rand.N(200)) * time.Millisecond):
			s.kill()
			return
		case <-listening:
		case <-s.ended:
		}
	}
	select {
	case <-listening:
	case <-s.ended:
		t.Fatalf("casepress did not start: %s", s.logs)
	}
	died := time.After(time.Duration(rand.N(700)) * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := handIn(ctx, t, s.url, known); err != nil {
					return // the connection broke: the server is dead
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { defer close(ended); clients.Wait() }()
	<-died
	select { // else a slow machine might accept nothing in any round
	case <-known.some:
	case <-ended:
	}
	s.kill()
	cancel()
	<-ended
	require.NotContains(t, s.logs.String(), "panic", "%s", s.logs)
}

// errRefused is an answer that no client should get, only a connection that breaks.
var errRefused = errors.New("refused")

// handIn is one thing a client may do.
func handIn(ctx context.Context, t *testing.T, base string, known *receipts) error {
	patient := fmt.Sprintf("P%03d", rand.N(20))
	fields := url.Values{"patientId": {patient}, "notes": {"发热三天, fever for 3 days"}}
	switch rand.N(4) {
	case 0: // an image first, then a report that names it, as the articles do
		id := "IMG-" + uuid.NewString()
		code, _, answer, err := send(ctx, http.MethodPut, base+"/images/"+id+"?patientId="+patient, "image/jpeg", newPicture(t))
		if err != nil {
			return err
		}
		if code != http.StatusCreated {
			t.Errorf("put image: %d %s", code, answer)
			return errRefused
		}
		fields.Set("imageId", id)
		return submit(ctx, t, base, known, "application/x-www-form-urlencoded", []byte(fields.Encode()))
	case 1: // the same once more: the answer must be the same receipt
		if p, ok := known.any(); ok {
			return submit(ctx, t, base, known, p.contentType, p.body)
		}
		return nil
	case 2: // an id of the client's own
		id := uuid.NewString()
		fields.Set("reportId", id)
		known.offer(id)
	}
	var images [][]byte
	for range 1 + rand.N(3) {
		images = append(images, newPicture(t))
	}
	contentType, body := multipartForm(t, fields, images...)
	return submit(ctx, t, base, known, contentType, body)
}

func submit(ctx context.Context, t *testing.T, base string, known *receipts, contentType string, body []byte) error {
	code, _, answer, err := send(ctx, http.MethodPost, base+"/upload-case-report", contentType, body)
	if err != nil {
		return err
	}
	if code == http.StatusBadRequest && bytes.Contains(answer, []byte("was deleted after its report was completed")) {
		return nil // a report without an id of its own is a new one each time, and this names an original that was dropped
	}
	if code != http.StatusAccepted {
		t.Errorf("upload: %d %s", code, answer)
		return errRefused
	}
	var a accepted
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	known.keep(promise{accepted: a, contentType: contentType, body: body})
	return nil
}

func checkKept(t *testing.T, s *process, p promise, st status) {
	t.Helper()
	switch st.Status {
	case "completed":
		require.NotNil(t, st.Report, p.ID)
		code, header, pdf := s.get(t, st.Report.URL)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, "application/pdf", header.Get("Content-Type"))
		require.True(t, bytes.HasPrefix(pdf, []byte("%PDF-")), p.ID)
		require.Len(t, pdf, st.Report.Bytes)
		require.Equal(t, 1+len(p.Images), st.Report.Pages, "%s: a cover and a page an image", p.ID)
		require.Empty(t, st.Problems, p.ID)
	case "failed":
		require.NotEmpty(t, st.Error, p.ID)
	}
}

// checkList reads every page of the list: each receipt once, nothing nobody sent.
func checkList(t *testing.T, s *process, known *receipts) {
	t.Helper()
	seen := map[string]bool{}
	for query, more := "?limit=20", true; more; {
		code, _, body := s.get(t, "/case-reports"+query)
		require.Equal(t, http.StatusOK, code, "%s", body)
		var page struct {
			Items []status
			Next  *string
		}
		require.NoError(t, json.Unmarshal(body, &page))
		for _, st := range page.Items {
			require.False(t, seen[st.ID], "%s is listed twice", st.ID)
			seen[st.ID] = true
		}
		if more = page.Next != nil; more {
			query = "?limit=20&cursor=" + url.QueryEscape(*page.Next)
		}
	}
	for id := range known.byID {
		require.True(t, seen[id], "%s was accepted and is not listed", id)
	}
}

// checkReplays hands in every report with an id of its own again.
func checkReplays(t *testing.T, s *process, known *receipts) {
	t.Helper()
	for id := range known.offered {
		p, ok := known.byID[id]
		if !ok {
			continue
		}
		code, header, answer, err := send(t.Context(), http.MethodPost, s.url+"/upload-case-report", p.contentType, p.body)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, code, "%s", answer)
		require.Equal(t, "true", header.Get("Idempotency-Replayed"))
		var a accepted
		require.NoError(t, json.Unmarshal(answer, &a))
		require.Equal(t, p.accepted, a, "the receipt has changed")
	}
}

func checkNoTempFiles(t *testing.T, data string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(data, path)
			require.NotContains(t, strings.ToLower(rel), "tmp", "left over")
		}
		return err
	}))
}
