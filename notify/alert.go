package notify

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/study"
	"casepress/tasks"
)

// Alert tells somebody of a case that nobody has acknowledged, or of channels that do not work. It is thin: it has no clinical
// values and no description.
type Alert struct {
	// ID is the same however often the same alert is sent: it is made of the case, the rung and the attempt. Of a case whose rows
	// are damaged since when that is known belongs to it, too; then Header has only its ID and study where no more can be read,
	// State is open, and Clock is over since then.
	ID string
	// Header says which case it is, and whose: its ID is "" if the alert is of Failing alone.
	tasks.Header
	State tasks.AdverseEventState
	Clock tasks.Clock
	// Path is the address of the case without the server, "/adverse-events/AE-1".
	Path string
	// Exercise says that it is a drill, and no patient is concerned.
	Exercise bool
	// Who is told, as the study's file names them. Rung counts from 1, and so does Attempt, which counts how often this rung was
	// told of this case.
	Who           string
	Rung, Attempt int
	// Failing are channels that do not work at the moment, by which others were to be told.
	Failing []FailingChannel
}

// FailingChannel is a channel that does not work.
type FailingChannel struct {
	// Channel is the id of a webhook endpoint or the label of a mail address.
	Channel string
	// Since is when it failed first, and Reason why it failed last.
	Since  time.Time
	Reason string
}

// Channel sends an alert to a rung. It returns nil when the alert was taken: a receiver has answered 2xx, or a mail server has
// taken the mail. Any other outcome is an error, whose text is shown to people on the timeline: one line, without secrets. It
// returns soon after ctx has ended, is safe for concurrent use, and may be given the same alert again, by the same ID.
type Channel func(ctx context.Context, to study.Rung, a Alert) error

// The types of messages that are alerts: of a case, and of channels that fail alone.
const (
	alertType   = "adverse-event-alert"
	channelType = "alert-channel-failing"
)

// alertBody is an alert as a webhook has it: the payload of Standard Webhooks.
type alertBody struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"` // alertData or channelData
}

// channelData tells of channels that fail, where there is no case.
type channelData struct {
	ID      string        `json:"id"`
	Study   string        `json:"study,omitempty"`
	Who     string        `json:"who"`
	Failing []failingData `json:"failing"`
}

// alertData names a case as its events do, see [tasks.CaseEvent].
type alertData struct {
	ID           string                  `json:"id"`
	SubmissionID string                  `json:"submissionId"`
	Study        string                  `json:"study,omitempty"`
	Site         string                  `json:"site,omitempty"`
	PatientID    string                  `json:"patientId"`
	VisitID      string                  `json:"visitId,omitempty"`
	State        tasks.AdverseEventState `json:"state"`
	KnownSince   time.Time               `json:"knownSince"`
	DueAt        time.Time               `json:"dueAt"`
	URL          string                  `json:"url"` // path of the case
	Exercise     bool                    `json:"exercise,omitempty"`
	Who          string                  `json:"who"`
	Rung         int                     `json:"rung"`
	Attempt      int                     `json:"attempt"`
	Failing      []failingData           `json:"failing,omitempty"`
}

type failingData struct {
	Channel string    `json:"channel"`
	Since   time.Time `json:"since"`
	Reason  string    `json:"reason"`
}

// Alert is the [Channel] of webhooks: it sends an alert to the endpoint of the rung, signed as events are, whatever types it is
// registered for, but not if it is for another study. There is one attempt: what follows if it fails the ladder says.
func (w *Webhooks) Alert(ctx context.Context, to study.Rung, a Alert) error {
	// Rows that are made again may lack it for a moment.
	endpoint, err := dispatcher.Lookup(ctx, w.cfg.Work, func(ctx context.Context) (tasks.WebhookEndpoint, error) {
		return w.cfg.Rows.WebhookEndpoint(ctx, to.Webhook)
	}, tasks.TopicWebhookEndpoints)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errNoEndpoint
	case err != nil:
		w.log.Error("an endpoint could not be read", "endpoint", to.Webhook, "err", err)
		return errors.New("the endpoint could not be looked up")
	case endpoint.State != tasks.WebhookActive:
		return errors.New(disabledText(endpoint))
	case !isFor(endpoint, a.Study):
		return errOtherStudy
	}
	now := time.Now()
	var failing []failingData
	for _, f := range a.Failing {
		failing = append(failing, failingData{f.Channel, f.Since.UTC(), f.Reason})
	}
	var text []byte
	if a.Header.ID == "" {
		text, err = json.Marshal(alertBody{channelType, now.UTC().Truncate(time.Microsecond), channelData{a.ID, a.Study, a.Who, failing}})
	} else {
		text, err = json.Marshal(alertBody{alertType, now.UTC().Truncate(time.Microsecond), a.data(failing)})
	}
	if err != nil {
		return err
	}
	return w.client.send(ctx, endpoint.URL, endpoint.SecretsAt(now), a.ID, text).err
}

var (
	errNoEndpoint = errors.New("there is no such webhook endpoint")
	errOtherStudy = errors.New("the endpoint is for another study")
)

// isFor reports whether an endpoint may hear of a study.
func isFor(e tasks.WebhookEndpoint, study string) bool { return e.Study == "" || e.Study == study }

func (a Alert) data(failing []failingData) alertData {
	return alertData{
		ID: a.ID, SubmissionID: a.Header.ID, Study: a.Study, Site: a.Site, PatientID: a.PatientID, VisitID: a.VisitID, State: a.State,
		KnownSince: a.Clock.From.UTC(), DueAt: a.Clock.DueAt().UTC(), URL: a.Path, Exercise: a.Exercise, Who: a.Who, Rung: a.Rung, Attempt: a.Attempt,
		Failing: failing,
	}
}

// OneLine makes one line of a text that others may have written, of up to so many letters: without control characters, ends of lines and what
// changes the direction of writing, so that it can pretend to be nothing else.
func OneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Join(strings.Fields(text), " ")
	if letters := []rune(text); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return text
}
