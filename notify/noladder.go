package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/study"
	"casepress/tasks"
)

// Of an open case in a study without a ladder nobody is told but the endpoints that are registered for its events. That may be what the
// study wants; but a server that was started without the study's file says nothing else, however many cases wait. So the log says it.

// casesWithoutLadder is what the log was told of open cases in studies without a ladder. It belongs to one goroutine.
type casesWithoutLadder struct {
	*Ladders
	studies map[string]bool  // of which there is a line
	cases   map[string]*seen // that are open
}

// seen is an open case in a study without a ladder.
type seen struct {
	hadLadder bool            // somebody was told of it by a ladder, or was to be
	notified  bool            // somebody was told of it
	at        time.Time       // when it was received; zero: that could not be read
	tried     map[string]bool // endpoints that have failed to take it, and are sent it again
	warned    bool            // there is a line that nobody could be
}

// warnOfCasesWithoutLadder looks at the start and each minute, until ctx ends.
func (l *Ladders) warnOfCasesWithoutLadder(ctx context.Context) {
	w := &casesWithoutLadder{Ladders: l, studies: map[string]bool{}, cases: map[string]*seen{}}
	for ctx.Err() == nil {
		err := tasks.Guard(func() error { return w.look(ctx) })
		if errors.Is(err, dispatcher.ErrClosed) || errors.Is(err, store.ErrClosed) {
			return
		}
		if err != nil && ctx.Err() == nil {
			l.log.Error("not all open cases in studies without a ladder could be looked at, and they will be looked at again", "err", err)
		}
		pause(ctx, checkEach)
	}
}

// look compares the open cases with the studies and the endpoints, as the log has them.
func (w *casesWithoutLadder) look(ctx context.Context) error {
	for _, topic := range []string{tasks.TopicWebhookEndpoints, tasks.TopicAdverseEvents} { // rows that are made again lack some for a while
		if err := w.cfg.Work.CaughtUp(ctx, topic); err != nil {
			return err
		}
	}
	open, _, err := w.cfg.Rows.OpenCases(ctx)
	if err != nil {
		return err
	}
	open = slices.DeleteFunc(open, func(c store.OpenCase) bool { return len(w.cfg.Studies.Get(c.Study).AdverseEvents.Ladder.Rungs) > 0 })
	var unread unreadCases
	w.see(ctx, open, &unread)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.warnOfStudies(open)
	err = w.warnOfNobody(ctx, open, &unread)
	return errors.Join(unread.err(), err)
}

// unreadCases are those that could not be read at a look. They hold up no other: they are read at the next one.
type unreadCases struct {
	n     int
	first error
}

func (u *unreadCases) add(err error) {
	if u.n++; u.n == 1 {
		u.first = err
	}
}

func (u *unreadCases) err() error {
	if u.n < 2 {
		return u.first
	}
	return fmt.Errorf("%d cases could not be read, and of the first: %w", u.n, u.first)
}

// see looks at the cases that are new, and forgets those that are not open any more.
func (w *casesWithoutLadder) see(ctx context.Context, open []store.OpenCase, unread *unreadCases) {
	still := make(map[string]*seen, len(open))
	for _, c := range open {
		of := w.cases[c.ID]
		if of == nil {
			of = &seen{}
			if err := w.readSteps(ctx, c.ID, of); err != nil {
				unread.add(err)
				continue
			}
		}
		still[c.ID] = of
	}
	w.cases = still
}

// readSteps reads what was done with a case. One that cannot be read was told to nobody, as far as is known.
func (w *casesWithoutLadder) readSteps(ctx context.Context, id string, of *seen) error {
	steps, err := w.cfg.Rows.Steps(ctx, id)
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return err
	}
	for _, s := range steps {
		if s.Outcome == tasks.Received {
			of.at = s.At
		}
		if s.Step != tasks.StepNotification {
			continue
		}
		of.hadLadder = of.hadLadder || s.Rung > 0
		of.notified = of.notified || !s.Failed
		if s.Failed && s.Rung == 0 {
			if of.tried == nil {
				of.tried = map[string]bool{}
			}
			of.tried[s.Channel] = true
		}
	}
	return nil
}

// isSentTo reports whether an endpoint is sent that the case was received: one that was registered later is sent only what came later,
// unless somebody has it sent all events once more.
func (of *seen) isSentTo(e tasks.WebhookEndpoint) bool {
	return of.at.IsZero() || !e.CreatedAt.After(of.at) || of.tried[e.ID]
}

// warnOfStudies says which studies of open cases have no file, or have lost their ladder, once until no such case is open.
func (w *casesWithoutLadder) warnOfStudies(open []store.OpenCase) {
	type counts struct{ cases, hadLadder int }
	of := map[string]counts{}
	var order []string
	for _, c := range open {
		n, known := of[c.Study]
		if !known {
			order = append(order, c.Study)
		}
		n.cases++
		if of := w.cases[c.ID]; of != nil && of.hadLadder {
			n.hadLadder++
		}
		of[c.Study] = n
	}
	told := map[string]bool{}
	lines, further := 0, 0
	for _, id := range order {
		reason, cure := w.whatIsMissing(id, of[id].hadLadder > 0)
		if reason == "" {
			continue
		}
		told[id] = true
		if w.studies[id] {
			continue
		}
		if lines++; lines > maxNobody {
			further++
			continue
		}
		w.log.Warn("a study of open cases has no ladder: nobody is told of them but endpoints registered for adverse-event", "study", id,
			"reason", reason, "cases", of[id].cases, "alerted", of[id].hadLadder, "cure", cure)
	}
	if further > 0 {
		w.log.Warn("further studies of open cases have no file, or have lost their ladder", "studies", further)
	}
	w.studies = told
}

// whatIsMissing says what a study without a ladder lacks, and what is to be done about it; "" if it never had a ladder, as far as its
// cases tell.
func (w *casesWithoutLadder) whatIsMissing(id string, hadLadder bool) (reason, cure string) {
	lacks, similar := w.cfg.Studies.Lacks(id)
	switch {
	case lacks && similar != "":
		return noFile, "ids differ in case, and " + similar + " has a file: give the study one id, in the file and where cases are reported"
	case lacks && !w.cfg.Studies.HasFolder():
		return noFile, "name the folder with its file by --studies, and start again"
	case lacks:
		return noFile, "put its file, " + id + study.Extension + ", into the folder of --studies, and start again"
	case hadLadder:
		return "the study's file has lost its ladder", "put adverseEvents.ladder back into the study's file, and start again"
	}
	return "", ""
}

const noFile = "the study has no file"

// warnOfNobody says of which cases nobody was told, where no endpoint is there for them either, once for each case.
func (w *casesWithoutLadder) warnOfNobody(ctx context.Context, open []store.OpenCase, unread *unreadCases) error {
	endpoints, err := w.cfg.Rows.WebhookEndpoints(ctx)
	if err != nil {
		return err
	}
	lines, further := 0, 0
	for _, c := range open {
		of := w.cases[c.ID]
		if of == nil { // it could not be read
			continue
		}
		isTold := func(e tasks.WebhookEndpoint) bool {
			return e.State == tasks.WebhookActive && e.Wants(tasks.ToldEvent{Type: tasks.TypeAdverseEvent, Study: c.Study}) && of.isSentTo(e)
		}
		if of.warned || of.notified || slices.ContainsFunc(endpoints, isTold) {
			continue
		}
		if err := w.readSteps(ctx, c.ID, of); err != nil { // an endpoint may have been there meanwhile
			unread.add(err)
			continue
		}
		if of.notified || slices.ContainsFunc(endpoints, isTold) {
			continue
		}
		of.warned = true
		if lines++; lines > maxNobody {
			further++
			continue
		}
		w.log.Warn(nobodyTold, "study", c.Study, "case", c.ID, "reason", "the study has no ladder, and no endpoint that is enabled was registered for adverse-event when it came")
	}
	if further > 0 {
		w.log.Warn(furtherNobodyTold, "alerts", further)
	}
	return nil
}
