package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"casepress/tasks"
)

// DeliveryState says where the delivery of an event to an endpoint stands.
type DeliveryState string

// The states of a delivery.
const (
	// Waiting: it will be tried, or tried again.
	Waiting DeliveryState = "waiting"
	// Delivered: the receiver has answered 2xx.
	Delivered DeliveryState = "delivered"
	// Parked: every attempt of the schedule has failed. It is kept and can be replayed.
	Parked DeliveryState = "parked"
)

// DeliveryStates returns every state.
func DeliveryStates() []DeliveryState { return []DeliveryState{Waiting, Delivered, Parked} }

// Delivery is an event on its way to an endpoint.
type Delivery struct {
	Sequence uint64 // of the event
	EventID  string
	Type     string
	Subject  string // whose events keep their order
	State    DeliveryState
	Attempts int
	FirstAt  time.Time // of the first attempt; zero: there was none
	LastAt   time.Time
	NextAt   time.Time // of the next attempt, once those before it of its subject are delivered or parked; zero: at once
	// LastStatus is the HTTP status of the last answer, 0 without one; LastError why the attempt failed.
	LastStatus int
	LastError  string
}

// keptDeliveries is how many events that were delivered an endpoint keeps rows of.
const keptDeliveries = 1000

// WebhookEndpoints returns the endpoints that are not deleted, the oldest first.
func (s *Store) WebhookEndpoints(ctx context.Context) ([]tasks.WebhookEndpoint, error) {
	all, err := tasks.LoadWebhookEndpoints(s.reading(ctx))
	if err != nil {
		return nil, s.explain(err, "webhook endpoints")
	}
	return all, nil
}

// WebhookEndpoint returns one endpoint, or ErrNotFound.
func (s *Store) WebhookEndpoint(ctx context.Context, id string) (tasks.WebhookEndpoint, error) {
	all, err := s.WebhookEndpoints(ctx) // there are few
	if err != nil {
		return tasks.WebhookEndpoint{}, err
	}
	for _, e := range all {
		if e.ID == id {
			return e, nil
		}
	}
	return tasks.WebhookEndpoint{}, s.explain(ErrNotFound, "webhook endpoint %s", id)
}

// WebhookHealth is how the deliveries of an endpoint stand.
type WebhookHealth struct {
	Waiting, Parked int
	// FailingSince is the first attempt of the oldest event that waits and was tried; zero if there is none. LastError is why
	// its last attempt failed.
	FailingSince time.Time
	LastError    string
}

// The index looks up the two states, and not what was delivered.
const healthQuery = `SELECT state, COUNT(*) FROM webhook_deliveries WHERE endpoint = $1 AND state IN ('waiting', 'parked') GROUP BY state`

// WebhookHealth tells how the deliveries of an endpoint stand.
func (s *Store) WebhookHealth(ctx context.Context, endpoint string) (h WebhookHealth, err error) {
	rows, err := s.queries.query(ctx, healthQuery, endpoint)
	if err == nil {
		err = tasks.EachRow(rows, func() error {
			var state DeliveryState
			var n int
			err := rows.Scan(&state, &n)
			if state == Waiting {
				h.Waiting = n
			} else {
				h.Parked = n
			}
			return err
		})
	}
	if err != nil {
		return WebhookHealth{}, s.explain(err, "deliveries of webhook endpoint %s", endpoint)
	}
	failing, err := s.deliveries(ctx, `endpoint = $1 AND state = 'waiting' AND attempts > 0 ORDER BY first_at LIMIT 1`, endpoint)
	if err != nil {
		return WebhookHealth{}, err
	}
	for _, d := range failing {
		h.FailingSince, h.LastError = d.FirstAt, d.LastError
	}
	return h, nil
}

// Deliveries returns up to limit deliveries of an endpoint, in a state or, with "", in any, with sequences below before;
// the newest first.
func (s *Store) Deliveries(ctx context.Context, endpoint string, state DeliveryState, before uint64, limit int) ([]Delivery, error) {
	if limit < 1 || limit > MaxLimit {
		return nil, ErrBadLimit
	}
	if state == "" {
		return s.deliveries(ctx, `endpoint = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT $3`, endpoint, int64(before), limit)
	}
	return s.deliveries(ctx, `endpoint = $1 AND state = $2 AND sequence < $3 ORDER BY sequence DESC LIMIT $4`, endpoint, string(state), int64(before), limit)
}

// OpenDeliveries returns what sending must know of an endpoint to go on behind a position: the deliveries that wait, and
// all of events behind it, the oldest event first. One in no state is damage, and not one that need not be sent.
func (s *Store) OpenDeliveries(ctx context.Context, endpoint string, after uint64) ([]Delivery, error) {
	return s.deliveries(ctx, `endpoint = $1 AND (state NOT IN ('delivered', 'parked') OR sequence > $2) ORDER BY sequence`, endpoint, int64(after))
}

func (s *Store) deliveries(ctx context.Context, where string, args ...any) (all []Delivery, err error) {
	err = s.eachDelivery(ctx, func(d Delivery) { all = append(all, d) }, where, args...)
	if err != nil {
		return nil, s.explain(err, "deliveries of webhook endpoint %s", args[0])
	}
	return all, nil
}

// eachDelivery visits deliveries that are as they were written, and returns [tasks.ErrChanged] at the first that is not.
func (s *Store) eachDelivery(ctx context.Context, visit func(Delivery), where string, args ...any) error {
	rows, err := s.queries.query(ctx, `SELECT endpoint, sequence, event_id, type, subject, state, attempts, first_at, last_at, next_at, last_status, last_error, check_sum
		FROM webhook_deliveries WHERE `+where, args...)
	if err != nil {
		return err
	}
	return tasks.EachRow(rows, func() error {
		var d Delivery
		var endpoint string
		var first, last, next, sum int64
		err := rows.Scan(&endpoint, &d.Sequence, &d.EventID, &d.Type, &d.Subject, &d.State, &d.Attempts, &first, &last, &next, &d.LastStatus, &d.LastError, &sum)
		if err != nil {
			return err
		}
		d.FirstAt, d.LastAt, d.NextAt = fromMicros(first), fromMicros(last), fromMicros(next)
		if sum != 0 && sum != d.checkSum(endpoint) || !slices.Contains(DeliveryStates(), d.State) {
			return fmt.Errorf("%w: the delivery of event %d to webhook endpoint %s", tasks.ErrChanged, d.Sequence, endpoint)
		}
		visit(d)
		return nil
	})
}

// checkSum is of all columns of the row.
func (d Delivery) checkSum(endpoint string) int64 {
	return tasks.CheckSumOf(endpoint, d.Sequence, d.EventID, d.Type, d.Subject, d.State, d.Attempts, micros(d.FirstAt), micros(d.LastAt), micros(d.NextAt),
		d.LastStatus, d.LastError)
}

// WebhookProgress is what was found out by sending events to an endpoint.
type WebhookProgress struct {
	Endpoint   string
	Generation int64
	Position   string
	Sequence   uint64 // of the position
	Deliveries []Delivery
	// Disable is why the endpoint is disabled; "": it is not.
	Disable string
	// Anew says that the events are other ones than before: the rows of all deliveries are forgotten.
	Anew bool
}

// SaveWebhookProgress keeps progress, all of it or nothing. ErrStale says that a person has said meanwhile where to begin,
// or has deleted the endpoint.
func (s *Store) SaveWebhookProgress(ctx context.Context, p WebhookProgress) error {
	const put = `INSERT INTO webhook_deliveries (endpoint, sequence, event_id, type, subject, state, attempts, first_at, last_at, next_at, last_status, last_error, check_sum)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (endpoint, sequence) DO UPDATE SET event_id = excluded.event_id, type = excluded.type, subject = excluded.subject, state = excluded.state,
			attempts = excluded.attempts, first_at = excluded.first_at, last_at = excluded.last_at, next_at = excluded.next_at,
			last_status = excluded.last_status, last_error = excluded.last_error, check_sum = excluded.check_sum`
	const prune = `DELETE FROM webhook_deliveries WHERE endpoint = $1 AND state = 'delivered' AND sequence <= $3 AND sequence <=
		(SELECT sequence FROM webhook_deliveries WHERE endpoint = $1 AND state = 'delivered' ORDER BY sequence DESC LIMIT 1 OFFSET $2)`
	err := s.write(ctx, func(c *change) error {
		moved, err := tasks.MoveWebhook(c, p.Endpoint, p.Generation, p.Position, p.Disable)
		if err != nil {
			return err
		}
		if !moved {
			return ErrStale
		}
		if p.Anew {
			if _, err := c.Exec(`DELETE FROM webhook_deliveries WHERE endpoint = $1`, p.Endpoint); err != nil {
				return err
			}
		}
		for _, d := range p.Deliveries {
			if _, err := c.Exec(put, p.Endpoint, int64(d.Sequence), d.EventID, d.Type, d.Subject, string(d.State), d.Attempts,
				micros(d.FirstAt), micros(d.LastAt), micros(d.NextAt), d.LastStatus, d.LastError, d.checkSum(p.Endpoint)); err != nil {
				return fmt.Errorf("delivery %d: %w", d.Sequence, err)
			}
		}
		if slices.ContainsFunc(p.Deliveries, func(d Delivery) bool { return d.State == Delivered }) {
			_, err = c.Exec(prune, p.Endpoint, keptDeliveries, int64(p.Sequence))
		}
		return err
	})
	if err != nil {
		return s.explain(err, "progress of webhook endpoint %s", p.Endpoint)
	}
	return nil
}
