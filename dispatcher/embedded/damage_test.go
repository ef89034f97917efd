package embedded_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/dispatcher"
	"casepress/dispatcher/dispatchertest"
	"casepress/dispatcher/embedded"
	"casepress/store"
	"casepress/tasks"
)

// A start that fails because of damage in the log names the topic or the file, and a cure that works.
func TestDamagedLogNamesTheCure(t *testing.T) {
	dir := filled(t, t.TempDir(), "first", 3)
	older := dispatchertest.Copy(t, dir)
	filled(t, dir, "second", 3)
	log := func(dir, topic, part string) string {
		return filepath.Join(dir, "topics", topic, part, "00000000000000000000.log")
	}
	replace := func(t *testing.T, dir, topic, part string) {
		t.Helper()
		content, err := os.ReadFile(log(older, topic, part))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(log(dir, topic, part), content, 0o600))
	}
	flip := func(t *testing.T, dir, topic, part string) {
		t.Helper()
		content, err := os.ReadFile(log(dir, topic, part))
		require.NoError(t, err)
		content[len(bytes.TrimRight(content, "\x00"))/2] ^= 1
		require.NoError(t, os.WriteFile(log(dir, topic, part), content, 0o600))
	}
	for name, tc := range map[string]struct {
		damage      func(t *testing.T, dir string)
		names, cure string
		move        string // what the cure moves away; "" if it only restores
	}{
		"log older than its groups": {
			func(t *testing.T, dir string) { replace(t, dir, tasks.TopicCaseReports, "log") },
			"topics/case-reports/log", "restore the whole of topics/case-reports", "",
		},
		"groups damaged": {
			func(t *testing.T, dir string) { flip(t, dir, tasks.TopicCaseReports, "groups") },
			"topics/case-reports/groups", "move topics/case-reports/groups away", "topics/case-reports/groups",
		},
		"log damaged": {
			func(t *testing.T, dir string) { flip(t, dir, tasks.TopicCaseReports, "log") },
			log("", tasks.TopicCaseReports, "log"), "restore the whole of topics/case-reports", "",
		},
		"events damaged": {
			func(t *testing.T, dir string) { flip(t, dir, tasks.TopicUpdates, "log") },
			log("", tasks.TopicUpdates, "log"), "move topics/patient-data-update away", "topics/patient-data-update",
		},
		"a folder in the place of an index": {
			func(t *testing.T, dir string) {
				t.Helper()
				index := strings.TrimSuffix(log(dir, tasks.TopicCaseReports, "log"), ".log") + ".idx"
				require.NoError(t, os.MkdirAll(index, 0o700))
			},
			"topics/case-reports/log/00000000000000000000.idx", "made again from the segment", "topics/case-reports/log/00000000000000000000.idx",
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken := dispatchertest.Copy(t, dir)
			tc.damage(t, broken)
			for range 2 { // and it changes nothing
				_, err := broker.Open(filepath.Join(broken, "topics"), broker.Options{})
				require.Error(t, err)
				err = embedded.ExplainDamage(err)
				var told *embedded.LogDamageError
				require.ErrorAs(t, err, &told)
				require.ErrorContains(t, err, tc.names)
				require.ErrorContains(t, err, tc.cure)
				require.Equal(t, err, embedded.ExplainDamage(err), "it is told once")
			}
			if tc.move == "" {
				swapTopics(t, dir, broken)
			} else {
				require.NoError(t, os.RemoveAll(filepath.Join(broken, tc.move)))
			}
			h, _ := open(t, options{Dir: broken})
			for _, name := range []string{"first", "second"} {
				for i := range 3 {
					id := fmt.Sprintf("%s-%d", name, i)
					require.True(t, h.Submit(t, report(id)).Replayed)
					require.Equal(t, tasks.Completed, h.Final(t, id).Status)
				}
			}
		})
	}
}

// The newer log is lost for good: without the groups that knew of it the start tells that the rows are newer, and
// without these too it serves what the older log has.
func TestOlderLogIsAllThereIs(t *testing.T) {
	dir := filled(t, t.TempDir(), "first", 3)
	older := dispatchertest.Copy(t, dir)
	filled(t, dir, "second", 3)
	log := filepath.Join("topics", tasks.TopicCaseReports, "log")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, log)))
	require.NoError(t, os.CopyFS(filepath.Join(dir, log), os.DirFS(filepath.Join(older, log))))
	_, err := broker.Open(filepath.Join(dir, "topics"), broker.Options{})
	require.ErrorContains(t, embedded.ExplainDamage(err), "move topics/case-reports/groups away")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "topics", tasks.TopicCaseReports, "groups")))
	require.Contains(t, refused(t, dir).Cure, "move casepress.db* away")
	dispatchertest.RemoveRows(t, dir)
	h, _ := open(t, options{Dir: dir})
	for i := range 3 {
		require.True(t, h.Submit(t, report(fmt.Sprintf("first-%d", i))).Replayed)
		require.False(t, h.Submit(t, report(fmt.Sprintf("second-%d", i))).Replayed)
		require.Equal(t, tasks.Completed, h.Final(t, fmt.Sprintf("second-%d", i)).Status)
	}
}

// change alters rows behind the service's back.
func change(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "casepress.db"))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), statement)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// Rows of which a part is of another time than the rest, which the database itself cannot tell: no id that was
// acknowledged is taken again, and none is said not to be there. Without the database all is there again.
func TestRowsThatLostAPart(t *testing.T) {
	for name, statement := range map[string]string{
		"row":      `DELETE FROM submissions WHERE id = 'CR-1'`,
		"content":  `DELETE FROM case_reports WHERE id = 'CR-1'`,
		"another":  `UPDATE submissions SET patient_id = 'P002' WHERE id = 'CR-1'`,
		"image":    `DELETE FROM case_report_images WHERE report_id = 'CR-1'`,
		"received": `UPDATE submissions SET received_at = received_at + 1 WHERE id = 'CR-1'`,
		"sequence": `UPDATE submissions SET sequence = 77 WHERE id = 'CR-1'`,
		"type":     `UPDATE submissions SET finished_at = finished_at + 0.5 WHERE id = 'CR-1'`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, t.TempDir(), "CR", 3)
			change(t, dir, statement)
			h, shut := open(t, options{Dir: dir})
			other := report("CR-1")
			other.PatientID = "P999"
			_, err := h.Accept(t.Context(), submission(other))
			if _, conflict := errors.AsType[*dispatcher.ConflictError](err); !conflict { // the id at least was there
				require.ErrorIs(t, err, store.ErrDamaged)
			}
			_, err = h.Accept(t.Context(), submission(report("CR-1")))
			require.ErrorIs(t, err, store.ErrDamaged)
			require.NoError(t, h.CaughtUp(t.Context()))
			_, err = h.Store.Get(t.Context(), ref("gone"))
			require.ErrorIs(t, err, store.ErrDamaged, "what is not found may have been lost")
			require.ErrorContains(t, h.Store.Ping(t.Context()), "move "+filepath.Join(dir, "casepress.db")+"* away")
			require.Eventually(t, func() bool { return errors.Is(h.Ready(), store.ErrDamaged) }, dispatchertest.Patience, time.Millisecond)
			require.True(t, h.Submit(t, report("CR-2")).Replayed, "what is there is served")
			shut(false)

			dispatchertest.RemoveRows(t, dir)
			h, _ = open(t, options{Dir: dir})
			for i := range 3 {
				row := h.Final(t, fmt.Sprintf("CR-%d", i))
				require.Equal(t, tasks.Completed, row.Status)
				require.Equal(t, report(row.ID), row.Content)
			}
			require.NoError(t, h.Store.Ping(t.Context()))
		})
	}
}

// A letter in the schema with which every new row is wrong: what is accepted cannot be claimed, which is told, and is worked on
// once the rows are made again.
func TestClaimsThatMeetADamagedSchema(t *testing.T) {
	dir := filled(t, t.TempDir(), "CR", 1)
	change(t, dir, `PRAGMA writable_schema = 1;
		UPDATE sqlite_master SET sql = replace(sql, 'started_at      BIGINT  NOT NULL DEFAULT 0', 'started_at      BIGINT  NOT NULL DEFAULT p') WHERE name = 'submissions'`)
	h, shut := open(t, options{Dir: dir})
	h.Submit(t, report("new"))
	require.Eventually(t, func() bool { return h.Store.Ping(t.Context()) != nil }, dispatchertest.Patience, time.Millisecond)
	require.ErrorContains(t, h.Store.Ping(t.Context()), "move "+filepath.Join(dir, "casepress.db")+"* away")
	shut(false)
	dispatchertest.RemoveRows(t, dir)
	h, _ = open(t, options{Dir: dir})
	require.Equal(t, tasks.Completed, h.Final(t, "CR-0").Status)
	require.Equal(t, tasks.Completed, h.Final(t, "new").Status)
}

// Rows that cannot be compared with the log may have lost an id, which could be taken again: the ledger is not ready, whatever the
// reason. One that passes is no reason any more, and needs no restart.
func TestRowsThatCannotBeCompared(t *testing.T) {
	dir := filled(t, t.TempDir(), "CR", 1)
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		changeKind(t, func(k *tasks.Kind) {
			load := k.Rows.Load
			k.Rows.Load = func(tx tasks.Tx, of []tasks.Stored) (map[string]tasks.Loaded, error) {
				if away.Load() {
					return nil, errors.New("the disk is away")
				}
				return load(tx, of)
			}
		})
		h, shut := open(t, options{Dir: dir})
		require.NoError(t, h.CaughtUp(t.Context())) // and so rows and log were compared
		require.ErrorContains(t, h.Ready(), "the disk is away")
		time.Sleep(time.Hour)
		require.ErrorContains(t, h.Ready(), "the disk is away")
		away.Store(false)
		time.Sleep(time.Hour)
		require.NoError(t, h.Ready())
		shut(false)
	})
}

// An image that was put ahead and lost by the rows is not taken for another.
func TestImagesThatRowsHaveLost(t *testing.T) {
	dir := t.TempDir()
	h, shut := open(t, options{Dir: dir})
	img := tasks.PatientImage{PatientID: "P001", Image: tasks.Image{ImageID: "IMG007", SHA256: "aa", Bytes: 1, MediaType: "image/png"}}
	_, err := h.Accept(t.Context(), submission(img))
	require.NoError(t, err)
	require.NoError(t, h.CaughtUp(t.Context()))
	shut(false)
	change(t, dir, `DELETE FROM patient_images`)
	h, _ = open(t, options{Dir: dir})
	img.SHA256 = "bb"
	_, err = h.Accept(t.Context(), submission(img))
	require.ErrorIs(t, err, store.ErrDamaged)
}
