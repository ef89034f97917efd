package notify

import (
	"context"
	"slices"
	"strings"
	"time"

	"casepress/study"
	"casepress/tasks"
)

const (
	// maxNobody is how many lines a minute the log has of cases that nobody could be told of; what is beyond is one line, with how many
	// there were.
	maxNobody = 20
	// knowWait is how long a look at the channels waits for the rows to show all endpoints.
	knowWait = time.Second

	nobodyTold = "nobody could be told of a case: it waits on the desk"
	// furtherNobodyTold is said of those there is no line of.
	furtherNobodyTold = "nobody could be told of further cases: they wait on the desk"
	// seeChannels is said of cases with a ladder: a study without one has no channels.
	seeChannels = ", and GET /alert-channels says how the channels stand"
)

// The log says which channels cannot be used, and of which cases nobody could be told: where no channel works there is nobody else to
// hear of it. It names no patient.

// warnings is what the log was told.
type warnings struct {
	// endpoints says that the rows have shown all endpoints once: those that are made again lack them for a moment.
	endpoints bool
	cures     map[channelID]string // of channels that cannot be used
	nobody    int                  // lines since the last look at the channels
	further   int                  // of which there was none, for there were as many as may be
}

// knowEndpoints waits a moment, if that was not done, until an endpoint that the rows have not is one that is not there.
func (r *ladderRound) knowEndpoints(ctx context.Context) {
	if r.warnings.endpoints {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, knowWait)
	defer cancel()
	r.warnings.endpoints = r.cfg.Work.CaughtUp(ctx, tasks.TopicWebhookEndpoints) == nil
}

// warnOfChannel logs that a channel cannot be used, once until it can or another thing is to be done about it, and that it can again.
// unready is the reason; "" if it can.
func (r *ladderRound) warnOfChannel(studyID string, rung study.Rung, unready string) {
	id := channelID{studyID, rung.Channel()}
	known := r.warnings.cures[id]
	if unready == "" {
		if delete(r.warnings.cures, id); known != "" {
			r.log.Info("a channel of a ladder can be used again", "study", id.study, "channel", id.channel)
		}
		return
	}
	if rung.Webhook != "" && !r.warnings.endpoints {
		return
	}
	cure := cureOf(unready)
	if cure == known {
		return
	}
	r.warnings.cures[id] = cure
	number := 1 + slices.IndexFunc(r.ladderOf(studyID).Rungs, func(other study.Rung) bool { return other.Channel() == id.channel })
	r.log.Warn("a channel of a ladder cannot be used: nobody is told of a case by it", "study", id.study, "rung", number, "channel", id.channel,
		"reason", OneLine(unready, maxError), "cure", cure)
}

// cureOf says what is to be done about a reason for which a channel cannot be used.
func cureOf(unready string) string {
	const register = "POST /webhook-endpoints registers one and answers with its id: write that into the study's file as the rung's webhook, and start again"
	switch {
	case unready == errNoEndpoint.Error():
		return register
	case unready == errOtherStudy.Error():
		return register + "; register it for this study, or for all by leaving study out"
	case strings.HasPrefix(unready, disabledPrefix):
		return "POST /webhook-endpoints/{id}/replay enables it when its receiver takes messages again"
	}
	return "look at the mail server, and at the settings of --smtp: docs/mail.md says what there is"
}

// warnOfNobody logs that all who are on duty were tried and none of them has been told of the case, once for each rung. steps are those
// of the case.
func (r *ladderRound) warnOfNobody(of *openCase, l study.Ladder, steps []tasks.Step, now time.Time) {
	rungs, _ := stateOf(l, steps)
	onDuty := within(l, now)
	for i, rung := range rungs {
		if rung.reached && rung.failures == 0 || !rung.reached && onDuty[i] {
			return // somebody has been told, or is the next to be
		}
	}
	for i, rung := range rungs {
		if !rung.reached || of.warned[i] {
			continue
		}
		if of.warned == nil {
			of.warned = map[int]bool{}
		}
		of.warned[i] = true
		if r.warnings.nobody++; r.warnings.nobody > maxNobody {
			r.warnings.further++
			continue
		}
		r.log.Warn(nobodyTold+seeChannels,
			"study", of.Study, "case", of.ID, "rung", i+1, "channel", l.Rungs[i].Channel(), "reason", reasonOfLast(steps, i+1))
	}
}

// reasonOfLast is why the last alert of a rung has failed.
func reasonOfLast(steps []tasks.Step, rung int) string {
	for _, s := range slices.Backward(steps) {
		if s.Step == tasks.StepNotification && s.Rung == rung {
			return s.Reason
		}
	}
	return ""
}

// sumNobody logs how many alerts there was no line of, and lets there be lines again.
func (r *ladderRound) sumNobody() {
	if r.warnings.further > 0 {
		r.log.Warn(furtherNobodyTold+seeChannels, "alerts", r.warnings.further)
	}
	r.warnings.nobody, r.warnings.further = 0, 0
}
