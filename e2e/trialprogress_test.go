package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patientProgress is what /trial-progress lists of one patient: the ids of submissions by visit and item.
func (s *process) patientProgress(t *testing.T, patient string) map[string][]string {
	t.Helper()
	var page struct {
		Behind   int
		Patients []struct {
			Visits []struct {
				VisitID string
				Items   []struct {
					Item        string
					Submissions []struct{ ID string }
				}
			}
		}
	}
	require.Eventually(t, func() bool {
		code, _, body := s.get(t, "/trial-progress?patientId="+patient)
		require.Equal(t, http.StatusOK, code, "%s", body)
		page.Patients = nil
		require.NoError(t, json.Unmarshal(body, &page))
		return page.Behind == 0
	}, patience, 10*time.Millisecond)
	seen := map[string][]string{}
	for _, p := range page.Patients {
		for _, v := range p.Visits {
			for _, item := range v.Items {
				for _, submission := range item.Submissions {
					seen[submission.ID] = append(seen[submission.ID], v.VisitID+"/"+item.Item)
				}
			}
		}
	}
	return seen
}

// TestKillWithTrialProgress kills the real binary at random moments while patients answer. Trial progress shows every
// response that was answered with 201, once, also after its rows were lost.
func TestKillWithTrialProgress(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	var mu sync.Mutex
	known := map[string]map[string]bool{} // ids by patient
	n := 0
	for range 3 {
		s := start(t, data)
		ctx, cancel := context.WithCancel(t.Context())
		killAt := make(chan struct{})
		left := 1 + rand.N(150)
		var patients sync.WaitGroup
		for range 6 {
			patients.Go(func() {
				for ctx.Err() == nil {
					mu.Lock()
					n++
					id, patient, visit := fmt.Sprintf("QR-%d", n), fmt.Sprintf("P%d", n%13), n/13
					mu.Unlock()
					code, _, answer, err := send(ctx, http.MethodPut, s.url+"/questionnaire-responses/"+id, "application/json", fmt.Appendf(nil,
						`{"id":%q,"instrument":"phq-2","version":"1","patientId":%q,"visitId":"V%d","language":"en","authored":"2026-11-01T12:00:00Z","answers":{"1":0,"2":1}}`, id, patient, visit))
					if err != nil {
						return
					}
					if code != http.StatusCreated {
						t.Errorf("%d %s", code, answer)
						return
					}
					mu.Lock()
					if known[patient] == nil {
						known[patient] = map[string]bool{}
					}
					known[patient][id] = true
					if left--; left == 0 {
						close(killAt)
					}
					mu.Unlock()
				}
			})
		}
		ended := make(chan struct{})
		go func() { defer close(ended); patients.Wait() }()
		select {
		case <-killAt:
		case <-ended:
		}
		s.kill()
		cancel()
		<-ended
		require.NotContains(t, s.logs.String(), "panic")
	}
	require.NotEmpty(t, known)
	complete := func() {
		t.Helper()
		s := start(t, data)
		for patient, ids := range known {
			for id := range ids { // all have a row, and so an event
				code, _, body := s.get(t, "/questionnaire-responses/"+id+"?wait=30s")
				require.Equal(t, http.StatusOK, code, "%s", body)
			}
			missing := map[string][]string{}
			require.Eventually(t, func() bool {
				clear(missing)
				seen := s.patientProgress(t, patient)
				for id := range ids {
					if len(seen[id]) != 1 {
						missing[id] = seen[id]
					}
				}
				return len(missing) == 0
			}, patience, 50*time.Millisecond, "%v", missing)
		}
		s.kill()
	}
	complete()
	paths, err := filepath.Glob(filepath.Join(data, "progress.db*"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		require.NoError(t, os.Remove(path))
	}
	complete()
}
