package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/disk"
	"casepress/disk/disktest"
	"casepress/service"
	"casepress/store/storetest"
	"casepress/tasks"
)

// makeKey runs the command that makes a key.
func makeKey(t testing.TB) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "vault.key")
	out, err := exec.CommandContext(t.Context(), binary(t), "vault-key", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return file
}

func readKeys(t testing.TB) *blob.Keys {
	t.Helper()
	var file bytes.Buffer
	_, err := blob.NewKey(&file)
	require.NoError(t, err)
	keys, err := blob.ParseKeys(&file)
	require.NoError(t, err)
	return keys
}

// marked is a picture with a text in it that pictures made of it do not have.
func marked(t testing.TB, marker string) []byte {
	photo := newPicture(t)
	return append(append([]byte{0xFF, 0xD8, 0xFF, 0xFE, 0, byte(len(marker) + 2)}, marker...), photo[2:]...)
}

// requireNowhere looks for the marker in every file of the folder, whatever it is.
func requireNowhere(t testing.TB, folder, marker string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(marker)) {
			t.Errorf("%s has it in the clear", path)
		}
		return err
	}))
}

// handIn uploads pictures and returns the receipt.
func (s *process) handIn(t testing.TB, fields url.Values, pictures ...[]byte) accepted {
	t.Helper()
	contentType, body := multipartForm(t, fields, pictures...)
	code, _, answer, err := send(t.Context(), http.MethodPost, s.url+"/upload-case-report", contentType, body)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, code, "%s", answer)
	var a accepted
	require.NoError(t, json.Unmarshal(answer, &a))
	return a
}

func (s *process) putImage(t testing.TB, imageID string, picture []byte) (code int) {
	t.Helper()
	code, _, answer, err := send(t.Context(), http.MethodPut, s.url+"/images/"+imageID+"?patientId=P001", "image/jpeg", picture)
	require.NoError(t, err)
	require.Less(t, code, 300, "%s", answer)
	return code
}

// original asks the private address for an original.
func (s *process) original(t testing.TB, sha256 string) (code int, header http.Header, body []byte) {
	t.Helper()
	code, header, body, err := send(t.Context(), http.MethodGet, s.admin+"/originals/"+sha256, "", nil)
	require.NoError(t, err)
	return code, header, body
}

// refuses wants a start to end with an error.
func refuses(t testing.TB, data string, args ...string) string {
	t.Helper()
	s, listening := launch(t, data, args...)
	select {
	case <-listening:
		t.Fatal("it serves")
	case <-s.ended:
	}
	require.Error(t, s.exit)
	return s.logs.String()
}

func TestVaultKeepsOriginalsSealed(t *testing.T) {
	t.Parallel()
	data, key := t.TempDir(), makeKey(t)
	const marker = "31.2304 N 121.4737 E"
	photo, ahead := marked(t, marker), marked(t, marker)
	s := start(t, data, "--originals=vault", "--vault-key-file="+key)
	s.putImage(t, "IMG007", ahead)
	a := s.handIn(t, url.Values{"patientId": {"P001"}, "imageId": {"IMG007"}}, photo)
	requireNowhere(t, data, marker)
	st := s.final(t, a.ID)
	require.Equal(t, "completed", st.Status, st.Error)
	require.Empty(t, st.Problems)
	requireNowhere(t, data, marker)

	s.kill()
	s = start(t, data, "--originals=vault", "--vault-key-file="+key)
	for i, sent := range [][]byte{ahead, photo} {
		if a.Images[0].ImageID != "IMG007" {
			i = 1 - i
		}
		code, header, got := s.original(t, a.Images[i].SHA256)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, "image/jpeg", header.Get("Content-Type"))
		require.Equal(t, sent, got)
	}
	code, _, _ := s.original(t, strings.Repeat("0", 64))
	require.Equal(t, http.StatusNotFound, code)
	require.Equal(t, http.StatusOK, s.putImage(t, "IMG007", ahead), "known, although its bytes are encrypted")
	s.stop(t)
	requireNowhere(t, data, marker)

	// Whatever is wrong with the key, nothing starts.
	require.Contains(t, refuses(t, data), "--vault-key-file")
	require.Contains(t, refuses(t, data, "--originals=drop"), "--vault-key-file")
	other := makeKey(t)
	require.Contains(t, refuses(t, data, "--originals=vault", "--vault-key-file="+other), "does not hold it")
	require.Contains(t, refuses(t, data, "--vault-key-file="+other), "does not hold it")
	require.Contains(t, refuses(t, data, "--originals=vault", "--vault-key-file="+key+".gone"), "no such file")
	noKey := filepath.Join(t.TempDir(), "photo")
	require.NoError(t, os.WriteFile(noKey, photo, 0o600))
	require.Contains(t, refuses(t, data, "--originals=vault", "--vault-key-file="+noKey), "--vault-key-file: "+noKey)
	inside := filepath.Join(data, "vault.key")
	require.NoError(t, os.WriteFile(inside, nil, 0o600))
	require.Contains(t, refuses(t, data, "--originals=vault", "--vault-key-file="+inside), "lies in the data folder")

	// From here on in the clear again; what is sealed stays so and is read.
	s = start(t, data, "--vault-key-file="+key)
	code, _, _ = s.original(t, a.Images[0].SHA256)
	require.Equal(t, http.StatusOK, code)
	plain := newPicture(t)
	require.Equal(t, "completed", s.final(t, s.handIn(t, url.Values{"patientId": {"P001"}, "imageId": {"IMG007"}}, plain).ID).Status)
	s.stop(t)
	requireNowhere(t, data, marker)
}

// dropped waits until the original is answered with 410.
func (s *process) dropped(t testing.TB, sha256 string) {
	t.Helper()
	require.Eventually(t, func() bool {
		code, _, _ := s.original(t, sha256)
		return code == http.StatusGone
	}, patience, 20*time.Millisecond)
}

func TestDroppedOriginals(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := start(t, data, "--originals=drop")
	photo, ahead := newPicture(t), newPicture(t)
	form := url.Values{"patientId": {"P001"}, "reportId": {"CR-1"}, "imageId": {"IMG007"}}
	require.Equal(t, http.StatusCreated, s.putImage(t, "IMG007", ahead))
	first := s.handIn(t, form, photo)
	was := s.final(t, first.ID)
	require.Equal(t, "completed", was.Status)
	for _, img := range first.Images {
		s.dropped(t, img.SHA256)
	}
	_, header, body := s.original(t, first.Images[0].SHA256)
	require.Equal(t, "application/problem+json", header.Get("Content-Type"))
	require.Contains(t, string(body), `"original-dropped"`)
	for _, path := range []string{was.Report.URL, "/case-reports/CR-1/images/1", "/case-reports/CR-1/images/2?size=thumb"} {
		code, _, _ := s.get(t, path)
		require.Equal(t, http.StatusOK, code, path)
	}

	// Sending the same again is answered as ever, with and without the bytes.
	require.Equal(t, first, s.handIn(t, form, photo))
	plain := []byte(url.Values{"patientId": {"P001"}, "reportId": {"CR-2"}, "imageId": {"IMG007"}}.Encode())
	code, _, answer, err := send(t.Context(), http.MethodPost, s.url+"/upload-case-report", "application/x-www-form-urlencoded", plain)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, code, "a new report needs bytes")
	require.Contains(t, string(answer), "was deleted after its report was completed")
	require.Equal(t, http.StatusOK, s.putImage(t, "IMG007", ahead))
	var second accepted
	for range 2 { // once new, once again after the drop
		code, _, answer, err = send(t.Context(), http.MethodPost, s.url+"/upload-case-report", "application/x-www-form-urlencoded", plain)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, code, "%s", answer)
		earlier := second
		require.NoError(t, json.Unmarshal(answer, &second))
		require.True(t, earlier.ID == "" || earlier.Receipt == second.Receipt)
		require.Equal(t, "completed", s.final(t, "CR-2").Status)
		s.dropped(t, second.Images[0].SHA256)
	}

	// An image that cannot be shown keeps its original.
	broken := append(newPicture(t)[:64], bytes.Repeat([]byte{0xFF, 0xD9}, 8)...)
	third := s.handIn(t, url.Values{"patientId": {"P001"}}, broken, photo)
	require.NotEmpty(t, s.final(t, third.ID).Problems)
	s.dropped(t, third.Images[1].SHA256)
	code, _, got := s.original(t, third.Images[0].SHA256)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, broken, got)
	s.stop(t)

	// Without the rows, the log still tells what came of the reports.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		require.NoError(t, os.RemoveAll(filepath.Join(data, "casepress.db"+suffix)))
	}
	s = start(t, data, "--originals=keep")
	require.Equal(t, was, s.final(t, "CR-1"))
	code, _, pdf := s.get(t, was.Report.URL)
	require.Equal(t, http.StatusOK, code)
	require.Len(t, pdf, was.Report.Bytes)
	require.Equal(t, "completed", s.final(t, third.ID).Status)
	s.stop(t)
}

// TestKillWhileDropping is TestKill with originals that are encrypted and go.
func TestKillWhileDropping(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	how := []string{"--originals=drop", "--vault-key-file=" + makeKey(t)}
	known := newReceipts()
	for round := range 5 {
		killedRound(t, data, known, round, how...)
	}
	require.NotEmpty(t, known.byID)
	finals := map[string]status{}
	check := func(s *process) {
		for id, p := range known.byID {
			st := s.final(t, id)
			require.Equal(t, "completed", st.Status, st.Error)
			checkKept(t, s, p, st)
			if was, again := finals[id]; again {
				require.Equal(t, was, st)
			}
			finals[id] = st
		}
		checkList(t, s, known)
	}
	s := start(t, data, how...)
	check(s)
	checkReplays(t, s, known)
	for _, p := range known.byID {
		for _, img := range p.Images {
			s.dropped(t, img.SHA256)
		}
	}
	s.stop(t)
	checkNoTempFiles(t, data)

	for _, suffix := range []string{"", "-wal", "-shm"} {
		require.NoError(t, os.RemoveAll(filepath.Join(data, "casepress.db"+suffix)))
	}
	s = start(t, data, how...)
	check(s)
	s.stop(t)
}

// originals is what becomes of originals.
type originals struct {
	how  blob.Originals
	keys *blob.Keys
}

func (o originals) config(fsys disk.FS, rowsDir string) service.Config {
	c := configOn(fsys, rowsDir)
	c.Originals, c.Keys = o.how, o.keys
	return c
}

// TestPowerCutsWhileDropping cuts the power at random points of a life, starts
// again with the rows or without them, and wants every promised report completed
// with its results, and its originals gone in the end.
func TestPowerCutsWhileDropping(t *testing.T) {
	t.Parallel()
	promises, points, cuts := 0, 1000, 30
	if testing.Short() {
		cuts = 8
	}
	for seed := range uint64(cuts) {
		crash := disktest.NewCrash(seed)
		originals := originals{how: blob.Drop}
		if seed%4 > 1 {
			originals.keys = readKeys(t)
		}
		rowsDir := t.TempDir()
		s, err := service.Open(t.Context(), originals.config(crash, rowsDir))
		require.NoError(t, err)
		if seed > 0 {
			crash.CutAt(1+rand.New(rand.NewPCG(seed, 0)).IntN(points), []float64{0, 0.5, 1}[seed%3])
		}
		promised := handInAll(t, s)
		finishWhatCan(t, s, promised)
		require.Eventually(t, func() bool {
			gone := len(promised) == 3
			for _, a := range promised {
				for _, img := range a.Images {
					gone = gone && isGone(s, img.SHA256)
				}
			}
			return gone || crash.AfterCut() != nil
		}, patience, 5*time.Millisecond)
		_ = closeNow(s) // the power may be gone
		if seed == 0 {
			points = crash.Points()
		}
		after := crash.AfterCut()
		if after == nil {
			after = crash.CrashClone(0)
		}
		if seed%2 == 0 {
			rowsDir = t.TempDir()
		}
		s, err = service.Open(t.Context(), originals.config(after, rowsDir))
		require.NoError(t, err)
		promises += len(promised)
		requireSettled(t, s, promised, originals, fmt.Sprintf("seed %d", seed))
		require.NoError(t, closeNow(s))
	}
	t.Logf("%d reports, %d points", promises, points)
}

// TestDiskFaultsOfOriginals is TestDiskFaults for the other ways to keep
// originals, at some of the points, with -short at fewer.
func TestDiskFaultsOfOriginals(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	for name, originals := range map[string]originals{
		"vault": {blob.Vault, keys}, "drop": {blob.Drop, nil}, "drop sealed": {blob.Drop, keys},
	} {
		for _, fault := range []disktest.Fault{
			{Op: disktest.OpWrite, Err: syscall.ENOSPC, Sticky: true},
			{Op: disktest.OpSync, Err: syscall.EIO},
			{Op: disktest.OpRemove, Err: syscall.EIO},
			{Op: disktest.OpSyncDir, Err: syscall.EIO},
			{Op: disktest.OpStat, Err: syscall.EIO},
		} {
			t.Run(fmt.Sprintf("%s/%s", name, fault.Op), func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n += 1 + n/4 {
					if testing.Short() {
						n += n / 2
					}
					fault.N = n
					if !originalsFaultRound(t, fault, originals) {
						require.Greater(t, n, 1, "the fault never struck")
						return
					}
				}
			})
		}
	}
}

func originalsFaultRound(t *testing.T, fault disktest.Fault, originals originals) (struck bool) {
	crash := disktest.NewCrash(uint64(fault.N))
	fsys := disktest.NewFault(crash)
	fsys.Inject(fault)
	rowsDir := t.TempDir()
	storetest.WriteEmpty(t, rowsDir) // faults do not strike the rows
	var promised []accepted
	s, err := service.Open(t.Context(), originals.config(fsys, rowsDir))
	if err == nil {
		promised = handInAll(t, s)
		finishWhatCan(t, s, promised)
		_ = closeNow(s) // what is broken may say so
	}
	struck = fsys.Fired() > 0
	s, err = service.Open(t.Context(), originals.config(crash.CrashClone(0.5), rowsDir))
	require.NoError(t, err, "%+v: a restart recovers", fault)
	requireSettled(t, s, promised, originals, fmt.Sprintf("%+v", fault))
	require.NoError(t, closeNow(s))
	return struck
}

// requireSettled wants every promised report completed and, if they are to be
// dropped, its originals gone.
func requireSettled(t *testing.T, s *service.Service, promised []accepted, originals originals, when string) {
	t.Helper()
	for _, a := range promised {
		requireFinished(t, s, a, when)
	}
	// The image that was put ahead may still wait for its report.
	form := url.Values{"patientId": {"P001"}, "imageId": {"IMG007"}}
	answer := do(s.API, http.MethodPost, "/upload-case-report", "application/x-www-form-urlencoded", []byte(form.Encode()))
	if answer.Code == http.StatusAccepted {
		var a accepted
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &a))
		requireFinished(t, s, a, when)
		promised = append(promised, a)
	}
	for _, a := range promised {
		for _, img := range a.Images {
			if originals.how == blob.Drop {
				requireGone(t, s, img.SHA256)
				continue
			}
			b, err := s.Blobs.Open(t.Context(), blob.Key(img.SHA256))
			require.NoError(t, err, when)
			require.NoError(t, b.Close())
		}
	}
}

// requireFinished wants the report completed, if need be by a retry, and all that
// was made of it.
func requireFinished(t *testing.T, s *service.Service, a accepted, when string) {
	t.Helper()
	_, result := completedRow(t, s, a.ID, when)
	require.Empty(t, result.Problems, when)
	outputs := []tasks.Output{result.PDF.Output}
	for _, img := range result.Images {
		outputs = append(outputs, img.Full, img.Thumb)
	}
	for _, o := range outputs {
		there, err := s.Blobs.Has(t.Context(), blob.Key(o.SHA256), o.Bytes)
		require.NoError(t, err, when)
		require.True(t, there, when)
	}
}

// requireGone wants the private address to say in the end that the original is
// dropped.
func requireGone(t *testing.T, s *service.Service, sha256 string) {
	t.Helper()
	require.Eventually(t, func() bool { return isGone(s, sha256) }, patience, 5*time.Millisecond)
}

func isGone(s *service.Service, sha256 string) bool {
	return do(s.API.Admin(), http.MethodGet, "/originals/"+sha256, "", nil).Code == http.StatusGone
}
