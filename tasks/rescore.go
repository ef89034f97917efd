package tasks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"casepress/tasks/instrument"
)

var rescoreKind = &Kind{
	Name:   "rescore",
	Member: "content",
	Topic:  TopicRescores,
	Decode: func(content json.RawMessage) (Content, error) { return decodeAs[Rescore](content) },
	Rows:   Rows{Insert: insertRescore, Find: findRescore},
}

// KindRescore is the kind of scores that another version of an instrument made of answers.
func KindRescore() *Kind { return rescoreKind }

// TopicRescores holds scores that were made again.
const TopicRescores = "questionnaire-rescores"

// Rescore is what another definition than the one that a response names makes of its answers. It stands beside the scores of
// before, which never change.
type Rescore struct {
	// ID is that of the revision of the response.
	ID string `json:"id"`
	// Rule is the definition that made the scores.
	Rule instrument.Identity `json:"rule"`
	QuestionnaireResult
}

// Header has the id of the revision.
func (r Rescore) Header() Header { return Header{ID: r.ID} }

// Key tells the scores of one response by different definitions apart.
func (r Rescore) Key() string { return r.ID + "/" + r.Rule.Version + "/" + r.Rule.SHA256 }

// Digest is that of the JSON with the members in the order of the struct.
func (r Rescore) Digest() string {
	return digestJSON(r)
}

// Rescore scores the response by another definition of its instrument. The error is [instrument.Faults]: answers that the
// definition does not have. Flags are not raised again: those of the response stand.
func (r QuestionnaireResponse) Rescore(d *instrument.Definition) (Rescore, error) {
	made, err := r.scoredBy(d)
	return Rescore{r.Key(), d.Identity, made}, err
}

// ScoreChange is a score before and after. One of the two is nil if only the other definition has the score.
type ScoreChange struct {
	Score string             `json:"score"`
	Was   *instrument.Result `json:"was"`
	Is    *instrument.Result `json:"is"`
}

// ChangedScores are the scores whose value or band is another, or that only one of the two has, ordered by id.
func ChangedScores(was, is QuestionnaireResult) []ScoreChange {
	byID := map[string]*ScoreChange{}
	at := func(id string) *ScoreChange {
		if byID[id] == nil {
			byID[id] = &ScoreChange{Score: id}
		}
		return byID[id]
	}
	for i := range was.Scores {
		at(was.Scores[i].ID).Was = &was.Scores[i]
	}
	for i := range is.Scores {
		at(is.Scores[i].ID).Is = &is.Scores[i]
	}
	var changed []ScoreChange
	for _, c := range byID {
		if c.Was == nil || c.Is == nil || c.Was.Value != c.Is.Value || c.Was.Band != c.Is.Band {
			changed = append(changed, *c)
		}
	}
	slices.SortFunc(changed, func(a, b ScoreChange) int { return strings.Compare(a.Score, b.Score) })
	return changed
}

func insertRescore(tx Tx, r Recorded) error {
	const insert = `INSERT INTO questionnaire_rescores (id, version, rule_sha256, sha256, made_at, result) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id, version, rule_sha256) DO NOTHING`
	made := r.Content.(Rescore)
	result, err := json.Marshal(made.QuestionnaireResult)
	if err != nil {
		return err
	}
	_, err = tx.Exec(insert, made.ID, made.Rule.Version, made.Rule.SHA256, r.SHA256, micros(r.ReceivedAt), string(result))
	return err
}

func findRescore(tx Tx, c Content) (sha256 string, found bool, err error) {
	const query = `SELECT sha256 FROM questionnaire_rescores WHERE id = $1 AND version = $2 AND rule_sha256 = $3`
	made := c.(Rescore)
	rows, err := tx.Query(query, made.ID, made.Rule.Version, made.Rule.SHA256)
	if err != nil {
		return "", false, err
	}
	err = EachRow(rows, func() error {
		found = true
		return rows.Scan(&sha256)
	})
	return sha256, found, err
}

// loadRescores reads what other definitions made of these revisions, by their id.
func loadRescores(tx Tx, ids []string, instrumentOf func(id string) string) (map[string][]MadeRescore, error) {
	in, args := InList(ids)
	rows, err := tx.Query(`SELECT id, version, rule_sha256, sha256, made_at, result FROM questionnaire_rescores WHERE id IN `+in+
		` ORDER BY id, made_at, version`, args...)
	if err != nil {
		return nil, err
	}
	all := map[string][]MadeRescore{}
	err = EachRow(rows, func() error {
		var m MadeRescore
		var id, sha256 string
		var at int64
		var result []byte
		if err := rows.Scan(&id, &m.Rule.Version, &m.Rule.SHA256, &sha256, &at, &result); err != nil {
			return err
		}
		m.Rule.ID = instrumentOf(id)
		if err := json.Unmarshal(result, &m.QuestionnaireResult); err != nil {
			return fmt.Errorf("scores of %s: %w", id, err)
		}
		if (Rescore{id, m.Rule, m.QuestionnaireResult}).Digest() != sha256 {
			return fmt.Errorf("%w: scores of %s by version %s", ErrChanged, id, m.Rule.Version)
		}
		m.MadeAt = fromMicros(at)
		all[id] = append(all[id], m)
		return nil
	})
	return all, err
}
