package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/tasks"
	"casepress/tasks/instrument"
)

var responses = tasks.KindQuestionnaireResponse()

// response is a revision of one; n gives it its place, its patient and the day of its answers.
func response(id string, revision, n int) tasks.Recorded {
	r := tasks.QuestionnaireResponse{
		ID: id, Revision: revision, Study: "S1", PatientID: fmt.Sprintf("P%d", n%3), VisitID: "V1",
		Rule: instrument.Identity{ID: []string{"phq-9", "gad-7"}[n%2], Version: "1", SHA256: "ab"}, Language: "en",
		Authored: received.AddDate(0, 0, n).Format(time.RFC3339), Answers: instrument.Answers{"1": {Value: int64(n)}},
		MediaType: "application/json", Original: fmt.Sprintf(`{"id":%q, "n":%d}`, id, n),
	}
	if revision > 1 {
		r.Amends = &tasks.Amends{Revision: revision - 1, Reason: "r"}
	}
	return recorded(n, responses, r)
}

func recordResponses(t testing.TB, s *store.Store, batch ...tasks.Recorded) {
	t.Helper()
	last := batch[len(batch)-1]
	require.NoError(t, s.Record(context.Background(), tasks.TopicQuestionnaireResponses, batch, store.Watermark{Next: last.Offset + 1, Check: "c"}))
}

func getResponse(t testing.TB, s *store.Store, id string, revision int) (store.Row, error) {
	return s.Get(t.Context(), tasks.Ref{Kind: responses.Name, ID: tasks.RevisionID(id, revision)})
}

func TestRevisions(t *testing.T) {
	s := openStore(t)
	_, err := s.LatestRevision(t.Context(), "QR-1")
	require.ErrorIs(t, err, store.ErrNotFound)
	batch := []tasks.Recorded{response("QR-1", 1, 0), response("QR-2", 1, 1), response("QR-1", 2, 2), response("QR-1", 3, 3)}
	for range 2 { // they may come again
		for i := range batch {
			recordResponses(t, s, batch[:i+1]...)
		}
	}
	for id, want := range map[string]int{"QR-1": 3, "QR-2": 1} {
		latest, err := s.LatestRevision(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, latest)
	}
	for i, b := range batch {
		want := b.Content.(tasks.QuestionnaireResponse)
		row, err := getResponse(t, s, want.ID, want.Revision)
		require.NoError(t, err)
		require.Equal(t, want, row.Content)
		require.Equal(t, want.Digest(), row.SHA256)
		require.EqualValues(t, i, row.Sequence)
	}
	list := func(f store.ResponseFilter) (ids []string) {
		for {
			f.Limit = 1
			rows, next, err := s.ListResponses(t.Context(), f)
			require.NoError(t, err)
			for _, row := range rows {
				ids = append(ids, row.ID)
			}
			if next == "" {
				return ids
			}
			f.Cursor = next
		}
	}
	require.Equal(t, []string{"QR-1~3", "QR-2"}, list(store.ResponseFilter{}))
	require.Equal(t, []string{"QR-1~3", "QR-2"}, list(store.ResponseFilter{Instrument: "gad-7"}))
	require.Empty(t, list(store.ResponseFilter{Instrument: "phq-9"}), "an earlier revision is none of a list")
	require.Equal(t, []string{"QR-2"}, list(store.ResponseFilter{To: received.AddDate(0, 0, 2)}))
	require.Equal(t, []string{"QR-1~3"}, list(store.ResponseFilter{From: received.AddDate(0, 0, 2), Filter: store.Filter{PatientID: "P0", Study: "S1", VisitID: "V1"}}))
	_, _, err = s.ListResponses(t.Context(), store.ResponseFilter{Filter: store.Filter{Limit: 201}})
	require.ErrorIs(t, err, store.ErrBadLimit)
}

// A letter that changes in answers or scores is told, whatever it makes of them.
func TestChangedAnswersAreDamage(t *testing.T) {
	for name, change := range map[string]string{
		"answer":   `UPDATE questionnaire_responses SET content = REPLACE(content, '"1":5', '"1":4')`,
		"original": `UPDATE questionnaire_responses SET original = REPLACE(original, '5', '4')`,
		"score":    `UPDATE questionnaire_responses SET result = REPLACE(result, '"value":5', '"value":4')`,
		"rescore":  `UPDATE questionnaire_rescores SET result = REPLACE(result, '"value":6', '"value":4')`,
	} {
		t.Run(name, func(t *testing.T) {
			s, path := damageable(t)
			one := response("QR-1", 1, 5)
			recordResponses(t, s, one)
			ref := one.Ref()
			claimed, err := s.Claim(t.Context(), []tasks.Ref{ref})
			require.NoError(t, err)
			require.NoError(t, claimed[0].Err)
			rule := one.Content.(tasks.QuestionnaireResponse).Rule
			scores := func(value instrument.Decimal) tasks.QuestionnaireResult {
				return tasks.QuestionnaireResult{Scored: instrument.Scored{Scores: []instrument.Result{{ID: "total", Value: value, Exact: string(value), Rule: rule}}}}
			}
			require.NoError(t, s.Complete(t.Context(), []store.Completion{{Held: store.Held{Ref: ref, Attempt: 1}, Result: scores("5")}})[0])
			again := tasks.Rescore{ID: "QR-1", Rule: instrument.Identity{ID: rule.ID, Version: "2", SHA256: "cd"}, QuestionnaireResult: scores("6")}
			for range 2 {
				require.NoError(t, s.Record(t.Context(), tasks.TopicRescores, []tasks.Recorded{recorded(0, tasks.KindRescore(), again)}, store.Watermark{Next: 1, Check: "c"}))
			}
			row, err := getResponse(t, s, "QR-1", 1)
			require.NoError(t, err)
			result := row.Result.(tasks.QuestionnaireResult)
			require.Equal(t, scores("5").Scores, result.Scores)
			require.Len(t, result.Rescores, 1)
			require.Equal(t, again.Rule, result.Rescores[0].Rule)
			require.Equal(t, again.Scores, result.Rescores[0].Scores)

			require.NoError(t, store.ExecOnWriter(s, change))
			_, err = getResponse(t, s, "QR-1", 1)
			requireTells(t, err, path)
		})
	}
}

// A revision that is not found, or shown as the latest, because of a changed column is told, too.
func TestChangedRevisionsAreDamage(t *testing.T) {
	for _, change := range []string{
		`superseded = 1 WHERE id = 'QR-2'`, `superseded = 0 WHERE id = 'QR-1'`, `superseded = 1 WHERE id = 'QR-1~2'`,
		`latest = 1 WHERE id = 'QR-1'`, `latest = 3 WHERE id = 'QR-1'`, `latest = 2 WHERE id = 'QR-2'`, `latest = 0 WHERE id = 'QR-2'`,
		`instrument = 'x' WHERE id = 'QR-2'`, `authored_at = authored_at + 1 WHERE id = 'QR-2'`,
		`response_id = 'QR-1' WHERE id = 'QR-2'`, `revision = 3 WHERE id = 'QR-1~2'`,
	} {
		t.Run(change, func(t *testing.T) {
			s, path := damageable(t)
			batch := []tasks.Recorded{response("QR-1", 1, 0), response("QR-2", 1, 1), response("QR-1", 2, 2)}
			recordResponses(t, s, batch...)
			require.NoError(t, s.Compare(t.Context(), batch))
			require.NoError(t, store.ExecOnWriter(s, `UPDATE questionnaire_responses SET `+change))
			requireTells(t, s.Compare(t.Context(), batch), path)
		})
	}
}

// A result of another kind is refused and leaves all as it was.
func TestResultOfAnotherKind(t *testing.T) {
	s := openStore(t)
	one := response("QR-1", 1, 5)
	recordResponses(t, s, one)
	_, err := s.Claim(t.Context(), []tasks.Ref{one.Ref()})
	require.NoError(t, err)
	err = s.Complete(t.Context(), []store.Completion{{Held: store.Held{Ref: one.Ref(), Attempt: 1}, Result: tasks.CaseReportResult{}}})[0]
	require.ErrorIs(t, err, store.ErrBadResult)
}
