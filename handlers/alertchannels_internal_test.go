package handlers

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/study"
)

// An endpoint says how alerts to it stand where its deliveries do, and only if it is the channel of a ladder that there is: not for a
// ladder that was taken away, nor for a mail address with its id as the label.
func TestEndpointWhoseAlertsFail(t *testing.T) {
	dir := t.TempDir()
	for id, rung := range map[string]string{"S1": `{"who":"A","webhook":"e1"}`, "S2": `{"who":"A","mail":"a@example.org","label":"e1"}`, "S3": `{"who":"A","webhook":"e2"}`} {
		content := `{"schema":1,"id":"` + id + `","version":1,"title":"A","languages":["en"],"adverseEvents":{"limitHours":24,"ladder":{"rungs":[` + rung + `],"repeatMinutes":30}}}`
		require.NoError(t, os.WriteFile(filepath.Join(dir, id+".json"), []byte(content), 0o600))
	}
	studies, err := study.Load(dir)
	require.NoError(t, err)
	now := time.Now()
	failing := func(id string, ago time.Duration, reason string) store.AlertChannel {
		return store.AlertChannel{Study: id, Channel: "e1", FailingSince: now.Add(-ago), LastAt: now, LastError: reason}
	}
	tried := []store.AlertChannel{
		failing("S2", 4*time.Hour, "the mail server answered 550"), failing("S3", 3*time.Hour, "of before"), failing("gone", 2*time.Hour, "of before"),
		{Study: "S1", Channel: "e2", FailingSince: now.Add(-time.Hour), LastError: "of another"},
	}
	require.Equal(t, store.WebhookHealth{Waiting: 1}, addAlerts(store.WebhookHealth{Waiting: 1}, "e1", tried, studies))
	tried = append(tried, failing("S1", time.Hour, "the receiver answered 500"))
	require.Equal(t, store.WebhookHealth{FailingSince: now.Add(-time.Hour), LastError: "the receiver answered 500"}, addAlerts(store.WebhookHealth{}, "e1", tried, studies))
	longer := store.WebhookHealth{FailingSince: now.Add(-2 * time.Hour), LastError: "no answer"}
	require.Equal(t, longer, addAlerts(longer, "e1", tried, studies))
}
