package notify_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/notify"
	"casepress/study"
	"casepress/tasks"
)

const (
	noFile     = "WARN a study of open cases has no ladder: nobody is told of them but endpoints registered for adverse-event study=S1 reason=the study has no file "
	lostLadder = "WARN a study of open cases has no ladder: nobody is told of them but endpoints registered for adverse-event study=S1 reason=the study's file has lost its ladder "
	nobodyAt   = "WARN nobody could be told of a case: it waits on the desk study=S1 case="
	noEndpoint = " reason=the study has no ladder, and no endpoint that is enabled was registered for adverse-event when it came"
	nameFolder = " cure=name the folder with its file by --studies, and start again"
)

// onlyWarnings leaves out what is of no case: that channels of ladders can be used or not.
func onlyWarnings(lines []string) (of []string) {
	for _, line := range lines {
		if strings.HasPrefix(line, "WARN ") && !strings.HasPrefix(line, "WARN a channel") {
			of = append(of, line)
		}
	}
	return of
}

// folder is a folder of study files, by their names.
func folder(t *testing.T, files map[string]string) *study.Studies {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	all, err := study.Load(dir)
	require.NoError(t, err)
	return all
}

// reopen starts again with other studies, and returns the system and its log.
func (s *system) reopen(all *study.Studies) (*system, *logLines) {
	s.Helper()
	s.shut()
	log := &logLines{}
	return openSystem(s.T, s.dir, s.receiver, func(c *notify.LadderConfig) { c.Studies, c.Logger = all, slog.New(log) }), log
}

// A server that starts without the file of a study says of how many open cases nobody is told any more, once while they are open, and of
// which of them nobody was told at all.
func TestStudyOfOpenCasesWithoutAFile(t *testing.T) {
	loggedLadder(t, nurseThenDoctor, func(t *testing.T, s *system, _ func(*notify.LadderConfig), log *logLines) {
		s.register("e2", forAlerts)
		s.reportCase("told", "S1")
		after(time.Second)
		s.act(tasks.WebhookChange{ID: "e2", Act: tasks.WebhookDeleted})
		after(time.Second)
		for _, id := range []string{"AE-1", "AE-2"} {
			s.reportCase(id, "S1", func(e *tasks.AdverseEvent) { e.PatientID = "P001" })
		}
		after(10 * time.Minute)
		require.Equal(t, tasks.StateNotified, s.state("told"))
		for _, line := range log.take() {
			require.NotContains(t, line, "no ladder")
		}

		s, log = s.reopen(nil)
		after(time.Second)
		require.Equal(t, []string{noFile + "cases=3 alerted=3" + nameFolder, nobodyAt + "AE-1" + noEndpoint, nobodyAt + "AE-2" + noEndpoint}, log.take())
		after(5 * hour)
		require.Empty(t, log.take())
		require.Empty(t, s.take()[1:], "of what the ladder has sent")

		s.reportCase("AE-3", "S1")
		after(time.Minute)
		require.Equal(t, []string{nobodyAt + "AE-3" + noEndpoint}, log.take())
		for _, id := range []string{"told", "AE-1", "AE-2", "AE-3"} {
			s.acknowledge(id)
		}
		after(5 * hour)
		require.Empty(t, log.take())
		s.reportCase("AE-4", "S1")
		after(time.Minute)
		require.Equal(t, []string{noFile + "cases=1 alerted=0" + nameFolder, nobodyAt + "AE-4" + noEndpoint}, log.take())
	})
}

// What is to be done depends on what is there.
func TestStudyOfOpenCasesHasNoLadder(t *testing.T) {
	loggedLadder(t, nurseThenDoctor, func(t *testing.T, s *system, with func(*notify.LadderConfig), _ *logLines) {
		s.reportCase("AE-1", "S1")
		after(time.Second)
		without := func(id string) string {
			return fmt.Sprintf(`{"schema":1,"id":%q,"version":2,"title":"A","languages":["en"]}`, id)
		}
		for _, c := range []struct {
			file, want string
		}{
			{"", noFile + "cases=1 alerted=1 cure=put its file, S1.json, into the folder of --studies, and start again"},
			{"s1", noFile + "cases=1 alerted=1 cure=ids differ in case, and s1 has a file: give the study one id, in the file and where cases are reported"},
			{"S1", lostLadder + "cases=1 alerted=1 cure=put adverseEvents.ladder back into the study's file, and start again"},
		} {
			files := map[string]string{}
			if c.file != "" {
				files[c.file+".json"] = without(c.file)
			}
			var log *logLines
			s, log = s.reopen(folder(t, files))
			after(time.Second)
			require.Equal(t, []string{c.want, nobodyAt + "AE-1" + noEndpoint}, log.take())
		}

		var c notify.LadderConfig
		with(&c)
		s, log := s.reopen(c.Studies)
		after(time.Second)
		for _, line := range onlyWarnings(log.take()) {
			require.NotContains(t, line, "open cases", "its ladder is there again")
		}

		// One that never had a ladder is as its file says, if somebody hears of its cases; and so is a case of no study.
		s.acknowledge("AE-1")
		s.register("e")
		for _, id := range []string{"S2", ""} {
			s.reportCase("AE of "+id, id)
		}
		_, log = s.reopen(folder(t, map[string]string{"S2.json": without("S2")}))
		after(5 * hour)
		require.Empty(t, log.take())
	})
}

// Without the file each endpoint that is registered for adverse-event is told, also of a case that a ladder has begun with, unless it has its event already.
func TestEndpointsAreToldOnceTheFileIsGone(t *testing.T) {
	loggedLadder(t, nurseThenDoctor, func(t *testing.T, s *system, _ func(*notify.LadderConfig), _ *logLines) {
		var down atomic.Bool
		s.register("taken", func(c *tasks.WebhookChange) { c.Types = []string{tasks.TypeAdverseEvent} })
		s.register("waits", func(c *tasks.WebhookChange) { c.Types = []string{tasks.TypeAdverseEvent} })
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if down.Load() && strings.HasPrefix(m.Path, "/waits") {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		down.Store(true)
		s.reportCase("AE-1", "S1")
		after(time.Second)
		s, log := s.reopen(nil)
		down.Store(false)
		after(5 * time.Minute)
		require.Equal(t, []string{noFile + "cases=1 alerted=1" + nameFolder}, onlyWarnings(log.take()), "somebody can be told")
		require.Equal(t, []string{"received", "notification-failed e1 nurse there is no such webhook endpoint", "notification-failed e2 doctor there is no such webhook endpoint", "notified waits"},
			s.timeline("AE-1"))
		s.reportCase("AE-2", "S1")
		after(time.Second)
		require.ElementsMatch(t, []string{"received", "notified taken", "notified waits"}, s.timeline("AE-2"))

		s.register("late", func(c *tasks.WebhookChange) {
			c.Types, c.After = []string{tasks.TypeAdverseEvent}, s.position("taken").String()
		})
		after(time.Second)
		require.Len(t, s.timeline("AE-1"), 4)
		for _, id := range []string{"taken", "late"} {
			s.act(tasks.WebhookChange{ID: id, Act: tasks.WebhookReplayed, After: "0"})
			after(time.Second)
			require.Contains(t, s.timeline("AE-1"), "notified "+id)
		}
	})
}

// However many studies have no file, the log has few lines of them, and how many more there are.
func TestManyStudiesOfOpenCasesWithoutAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logLines{}
		s := openSystem(t, t.TempDir(), newReceiver(t), func(c *notify.LadderConfig) { c.Logger = slog.New(log) })
		after(time.Second)
		s.register("e")
		for i := range 50 {
			s.reportCase(fmt.Sprintf("AE-%d", i), fmt.Sprintf("S%d", i))
		}
		after(time.Minute)
		lines := log.take()
		require.Len(t, lines, 21)
		require.Equal(t, "WARN further studies of open cases have no file, or have lost their ladder studies=30", lines[20])
		after(5 * hour)
		require.Empty(t, log.take())
	})
}

// A case that cannot be read for a while holds up no other, and is looked at when it can be.
func TestOpenCaseThatCannotBeReadForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logLines{}
		s := openSystem(t, t.TempDir(), newReceiver(t), func(c *notify.LadderConfig) { c.Logger = slog.New(log) })
		after(time.Second)
		for _, id := range []string{"AE-1", "AE-2", "AE-3"} {
			s.reportCase(id, "S1")
		}
		after(time.Second) // a view takes no steps
		s.damage(`ALTER TABLE adverse_event_steps RENAME TO kept;
			CREATE VIEW adverse_event_steps AS SELECT case_id, sequence, step_key, CASE case_id WHEN 'AE-1' THEN ABS(-9223372036854775808) ELSE at END AS at, outcome, state, content, check_sum FROM kept`)
		after(time.Minute)
		lines := log.take()
		require.Len(t, lines, 4)
		require.Equal(t, []string{noFile + "cases=3 alerted=0" + nameFolder, nobodyAt + "AE-2" + noEndpoint, nobodyAt + "AE-3" + noEndpoint}, lines[:3])
		require.Contains(t, lines[3], "ERROR not all open cases in studies without a ladder could be looked at, and they will be looked at again err=steps of AE-1: ")

		s.damage(`DROP VIEW adverse_event_steps; ALTER TABLE kept RENAME TO adverse_event_steps`)
		after(time.Minute)
		require.Equal(t, []string{nobodyAt + "AE-1" + noEndpoint}, log.take())
	})
}

// However many cases nobody was told of, the log has few lines of them, and how many more there are.
func TestManyCasesWithoutALadder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logLines{}
		s := openSystem(t, t.TempDir(), newReceiver(t), func(c *notify.LadderConfig) { c.Logger = slog.New(log) })
		after(time.Second)
		for i := range 50 {
			s.reportCase(fmt.Sprintf("AE-%d", i), "S1")
		}
		after(time.Minute)
		lines := log.take()
		require.Len(t, lines, 22)
		require.Equal(t, noFile+"cases=50 alerted=0"+nameFolder, lines[0])
		require.Equal(t, "WARN nobody could be told of further cases: they wait on the desk alerts=30", lines[21])
		after(5 * hour)
		require.Empty(t, log.take())
	})
}

// An endpoint that is registered between a case and the look is not sent that it was received, until somebody has all sent to it once more.
func TestEndpointThatIsRegisteredAfterTheCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logLines{}
		s := openSystem(t, t.TempDir(), newReceiver(t), func(c *notify.LadderConfig) { c.Logger = slog.New(log) })
		s.answers(status(http.StatusBadGateway))
		s.register("before", func(c *tasks.WebhookChange) { c.Study = "S2" })
		after(time.Second)
		for _, study := range []string{"S1", "S2", "S3"} {
			s.reportCase("AE-of-"+study, study)
		}
		after(time.Second)
		newest := func(c *tasks.WebhookChange) { c.After = s.position("before").String() }
		s.register("late", newest, func(c *tasks.WebhookChange) { c.Study = "S1" })
		s.register("replayed", newest, func(c *tasks.WebhookChange) { c.Study = "S3" })
		after(time.Second)
		s.act(tasks.WebhookChange{ID: "replayed", Act: tasks.WebhookReplayed, After: "0"})
		after(time.Minute)
		ofStudies := func(line string) bool { return !strings.HasPrefix(line, "WARN nobody") }
		require.Equal(t, []string{nobodyAt + "AE-of-S1" + noEndpoint}, slices.DeleteFunc(log.take(), ofStudies))
		require.Equal(t, []string{"received"}, s.timeline("AE-of-S1"))
	})
}
