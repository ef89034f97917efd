package notify

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"casepress/store"
	"casepress/study"
	"casepress/tasks"
)

const (
	// channelPatience is how long a channel fails before others are told of that alone: who is told of a case hears of it at once.
	channelPatience = 15 * time.Minute
	// tellAgain is how long after that they are told again, while it fails.
	tellAgain = 24 * time.Hour
	// checkEach is how often channels are looked at.
	checkEach = time.Minute
)

// checkChannels looks whether channels of ladders work, also while there is no case: an endpoint that is gone, or takes no events,
// would take no alert either. Of one that has failed for a while the first rung is told that can be told by another channel.
func (r *ladderRound) checkChannels(ctx context.Context) {
	now := time.Now().Round(0)
	if wait := r.checkAt.Sub(now); wait > 0 && wait <= checkEach { // else the clock was put back
		return
	}
	r.checkAt = now.Add(checkEach)
	r.sumNobody()
	r.knowEndpoints(ctx)
	for _, s := range r.cfg.Studies.All() {
		ladder := s.AdverseEvents.Ladder
		for i, rung := range ladder.Rungs {
			same := func(other study.Rung) bool { return other.Channel() == rung.Channel() }
			if slices.ContainsFunc(ladder.Rungs[:i], same) {
				continue
			}
			failing, err := r.checkChannel(ctx, s.ID, rung, now)
			if err != nil {
				if ctx.Err() == nil {
					r.log.Error("how a channel stands could not be read", "study", s.ID, "channel", rung.Channel(), "err", err)
				}
				continue
			}
			r.tellOf(s, failing, now)
			if within(ladder, now)[i] {
				r.try(s.ID, rung, now)
			}
		}
	}
}

// checkChannel returns how a channel stands by what is known of its alerts and, of an endpoint, of its events, and of whether it
// would take anything.
func (r *ladderRound) checkChannel(ctx context.Context, studyID string, rung study.Rung, now time.Time) (store.AlertChannel, error) {
	id := channelID{studyID, rung.Channel()}
	c := r.health[id]
	c.Study, c.Channel = id.study, id.channel
	unready, err := r.unready(ctx, studyID, rung)
	if err != nil {
		return c, err
	}
	r.warnOfChannel(studyID, rung, unready)
	switch {
	case unready != "":
		if c.FailingSince.IsZero() {
			c.FailingSince, c.LastAt, c.LastError = now.UTC(), now.UTC(), unready
			r.save(c)
		} else if isUnready(c.LastError) && c.LastError != unready {
			c.LastError = unready
			r.save(c)
		}
		return c, nil
	case isUnready(c.LastError): // it was, and would take something again
		c.FailingSince, c.LastError = time.Time{}, ""
		r.save(c)
	}
	if rung.Webhook == "" {
		return c, nil
	}
	if !c.FailingSince.IsZero() {
		delivered, err := r.cfg.Rows.Deliveries(ctx, rung.Webhook, store.Delivered, math.MaxInt64, 1)
		if err != nil {
			return c, err
		}
		if len(delivered) > 0 && delivered[0].LastAt.After(c.LastAt) { // it has taken an event since
			c.FailingSince, c.LastError = time.Time{}, ""
			r.save(c)
		}
	}
	events, err := r.cfg.Rows.WebhookHealth(ctx, rung.Webhook)
	if err != nil {
		return c, err
	}
	if since := events.FailingSince; !since.IsZero() && (c.FailingSince.IsZero() || since.Before(c.FailingSince)) {
		c.FailingSince, c.LastError = since, events.LastError
	}
	return c, nil
}

// unready says why a channel would take nothing at the moment, whatever it is given; "" if it might.
func (r *ladderRound) unready(ctx context.Context, studyID string, rung study.Rung) (string, error) {
	if rung.Webhook == "" {
		if r.cfg.MailUnready != nil {
			if reason := r.cfg.MailUnready(); reason != "" {
				return mailPrefix + reason, nil
			}
		}
		return "", nil
	}
	endpoint, err := r.cfg.Rows.WebhookEndpoint(ctx, rung.Webhook)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errNoEndpoint.Error(), nil
	case err != nil:
		return "", err
	case endpoint.State != tasks.WebhookActive:
		return disabledText(endpoint), nil
	case !isFor(endpoint, studyID):
		return errOtherStudy.Error(), nil
	}
	return "", nil
}

// isUnready reports whether a reason is one of those of unready.
func isUnready(reason string) bool {
	return reason == errNoEndpoint.Error() || reason == errOtherStudy.Error() || strings.HasPrefix(reason, disabledPrefix) || strings.HasPrefix(reason, mailPrefix)
}

const (
	disabledPrefix = "the endpoint is disabled: "
	mailPrefix     = "the mail server takes no mails: "
)

func disabledText(e tasks.WebhookEndpoint) string { return disabledPrefix + e.Reason }

// tellOf tells the first rung that can be reached otherwise of a channel that fails.
func (r *ladderRound) tellOf(s study.Study, failing store.AlertChannel, now time.Time) {
	id := channelID{failing.Study, failing.Channel}
	since, told := failing.FailingSince, r.health[id].ToldAt
	recently := !told.Before(since) && now.Sub(told) < tellAgain && !told.After(now.Add(clockTolerance))
	if since.IsZero() || now.Sub(since) < channelPatience || recently || r.telling[id] || r.inFlight >= maxInFlight {
		return
	}
	onDuty := within(s.AdverseEvents.Ladder, now)
	for i, to := range s.AdverseEvents.Ladder.Rungs {
		works := r.health[channelID{s.ID, to.Channel()}].FailingSince.IsZero()
		q := r.channels[addressOf(to)]
		if to.Channel() == failing.Channel || !works || !onDuty[i] || q != nil && q.inFlight >= perChannel {
			continue
		}
		// A time of its own lets a later failure of the same channel be another alert, and a repeat be the same.
		count := strconv.FormatInt(since.UnixMicro(), 10) + "/" + strconv.Itoa(int(now.Sub(since)/tellAgain))
		a := alert{to: to, Alert: Alert{
			ID: "alert-channel/" + s.ID + "/" + failing.Channel + "/" + count, Header: tasks.Header{Study: s.ID}, Who: to.Who,
			Failing: []FailingChannel{{failing.Channel, since, failing.LastError}},
		}}
		r.startTelling(id, a)
		return
	}
}

// try asks a channel itself whether it works again, whose last alert has failed: the next case may be months away.
func (r *ladderRound) try(studyID string, rung study.Rung, now time.Time) {
	id := channelID{studyID, rung.Channel()}
	c := r.health[id]
	recently := now.Sub(c.LastAt) < tellAgain && !c.LastAt.After(now.Add(clockTolerance))
	q := r.channels[addressOf(rung)]
	if c.FailingSince.IsZero() || isUnready(c.LastError) || recently || r.telling[id] || r.inFlight >= maxInFlight || q != nil && q.inFlight >= perChannel {
		return
	}
	r.startTelling(id, alert{to: rung, Alert: Alert{
		ID:     "alert-channel/" + studyID + "/" + id.channel + "/again/" + strconv.FormatInt(c.LastAt.UnixMicro(), 10),
		Header: tasks.Header{Study: studyID}, Who: rung.Who, Failing: []FailingChannel{{id.channel, c.FailingSince, c.LastError}},
	}})
}

// startTelling sends an alert of a channel that fails, by another or by itself.
func (r *ladderRound) startTelling(of channelID, a alert) {
	address := addressOf(a.to)
	q := r.queueOf(address)
	q.inFlight++
	r.inFlight++
	r.telling[of] = true
	r.wg.Go(func() {
		sent := sentAlert{channel: channelID{a.Study, a.to.Channel()}, address: address, err: r.send(r.attempts, a)}
		if sent.err == nil || r.attempts.Err() == nil {
			sent.at = time.Now().UTC()
		}
		r.sent <- sent
		result := alertResult{told: of}
		if sent.err == nil && sent.channel != of {
			result.at = sent.at
		}
		r.ended <- result
	})
}

// endTelling deals with the end of an alert of a channel that fails.
func (r *ladderRound) endTelling(one alertResult) {
	delete(r.telling, one.told)
	if one.at.IsZero() {
		return
	}
	c := r.health[one.told]
	c.Study, c.Channel, c.ToldAt = one.told.study, one.told.channel, one.at
	r.save(c)
}
