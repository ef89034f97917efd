package notify_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/notify"
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
		require.Equal(t, []string{"nurse hears of e2: the receiver answered 502"}, s.channelAlerts())
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
