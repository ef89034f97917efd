package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"casepress/dispatcher"
	"casepress/store"
	"casepress/tasks"
)

// ids is how many submissions the model knows.
const ids = 4

// entry is what the model knows of a submission.
type entry struct {
	notes    string
	sequence uint64
	status   tasks.Status
	attempts int
	base     int
	reason   string
	pages    int
}

// model is what a ledger should be: a map, and who holds what.
type model struct {
	f     fixture
	rows  map[string]entry
	held  map[string]dispatcher.Claim
	stale []dispatcher.Claim // ended, one way or another
	ends  map[string]bool    // ids of the events that there must be
}

func runModel(t *testing.T, open func(t testing.TB) System) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			f: fixture{open(t), rt}, rows: map[string]entry{}, held: map[string]dispatcher.Claim{}, ends: map[string]bool{},
		}
		rt.Repeat(map[string]func(*rapid.T){
			"":             m.check,
			"accept":       m.accept,
			"accept other": m.acceptOther,
			"claim":        m.claim,
			"renew":        m.renew,
			"complete":     m.complete,
			"fail":         m.fail,
			"retry":        m.retry,
			"give back":    m.giveBack,
			"restart":      m.restart,
			"stale":        m.late,
			"reopen":       m.reopen,
		})
		got := map[string]bool{}
		for _, e := range m.f.Events(t) {
			got[e.ID] = true
		}
		require.Equal(rt, m.ends, got)
		require.NoError(rt, m.f.Close(context.Background()))
	})
}

func (m *model) check(t *rapid.T) {
	require.NoError(t, m.f.CaughtUp(context.Background()))
	for i := range ids {
		id := fmt.Sprint(i)
		row, err := m.f.Get(context.Background(), refOf(id))
		e, ok := m.rows[id]
		if !ok {
			require.ErrorIs(t, err, store.ErrNotFound)
			continue
		}
		require.NoError(t, err)
		got := entry{row.Content.(tasks.CaseReport).Notes, row.Sequence, row.Status, row.Attempts, row.BaseAttempts, row.Error, 0}
		if r, ok := row.Result.(tasks.CaseReportResult); ok {
			got.pages = r.PDF.Pages
		}
		require.Equal(t, e, got, id)
	}
}

func anyID(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, ids-1).Draw(t, "id")) }

func (m *model) accept(t *rapid.T) {
	id := anyID(t)
	e, known := m.rows[id]
	if !known {
		e = entry{notes: fmt.Sprint("of ", id), status: tasks.Accepted}
	}
	r := m.f.accept(id, e.notes)
	require.Equal(t, known, r.Replayed)
	if known {
		require.Equal(t, e.sequence, r.Sequence)
	}
	e.sequence = r.Sequence
	m.rows[id] = e
}

func (m *model) acceptOther(t *rapid.T) {
	id := anyID(t)
	if _, known := m.rows[id]; !known {
		t.Skip("it would be the first")
	}
	_, err := m.f.Accept(context.Background(), submission(id, "other content"))
	var conflict *dispatcher.ConflictError
	require.ErrorAs(t, err, &conflict)
}

func (m *model) due() (due []string) {
	for id, e := range m.rows {
		if e.status == tasks.Accepted || e.status == tasks.Retrying {
			due = append(due, id)
		}
	}
	return due
}

func (m *model) claim(t *rapid.T) {
	due := m.due()
	if len(due) == 0 {
		t.Skip("nothing is due")
	}
	for _, c := range m.f.claim(rapid.IntRange(1, ids).Draw(t, "max")) {
		e := m.rows[c.Row.ID]
		require.Contains(t, due, c.Row.ID)
		e.status, e.attempts = tasks.Processing, e.attempts+1
		require.Equal(t, e.attempts, c.Attempt)
		m.rows[c.Row.ID], m.held[c.Row.ID] = e, c
	}
}

// any picks one of what is held.
func (m *model) any(t *rapid.T) dispatcher.Claim {
	var all []string
	for id := range m.held {
		all = append(all, id)
	}
	if len(all) == 0 {
		t.Skip("nothing is held")
	}
	slices.Sort(all)
	return m.held[rapid.SampledFrom(all).Draw(t, "held")]
}

// end is what all ends of a claim do.
func (m *model) end(c dispatcher.Claim, change func(*entry)) {
	e := m.rows[c.Row.ID]
	change(&e)
	m.rows[c.Row.ID] = e
	delete(m.held, c.Row.ID)
	m.stale = append(m.stale, c)
	if e.status.Final() {
		m.ends[fmt.Sprintf("%s/%d", c.Row.ID, c.Attempt)] = true
	}
}

func (m *model) renew(t *rapid.T) {
	require.Empty(t, m.f.Renew(context.Background(), Lease, []dispatcher.Claim{m.any(t)}))
}

func (m *model) complete(t *rapid.T) {
	c := m.any(t)
	pages := rapid.IntRange(1, 9).Draw(t, "pages")
	require.NoError(t, m.f.complete(c, pages))
	m.end(c, func(e *entry) { e.status, e.pages, e.reason = tasks.Completed, pages, "" })
}

func (m *model) fail(t *rapid.T) {
	c := m.any(t)
	require.NoError(t, m.f.Fail(context.Background(), c, "broken"))
	m.end(c, func(e *entry) { e.status, e.reason = tasks.Failed, "broken" })
}

func (m *model) retry(t *rapid.T) {
	c := m.any(t)
	require.NoError(t, m.f.Retry(context.Background(), c, "not yet", 0))
	m.end(c, func(e *entry) { e.status, e.reason = tasks.Retrying, "not yet" })
}

func (m *model) giveBack(t *rapid.T) {
	c := m.any(t)
	require.NoError(t, m.f.GiveBack(context.Background(), []dispatcher.Claim{c}))
	m.givenBack(c)
}

func (m *model) givenBack(c dispatcher.Claim) {
	m.end(c, func(e *entry) {
		e.attempts--
		e.status = tasks.Accepted
		if e.attempts > e.base {
			e.status = tasks.Retrying
		}
	})
	m.stale = m.stale[:len(m.stale)-1] // its attempt number comes again
}

func (m *model) restart(t *rapid.T) {
	id := anyID(t)
	e, known := m.rows[id]
	status, err := m.f.Restart(context.Background(), refOf(id))
	switch {
	case !known:
		require.ErrorIs(t, err, store.ErrNotFound)
	case e.status != tasks.Failed:
		require.ErrorIs(t, err, dispatcher.ErrNotFailed)
		require.Equal(t, e.status, status)
	default:
		require.NoError(t, err)
		require.Equal(t, tasks.Failed, status)
		e.status, e.base, e.reason = tasks.Accepted, e.attempts, ""
		m.rows[id] = e
	}
}

// late is a worker of an attempt that has ended.
func (m *model) late(t *rapid.T) {
	if len(m.stale) == 0 {
		t.Skip("no attempt has ended")
	}
	c := rapid.SampledFrom(m.stale).Draw(t, "stale")
	ctx := context.Background()
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		require.ErrorIs(t, m.f.complete(c, 99), dispatcher.ErrStale)
	case 1:
		require.ErrorIs(t, m.f.Fail(ctx, c, "late"), dispatcher.ErrStale)
	case 2:
		require.ErrorIs(t, m.f.Retry(ctx, c, "late", 0), dispatcher.ErrStale)
	case 3:
		require.NoError(t, m.f.GiveBack(ctx, []dispatcher.Claim{c}))
	}
}

// reopen is a restart. What is held is given back first, as a dispatcher does.
func (m *model) reopen(t *rapid.T) {
	var held []dispatcher.Claim
	for _, c := range m.held {
		held = append(held, c)
	}
	require.NoError(t, m.f.GiveBack(context.Background(), held))
	for _, c := range held {
		m.givenBack(c)
	}
	m.f.System = m.f.Reopen()
	require.NoError(t, m.f.Ready())
}

// history is what clients and workers saw.
type history struct {
	mu       sync.Mutex
	accepted map[string]string   // digest by id, of every receipt
	won      map[tasks.Ref][]int // attempts whose Complete or Fail was stored
	pages    map[string]int      // what the winner made
}

// runHistory lets many clients and workers act at once, with restarts between, and then checks what they saw
// against what there is.
func runHistory(t *testing.T, open func(t testing.TB) System) {
	const rounds, perRound, workers = 3, 40, 4
	f := fixture{open(t), t}
	h := &history{accepted: map[string]string{}, won: map[tasks.Ref][]int{}, pages: map[string]int{}}
	for round := range rounds {
		ctx, stop := context.WithCancel(context.Background())
		var crew, clients sync.WaitGroup
		for w := range workers {
			crew.Go(func() { h.work(ctx, t, f, w) })
		}
		for i := range perRound {
			for n := range 3 { // the same id from three clients, one of them with other content
				clients.Go(func() { h.submit(t, f, fmt.Sprintf("%d-%d", round, i), fmt.Sprint(n/2)) })
			}
		}
		clients.Wait()
		if round == rounds-1 { // everything comes to its end
			for id := range h.accepted {
				f.final(id)
			}
		}
		stop()
		crew.Wait()
		if round < rounds-1 {
			f.System = f.Reopen()
		}
	}
	h.check(t, f)
}

// final waits until a submission is finished.
func (f fixture) final(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ctx.Err() == nil {
		if f.row(id).Status.Final() {
			return
		}
		require.NoError(f.t, f.CaughtUp(ctx))
	}
	require.Fail(f.t, "not finished", id)
}

func (h *history) submit(t *testing.T, f fixture, id, notes string) {
	r, err := f.Accept(context.Background(), submission(id, notes))
	var conflict *dispatcher.ConflictError
	if errors.As(err, &conflict) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, ok := h.accepted[id]; ok && before != r.SHA256 {
		t.Errorf("%s was accepted with two contents", id)
	}
	h.accepted[id] = r.SHA256
}

// work claims and ends attempts in every way, and afterwards tries once more as a late worker would.
func (h *history) work(ctx context.Context, t *testing.T, f fixture, worker int) {
	for n := worker; ; n++ {
		claims, err := f.Claim(ctx, lane, 3, Lease)
		if err != nil {
			return
		}
		end := context.WithoutCancel(ctx)
		for i, c := range claims {
			pages := 1 + n%50
			switch (n + i) % 7 {
			case 0:
				err = f.Retry(end, c, "not yet", 0)
			case 1:
				err = f.GiveBack(end, []dispatcher.Claim{c})
			case 2:
				err = f.Fail(end, c, "broken")
				h.wins(c, 0, err)
			default:
				err = f.complete(c, pages)
				h.wins(c, pages, err)
			}
			if err != nil {
				t.Error(err)
			}
			if (n+i)%7 > 2 {
				if err := f.complete(c, 99); !errors.Is(err, dispatcher.ErrStale) {
					t.Errorf("a second result of attempt %d at %s: %v", c.Attempt, c.Row.ID, err)
				}
			}
		}
	}
}

func (h *history) wins(c dispatcher.Claim, pages int, err error) {
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.won[c.Row.Ref()] = append(h.won[c.Row.Ref()], c.Attempt)
	h.pages[c.Row.ID] = pages
}

// check proves that every accepted submission has one row with its bytes, one winner, whose result it is, and an
// event for it.
func (h *history) check(t *testing.T, f fixture) {
	events := map[string][]tasks.Update{}
	payloads := map[string]string{}
	for _, e := range f.Events(t) {
		u, err := decode(e)
		require.NoError(t, err)
		if before, repeated := payloads[u.ID]; repeated {
			require.Equal(t, before, string(e.Payload), "a repeat is the same")
			continue
		}
		payloads[u.ID] = string(e.Payload)
		events[u.SubmissionID] = append(events[u.SubmissionID], u)
	}
	require.NotEmpty(t, h.accepted)
	for id, digest := range h.accepted {
		row := f.row(id)
		require.Equal(t, digest, row.SHA256)
		require.Equal(t, digest, row.Content.Digest())
		require.True(t, row.Status.Final(), id)
		require.Equal(t, []int{row.Attempts}, h.won[row.Ref()], "one attempt wins, and it is the last")
		require.Len(t, events[id], 1)
		require.Equal(t, row.Attempts, events[id][0].Attempt)
		require.Equal(t, string(row.Status), events[id][0].Status)
		if row.Status == tasks.Completed {
			require.Equal(t, h.pages[id], row.Result.(tasks.CaseReportResult).PDF.Pages)
		}
	}
	require.Len(t, events, len(h.accepted), "no event of anything else")
}

func decode(e tasks.Event) (u tasks.Update, err error) {
	if e.ID == "" {
		return u, errNoID
	}
	err = json.Unmarshal(e.Payload, &u)
	return u, err
}
