package handlers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/jsonfile"
	"casepress/notify"
	"casepress/store"
	"casepress/tasks"
)

// Endpoints that events are sent to. What a person does to one is a record in the log, and these routes answer once the rows
// show it; package notify follows the rows.

const (
	routeWebhooks = "/webhook-endpoints"
	routeWebhook  = routeWebhooks + "/:id"
	// maxWebhookBody is how large a request may be, in bytes.
	maxWebhookBody = 8 << 10
	// maxSecrets is how many secrets an endpoint may have at once: each is a signature in the header of every message.
	maxSecrets = 5
)

// webhookAnswer is an endpoint as answers show it, never with its secret. Pointers are null when unset.
type webhookAnswer struct {
	ID        string             `json:"id"`
	URL       string             `json:"url"`
	Types     []string           `json:"types"`
	Study     *string            `json:"study"`
	CreatedAt *timestamp         `json:"createdAt"`
	State     tasks.WebhookState `json:"state"`
	// Reason is why it is disabled.
	Reason *string `json:"reason"`
	// Position is how far sending has come among the events.
	Position string `json:"position"`
	Waiting  int    `json:"waiting"`
	Parked   int    `json:"parked"`
	// FailingSince and LastError are of the event, or of the alerts, that have failed for the longest.
	FailingSince *timestamp `json:"failingSince"`
	LastError    *string    `json:"lastError"`
	// Secrets is how many secrets sign at present.
	Secrets int `json:"secrets"`
}

type webhookList struct {
	Items []webhookAnswer `json:"items"`
}

// newSecretAnswer is the only answer that has a secret.
type newSecretAnswer struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

type deliveryAnswer struct {
	Sequence   uint64              `json:"sequence"`
	EventID    string              `json:"eventId"`
	Type       string              `json:"type"`
	State      store.DeliveryState `json:"state"`
	Attempts   int                 `json:"attempts"`
	FirstAt    *timestamp          `json:"firstAt"`
	LastAt     *timestamp          `json:"lastAt"`
	NextAt     *timestamp          `json:"nextAt"`
	LastStatus *int                `json:"lastStatus"`
	LastError  *string             `json:"lastError"`
}

type deliveryList struct {
	Items []deliveryAnswer `json:"items"`
	Next  *string          `json:"next"`
}

func (a *API) webhookRoutes(e *gin.Engine) {
	small := a.admit("", maxWebhookBody)
	e.POST(routeWebhooks, small, a.registerWebhook)
	get(e, routeWebhooks, a.webhooks)
	get(e, routeWebhook, a.webhook)
	e.DELETE(routeWebhook, a.deleteWebhook)
	e.POST(routeWebhook+"/rotate", small, a.rotateWebhook)
	e.POST(routeWebhook+"/replay", small, a.replayWebhook)
	get(e, routeWebhook+"/deliveries", a.deliveries)
	get(e, "/alert-channels", a.alertChannels)
}

// webhookRequest is what is asked for in a body.
type webhookRequest struct {
	url, study string
	types      []string
	after      dispatcher.Position
}

func (a *API) webhookMembers() []jsonfile.Member[webhookRequest] {
	return []jsonfile.Member[webhookRequest]{
		jsonfile.Required("url", "the address that events are sent to", func(c *jsonfile.Checker, n *jsonfile.Node, r *webhookRequest) {
			if !c.Is(n, jsonfile.String, "the address that events are sent to") {
				return
			}
			if err := notify.CheckURL(n.Text, a.cfg.WebhookAllow); err != nil {
				c.Refuse(n, "%s", err)
			}
			r.url = n.Text
		}),
		jsonfile.Required("types", "a list of the types of events to send", func(c *jsonfile.Checker, n *jsonfile.Node, r *webhookRequest) {
			r.types = jsonfile.List(c, n, len(tasks.EventTypes()), func(item *jsonfile.Node) string { return c.Choice(item, tasks.EventTypes()...) })
			if n.Kind == jsonfile.Array {
				c.Unique(n.Items, r.types)
			}
		}),
		jsonfile.Optional("study", func(c *jsonfile.Checker, n *jsonfile.Node, r *webhookRequest) { r.study = c.ID(n) }),
	}
}

var replayMembers = []jsonfile.Member[webhookRequest]{
	jsonfile.Required("after", "the sequence or position behind which events are sent again", func(c *jsonfile.Checker, n *jsonfile.Node, r *webhookRequest) {
		const want = "a sequence or a position among the events"
		var err error
		if n.Kind != jsonfile.Number && !c.Is(n, jsonfile.String, want) {
			return
		}
		if r.after, err = dispatcher.ParsePosition(n.Text); err != nil {
			c.Refuse(n, "must be %s, not %s", want, jsonfile.Quoted(n.Text))
		}
	}),
}

// webhookRequestOf reads a body.
func (a *API) webhookRequestOf(c *gin.Context, members []jsonfile.Member[webhookRequest]) (webhookRequest, error) {
	document, err := readJSON(c.Request, maxWebhookBody)
	if err != nil {
		return webhookRequest{}, err
	}
	format := jsonfile.Format{Noun: "a request", MaxBytes: maxWebhookBody}
	r, problems := jsonfile.Check(format, "", document, func(c *jsonfile.Checker, n *jsonfile.Node) webhookRequest {
		return jsonfile.Members(c, n, members)
	})
	if err := faultOf(problems); err != nil {
		return webhookRequest{}, err
	}
	return *r, nil
}

// registerWebhook answers POST /webhook-endpoints. Events are sent that come from now on.
func (a *API) registerWebhook(c *gin.Context) {
	r, err := a.webhookRequestOf(c, a.webhookMembers())
	var id string
	if err == nil {
		id, err = newID()
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	ctx, cancel := a.detached(c.Request)
	defer cancel()
	change := tasks.WebhookChange{ID: id, Act: tasks.WebhookRegistered, URL: r.url, Types: r.types, Study: r.study, Secret: notify.NewSecret()}
	err = a.changeWebhooks(ctx, func(all []tasks.WebhookEndpoint) (*tasks.WebhookChange, error) {
		if limit := a.cfg.MaxWebhookEndpoints; len(all) >= limit {
			return nil, &fault{code: codeTooManyEndpoints, args: []any{limit}, extras: extras{Limit: int64(limit)}}
		}
		last, err := a.work.LastEvent(ctx)
		change.After, change.AfterSequence = last.String(), last.Sequence
		return &change, err
	})
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Location", routeWebhooks+"/"+change.ID)
	c.Header("Cache-Control", "no-store")
	writeJSON(c, http.StatusCreated, "application/json", newSecretAnswer{change.ID, change.Secret})
}

// changeWebhooks stores one act and waits a while for the rows to show it. One at a time is decided on, with all that came
// before in the rows. Without an error the act is stored, whatever the rows show: a secret is told to its owner, or to nobody.
func (a *API) changeWebhooks(ctx context.Context, decide func([]tasks.WebhookEndpoint) (*tasks.WebhookChange, error)) error {
	select {
	case a.webhookTurn <- struct{}{}:
		defer func() { <-a.webhookTurn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := a.work.CaughtUp(ctx, tasks.TopicWebhookEndpoints); err != nil {
		return err
	}
	all, err := a.rows.WebhookEndpoints(ctx)
	if err != nil {
		return err
	}
	change, err := decide(all)
	if err != nil {
		return err
	}
	if change.ChangeID, err = newID(); err != nil {
		return err
	}
	s := tasks.NewSubmission(tasks.KindWebhookEndpoint(), *change)
	s.Fresh = true
	if _, err := a.work.Accept(ctx, s); err != nil {
		f := acceptFault(err, textWebhookUnknown, change.ID)
		f.extras.ID = change.ID
		return f
	}
	err = a.work.CaughtUp(ctx, tasks.TopicWebhookEndpoints)
	if err == nil && change.Secret != "" {
		all, err = a.rows.WebhookEndpoints(ctx)
	}
	if err != nil {
		a.log.Warn("an act on a webhook endpoint is stored, and the rows do not show it yet", "id", change.ID, "act", change.Act, "err", err)
		return nil
	}
	if change.Secret != "" && !hasSecret(all, change) { // nobody may be told one that signs nothing
		f := asFault(fmt.Errorf("%w: webhook endpoint %s has not taken its new secret", store.ErrDamaged, change.ID))
		f.stored, f.extras.ID = true, change.ID // who registers again makes another one, and can delete this
		return f
	}
	return nil
}

func hasSecret(all []tasks.WebhookEndpoint, change *tasks.WebhookChange) bool {
	return slices.ContainsFunc(all, func(e tasks.WebhookEndpoint) bool {
		return e.ID == change.ID && slices.ContainsFunc(e.Secrets, func(s tasks.WebhookSecret) bool { return s.Secret == change.Secret })
	})
}

// changeWebhook stores an act on the endpoint in the address.
func (a *API) changeWebhook(c *gin.Context, change tasks.WebhookChange, check func(tasks.WebhookEndpoint) error) error {
	change.ID = c.Param("id")
	ctx, cancel := a.detached(c.Request)
	defer cancel()
	return a.changeWebhooks(ctx, func(all []tasks.WebhookEndpoint) (*tasks.WebhookChange, error) {
		i := slices.IndexFunc(all, func(e tasks.WebhookEndpoint) bool { return e.ID == change.ID })
		if i < 0 {
			return nil, refuse(codeNoEndpoint)
		}
		return &change, check(all[i])
	})
}

// checkNoInput refuses a query and a body that says something: whoever sent it expects that it counts.
func (a *API) checkNoInput(c *gin.Context) error {
	_, err := queryOf(c)
	if err == nil && c.Request.ContentLength != 0 {
		_, err = a.webhookRequestOf(c, nil)
	}
	return err
}

// rotateWebhook answers POST …/rotate: the secret before signs as well for tasks.SecretOverlap.
func (a *API) rotateWebhook(c *gin.Context) {
	if err := a.checkNoInput(c); err != nil {
		a.fail(c, err)
		return
	}
	secret := notify.NewSecret()
	err := a.changeWebhook(c, tasks.WebhookChange{Act: tasks.WebhookRotated, Secret: secret}, func(e tasks.WebhookEndpoint) error {
		if len(e.SecretsAt(time.Now())) >= maxSecrets {
			return refuse(codeTooManySecrets, maxSecrets)
		}
		return nil
	})
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	writeJSON(c, http.StatusOK, "application/json", newSecretAnswer{c.Param("id"), secret})
}

// replayWebhook answers POST …/replay. What lies behind the endpoint's position is still to be sent the first time, so nobody
// may go beyond it and skip that.
func (a *API) replayWebhook(c *gin.Context) {
	r, err := a.webhookRequestOf(c, replayMembers)
	ctx, cancel := a.detached(c.Request)
	defer cancel()
	if err == nil {
		err = a.checkPosition(ctx, r.after)
	}
	if err == nil {
		change := tasks.WebhookChange{Act: tasks.WebhookReplayed, After: r.after.String(), AfterSequence: r.after.Sequence}
		err = a.changeWebhook(c, change, func(e tasks.WebhookEndpoint) error {
			at, err := dispatcher.ParsePosition(e.Position)
			if err != nil || r.after.Sequence <= at.Sequence {
				return nil
			}
			err = a.checkPosition(ctx, at)
			if _, lost := errors.AsType[*fault](err); lost {
				return nil // it is no measure, and sending begins anew by itself
			}
			if err != nil {
				return err
			}
			return invalid("/after", textBeyondPosition, e.Position)
		})
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	shown, err := a.shownWebhook(c)
	if err != nil { // it is stored, whatever the answer is
		f := asFault(err)
		f.stored = true
		a.fail(c, f)
		return
	}
	c.Header("Cache-Control", "private, no-cache")
	writeJSON(c, http.StatusOK, "application/json", shown)
}

// shownWebhook shows the endpoint in the address.
func (a *API) shownWebhook(c *gin.Context) (webhookAnswer, error) {
	e, err := a.webhookOf(c)
	if err != nil {
		return webhookAnswer{}, err
	}
	return a.showWebhook(c.Request.Context(), e)
}

// checkPosition returns a fault unless events can be read from the position on.
func (a *API) checkPosition(ctx context.Context, p dispatcher.Position) error {
	for _, err := range a.work.ReadEvents(ctx, p, 1) {
		return eventFault("/after", err) // of the first
	}
	return nil
}

func (a *API) deleteWebhook(c *gin.Context) {
	err := a.checkNoInput(c)
	if err == nil {
		err = a.changeWebhook(c, tasks.WebhookChange{Act: tasks.WebhookDeleted}, func(tasks.WebhookEndpoint) error { return nil })
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
}

// webhooks answers GET /webhook-endpoints.
func (a *API) webhooks(c *gin.Context) {
	_, err := queryOf(c)
	var all []tasks.WebhookEndpoint
	if err == nil {
		all, err = a.webhooksNow(c.Request.Context())
	}
	list := webhookList{Items: []webhookAnswer{}}
	for i := 0; i < len(all) && err == nil; i++ {
		var shown webhookAnswer
		shown, err = a.showWebhook(c.Request.Context(), all[i])
		list.Items = append(list.Items, shown)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Cache-Control", "private, no-cache")
	a.answer(c, "application/json", encodeJSON(list))
}

func (a *API) webhooksNow(ctx context.Context) ([]tasks.WebhookEndpoint, error) {
	if err := a.work.CaughtUp(ctx, tasks.TopicWebhookEndpoints); err != nil {
		return nil, err
	}
	return a.rows.WebhookEndpoints(ctx)
}

// webhookOf returns the endpoint in the address.
func (a *API) webhookOf(c *gin.Context) (tasks.WebhookEndpoint, error) {
	all, err := a.webhooksNow(c.Request.Context())
	if err != nil {
		return tasks.WebhookEndpoint{}, err
	}
	for _, e := range all {
		if e.ID == c.Param("id") {
			return e, nil
		}
	}
	return tasks.WebhookEndpoint{}, refuse(codeNoEndpoint)
}

func (a *API) showWebhook(ctx context.Context, e tasks.WebhookEndpoint) (webhookAnswer, error) {
	health, err := a.rows.WebhookHealth(ctx, e.ID)
	if err != nil {
		return webhookAnswer{}, err
	}
	tried, err := a.rows.AlertChannels(ctx)
	health = addAlerts(health, e.ID, tried, a.cfg.Studies)
	return webhookAnswer{
		ID: e.ID, URL: e.URL, Types: e.Types, Study: stringOrNull(e.Study), CreatedAt: timeOrNull(e.CreatedAt), State: e.State, Reason: stringOrNull(e.Reason),
		Position: e.Position, Waiting: health.Waiting, Parked: health.Parked,
		FailingSince: timeOrNull(health.FailingSince), LastError: stringOrNull(health.LastError), Secrets: len(e.SecretsAt(time.Now())),
	}, err
}

// webhook answers GET /webhook-endpoints/{id}.
func (a *API) webhook(c *gin.Context) {
	_, err := queryOf(c)
	var shown webhookAnswer
	if err == nil {
		shown, err = a.shownWebhook(c)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Cache-Control", "private, no-cache")
	writeJSON(c, http.StatusOK, "application/json", shown)
}

// deliveries answers GET …/deliveries, the newest events first.
func (a *API) deliveries(c *gin.Context) {
	query, err := queryOf(c, "state", "limit", "cursor")
	if err != nil {
		a.fail(c, err)
		return
	}
	state, before, limit, err := deliveryQuery(query)
	var e tasks.WebhookEndpoint
	if err == nil {
		e, err = a.webhookOf(c)
	}
	var all []store.Delivery
	if err == nil {
		all, err = a.rows.Deliveries(c.Request.Context(), e.ID, state, before, limit)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	list := deliveryList{Items: []deliveryAnswer{}}
	for _, d := range all {
		shown := deliveryAnswer{
			Sequence: d.Sequence, EventID: d.EventID, Type: d.Type, State: d.State, Attempts: d.Attempts,
			FirstAt: timeOrNull(d.FirstAt), LastAt: timeOrNull(d.LastAt), NextAt: timeOrNull(d.NextAt), LastError: stringOrNull(d.LastError),
		}
		if d.LastStatus != 0 {
			shown.LastStatus = &d.LastStatus
		}
		list.Items = append(list.Items, shown)
	}
	if len(all) == limit {
		list.Next = stringOrNull(strconv.FormatUint(all[limit-1].Sequence, 10))
	}
	c.Header("Cache-Control", "private, no-cache")
	a.answer(c, "application/json", encodeJSON(list))
}

func deliveryQuery(query map[string]string) (state store.DeliveryState, before uint64, limit int, err error) {
	var faults []fieldFault
	state, before, limit = store.DeliveryState(query["state"]), math.MaxInt64, store.DefaultLimit
	if state != "" && !slices.Contains(store.DeliveryStates(), state) {
		names := make([]string, 0, 3)
		for _, s := range store.DeliveryStates() {
			names = append(names, string(s))
		}
		faults = append(faults, fieldFault{field: "state", detail: textBadChoice, args: []any{strings.Join(names, ", ")}})
	}
	if text := query["limit"]; text != "" {
		n, ok := counted(text)
		if !ok || n > store.MaxLimit {
			faults = append(faults, fieldFault{field: "limit", detail: textBadLimit, args: []any{store.MaxLimit}})
		}
		limit = n
	}
	if text := query["cursor"]; text != "" {
		p, err := dispatcher.ParsePosition(text)
		if err != nil || p.Check != "" {
			faults = append(faults, fieldFault{field: "cursor", detail: textBadCursor})
		}
		before = p.Sequence
	}
	if len(faults) > 0 {
		return "", 0, 0, &fault{code: codeInvalidInput, fields: faults}
	}
	return state, before, limit, nil
}
