package handlers

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"casepress/store"
	"casepress/study"
)

// alertChannelAnswer is a channel by which people of a study are told of cases, as answers show it. A mail address is shown by its
// label alone. Pointers are null when unset.
type alertChannelAnswer struct {
	Study   string `json:"study"`
	Channel string `json:"channel"`
	Kind    string `json:"kind"` // webhook or mail
	// Who are those whom it reaches, in the order of the ladder.
	Who []string `json:"who"`
	// FailingSince is the first of the attempts that have failed in a row, LastError why the last one has.
	FailingSince *timestamp `json:"failingSince"`
	LastAt       *timestamp `json:"lastAt"`
	LastError    *string    `json:"lastError"`
}

type alertChannelList struct {
	Items []alertChannelAnswer `json:"items"`
}

// alertChannels answers GET /alert-channels: the channels of all ladders, and how each stands.
func (a *API) alertChannels(c *gin.Context) {
	_, err := queryOf(c)
	var tried []store.AlertChannel
	if err == nil {
		tried, err = a.rows.AlertChannels(c.Request.Context())
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	list := alertChannelList{Items: []alertChannelAnswer{}}
	for _, s := range a.cfg.Studies.All() {
		list.Items = append(list.Items, channelsOf(s, tried)...)
	}
	c.Header("Cache-Control", "private, no-cache")
	writeJSON(c, http.StatusOK, "application/json", list)
}

// channelsOf are the channels of a study's ladder, each once.
func channelsOf(s study.Study, tried []store.AlertChannel) (all []alertChannelAnswer) {
	places := map[string]int{}
	for _, r := range s.AdverseEvents.Ladder.Rungs {
		at, known := places[r.Channel()]
		if !known {
			at = len(all)
			places[r.Channel()] = at
			one := alertChannelAnswer{Study: s.ID, Channel: r.Channel(), Kind: "webhook"}
			if r.Mail != "" {
				one.Kind = "mail"
			}
			for _, t := range tried {
				if t.Study == s.ID && t.Channel == one.Channel {
					one.FailingSince, one.LastAt, one.LastError = timeOrNull(t.FailingSince), timeOrNull(t.LastAt), stringOrNull(t.LastError)
				}
			}
			all = append(all, one)
		}
		all[at].Who = append(all[at].Who, r.Who)
	}
	return all
}

// addAlerts adds to how deliveries to an endpoint stand how alerts to it do, in the ladders that there are: what has failed for longer
// is told. The label of a mail address may be the id of an endpoint.
func addAlerts(h store.WebhookHealth, endpoint string, tried []store.AlertChannel, studies *study.Studies) store.WebhookHealth {
	isRung := func(r study.Rung) bool { return r.Webhook == endpoint }
	for _, t := range tried {
		if t.Channel != endpoint || !slices.ContainsFunc(studies.Get(t.Study).AdverseEvents.Ladder.Rungs, isRung) || t.FailingSince.IsZero() || !h.FailingSince.IsZero() && h.FailingSince.Before(t.FailingSince) {
			continue
		}
		h.FailingSince, h.LastError = t.FailingSince, t.LastError
	}
	return h
}
