package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"casepress/tasks"
)

// Claimed is the outcome of a claim on one submission.
type Claimed struct {
	// Row is the submission as claimed. It is also set with [ErrFinal].
	Row Row
	// Err is nil if the claim holds: Row.Attempts is the attempt number that every later call must name.
	// Else it is [ErrNotFound], [ErrFinal], [ErrStale] where a later one of the same refs names the same
	// submission and has taken it over, or why the submission cannot be read. Then nothing was changed.
	Err error
}

// Claim begins the next attempt at each of the submissions, in one commit, and returns an outcome for
// each, in the order of refs. A submission in processing is taken over, because its delivery only comes
// again when the earlier holder lost it or died; what that holder still does is refused with
// [ErrStale].
func (s *Store) Claim(ctx context.Context, refs []tasks.Ref) ([]Claimed, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	w := &claimWrite{s: s, refs: refs, now: time.UnixMicro(time.Now().UnixMicro()).UTC()}
	o := newOp(ctx, s.writer.stmts, w.run)
	o.claim = w
	if err := s.writeOps(ctx, []*op{o})[0]; err != nil {
		return nil, s.explain(err, "claim")
	}
	for i := range w.claimed {
		if err := w.claimed[i].Err; err != nil {
			w.claimed[i].Err = s.explain(err, "claim %s %s", refs[i].Kind, refs[i].ID)
		}
	}
	return w.claimed, nil
}

// claimWrite is a call of Claim on its way through the writer.
type claimWrite struct {
	s       *Store
	refs    []tasks.Ref
	now     time.Time
	claimed []Claimed // the writer's until done
}

func (w *claimWrite) run(c *change) error {
	claimed, err := c.claim(w.refs, w.now)
	if err != nil {
		return err
	}
	w.take(c, claimed)
	return nil
}

// take keeps the outcomes and what follows from them.
func (w *claimWrite) take(c *change, claimed []Claimed) {
	w.claimed = claimed
	for i, one := range claimed {
		if one.Err != nil {
			continue
		}
		held := claim{attempt: one.Row.Attempts, version: one.Row.Version}
		c.refs = append(c.refs, w.refs[i])
		c.follow = append(c.follow, func() { w.s.claims.begin(w.refs[i], held) })
	}
}

// claimTogether runs the calls of Claim among the ops as one, as long as they name different submissions and not too many of
// them, and returns the ops that are left, and how many rows were changed. Reading and claiming some costs little more than one.
func claimTogether(ops []*op) (left []*op, changed int64, err error) {
	var calls []*op
	var refs []tasks.Ref
	seen := make(map[tasks.Ref]bool)
	for _, o := range ops {
		if o.claim == nil || len(refs) >= maxOpsPerCommit || slices.ContainsFunc(o.claim.refs, func(ref tasks.Ref) bool { return seen[ref] }) {
			left = append(left, o)
			continue
		}
		for _, ref := range o.claim.refs {
			seen[ref] = true
		}
		calls, refs = append(calls, o), append(refs, o.claim.refs...)
	}
	if len(calls) < 2 {
		return ops, 0, nil
	}
	for _, o := range calls {
		o.begin()
	}
	var claimed []Claimed
	err = tasks.Guard(func() (err error) {
		claimed, err = calls[0].change.claim(refs, calls[0].claim.now)
		return err
	})
	for _, o := range calls {
		o.failed = err
		if err == nil {
			n := len(o.claim.refs)
			o.claim.take(&o.change, claimed[:n:n])
			claimed = claimed[n:]
		}
	}
	return left, calls[0].changed, err
}

// claim reads the rows first and then changes those that can be read. A row that cannot be read must not be
// claimed: it would be in processing and nobody would work on it.
func (c *change) claim(refs []tasks.Ref, now time.Time) ([]Claimed, error) {
	claimed := make([]Claimed, len(refs))
	last := make(map[tasks.Ref]int, len(refs)) // of several deliveries the last one holds it
	ids := make(map[*tasks.Kind][]string)
	for i, ref := range refs {
		kind, err := submissionKind(ref)
		if err != nil {
			claimed[i].Err = err
			continue
		}
		if before, ok := last[ref]; ok {
			claimed[before].Err = ErrStale
		} else {
			ids[kind] = append(ids[kind], ref.ID)
		}
		last[ref] = i
	}
	for kind, ids := range ids {
		if err := c.readInto(claimed, last, kind, ids); err != nil {
			return nil, err
		}
	}
	begun := make(map[*tasks.Kind][]string, len(ids))
	for i := range claimed {
		if claimed[i].Err != nil {
			continue
		}
		row := &claimed[i].Row
		if row.Status.Final() {
			claimed[i].Err = ErrFinal
			continue
		}
		begun[row.Kind] = append(begun[row.Kind], row.ID)
		row.Status, row.StartedAt, row.NextAttempt = tasks.Processing, now, time.Time{}
		row.Attempts++
		row.Done, row.Total = 0, 0
		row.Version += 1 << progressBits
	}
	for kind, ids := range begun {
		in, args := tasks.InList(ids)
		_, err := c.Exec(beginQuery(in, len(args)), append(args, kind.Name, micros(now))...)
		if err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

// beginQuery begins an attempt at each of n submissions of one kind.
func beginQuery(in string, n int) string {
	return fmt.Sprintf(`UPDATE submissions
		SET status = 'processing', attempts = attempts + 1, started_at = $%d, next_attempt_at = 0,
			done = 0, total = 0, version = version + 1
		WHERE id IN %s AND kind = $%d`, n+2, in, n+1)
}

// readInto reads submissions of one kind. at says where in claimed each belongs.
func (c *change) readInto(claimed []Claimed, at map[tasks.Ref]int, kind *tasks.Kind, ids []string) error {
	in, args := tasks.InList(ids)
	rows, err := queryRows(c, kind, `SELECT `+rowColumns+` FROM submissions WHERE id IN `+in+
		fmt.Sprintf(` AND kind = $%d`, len(args)+1), append(args, kind.Name)...)
	if err != nil {
		return err
	}
	for _, id := range ids {
		claimed[at[tasks.Ref{Kind: kind.Name, ID: id}]].Err = ErrNotFound
	}
	together := load(c, kind, rows)
	for _, row := range rows {
		one := []Row{row}
		if together != nil {
			err = load(c, kind, one) // one of them cannot be read: find out which
		}
		claimed[at[row.Ref()]] = Claimed{one[0], err}
	}
	return nil
}

// Held names an attempt that the caller holds: the submission, and Row.Attempts of its claim.
type Held struct {
	tasks.Ref
	Attempt int
}

// GiveBack gives attempts back that were ended by a shutdown, in as few commits as may be, as if they had never begun:
// each submission waits again with one attempt less, and stays suspect if it was. The errors are in
// the order of held: nil, [ErrStale] if the attempt no longer holds the submission, or what failed.
func (s *Store) GiveBack(ctx context.Context, held []Held) []error {
	const update = `UPDATE submissions
		SET status = CASE WHEN attempts - 1 > base_attempts THEN 'retrying' ELSE 'accepted' END,
			attempts = attempts - 1, started_at = 0, done = 0, total = 0, version = version + 1
		WHERE kind = $1 AND id = $2 AND attempts = $3 AND status = 'processing'`
	return s.endAll(ctx, "give back", held, func(i int, c *change) (int64, error) {
		return c.Exec(update, held[i].Kind, held[i].ID, held[i].Attempt)
	})
}

// Completion is what an attempt made of a submission.
type Completion struct {
	Held
	Result tasks.Result
	// FinishedAt is when; zero means now.
	FinishedAt time.Time
}

// Complete keeps results, in as few commits as may be. The errors are in the order of done: nil, [ErrStale] if the
// attempt no longer holds the submission, [ErrBadResult] if it still does and should be ended in another way, or
// what failed; one that fails spoils none of the others. It may be called again after an error whose outcome is unknown: ErrStale then also says that the first call had
// succeeded.
func (s *Store) Complete(ctx context.Context, done []Completion) []error {
	held := make([]Held, len(done))
	for i, d := range done {
		held[i] = d.Held
	}
	return s.endAll(ctx, "complete", held, func(i int, c *change) (int64, error) {
		steps, total := s.claims.progress(held[i])
		return c.complete(done[i], steps, total, s.pictures.Load())
	})
}

// complete keeps one result and returns how many rows it changed: 0 if the attempt does not hold the submission. kept says that
// something may have been kept between the attempts at it.
func (c *change) complete(d Completion, done, total int, kept bool) (int64, error) {
	const update = `UPDATE submissions
		SET status = 'completed', finished_at = $1, error = '', crashes = 0, suspect = 0, done = $2, total = $3,
			version = version + 1
		WHERE kind = $4 AND id = $5 AND attempts = $6 AND status = 'processing'`
	kind, err := submissionKind(d.Ref)
	if err != nil {
		return 0, err
	}
	n, err := c.Exec(update, orNow(d.FinishedAt), done, total, d.Kind, d.ID, d.Attempt)
	if err != nil || n == 0 {
		return n, err
	}
	// Guarded here and not only by the writer: a panic of the kind's code is one more way to refuse the result.
	err = tasks.Guard(func() error {
		err := kind.Rows.Complete(c, d.ID, d.Result)
		if err != nil || !kept || kind.Rows.Forget == nil {
			return err
		}
		return kind.Rows.Forget(c, d.ID)
	})
	if err != nil && lasting(err) {
		err = fmt.Errorf("%w: %w", ErrBadResult, err)
	}
	return n, err
}

// Retry says that the attempt failed for the reason and another is due at next. [ErrStale] if the
// attempt no longer holds the submission.
func (s *Store) Retry(ctx context.Context, h Held, reason string, next time.Time) error {
	const update = `UPDATE submissions
		SET status = 'retrying', next_attempt_at = $1, crashes = 0, suspect = 0, done = $2, total = $3, error = $4,
			version = version + 1
		WHERE kind = $5 AND id = $6 AND attempts = $7 AND status = 'processing'`
	return s.end(ctx, "retry", h, func(c *change) (int64, error) {
		done, total := s.claims.progress(h)
		return c.Exec(update, micros(next), done, total, reason, h.Kind, h.ID, h.Attempt)
	})
}

// Fail says that the attempt failed for the reason and was the last, until somebody asks for a retry.
// at is when; zero means now. [ErrStale] if the attempt no longer holds the submission.
func (s *Store) Fail(ctx context.Context, h Held, reason string, at time.Time) error {
	const update = `UPDATE submissions
		SET status = 'failed', finished_at = $1, crashes = 0, suspect = 0, done = $2, total = $3, error = $4,
			version = version + 1
		WHERE kind = $5 AND id = $6 AND attempts = $7 AND status = 'processing'`
	return s.end(ctx, "fail", h, func(c *change) (int64, error) {
		done, total := s.claims.progress(h)
		return c.Exec(update, orNow(at), done, total, reason, h.Kind, h.ID, h.Attempt)
	})
}

func orNow(t time.Time) int64 {
	if t.IsZero() {
		t = time.Now()
	}
	return micros(t)
}

func (s *Store) end(ctx context.Context, name string, h Held, update func(*change) (int64, error)) error {
	return s.endAll(ctx, name, []Held{h}, func(_ int, c *change) (int64, error) { return update(c) })[0]
}

// endAll runs an update for each attempt; it ends the attempt if it changes a row.
func (s *Store) endAll(ctx context.Context, name string, held []Held, update func(int, *change) (int64, error)) []error {
	writes := make([]func(*change) error, len(held))
	for i, h := range held {
		writes[i] = func(c *change) error {
			n, err := update(i, c)
			if err != nil {
				return err
			}
			if n == 0 {
				return ErrStale
			}
			c.refs = append(c.refs, h.Ref)
			c.follow = append(c.follow, func() { s.claims.end(h.Ref) })
			return nil
		}
	}
	errs := s.writeAll(ctx, writes)
	for i, err := range errs {
		if err != nil {
			errs[i] = s.explain(err, "%s %s %s", name, held[i].Kind, held[i].ID)
		}
	}
	return errs
}
