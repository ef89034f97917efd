package e2e_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/service"
	"casepress/tasks"
)

// TestDamage damages, removes or replaces with an older copy one or two files of a data folder and starts the
// service, CASEPRESS_DAMAGE_ROUNDS times (30 by default). It refuses with the name of the file and the cure, or
// serves all that was acknowledged, or serves the rest and names what is damaged. It never serves other bytes, never
// takes an id twice, and is never ready and then stuck. CASEPRESS_DAMAGE_SEED runs one round again.
func TestDamage(t *testing.T) {
	t.Parallel()
	rounds, first := 30, rand.Uint64()
	if testing.Short() {
		rounds = 8
	}
	if n, err := strconv.Atoi(os.Getenv("CASEPRESS_DAMAGE_ROUNDS")); err == nil {
		rounds = n
	}
	if n, err := strconv.ParseUint(os.Getenv("CASEPRESS_DAMAGE_SEED"), 10, 64); err == nil {
		rounds, first = 1, n
	}
	lives := []*history{life(t, blob.Keep), life(t, blob.Vault), life(t, blob.Drop)}
	outcomes := map[string]int{}
	for i := range rounds {
		d := newDamage(t, first+uint64(i), lives)
		if !t.Run(fmt.Sprint(d.seed), func(t *testing.T) { outcomes[d.round(t)]++ }) && os.Getenv("CASEPRESS_DAMAGE_ALL") == "" {
			break
		}
	}
	t.Logf("%v", outcomes)
}

// damage is one round.
type damage struct {
	seed    uint64
	random  *rand.Rand
	history *history
	moment  moment   // what is damaged
	older   []moment // where older copies come from
	dir     string
	done    []string // what was done, for the reader of a failure
	touched []string // by path below the folder
	changed bool     // a row or the schema has another letter, number or type, and is well formed
	curable bool     // the service has said what to do
}

func newDamage(t *testing.T, seed uint64, lives []*history) *damage {
	d := &damage{seed: seed, random: rand.New(rand.NewPCG(seed, 1))}
	d.history = lives[d.random.IntN(len(lives))]
	n := len(d.history.moments)
	at := n - 1 - d.random.IntN(3) // killed later, killed, stopped
	d.moment, d.older = d.history.moments[at], d.history.moments[:at]
	d.dir = filepath.Join(t.TempDir(), strconv.FormatUint(seed, 10))
	return d
}

// round returns how it went.
func (d *damage) round(t *testing.T) string {
	defer func() {
		if t.Failed() {
			t.Logf("CASEPRESS_DAMAGE_SEED=%d: %s of %s: %s", d.seed, d.moment.name, d.history.originals, strings.Join(d.done, "; "))
			return
		}
		_ = os.RemoveAll(d.dir)
	}()
	copyFolder(t, d.moment.dir, d.dir)
	for range 1 + d.random.IntN(2) {
		d.strike(t)
	}
	how := d.start(t, false)
	if d.curable && (how == "refused" || d.only("casepress.db")) {
		d.cure(t)
		require.Equal(t, "served", d.start(t, true), "the cure has not helped")
		return how + " and cured"
	}
	return how
}

// start opens the folder and lets the clients come. If it is cured, they want everything.
func (d *damage) start(t *testing.T, cured bool) string {
	logs := newLogged()
	s, err := service.Open(t.Context(), d.history.config(d.dir, logs))
	if err != nil {
		require.False(t, cured, "%v", err)
		d.requireCured(t, err)
		d.curable = true
		return "refused"
	}
	defer func() { _ = closeNow(s) }() // what is damaged may say so
	c := &clients{t: t, damage: d, s: s, logs: logs, cured: cured}
	c.requireHonest()
	if c.named {
		d.curable = strings.Contains(c.ready().Body.String(), "casepress.db* away")
		return "named"
	}
	return "served"
}

// only reports whether nothing but one thing was damaged.
func (d *damage) only(prefix string) bool {
	return !slices.ContainsFunc(d.touched, func(path string) bool { return !strings.HasPrefix(path, prefix) })
}

// cure does what the error and docs/operations.md say: move away what can be made again, or restore.
func (d *damage) cure(t *testing.T) {
	if d.only("casepress.db") {
		for _, name := range []string{"casepress.db", "casepress.db-wal", "casepress.db-shm"} {
			require.NoError(t, os.RemoveAll(filepath.Join(d.dir, name)))
		}
		d.done = append(d.done, "cured by moving the rows away")
		return
	}
	for _, topic := range []string{"case-reports", "images", "case-report-completions", "patient-data-update", "case-reports.dead"} {
		away := filepath.Join("topics", topic, "groups")
		if topic == "patient-data-update" || topic == "case-report-completions" || strings.HasSuffix(topic, ".dead") {
			away = filepath.Dir(away)
		}
		if d.only(away + "/") {
			require.NoError(t, os.RemoveAll(filepath.Join(d.dir, away)))
			d.done = append(d.done, "cured by moving "+away+" away")
			return
		}
	}
	for _, path := range d.touched {
		full, was := filepath.Join(d.dir, path), filepath.Join(d.moment.dir, path)
		require.NoError(t, os.RemoveAll(full))
		if info, err := os.Stat(was); err == nil && info.IsDir() {
			copyFolder(t, was, full)
		} else if err == nil {
			require.NoError(t, copyFile(was, full))
		}
	}
	d.done = append(d.done, "cured by restoring")
}

// strike does one thing to one file or folder.
func (d *damage) strike(t *testing.T) {
	families := d.families(t)
	names := make([]string, 0, len(families))
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	family := names[d.random.IntN(len(names))]
	switch family {
	case "row":
		d.changeRow(t)
		return
	case "schema":
		d.changeSchema(t, schemaChanges[d.random.IntN(len(schemaChanges))])
		return
	}
	path := families[family][d.random.IntN(len(families[family]))]
	full := filepath.Join(d.dir, path)
	ways := []string{"flip", "flip", "truncate", "zero", "append", "remove", "older", "older"}
	if family == "blob" {
		ways = append(ways, "swap")
	}
	way := ways[d.random.IntN(len(ways))]
	if family == "folder" {
		way = []string{"remove", "older"}[d.random.IntN(2)]
	}
	detail := ""
	switch way {
	case "remove":
		require.NoError(t, os.RemoveAll(full))
	case "older":
		older := d.older[d.random.IntN(len(d.older))]
		detail = " of " + older.name
		require.NoError(t, os.RemoveAll(full))
		if info, err := os.Stat(filepath.Join(older.dir, path)); err == nil && info.IsDir() {
			copyFolder(t, filepath.Join(older.dir, path), full)
		} else if err == nil {
			require.NoError(t, copyFile(filepath.Join(older.dir, path), full))
		}
	case "swap":
		path := families[family][d.random.IntN(len(families[family]))]
		other := filepath.Join(d.dir, path)
		detail = " with " + path
		d.touched = append(d.touched, path)
		a, err := os.ReadFile(full)
		require.NoError(t, err)
		b, err := os.ReadFile(other)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(full, b, 0o600))
		require.NoError(t, os.WriteFile(other, a, 0o600))
	default:
		content, err := os.ReadFile(full)
		require.NoError(t, err)
		content, detail = d.change(content, way)
		require.NoError(t, os.WriteFile(full, content, 0o600))
	}
	d.done = append(d.done, way+" "+path+detail)
	d.touched = append(d.touched, path)
}

// rowChanges are columns of which one value gets another letter or number, or, after a blank, another type.
var rowChanges = []string{
	"patient_images.sha256", "patient_images.bytes", "patient_images.media_type", "patient_images.image_id",
	"case_reports.notes", "case_report_images.sha256", "case_report_images.bytes",
	"case_report_results.result", "case_report_results.check_sum",
	"submissions.sha256", "submissions.patient_id", "submissions.received_at",
	"submissions.received_at real", "submissions.started_at real", "submissions.version real", "submissions.error blob",
	"patient_images.put_end real", "case_report_images.bytes real", "case_report_results.result blob", "watermarks.next real",
}

// changeRow changes one value, so that the database is well formed as before.
func (d *damage) changeRow(t *testing.T) {
	d.changeValue(t, rowChanges[d.random.IntN(len(rowChanges))])
}

func (d *damage) changeValue(t *testing.T, change string) {
	db, err := sql.Open("sqlite", filepath.Join(d.dir, "casepress.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	column, typeof, _ := strings.Cut(change, " ")
	table, name, _ := strings.Cut(column, ".")
	key := map[string]string{
		"patient_images": "image_id", "case_reports": "id", "case_report_images": "report_id", "case_report_results": "sequence", "submissions": "id", "watermarks": "topic",
	}[table]
	where := map[string]string{ // rows in which nobody writes another value before all rows were looked at
		"submissions.error": " WHERE finished_at > 0", "patient_images.put_end": " WHERE image_id NOT LIKE 'IMG-%'",
	}[column]
	var chosen string
	err = db.QueryRowContext(t.Context(), "SELECT "+key+" FROM "+table+where+" ORDER BY random() LIMIT 1").Scan(&chosen)
	if err != nil { // an earlier strike has left nothing that could be read
		d.done = append(d.done, "no row to change: "+err.Error())
		return
	}
	to := name + " + 1"
	switch {
	case typeof == "real":
		to = name + " % 1000 + 0.5"
	case typeof == "blob":
		to = "CAST(" + name + " AS BLOB)"
	}
	switch name + typeof {
	case "result": // a PDF has a page more
		to = `replace(result, '"pages":', '"pages":1')`
	case "sha256":
		to = "substr(sha256, 2) || '0'"
	case "media_type", "image_id", "notes", "patient_id":
		to = name + " || 'x'"
	}
	result, err := db.ExecContext(t.Context(), "UPDATE "+table+" SET "+name+" = "+to+" WHERE "+key+" = $1", chosen)
	if err != nil {
		d.done = append(d.done, "no row could be changed: "+err.Error())
		return
	}
	n, err := result.RowsAffected()
	require.NoError(t, err)
	require.Positive(t, n)
	d.done = append(d.done, "change "+change+" of "+chosen)
	d.touched = append(d.touched, "casepress.db")
	d.changed = true
}

// schemaChanges are texts in the schema that are well formed with another letter, too.
var schemaChanges = []struct{ table, was, is string }{
	{"submissions", "started_at      BIGINT  NOT NULL DEFAULT 0", "started_at      BIGINT  NOT NULL DEFAULT p"},
	{"submissions", "attempts        INTEGER NOT NULL DEFAULT 0", "attempts        INTEGER NOT NULL DEFAULT 8"},
	{"submissions", "error           ", "errob           "},
	{"submissions", "WHERE finished_at = 0", "WHERE finished_at = 1"},
	{"case_reports", "captured_at", "baptured_at"},
	{"case_report_images", "released        INTEGER NOT NULL DEFAULT 0", "released        INTEGER NOT NULL DEFAULT 1"},
	{"patient_images", "put_end <> 0", "put_end <> 8"},
}

// changeSchema changes a letter in the text of the schema.
func (d *damage) changeSchema(t *testing.T, change struct{ table, was, is string }) {
	db, err := sql.Open("sqlite", filepath.Join(d.dir, "casepress.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	db.SetMaxOpenConns(1) // the pragma is of one connection
	result, err := db.ExecContext(t.Context(), "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = replace(sql, $1, $2) WHERE tbl_name = $3 AND instr(sql, $1) > 0",
		change.was, change.is, change.table)
	if err != nil { // an earlier strike has left nothing that could be read
		d.done = append(d.done, "the schema could not be changed: "+err.Error())
		return
	}
	n, err := result.RowsAffected()
	require.NoError(t, err)
	if n == 0 {
		d.done = append(d.done, "an older schema has no "+change.was)
		return
	}
	d.done = append(d.done, "schema: "+change.is)
	d.touched = append(d.touched, "casepress.db")
	d.changed = true
}

// TestDamagedTypesAndSchema does each of what a bit can do to the type of a value or to the schema, by itself.
func TestDamagedTypesAndSchema(t *testing.T) {
	t.Parallel()
	lives := []*history{life(t, blob.Keep)}
	strikes := map[string]func(*damage){}
	for _, change := range rowChanges {
		if strings.Contains(change, " ") {
			strikes[change] = func(d *damage) { d.changeValue(t, change) }
		}
	}
	for _, change := range schemaChanges {
		strikes[change.is] = func(d *damage) { d.changeSchema(t, change) }
	}
	left := len(strikes)
	if testing.Short() {
		left = 4
	}
	for name, strike := range strikes {
		if left--; left < 0 {
			break // those that chance has chosen
		}
		t.Run(name, func(t *testing.T) {
			d := newDamage(t, 1, lives)
			copyFolder(t, d.moment.dir, d.dir)
			strike(d)
			require.True(t, d.changed, "%v", d.done)
			require.Contains(t, []string{"named", "refused"}, d.start(t, false), "%v", d.done)
			require.True(t, d.curable)
			d.cure(t)
			require.Equal(t, "served", d.start(t, true), "the cure has not helped")
		})
	}
}

// change alters a file's content, where there are bytes rather than in the zeros behind them.
func (d *damage) change(content []byte, way string) ([]byte, string) {
	used := max(1, len(bytes.TrimRight(content, "\x00")))
	at := d.random.IntN(used)
	if len(content) == 0 {
		way = "append"
	}
	switch way {
	case "flip":
		content[at] ^= 1 << d.random.IntN(8)
	case "truncate":
		content = content[:at]
	case "zero":
		end := min(len(content), at+1+d.random.IntN(8192))
		clear(content[at:end])
		return content, fmt.Sprintf(" %d to %d", at, end)
	case "append":
		garbage := make([]byte, 1+d.random.IntN(5000))
		for i := range garbage {
			garbage[i] = byte(d.random.Uint32())
		}
		return append(content, garbage...), fmt.Sprintf(" %d bytes", len(garbage))
	}
	return content, fmt.Sprintf(" at %d of %d", at, len(content))
}

// families are the files below the folder by what they are, so that many blobs do not hide few logs.
func (d *damage) families(t *testing.T) map[string][]string {
	found := map[string][]string{}
	require.NoError(t, filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == d.dir {
			return err
		}
		rel, err := filepath.Rel(d.dir, path)
		if err != nil {
			return err
		}
		family := "other"
		switch top, _, _ := strings.Cut(rel, "/"); {
		case e.IsDir():
			family = "folder"
		case strings.HasPrefix(rel, "casepress.db"):
			family = rel
		case top == "topics" && filepath.Ext(rel) == ".index":
			family = "index"
		case top == "topics" && strings.Contains(rel, "/groups/"):
			family = "groups"
		case top == "topics":
			family = "log " + strings.Split(rel, "/")[1]
		case strings.HasPrefix(rel, "blobs/keys"):
			family = "key"
		case top == "blobs":
			family = "blob"
		}
		found[family] = append(found[family], rel)
		return nil
	}))
	if len(found["casepress.db"]) > 0 {
		found["row"], found["schema"] = found["casepress.db"], found["casepress.db"]
	}
	return found
}

// rowsAreAsChanged reports whether nothing else was done to the rows, which may have undone the change.
func (d *damage) rowsAreAsChanged() bool {
	return len(slices.DeleteFunc(slices.Clone(d.touched), func(path string) bool { return !strings.HasPrefix(path, "casepress.db") })) == 1
}

// hits reports whether something with this beginning was damaged, or the folder that it is in.
func (d *damage) hits(prefix string) bool {
	return slices.ContainsFunc(d.touched, func(path string) bool {
		return strings.HasPrefix(path, prefix) || strings.HasPrefix(prefix, path+"/")
	})
}

// mayForget reports whether both the rows and the log that they are made from were damaged: then nothing is left
// that could tell what was accepted. Only one of the two may be, or the loss must be told.
func (d *damage) mayForget() bool {
	return !d.curable && d.hits("casepress.db") && (d.hits("topics/case-reports/") || d.hits("topics/images/") || d.hits("topics/case-report-completions/"))
}

// requireCured wants a refusal that names a file below the folder and what to do.
func (d *damage) requireCured(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	require.True(t, strings.Contains(text, d.dir) || strings.Contains(text, "topics/"), "no file is named: %s", text)
	require.True(t, slices.ContainsFunc([]string{"estore", "ut back", "ove "}, func(cure string) bool { return strings.Contains(text, cure) }), "no cure: %s", text)
}

// clients are everybody who was promised something.
type clients struct {
	t      *testing.T
	damage *damage
	s      *service.Service
	logs   logged
	named  bool // a damage was told
	cured  bool // nothing may be damaged any more
}

func (c *clients) requireHonest() {
	c.random(
		func() { c.eachReport(c.requireNotTaken) },
		func() { c.eachReport(c.requireReplayed) },
		func() { c.eachImage(c.requireImage) },
	)
	c.eachReport(c.requireFinal)
	c.eachReport(c.requireServed)
	c.eachReport(c.requireOriginals)
	c.requireListed()
	c.requireEvents()
	if c.damage.changed && !c.cured && c.damage.rowsAreAsChanged() {
		c.named = true
		c.requireTold("a changed row or schema")
	}
	if c.ready().Code != http.StatusOK {
		c.requireNamed("readyz", c.ready())
	}
}

// random does things in any order: the first may mend what the next would have found.
func (c *clients) random(steps ...func()) {
	for _, i := range c.damage.random.Perm(len(steps)) {
		steps[i]()
	}
}

func (c *clients) eachReport(check func(known)) {
	for _, k := range c.damage.moment.reports {
		check(k)
	}
}

func (c *clients) eachImage(check func(putAhead)) {
	for _, img := range c.damage.moment.images {
		check(img)
	}
}

func (c *clients) ready() *httptest.ResponseRecorder {
	return do(c.s.API, http.MethodGet, "/readyz", "", nil)
}

// requireNamed wants a 5xx with a code that says what it is, and the damage with file and cure in the log.
func (c *clients) requireNamed(what string, answer *httptest.ResponseRecorder) {
	c.t.Helper()
	p := problemOf(answer)
	require.GreaterOrEqual(c.t, answer.Code, 500, "%s: %s", what, answer.Body)
	require.NotEqual(c.t, "internal", p.Code, "%s: %s\n%s", what, answer.Body, c.logs)
	require.NotEqual(c.t, "timeout", p.Code, "%s: %s\n%s", what, answer.Body, c.logs)
	require.NotEmpty(c.t, p.Code, "%s: %s", what, answer.Body)
	c.named = true
	c.requireTold(what)
}

// requireTold wants the damage told by /readyz: as what is in the way of being ready, with file and cure, or as a
// number of files, which the log names.
func (c *clients) requireTold(what string) {
	c.t.Helper()
	require.False(c.t, c.cured, "%s: it is still damaged: %s\n%s", what, c.ready().Body, c.logs)
	told := ""
	require.Eventually(c.t, func() bool {
		answer := c.ready()
		told = answer.Body.String()
		if answer.Code == http.StatusOK {
			// A blob is damaged or missing, or was when somebody handed the same in again.
			return strings.Contains(c.logs.String(), filepath.Join(c.damage.dir, "blobs"))
		}
		return (strings.Contains(told, c.damage.dir) || strings.Contains(told, "topics/")) && (strings.Contains(told, "estore") || strings.Contains(told, "ut back") || strings.Contains(told, "ove "))
	}, patience, 5*time.Millisecond, "%s: readyz does not tell: %s\n%s", what, text{&told}, c.logs)
}

// requireNotTaken hands other content in under an id that was acknowledged.
func (c *clients) requireNotTaken(k known) {
	if !strings.Contains(string(k.body), "reportId") {
		return
	}
	contentType, body := multipartForm(c.t, url.Values{"reportId": {k.ID}, "patientId": {"P999"}}, newPicture(c.t))
	answer := do(c.s.API, http.MethodPost, "/upload-case-report", contentType, body)
	switch {
	case answer.Code == http.StatusConflict:
	case answer.Code == http.StatusAccepted && c.damage.mayForget():
	default:
		require.NotEqual(c.t, http.StatusAccepted, answer.Code, "%s was taken twice: %s\n%s", k.ID, answer.Body, c.logs)
		c.requireNamed("other content for "+k.ID, answer)
	}
}

// requireReplayed hands in again what was acknowledged.
func (c *clients) requireReplayed(k known) {
	if !strings.Contains(string(k.body), "reportId") {
		return
	}
	answer := do(c.s.API, http.MethodPost, "/upload-case-report", k.contentType, k.body)
	if c.damage.mayForget() && answer.Code < 500 {
		return
	}
	if answer.Code == http.StatusAccepted {
		var a accepted
		require.NoError(c.t, json.Unmarshal(answer.Body.Bytes(), &a))
		require.Equal(c.t, k.accepted, a, "the receipt has changed\n%s", c.logs)
		require.Equal(c.t, "true", answer.Header().Get("Idempotency-Replayed"))
		return
	}
	c.requireNamed("replay of "+k.ID, answer)
}

func (c *clients) requireImage(img putAhead) {
	target := "/images/" + img.id + "?patientId=P00" + map[string]string{"IMG-0": "2", "IMG-1": "5", "IMG-2": "9"}[img.id]
	c.random(func() {
		answer := do(c.s.API, http.MethodPut, target, "image/jpeg", newPicture(c.t))
		if answer.Code == http.StatusConflict || answer.Code < 300 && c.damage.mayForget() {
			return
		}
		require.GreaterOrEqual(c.t, answer.Code, 500, "%s was taken twice: %s\n%s", img.id, answer.Body, c.logs)
		c.requireNamed("other bytes for "+img.id, answer)
	}, func() {
		answer := do(c.s.API, http.MethodPut, target, "image/jpeg", img.photo)
		if answer.Code == http.StatusOK || c.damage.mayForget() && answer.Code < 500 {
			return
		}
		c.requireNamed("replay of "+img.id, answer)
	})
}

// final waits until the report is completed or failed, or for ten seconds if the service says that something is wrong.
func (c *clients) final(id string) *httptest.ResponseRecorder {
	for start := time.Now(); ; {
		answer := do(c.s.API, http.MethodGet, "/case-reports/"+id+"?wait=2s", "", nil)
		var st status
		_ = json.Unmarshal(answer.Body.Bytes(), &st)
		waited := time.Since(start)
		if answer.Code != http.StatusOK || st.Status == "completed" || st.Status == "failed" ||
			waited > patience || waited > 10*time.Second && c.ready().Code != http.StatusOK {
			return answer
		}
	}
}

func (c *clients) requireFinal(k known) {
	if c.damage.mayForget() {
		return
	}
	answer := c.final(k.ID)
	if answer.Code != http.StatusOK {
		c.requireNamed("status of "+k.ID, answer)
		return
	}
	var st status
	require.NoError(c.t, json.Unmarshal(answer.Body.Bytes(), &st))
	require.Equal(c.t, k.patient, st.PatientID, "%s", answer.Body)
	switch st.Status {
	case "completed":
		if k.status == "completed" && len(st.Problems) > 0 && k.ID != "broken" {
			c.named = true
			c.requireTold("problems of " + k.ID)
		}
	case "failed":
		if k.status == "failed" {
			return
		}
		require.Regexp(c.t, "blob|database is damaged", st.Error, "%s", answer.Body)
		c.named = true
		c.requireTold("failure of " + k.ID + ": " + st.Error)
	default:
		require.NotEqual(c.t, http.StatusOK, c.ready().Code, "%s is %s, and the service says that it is ready\n%s", k.ID, st.Status, c.logs)
		c.named = true
		c.requireTold(k.ID + " is " + st.Status)
	}
}

// requireServed gets everything that was ever served.
func (c *clients) requireServed(k known) {
	for path, was := range k.served {
		answer := do(c.s.API, http.MethodGet, "/case-reports/"+k.ID+path, "", nil)
		if c.damage.mayForget() && answer.Code != http.StatusOK {
			continue
		}
		switch answer.Code {
		case http.StatusOK:
			if was == answer.Body.String() {
				continue
			}
			// It was made again without an original that is damaged, and says so.
			require.Contains(c.t, do(c.s.API, http.MethodGet, "/case-reports/"+k.ID, "", nil).Body.String(), `"image-damaged-on-disk"`, "%s of %s has other bytes\n%s", path, k.ID, c.logs)
			c.named = true
		case http.StatusConflict, http.StatusNotFound: // it is not completed any more, or has no picture: the status says why
			require.Contains(c.t, []string{"report-not-ready", "image-not-decodable"}, problemOf(answer).Code, "%s", answer.Body)
			c.named = true
			c.requireTold(path + " of " + k.ID)
		default:
			c.requireNamed(path+" of "+k.ID, answer)
		}
	}
}

// requireOriginals gets every original on the private address.
func (c *clients) requireOriginals(k known) {
	for _, img := range k.Images {
		var sent []byte
		for _, photo := range k.photos {
			if sum(photo) == img.SHA256 {
				sent = photo
			}
		}
		for _, ahead := range c.damage.moment.images {
			if sum(ahead.photo) == img.SHA256 {
				sent = ahead.photo
			}
		}
		answer := do(c.s.API.Admin(), http.MethodGet, "/originals/"+img.SHA256, "", nil)
		switch {
		case answer.Code == http.StatusOK:
			require.True(c.t, bytes.Equal(sent, answer.Body.Bytes()), "other bytes")
		case c.damage.mayForget():
		case answer.Code == http.StatusGone:
			require.Equal(c.t, blob.Drop, c.damage.history.originals, "%s\n%s", answer.Body, c.logs)
			require.False(c.t, k.ID == "broken" && bytes.Equal(sent, k.photos[1]), "it was not shown")
		default:
			c.requireNamed("original of "+k.ID, answer)
		}
	}
}

func (c *clients) requireListed() {
	answer := do(c.s.API, http.MethodGet, "/case-reports?limit=100", "", nil)
	if answer.Code != http.StatusOK {
		c.requireNamed("list", answer)
		return
	}
	if c.damage.mayForget() {
		return
	}
	for _, k := range c.damage.moment.reports {
		if !strings.Contains(answer.Body.String(), `"id":"`+k.ID+`"`) {
			c.named = true
			c.requireTold(k.ID + " is not listed")
		}
	}
}

// requireEvents wants an event of each report that is completed or failed, for its last attempt, in the topic that other
// services consume.
func (c *clients) requireEvents() {
	if c.damage.mayForget() {
		return
	}
	for _, k := range c.damage.moment.reports {
		row, err := c.s.Rows.Get(c.t.Context(), tasks.Ref{Kind: tasks.KindCaseReport().Name, ID: k.ID})
		if err != nil || !row.Status.Final() {
			continue // requireFinal has seen to it
		}
		id := fmt.Sprintf("%s/%d", k.ID, row.Attempts)
		ready := true
		require.Eventually(c.t, func() bool {
			ready = c.ready().Code == http.StatusOK
			return !ready || c.hasEvent(id)
		}, patience, 5*time.Millisecond, "nobody is told of %s\n%s", id, c.logs)
		if !ready {
			c.requireNamed("readyz", c.ready())
			return // such as of rows that cannot all be read
		}
	}
}

func (c *clients) hasEvent(id string) bool {
	info, err := c.s.Broker.Topic(tasks.TopicUpdates)
	require.NoError(c.t, err)
	for offset := info.Start; offset < info.End; offset++ {
		m, err := c.s.Broker.Read(tasks.TopicUpdates, offset)
		if err != nil {
			return c.ready().Code != http.StatusOK
		}
		if m.ID == id {
			return true
		}
	}
	return false
}

// text is what a string is at last.
type text struct{ s *string }

func (t text) String() string { return *t.s }
