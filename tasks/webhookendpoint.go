package tasks

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const kindWebhookEndpoint = "webhook-endpoint"

var webhookEndpointKind = &Kind{
	Name:   kindWebhookEndpoint,
	Member: "content",
	Topic:  TopicWebhookEndpoints,
	Decode: decodeWebhookChange,
	Rows: Rows{
		Insert:  insertWebhookChange,
		Changed: func(Content) Ref { return WebhookEndpoints() },
		Verify:  verifyWebhooks,
	},
}

// KindWebhookEndpoint is the kind of what people do to the endpoints that events are sent to.
func KindWebhookEndpoint() *Kind { return webhookEndpointKind }

// TopicWebhookEndpoints holds what people did to endpoints. It has the secrets that events are signed with.
const TopicWebhookEndpoints = "webhook-endpoints"

// WebhookEndpoints is what to watch to hear that an endpoint has changed.
func WebhookEndpoints() Ref { return Ref{Kind: kindWebhookEndpoint} }

// WebhookAct is what a person did to an endpoint.
type WebhookAct string

// What a person can do to an endpoint.
const (
	WebhookRegistered WebhookAct = "registered"
	WebhookRotated    WebhookAct = "rotated"
	WebhookReplayed   WebhookAct = "replayed"
	WebhookDeleted    WebhookAct = "deleted"
)

// WebhookChange is one act. Of two that compete the log decides: what comes behind a deletion changes nothing.
type WebhookChange struct {
	// ID is that of the endpoint; ChangeID tells acts apart.
	ID       string     `json:"id"`
	ChangeID string     `json:"changeId"`
	Act      WebhookAct `json:"act"`
	// URL, Types and Study are set where it was registered: what is sent, and to where. Study "" is all studies.
	URL   string   `json:"url,omitempty"`
	Types []string `json:"types,omitempty"`
	Study string   `json:"study,omitempty"`
	// Secret is set where it was registered or rotated.
	Secret string `json:"secret,omitempty"`
	// After is the position behind which events are sent from now on, where it was registered or replayed.
	After string `json:"after,omitempty"`
	// AfterSequence is the sequence in After.
	AfterSequence uint64 `json:"afterSequence,omitempty"`
}

// Header has the id of the endpoint.
func (c WebhookChange) Header() Header { return Header{ID: c.ID, Study: c.Study} }

// Digest is empty: two acts are never compared.
func (c WebhookChange) Digest() string { return "" }

// Key tells acts apart.
func (c WebhookChange) Key() string { return c.ID + "/" + c.ChangeID }

// WebhookSecret is a secret that events are signed with.
type WebhookSecret struct {
	Secret string `json:"secret"`
	// Until is when it ends, in microseconds since 1970; 0: it is the newest and does not.
	Until int64 `json:"until,omitempty"`
}

// SecretOverlap is how long events are signed with the secret before, too, after it was rotated.
const SecretOverlap = 24 * time.Hour

// WebhookState says whether events are sent to an endpoint. The row of one that was deleted stays, as "deleted", so that
// records that are read once more do not bring it back; nobody else sees it.
type WebhookState string

const (
	// WebhookActive: events are sent.
	WebhookActive WebhookState = "active"
	// WebhookDisabled: the receiver has answered that it wants no more. Events wait until somebody replays them.
	WebhookDisabled WebhookState = "disabled"
	webhookDeleted  WebhookState = "deleted"
)

// WebhookEndpoint is where events are sent.
type WebhookEndpoint struct {
	ID        string
	URL       string
	Types     []string // sent are events of these types
	Study     string   // of this study; "": of all
	Secrets   []WebhookSecret
	CreatedAt time.Time
	State     WebhookState
	Reason    string // why it is disabled
	// Changed is the offset of the last record about it.
	Changed int64
	// Generation changes when a person says where to begin. What was found out about an earlier one is of no use.
	Generation int64
	// Position among the events: every event up to it is delivered, is not for this endpoint, or has a row of its own.
	Position string
}

// Wants reports whether an event is to be sent to the endpoint.
func (e WebhookEndpoint) Wants(event ToldEvent) bool {
	return slices.Contains(e.Types, event.Type) && (e.Study == "" || e.Study == event.Study)
}

// SecretsAt are the secrets that events are signed with at a time, the newest first.
func (e WebhookEndpoint) SecretsAt(now time.Time) (secrets []string) {
	for _, s := range e.Secrets {
		if s.Until == 0 || now.UnixMicro() < s.Until {
			secrets = append(secrets, s.Secret)
		}
	}
	return secrets
}

// checkSum is of what people have said of the endpoint.
func (e WebhookEndpoint) checkSum(types, secrets string) int64 {
	return CheckSumOf(e.ID, e.URL, types, e.Study, secrets, micros(e.CreatedAt))
}

// progressCheckSum is of what sending has found out, and of the records by which it knows whether that still counts.
func (e WebhookEndpoint) progressCheckSum() int64 {
	return CheckSumOf(e.ID, e.State, e.Changed, e.Generation, e.Reason, e.Position)
}

func decodeWebhookChange(content json.RawMessage) (Content, error) {
	c, err := decodeAs[WebhookChange](content)
	if err != nil {
		return nil, err
	}
	switch act := c.(WebhookChange).Act; act {
	case WebhookRegistered, WebhookRotated, WebhookReplayed, WebhookDeleted:
		return c, nil
	default:
		return nil, fmt.Errorf("an endpoint cannot be %q", act)
	}
}

func insertWebhookChange(tx Tx, r Recorded) error {
	c := r.Content.(WebhookChange)
	switch c.Act {
	case WebhookRegistered:
		return registerWebhook(tx, r, c)
	case WebhookRotated:
		return rotateWebhook(tx, r, c)
	case WebhookReplayed:
		n, err := beginWebhook(tx, WebhookEndpoint{ID: c.ID, State: WebhookActive, Position: c.After}, r.Offset)
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(`DELETE FROM webhook_deliveries WHERE endpoint = $1 AND sequence > $2`, c.ID, int64(c.AfterSequence))
		return err
	case WebhookDeleted:
		n, err := beginWebhook(tx, WebhookEndpoint{ID: c.ID, State: webhookDeleted}, r.Offset)
		if err != nil || n == 0 {
			return err
		}
		if _, err := tx.Exec(`UPDATE webhook_endpoints SET secrets = '' WHERE id = $1`, c.ID); err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM webhook_deliveries WHERE endpoint = $1`, c.ID)
		return err
	}
	return fmt.Errorf("an endpoint cannot be %q", c.Act)
}

// beginWebhook lets sending begin with the state and the position of e, by the record at the offset. It returns how many rows
// have changed: none where the record counted before, or the endpoint was deleted.
func beginWebhook(tx Tx, e WebhookEndpoint, offset uint64) (int64, error) {
	const update = `UPDATE webhook_endpoints SET state = $1, reason = '', position = $2, changed = $3, generation = $3, progress_check_sum = $4
		WHERE id = $5 AND changed < $3 AND state <> 'deleted'`
	e.Changed, e.Generation = int64(offset), int64(offset)
	return tx.Exec(update, string(e.State), e.Position, e.Changed, e.progressCheckSum(), e.ID)
}

// MoveWebhook moves an endpoint to a position, and disables it for a reason unless that is "". It returns whether it did: not where
// a person has said since the generation where to begin, or has deleted the endpoint.
func MoveWebhook(tx Tx, id string, generation int64, position, disable string) (moved bool, err error) {
	all, err := loadWebhooks(tx, `id = $1 AND generation = $2 AND state <> 'deleted'`, id, generation)
	if err != nil || len(all) == 0 {
		return false, err
	}
	e := all[0]
	e.Position = position
	if disable != "" {
		e.State, e.Reason = WebhookDisabled, disable
	}
	_, err = tx.Exec(`UPDATE webhook_endpoints SET state = $1, reason = $2, position = $3, progress_check_sum = $4 WHERE id = $5`,
		string(e.State), e.Reason, e.Position, e.progressCheckSum(), id)
	return true, err
}

func registerWebhook(tx Tx, r Recorded, c WebhookChange) error {
	e := WebhookEndpoint{
		ID: c.ID, URL: c.URL, Study: c.Study, CreatedAt: r.ReceivedAt,
		State: WebhookActive, Changed: int64(r.Offset), Generation: int64(r.Offset), Position: c.After,
	}
	types, secrets, err := encodeLists(c.Types, []WebhookSecret{{Secret: c.Secret}})
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO webhook_endpoints (id, url, types, study, secrets, created_at, check_sum, state, changed, generation, reason, position, progress_check_sum)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', $11, $12) ON CONFLICT (id) DO NOTHING`,
		e.ID, e.URL, types, e.Study, secrets, micros(e.CreatedAt), e.checkSum(types, secrets), string(e.State), e.Changed, e.Generation, e.Position, e.progressCheckSum())
	return err
}

func encodeLists(types []string, secrets []WebhookSecret) (typesText, secretsText string, err error) {
	t, err := json.Marshal(types)
	if err != nil {
		return "", "", err
	}
	s, err := json.Marshal(secrets)
	return string(t), string(s), err
}

// rotateWebhook puts the new secret first, lets the ones before end, and drops those that have ended.
func rotateWebhook(tx Tx, r Recorded, c WebhookChange) error {
	all, err := loadWebhooks(tx, `id = $1 AND changed < $2 AND state <> 'deleted'`, c.ID, int64(r.Offset))
	if err != nil || len(all) == 0 {
		return err
	}
	e := all[0]
	secrets := []WebhookSecret{{Secret: c.Secret}}
	for _, s := range e.Secrets {
		if s.Until == 0 {
			s.Until = micros(r.ReceivedAt.Add(SecretOverlap))
		}
		if s.Until > micros(r.ReceivedAt) {
			secrets = append(secrets, s)
		}
	}
	typesText, secretsText, err := encodeLists(e.Types, secrets)
	if err != nil {
		return err
	}
	e.Changed = int64(r.Offset)
	_, err = tx.Exec(`UPDATE webhook_endpoints SET secrets = $1, check_sum = $2, changed = $3, progress_check_sum = $4 WHERE id = $5`,
		secretsText, e.checkSum(typesText, secretsText), e.Changed, e.progressCheckSum(), c.ID)
	return err
}

// LoadWebhookEndpoints reads the endpoints that are not deleted, the oldest first. ErrChanged if one is not as it was written, or
// is as no row can be.
func LoadWebhookEndpoints(tx Tx) ([]WebhookEndpoint, error) {
	// A row that says it has records that are still to come would take none of them, and nobody would hear of it.
	const ahead = `SELECT id FROM webhook_endpoints WHERE generation > changed OR changed >=
		COALESCE((SELECT next FROM watermarks WHERE topic = $1), 0) ORDER BY id LIMIT 1`
	if err := none(tx, "webhook endpoint %s is ahead of its records", ahead, TopicWebhookEndpoints); err != nil {
		return nil, err
	}
	// Who deletes one takes its secrets. With them it only seems to be deleted, and nothing would be sent any more.
	const secrets = `SELECT id FROM webhook_endpoints WHERE state = 'deleted' AND secrets <> '' ORDER BY id LIMIT 1`
	if err := none(tx, "webhook endpoint %s is deleted and has secrets", secrets); err != nil {
		return nil, err
	}
	return loadWebhooks(tx, `state <> 'deleted'`)
}

// verifyWebhooks looks at the deliveries, too: one in no state would never be tried.
func verifyWebhooks(tx Tx) error {
	const query = `SELECT endpoint || ' of event ' || sequence FROM webhook_deliveries WHERE state NOT IN ('waiting', 'delivered', 'parked')
		OR attempts < 0 OR endpoint NOT IN (SELECT id FROM webhook_endpoints WHERE state <> 'deleted') LIMIT 1`
	if _, err := LoadWebhookEndpoints(tx); err != nil {
		return err
	}
	return none(tx, "the delivery to webhook endpoint %s", query)
}

// none returns ErrChanged, with what is wrong, if the query finds a name.
func none(tx Tx, wrong, query string, args ...any) error {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return err
	}
	var name string
	if err := EachRow(rows, func() error { return rows.Scan(&name) }); err != nil || name == "" {
		return err
	}
	return fmt.Errorf("%w: "+wrong, ErrChanged, name)
}

func loadWebhooks(tx Tx, where string, args ...any) (all []WebhookEndpoint, err error) {
	rows, err := tx.Query(`SELECT id, url, types, study, secrets, created_at, check_sum, state, changed, generation, reason, position, progress_check_sum FROM webhook_endpoints
		WHERE `+where+` ORDER BY created_at, id`, args...)
	if err != nil {
		return nil, err
	}
	err = EachRow(rows, func() error {
		var e WebhookEndpoint
		var types, secrets string
		var createdAt, sum, progressSum int64
		err := rows.Scan(&e.ID, &e.URL, &types, &e.Study, &secrets, &createdAt, &sum, &e.State, &e.Changed, &e.Generation, &e.Reason, &e.Position, &progressSum)
		if err != nil {
			return err
		}
		e.CreatedAt = fromMicros(createdAt)
		if sum != e.checkSum(types, secrets) || progressSum != 0 && progressSum != e.progressCheckSum() || e.State != WebhookActive && e.State != WebhookDisabled {
			return fmt.Errorf("%w: webhook endpoint %s", ErrChanged, e.ID)
		}
		if err := json.Unmarshal([]byte(types), &e.Types); err != nil {
			return fmt.Errorf("types of webhook endpoint %s: %w", e.ID, err)
		}
		if err := json.Unmarshal([]byte(secrets), &e.Secrets); err != nil {
			return fmt.Errorf("secrets of webhook endpoint %s: %w", e.ID, err)
		}
		all = append(all, e)
		return nil
	})
	return all, err
}
