package handlers

import (
	"context"

	"github.com/gin-gonic/gin"

	"casepress/jsonfile"
	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

// rescoreAnswer is what another definition made of the same answers.
type rescoreAnswer struct {
	MadeAt     *timestamp            `json:"madeAt"`
	Rule       instrument.Identity   `json:"rule"`
	Scores     []instrument.Result   `json:"scores"`
	Mismatches []instrument.Mismatch `json:"mismatches"`
}

func showRescores(made []tasks.MadeRescore) []rescoreAnswer {
	shown := make([]rescoreAnswer, len(made))
	for i, m := range made {
		shown[i] = rescoreAnswer{timeOrNull(m.MadeAt), m.Rule, list(m.Scores), list(m.Mismatches)}
	}
	return shown
}

// rescoreRequest says which responses are scored again, and by which version of their instrument.
type rescoreRequest struct{ study, instrument, version string }

var rescoreMembers = []jsonfile.Member[rescoreRequest]{
	jsonfile.Optional("study", func(c *jsonfile.Checker, n *jsonfile.Node, r *rescoreRequest) { r.study = c.ID(n) }),
	jsonfile.Required("instrument", "the id of the instrument", func(c *jsonfile.Checker, n *jsonfile.Node, r *rescoreRequest) { r.instrument = c.ID(n) }),
	jsonfile.Required("version", "the version by which answers are scored", func(c *jsonfile.Checker, n *jsonfile.Node, r *rescoreRequest) { r.version = c.ID(n) }),
}

// rescoreLine is a line of the answer: a response whose scores have changed, or that could not be scored.
type rescoreLine struct {
	ID       string              `json:"id"`
	Revision int                 `json:"revision"`
	Changes  []tasks.ScoreChange `json:"changes,omitempty"`
	Error    string              `json:"error,omitempty"`
}

// rescoreSummary is the last line.
type rescoreSummary struct {
	Done      bool `json:"done"`
	Rescored  int  `json:"rescored"`  // how many were scored now
	Already   int  `json:"already"`   // how many were scored by this version in an earlier call
	Changed   int  `json:"changed"`   // how many of both have another score than before
	Failed    int  `json:"failed"`    // how many could not be scored by this version
	NotScored int  `json:"notScored"` // how many have no scores of their own yet, and were left out
}

const maxRescoreBody = 1 << 10

// rescore answers POST /rescore on the private address: it scores the latest revisions of all responses of a study to an
// instrument by another version of it. It answers a line of JSON for each whose scores differ, and a last one that counts.
// It may be called again, and then goes on where it was cut off.
func (a *API) rescore(c *gin.Context) {
	document, err := readJSON(c.Request, maxRescoreBody)
	if err != nil {
		a.fail(c, err)
		return
	}
	format := jsonfile.Format{Noun: "a request to score again", MaxBytes: maxRescoreBody}
	wanted, problems := jsonfile.Check(format, "", document, func(c *jsonfile.Checker, n *jsonfile.Node) rescoreRequest {
		return jsonfile.Members(c, n, rescoreMembers)
	})
	if err := faultOf(problems); err != nil {
		a.fail(c, err)
		return
	}
	d, ok := a.cfg.Studies.Get(wanted.study).Instruments().Get(wanted.instrument, wanted.version)
	if !ok {
		f := refuse(codeNoInstrument, wanted.study, wanted.instrument, wanted.version)
		f.detail = textNoRescore
		if wanted.study == "" {
			f.detail, f.args = textNoRescoreUnnamed, f.args[1:]
		}
		a.fail(c, f)
		return
	}
	ctx := c.Request.Context()
	if err := a.work.CaughtUp(ctx, topicsOf(tasks.KindQuestionnaireResponse().Name)...); err != nil {
		a.fail(c, err)
		return
	}
	filter := store.ResponseFilter{Filter: store.Filter{Study: wanted.study, Limit: store.MaxLimit}, Instrument: wanted.instrument}
	c.Header("Content-Type", mediaNDJSON)
	var sum rescoreSummary
	for {
		rows, next, err := a.rows.ListResponses(ctx, filter)
		if err == nil {
			err = a.rescorePage(ctx, c, d, wanted.study, rows, &sum)
		}
		if err != nil {
			if !c.Writer.Written() {
				a.fail(c, err)
				return
			}
			a.log.ErrorContext(ctx, "scoring again was cut off", "instrument", d.ID, "version", d.Version, "err", err)
			return // without the last line, whoever asked knows
		}
		if next == "" {
			break
		}
		filter.Cursor = next
	}
	sum.Done = true
	_, _ = c.Writer.Write(encodeJSON(sum)) // nobody is left to hear of an error
}

// rescorePage scores one page of responses and writes a line for each that has changed.
func (a *API) rescorePage(ctx context.Context, c *gin.Context, d *instrument.Definition, study string, rows []store.Row, sum *rescoreSummary) error {
	lines := make([]*rescoreLine, len(rows))
	already := make([]bool, len(rows))
	var all []tasks.Submission
	var of []int // the places of their rows
	for i, row := range rows {
		r := row.Content.(tasks.QuestionnaireResponse)
		was, scored := row.Result.(tasks.QuestionnaireResult)
		switch {
		case r.Study != study || r.Rule == d.Identity: // without a study, those of all are listed
			continue
		case !scored:
			sum.NotScored++
			continue
		}
		line := &rescoreLine{ID: r.ID, Revision: r.Revision}
		lines[i] = line
		made, err := r.Rescore(d)
		if err != nil {
			line.Error = err.Error()
			continue
		}
		line.Changes = tasks.ChangedScores(was, made.QuestionnaireResult)
		all, of = append(all, tasks.NewSubmission(tasks.KindRescore(), made)), append(of, i)
	}
	for n, got := range a.work.AcceptAll(ctx, all) {
		if got.Err != nil {
			return got.Err
		}
		already[of[n]] = got.Receipt.Replayed
	}
	for i, line := range lines {
		if line == nil {
			continue
		}
		switch {
		case line.Error != "":
			sum.Failed++
		case already[i]:
			sum.Already++
		default:
			sum.Rescored++
		}
		if line.Error == "" && len(line.Changes) == 0 {
			continue
		}
		if line.Error == "" {
			sum.Changed++
		}
		if _, err := c.Writer.Write(encodeJSON(line)); err != nil {
			return err
		}
	}
	c.Writer.Flush()
	return nil
}
