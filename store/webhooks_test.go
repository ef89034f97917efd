package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
)

// acts records what was done to endpoints, one after the other, as the log has it.
func acts(changes ...tasks.WebhookChange) (batch []tasks.Recorded) {
	for i, c := range changes {
		c.ChangeID = fmt.Sprint(i)
		s := tasks.NewSubmission(tasks.KindWebhookEndpoint(), c)
		s.ReceivedAt = received.Add(time.Duration(i) * time.Hour)
		batch = append(batch, tasks.Recorded{Offset: uint64(i), Submission: s})
	}
	return batch
}

func register(id string) tasks.WebhookChange {
	return tasks.WebhookChange{ID: id, Act: tasks.WebhookRegistered, URL: "https://example.org/" + id, Types: tasks.EventTypes(), Study: "S1", Secret: "whsec_1", After: "7-0123456789ab", AfterSequence: 7}
}

// What people did to endpoints gives the same rows however often and in what pieces its records are read.
func TestWebhookEndpointsAreMadeOfTheLog(t *testing.T) {
	batch := acts(
		register("a"), register("b"), register("c"),
		tasks.WebhookChange{ID: "a", Act: tasks.WebhookRotated, Secret: "whsec_2"},
		tasks.WebhookChange{ID: "b", Act: tasks.WebhookDeleted},
		tasks.WebhookChange{ID: "b", Act: tasks.WebhookRotated, Secret: "whsec_3"},
		tasks.WebhookChange{ID: "b", Act: tasks.WebhookReplayed, After: "0"},
		tasks.WebhookChange{ID: "c", Act: tasks.WebhookReplayed, After: "3", AfterSequence: 3},
		tasks.WebhookChange{ID: "nobody", Act: tasks.WebhookRotated, Secret: "whsec_4"},
		register("a"),
	)
	want := []tasks.WebhookEndpoint{
		{
			ID: "a", URL: "https://example.org/a", Types: tasks.EventTypes(), Study: "S1", State: tasks.WebhookActive, Position: "7-0123456789ab", Changed: 3, CreatedAt: received,
			Secrets: []tasks.WebhookSecret{{Secret: "whsec_2"}, {Secret: "whsec_1", Until: received.Add(27 * time.Hour).UnixMicro()}},
		},
		{
			ID: "c", URL: "https://example.org/c", Types: tasks.EventTypes(), Study: "S1", State: tasks.WebhookActive, Position: "3", Changed: 7, Generation: 7, CreatedAt: received.Add(2 * time.Hour),
			Secrets: []tasks.WebhookSecret{{Secret: "whsec_1"}},
		},
	}
	for pieces := 1; pieces <= len(batch); pieces++ {
		s := openStore(t)
		for range 2 {
			for from := 0; from < len(batch); from += pieces {
				to := min(from+pieces, len(batch))
				require.NoError(t, s.Record(t.Context(), tasks.TopicWebhookEndpoints, batch[from:to], store.Watermark{Next: uint64(to)}))
				require.NoError(t, s.Record(t.Context(), tasks.TopicWebhookEndpoints, batch[from:to], store.Watermark{Next: uint64(to)}))
			}
			got, err := s.WebhookEndpoints(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.NoError(t, s.Check(t.Context()))
		require.Equal(t, []string{"whsec_2", "whsec_1"}, want[0].SecretsAt(received.Add(27*time.Hour-time.Second)))
		require.Equal(t, []string{"whsec_2"}, want[0].SecretsAt(received.Add(27*time.Hour)))
	}
}

func TestWebhookProgress(t *testing.T) {
	s := openStore(t)
	ctx := t.Context()
	require.NoError(t, s.Record(ctx, tasks.TopicWebhookEndpoints, acts(register("a"), register("b")), store.Watermark{Next: 2}))
	waiting := store.Delivery{Sequence: 8, EventID: "e8", Type: "patient-data-update", Subject: "S1/P1", State: store.Waiting, Attempts: 2, FirstAt: received, LastAt: received.Add(time.Second), NextAt: received.Add(time.Hour), LastStatus: 500, LastError: "broken"}
	blocked := store.Delivery{Sequence: 9, EventID: "e9", Type: "patient-data-update", Subject: "S1/P1", State: store.Waiting}
	parked := store.Delivery{Sequence: 10, EventID: "e10", Type: "patient-data-update", Subject: "S1/P2", State: store.Parked, Attempts: 10, FirstAt: received, LastAt: received}
	p := store.WebhookProgress{Endpoint: "a", Generation: 0, Position: "10-0123456789ab", Deliveries: []store.Delivery{waiting, blocked, parked}}
	require.NoError(t, s.SaveWebhookProgress(ctx, p))
	e, err := s.WebhookEndpoint(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, p.Position, e.Position)
	got, err := s.OpenDeliveries(ctx, "a", 10)
	require.NoError(t, err)
	require.Equal(t, []store.Delivery{waiting, blocked}, got)
	got, err = s.OpenDeliveries(ctx, "a", 8)
	require.NoError(t, err)
	require.Equal(t, []store.Delivery{waiting, blocked, parked}, got)
	got, err = s.Deliveries(ctx, "a", store.Parked, 1<<62, 10)
	require.NoError(t, err)
	require.Equal(t, []store.Delivery{parked}, got)
	got, err = s.Deliveries(ctx, "a", "", 10, 1)
	require.NoError(t, err)
	require.Equal(t, []store.Delivery{blocked}, got)
	_, err = s.Deliveries(ctx, "a", "", 10, store.MaxLimit+1)
	require.ErrorIs(t, err, store.ErrBadLimit)
	health, err := s.WebhookHealth(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, store.WebhookHealth{Waiting: 2, Parked: 1, FailingSince: received, LastError: "broken"}, health)
	health, err = s.WebhookHealth(ctx, "b")
	require.NoError(t, err)
	require.Zero(t, health, "each has its own")

	// What was found out under an earlier generation changes nothing.
	replayed := acts(register("a"), register("b"), tasks.WebhookChange{ID: "a", Act: tasks.WebhookReplayed, After: "9", AfterSequence: 9})
	require.NoError(t, s.Record(ctx, tasks.TopicWebhookEndpoints, replayed, store.Watermark{Next: 3}))
	require.ErrorIs(t, s.SaveWebhookProgress(ctx, p), store.ErrStale)
	got, err = s.Deliveries(ctx, "a", "", 1<<62, 10)
	require.NoError(t, err)
	require.Equal(t, []store.Delivery{blocked, waiting}, got, "those behind 9 are sent again")
	require.NoError(t, s.SaveWebhookProgress(ctx, store.WebhookProgress{Endpoint: "a", Generation: 2, Position: "9", Disable: "gone"}))
	e, err = s.WebhookEndpoint(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, []any{tasks.WebhookDisabled, "gone"}, []any{e.State, e.Reason})
	require.NoError(t, s.SaveWebhookProgress(ctx, store.WebhookProgress{Endpoint: "a", Generation: 2, Position: "0", Anew: true}))
	got, err = s.Deliveries(ctx, "a", "", 1<<62, 10)
	require.NoError(t, err)
	require.Empty(t, got)
	require.ErrorIs(t, s.SaveWebhookProgress(ctx, store.WebhookProgress{Endpoint: "nobody"}), store.ErrStale)
	_, err = s.WebhookEndpoint(ctx, "nobody")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// A row that the disk has changed to what no row can be is found: what people do to its endpoint would come to nothing, or its events
// would never be sent.
func TestImpossibleWebhookRows(t *testing.T) {
	for _, tc := range []struct {
		change string
		opens  bool // endpoints can be read, and only Check finds it
	}{
		{"UPDATE webhook_endpoints SET state = 'actiwe'", false},
		{"UPDATE webhook_endpoints SET state = 'deleted' WHERE id = 'a'", false},
		{"UPDATE webhook_endpoints SET changed = 2", false},
		{"UPDATE webhook_endpoints SET generation = 1 WHERE id = 'a'", false},
		{"UPDATE webhook_deliveries SET state = 'waitinh'", true},
		{"UPDATE webhook_deliveries SET endpoint = 'nobody'", true},
		{"DELETE FROM webhook_endpoints WHERE id = 'a'", true},
	} {
		t.Run(tc.change, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			s, err := store.Open(t.Context(), path)
			require.NoError(t, err)
			defer s.Close()
			require.NoError(t, s.Record(t.Context(), tasks.TopicWebhookEndpoints, acts(register("a"), register("b")), store.Watermark{Next: 2}))
			require.NoError(t, s.SaveWebhookProgress(t.Context(), store.WebhookProgress{Endpoint: "a", Position: "8-0123456789ab", Deliveries: []store.Delivery{{Sequence: 8, State: store.Waiting}}}))
			require.NoError(t, s.Check(t.Context()))
			db, err := sql.Open("sqlite", path)
			require.NoError(t, err)
			_, err = db.Exec(tc.change)
			require.NoError(t, err)
			require.NoError(t, db.Close())
			_, err = s.WebhookEndpoints(t.Context())
			if tc.opens {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, store.ErrDamaged)
				require.ErrorContains(t, err, "move "+path)
			}
			require.ErrorIs(t, s.Check(t.Context()), store.ErrDamaged)
		})
	}
}

// webhookRows is a store with a waiting and a parked delivery, and a way to change its rows behind its back.
func webhookRows(t *testing.T) (s *store.Store, exec func(query string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Record(t.Context(), tasks.TopicWebhookEndpoints, acts(register("a")), store.Watermark{Next: 1}))
	waiting := store.Delivery{Sequence: 8, EventID: "e8", Type: "adverse-event", Subject: "S1/P1", State: store.Waiting, Attempts: 2, FirstAt: received, LastAt: received, NextAt: received, LastStatus: 500, LastError: "broken"}
	parked := waiting
	parked.Sequence, parked.State = 9, store.Parked
	require.NoError(t, s.SaveWebhookProgress(t.Context(), store.WebhookProgress{Endpoint: "a", Position: "9-0123456789ab", Deliveries: []store.Delivery{waiting, parked}}))
	return s, func(query string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		_, err = db.Exec(query)
		require.NoError(t, err)
		require.NoError(t, db.Close())
	}
}

// Whatever the disk has changed in a delivery or in how far sending has come, nobody is served it, and nothing is sent by it.
func TestChangedWebhookProgress(t *testing.T) {
	for table, columns := range map[string][]string{
		"webhook_deliveries": {
			"event_id = 'f8'", "type = 'adverse-evenu'", "subject = 'S1/P2'", "state = 'waitinh'", "attempts = 3", "first_at = first_at + 1", "last_at = last_at + 1",
			"next_at = 0", "last_status = 501", "last_error = 'brokeo'",
		},
		"webhook_endpoints": {"state = 'disabled'", "reason = 'x'", "position = '8-0123456789ab'", "changed = -1"},
	} {
		for _, column := range columns {
			t.Run(table+" "+column, func(t *testing.T) {
				s, exec := webhookRows(t)
				exec("UPDATE " + table + " SET " + column)
				if table == "webhook_endpoints" {
					_, err := s.WebhookEndpoints(t.Context())
					require.ErrorIs(t, err, store.ErrDamaged)
					require.ErrorIs(t, s.SaveWebhookProgress(t.Context(), store.WebhookProgress{Endpoint: "a", Position: "9"}), store.ErrDamaged)
				} else {
					_, err := s.OpenDeliveries(t.Context(), "a", 9)
					require.ErrorIs(t, err, store.ErrDamaged)
					require.ErrorContains(t, err, "event 8 to webhook endpoint a")
					_, err = s.Deliveries(t.Context(), "a", "", 1<<62, 10)
					require.ErrorIs(t, err, store.ErrDamaged)
					if !strings.HasPrefix(column, "state") {
						_, err = s.WebhookHealth(t.Context(), "a")
						require.ErrorIs(t, err, store.ErrDamaged)
					}
				}
				require.ErrorIs(t, s.Check(t.Context()), store.ErrDamaged)
			})
		}
	}
}

// Rows of before have no check sum: they are served as they are, and have one when they are written again.
func TestWebhookProgressOfTheEleventhSchema(t *testing.T) {
	o := makeOld(t, 11)
	o.exec(t, `INSERT INTO watermarks (topic, next, check_sum) VALUES ($1, 1, '')`, tasks.TopicWebhookEndpoints)
	created := tasks.WebhookEndpoint{ID: "a", URL: "https://example.org/a", CreatedAt: received}
	o.exec(t, `INSERT INTO webhook_endpoints (id, url, types, study, secrets, created_at, check_sum, state, changed, generation, reason, position)
		VALUES ('a', $1, '[]', '', '[]', $2, $3, 'active', 0, 0, '', '7')`, created.URL, received.UnixMicro(), tasks.CheckSumOf("a", created.URL, "[]", "", "[]", received.UnixMicro()))
	o.exec(t, `INSERT INTO webhook_deliveries (endpoint, sequence, event_id, type, subject, state, attempts, first_at, last_at, next_at, last_status, last_error)
		VALUES ('a', 8, 'e8', 'adverse-event', 'S1/P1', 'waiting', 0, 0, 0, 0, 0, '')`)
	s := openAt(t, o.path)
	endpoint, err := s.WebhookEndpoint(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "7", endpoint.Position)
	open, err := s.OpenDeliveries(t.Context(), "a", 7)
	require.NoError(t, err)
	require.Equal(t, []store.Delivery{{Sequence: 8, EventID: "e8", Type: "adverse-event", Subject: "S1/P1", State: store.Waiting}}, open)
	require.NoError(t, s.Check(t.Context()))
	require.NoError(t, s.SaveWebhookProgress(t.Context(), store.WebhookProgress{Endpoint: "a", Position: "8", Deliveries: open}))
	var without int
	require.NoError(t, store.Reads(s).QueryRow(`SELECT (SELECT COUNT(*) FROM webhook_deliveries WHERE check_sum = 0) +
		(SELECT COUNT(*) FROM webhook_endpoints WHERE progress_check_sum = 0)`).Scan(&without))
	require.Zero(t, without)
	require.NoError(t, s.Check(t.Context()))
}

// What was delivered is not counted, and not walked over either.
func TestWebhookHealthUsesAnIndex(t *testing.T) {
	plan := explain(t, openStore(t), store.HealthQuery, []any{"a"})
	require.Contains(t, plan, "COVERING INDEX webhook_deliveries_by_state (endpoint=? AND state=?)")
	require.NotContains(t, plan, "TEMP B-TREE")
}
