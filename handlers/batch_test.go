package handlers_test

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/disk"
	"casepress/handlers"
)

const batchPath = "/questionnaire-responses/batch"

func (s *service) batch(lines ...string) answer {
	s.Helper()
	return s.do(s.request(http.MethodPost, batchPath, strings.NewReader(strings.Join(lines, "\n")), "Content-Type", "application/x-ndjson"))
}

// response is a line: a response with this id, to which members are added.
func response(id, members string) string {
	return fmt.Sprintf(`{"id":%q,"study":"S1","instrument":"phq-9","version":"1","patientId":"P-%s","language":"en","authored":%q,`+
		`"answers":{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":0}%s}`, id, strings.Split(id, "-")[0], tonight, members)
}

func TestBatch(t *testing.T) {
	s := open(t, withStudies(t, s1))
	before := response("A", "")
	s.send(http.MethodPost, "/questionnaire-responses", before).is(201)
	urgent := strings.Replace(response("B", ""), `"9":0`, `"9":2`, 1)
	lines := []string{
		before,                                  // 0
		urgent,                                  // 1
		response("C", `,"answer":{}`),           // 2
		strings.Replace(before, `:1,`, `:2`, 1), // 3: no JSON any more
		"",                                      // 4
		response("D", `,"scores":{"total":1`+strings.Repeat(" ", 64<<10)+`}`), // 5
		response("E", ""), // 6
		response("E", `,"amends":{"revision":1,"reason":"a tap too many"}`), // 7
		response("E", `,"amends":{"revision":1,"reason":"another"}`),        // 8
		response("E", `,"scores":{}`),                                       // 9
		response("F", `,"amends":{"revision":1,"reason":"of nothing"}`),     // 10
		urgent,            // 11
		response("G", ""), // 12
	}
	a := s.do(s.request(http.MethodPost, batchPath, strings.NewReader(strings.Join(lines, "\r\n")+"\n"), "Content-Type", "application/x-ndjson; charset=utf-8")).is(207)
	want := []struct {
		status   float64
		code     string
		replayed bool
	}{
		{201, "", true}, {201, "", false}, {400, "invalid-input", false}, {400, "invalid-input", false}, {400, "invalid-input", false},
		{413, "body-too-large", false}, {201, "", false}, {201, "", false}, {409, "revision-conflict", false}, {409, "id-conflict", false},
		{409, "nothing-to-amend", false}, {201, "", true}, {201, "", false},
	}
	items := a.get("items").([]any)
	require.Len(t, items, len(want))
	for i, w := range want {
		item := items[i].(map[string]any)
		require.Equal(t, float64(i), item["index"])
		require.Equal(t, w.status, item["status"], "%d: %v", i, item)
		if w.code != "" {
			p := item["problem"].(map[string]any)
			require.Equal(t, w.code, p["code"], i)
			require.Equal(t, false, p["stored"])
			require.NotContains(t, item, "accepted")
			continue
		}
		require.Equal(t, w.replayed, item["replayed"] == true, i)
		accepted := item["accepted"].(map[string]any)
		require.Equal(t, digestOf(lines[i]), accepted["receipt"].(map[string]any)["sha256"])
	}
	require.Equal(t, "Call 0800 123.", items[1].(map[string]any)["accepted"].(map[string]any)["crisisText"])
	require.Equal(t, items[1].(map[string]any)["accepted"].(map[string]any)["receipt"], items[11].(map[string]any)["accepted"].(map[string]any)["receipt"])
	require.Equal(t, "/answer", items[2].(map[string]any)["problem"].(map[string]any)["errors"].([]any)[0].(map[string]any)["field"])
	require.Equal(t, float64(2), items[8].(map[string]any)["problem"].(map[string]any)["latestRevision"])

	require.Equal(t, float64(2), s.get("/questionnaire-responses/E").is(200).get("revision"))
	require.Equal(t, lines[12], string(s.get("/questionnaire-responses/G/original").is(200).body))
	for _, refused := range []string{"C", "D", "F"} {
		s.get("/questionnaire-responses/" + refused).is(404)
	}
	for _, item := range s.batch(lines...).is(207).get("items").([]any) { // the reply was lost
		if item.(map[string]any)["status"] == float64(201) {
			require.Equal(t, true, item.(map[string]any)["replayed"])
		}
	}
}

func TestBatchesThatAreRefusedAsAWhole(t *testing.T) {
	s := open(t, withStudies(t, s1), with(func(c *handlers.Config) { c.MaxBatchEntries, c.MaxBatchBytes = 3, 2000 }))
	line := response("A", "")
	for name, tc := range map[string]struct {
		body, mediaType, code string
		status                int
	}{
		"too many":       {strings.Repeat(line[:10]+"\n", 4), "application/x-ndjson", "invalid-input", 400},
		"empty":          {"", "application/x-ndjson", "invalid-input", 400},
		"an empty line":  {"\n", "application/x-ndjson", "invalid-input", 400},
		"too large":      {line + "\n" + strings.Repeat(" ", 2000), "application/x-ndjson", "body-too-large", 413},
		"another type":   {line, "application/json", "unsupported-media-type", 415},
		"another digest": {line, "application/x-ndjson", "digest-mismatch", 400},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{"Content-Type", tc.mediaType}
			if tc.code == "digest-mismatch" {
				headers = append(headers, "Content-Digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:")
			}
			a := s.on(t).do(s.request(http.MethodPost, batchPath, strings.NewReader(tc.body), headers...)).is(tc.status, tc.code)
			require.Equal(t, false, a.get("stored"))
		})
	}
	s.get("/questionnaire-responses/A").is(404)
	s.batch(line, line, line).is(207)
	s.send(http.MethodGet, batchPath, "").is(404, "submission-not-found") // a response may have this id
}

// writes counts the writes to the log of one topic.
type writes struct {
	disk.FS
	n atomic.Int64
}

type countedFile struct {
	disk.File
	n *atomic.Int64
}

func (w *writes) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := w.FS.OpenFile(name, flag, perm)
	if err == nil && strings.Contains(name, "questionnaire-responses") {
		f = countedFile{f, &w.n}
	}
	return f, err
}

func (f countedFile) WriteAt(p []byte, at int64) (int, error) {
	f.n.Add(1)
	return f.File.WriteAt(p, at)
}

func (f countedFile) Write(p []byte) (int, error) {
	f.n.Add(1)
	return f.File.Write(p)
}

// One client with many batches under way keeps others from theirs no more than from anything else.
func TestBatchesOfOneClient(t *testing.T) {
	for name, limit := range map[string]int{"with shares": 0, "behind a proxy": -1} {
		t.Run(name, func(t *testing.T) {
			s := open(t, withStudies(t, s1), with(func(c *handlers.Config) { c.ClientHeader, c.MaxUploadsPerAddress = "X-Client", limit }))
			from := func(client, id string) answer {
				return s.do(s.request(http.MethodPost, batchPath, strings.NewReader(response(id, "")), "Content-Type", "application/x-ndjson", "X-Client", client))
			}
			release := handlers.HoldBatches(s.API, "192.0.2.1", 16<<20)
			if limit < 0 {
				from("192.0.2.1", "A").is(207)
			} else {
				from("192.0.2.1", "A").is(503, "overloaded")
			}
			from("192.0.2.2", "B").is(207)
			others := handlers.HoldBatches(s.API, "192.0.2.3", 48<<20)
			from("192.0.2.2", "C").is(503, "overloaded")
			others()
			release()
			from("192.0.2.1", "A").is(207)
		})
	}
}

// A batch of a byte more than the largest that can be set is too large, not one that could come later.
func TestBatchAboveTheLargestSetting(t *testing.T) {
	for name, tc := range map[string]struct {
		limit int
		most  int64
	}{"with shares": {0, handlers.MaxBatchMemoryFrom}, "behind a proxy": {-1, handlers.MaxBatchMemory}} {
		t.Run(name, func(t *testing.T) {
			s := open(t, with(func(c *handlers.Config) { c.MaxBatchBytes, c.MaxUploadsPerAddress = tc.most, tc.limit }))
			body := io.LimitReader(rand.NewChaCha8([32]byte{}), tc.most+1) // of no known length
			s.do(s.request(http.MethodPost, batchPath, body, "Content-Type", "application/x-ndjson")).is(413, "body-too-large")
		})
	}
}

// All entries of a batch come to stable storage together: not one after the other.
func TestBatchIsStoredTogether(t *testing.T) {
	disk := &writes{FS: disk.OS}
	s := open(t, withStudies(t, s1), logOn(disk))
	var lines []string
	for i := range 200 {
		lines = append(lines, response(fmt.Sprintf("R%d", i), ""))
	}
	before := disk.n.Load()
	a := s.batch(lines...).is(207)
	writes := disk.n.Load() - before
	t.Logf("%d writes", writes)
	require.Positive(t, writes)
	require.Less(t, writes, int64(10))
	for _, item := range a.get("items").([]any) {
		require.Equal(t, float64(201), item.(map[string]any)["status"])
	}
	s.get("/questionnaire-responses/R199?wait=20s").is(200)
	require.Len(t, s.get("/questionnaire-responses?patientId=P-R7").is(200).get("items"), 1)
}

// A batch waits for a turn once for many lines, and what was read is stored although the turn for the rest does not come.
func TestBatchWhoseTurnDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, withStudies(t, s1), inVirtualTime, with(func(c *handlers.Config) { c.StoreTimeout = 5 * time.Second }))
		var lines []string
		for i := range 40 {
			lines = append(lines, response(fmt.Sprintf("R%d", i), ""))
		}
		turns := handlers.DocumentTurns(s.API)
		for range cap(turns) {
			turns <- struct{}{}
		}
		answers := make(chan answer, 1)
		go func() { answers <- s.batch(lines...) }()
		synctest.Wait()                     // the batch waits
		go func() { turns <- struct{}{} }() // and another behind it, who keeps the turn
		synctest.Wait()
		<-turns
		for i, item := range (<-answers).is(207).get("items").([]any) {
			item := item.(map[string]any)
			if i < 16 {
				require.Equal(t, float64(201), item["status"], "%d: %v", i, item)
				continue
			}
			require.Equal(t, float64(503), item["status"], "%d: %v", i, item)
			problem := item["problem"].(map[string]any)
			require.Equal(t, "timeout", problem["code"])
			require.Equal(t, false, problem["stored"])
		}
		for range cap(turns) {
			<-turns
		}
		for i, item := range s.batch(lines...).is(207).get("items").([]any) {
			require.Equal(t, i < 16, item.(map[string]any)["replayed"] == true, i)
		}
	})
}

// Phones that hand in the same, each in its own order, wait for each other and not for ever.
func TestBatchesThatOverlap(t *testing.T) {
	s := open(t, withStudies(t, s1))
	var lines []string
	for i := range 50 {
		lines = append(lines, response(fmt.Sprintf("R%d", i), ""))
	}
	receipts := make([]map[string]any, 8)
	var wg sync.WaitGroup
	for i := range receipts {
		wg.Go(func() {
			own := slices.Clone(lines)
			rand.Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
			receipts[i] = map[string]any{}
			for _, item := range s.batch(own...).is(207).get("items").([]any) {
				accepted, _ := item.(map[string]any)["accepted"].(map[string]any)
				receipts[i][fmt.Sprint(accepted["id"])] = accepted["receipt"]
			}
		})
	}
	wg.Wait()
	require.Len(t, receipts[0], 50)
	for _, same := range receipts[1:] {
		require.Equal(t, receipts[0], same)
	}
}
