package notify_test

import (
	"context"
	"fmt"
	"net/http"
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

// channelAlerts are the messages of channels that fail that have come since the last call: "nurse hears of e2: why".
func (s *system) channelAlerts() (all []string) {
	s.Helper()
	for _, m := range s.take() {
		if !strings.Contains(string(m.body), `"type":"alert-channel-failing"`) {
			continue
		}
		_, reason, _ := strings.Cut(string(m.body), `"reason":"`)
		reason, _, _ = strings.Cut(reason, `"`)
		all = append(all, fmt.Sprintf("%s hears of %s: %s", m.Who, strings.Join(m.Failing, " "), reason))
	}
	return all
}

// A channel that does not work is itself an alert on another one, once a day, and not after it works again; a restart
// does not tell of it once more.
func TestChannelThatFailsIsAnAlert(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": nurseThenDoctor}, func(t *testing.T, s *system, with func(*notify.LadderConfig)) {
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Path == "/e2" {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		s.reportCase("AE-1", "S1")
		after(16 * time.Minute)
		s.acknowledge("AE-1") // the doctor's alert has failed
		require.Empty(t, s.channelAlerts())
		after(13 * time.Minute)
		require.Empty(t, s.channelAlerts(), "not yet")
		after(4 * time.Minute)
		require.Equal(t, []string{"nurse hears of e2: the receiver answered 502"}, s.channelAlerts())
		after(23 * hour)
		s.shut()
		s = openSystem(t, s.dir, s.receiver, with)
		after(30 * time.Minute)
		require.Empty(t, s.channelAlerts())
		after(hour)
		require.Equal(t, []string{"doctor hears of e2: the receiver answered 502", "nurse hears of e2: the receiver answered 502"}, s.channelAlerts(),
			"the channel was asked itself, too")
		s.answers(nil)
		s.reportCase("AE-2", "S1")
		after(16 * time.Minute)
		require.Equal(t, tasks.StateNotified, s.state("AE-2"))
		s.acknowledge("AE-2")
		s.take()
		after(100 * hour)
		require.Empty(t, s.channelAlerts())
	})
}

// An endpoint of a ladder that is not there is told of without any case, and so is one that takes no events.
func TestChannelThatFailsWithoutACase(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": `{"who":"nobody","webhook":"gone"},` + nurseThenDoctor}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		after(17 * time.Minute)
		require.Equal(t, []string{"nurse hears of gone: there is no such webhook endpoint"}, s.channelAlerts())
		s.register("gone", func(c *tasks.WebhookChange) { c.After = "0" })
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Path == "/gone" {
				w.WriteHeader(http.StatusInsufficientStorage)
			}
		})
		s.publish(1, "P1")
		after(14 * time.Minute)
		require.Empty(t, s.channelAlerts())
		after(3 * time.Minute)
		require.Equal(t, []string{"nurse hears of gone: the receiver answered 507"}, s.channelAlerts())
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Path == "/gone" {
				w.WriteHeader(http.StatusGone)
			}
		})
		after(20 * time.Minute)
		require.Equal(t, tasks.WebhookDisabled, s.endpoint("gone").State)
		after(20 * time.Minute)
		require.Equal(t, []string{"nurse hears of gone: the endpoint is disabled: the receiver answered 410 (Gone)"}, s.channelAlerts())
	})
}

// A mail server that takes no mails is told of before the first case, and is forgotten when it does again.
func TestMailServerThatFailsWithoutACase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unready atomic.Pointer[string]
		set := func(reason string) { unready.Store(&reason) }
		set("")
		with := studies(t, map[string]string{"S1": `{"who":"Li","mail":"li@example.org","label":"Li's mail"},` + nurseThenDoctor})
		s := openSystem(t, t.TempDir(), newReceiver(t), func(c *notify.LadderConfig) {
			with(c)
			c.Mail = func(context.Context, study.Rung, notify.Alert) error { return nil }
			c.MailUnready = func() string { return *unready.Load() }
		})
		s.register("e1", func(c *tasks.WebhookChange) { c.Types = []string{tasks.TopicUpdates} })
		channel := func() (failing bool, reason string) {
			all, err := s.Store.AlertChannels(context.Background())
			require.NoError(t, err)
			for _, c := range all {
				if c.Channel == "Li's mail" {
					return !c.FailingSince.IsZero(), c.LastError
				}
			}
			return false, ""
		}
		after(20 * time.Minute)
		require.Empty(t, s.channelAlerts())
		set("AUTH: the server answered 535")
		after(2 * time.Minute)
		failing, reason := channel()
		require.True(t, failing)
		require.Equal(t, "the mail server takes no mails: AUTH: the server answered 535", reason)
		after(16 * time.Minute)
		require.Equal(t, []string{"nurse hears of Li's mail: the mail server takes no mails: AUTH: the server answered 535"}, s.channelAlerts())
		set("")
		after(2 * time.Minute)
		failing, reason = channel()
		require.False(t, failing)
		require.Empty(t, reason)
		after(30 * hour)
		require.Empty(t, s.channelAlerts())
	})
}

// A channel whose last alert has failed is asked itself, once a day, and works from when it takes that, without a case. It is
// asked in a study that has no other channel as well.
func TestChannelThatWorksAgainWithoutACase(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": `{"who":"nurse","webhook":"e1"}`}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		failing := func() bool {
			all, err := s.Store.AlertChannels(context.Background())
			require.NoError(t, err)
			require.Len(t, all, 1)
			return !all[0].FailingSince.IsZero()
		}
		s.answers(func(_ message, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		s.reportCase("AE-1", "S1")
		after(time.Second)
		s.acknowledge("AE-1")
		s.take()
		s.answers(nil)
		after(23 * hour)
		require.Empty(t, s.take())
		require.True(t, failing())
		after(2 * hour)
		require.Equal(t, []string{"nurse hears of e1: the receiver answered 502"}, s.channelAlerts())
		require.False(t, failing())
		after(100 * hour)
		require.Empty(t, s.take())
	})
}

// An endpoint that has taken an event since its last alert failed works.
func TestChannelThatHasTakenAnEvent(t *testing.T) {
	virtualLadder(t, map[string]string{"S1": `{"who":"nurse","webhook":"e3"}`}, func(t *testing.T, s *system, _ func(*notify.LadderConfig)) {
		s.register("e3", func(c *tasks.WebhookChange) { c.Types = []string{tasks.TopicUpdates} })
		s.answers(func(m message, w http.ResponseWriter, _ *http.Request) {
			if m.Case != "" {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		s.reportCase("AE-1", "S1")
		after(10 * time.Second)
		s.acknowledge("AE-1")
		s.publish(1, "P1")
		after(2 * time.Minute)
		all, err := s.Store.AlertChannels(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Zero(t, all[0].FailingSince)
		require.Empty(t, all[0].LastError)
	})
}
