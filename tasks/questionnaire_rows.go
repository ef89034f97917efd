package tasks

import (
	"encoding/json"
	"fmt"

	"casepress/jsonfile"
)

// The tables of questionnaires are made by the store's migrations, as those of case reports:
//
//	questionnaire_responses  content and result of each revision of a response, by the id of the revision

func insertResponse(tx Tx, r Recorded) error {
	const insert = `INSERT INTO questionnaire_responses (id, response_id, revision, instrument, authored_at, content, content_check_sum, original)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	const supersede = `UPDATE questionnaire_responses SET superseded = 1 WHERE id = $1`
	const latest = `UPDATE questionnaire_responses SET latest = $1 WHERE id = $2 AND latest < $1`
	response := r.Content.(QuestionnaireResponse)
	authored, ok := jsonfile.ParseTime(response.Authored)
	if !ok {
		return fmt.Errorf("authored is no time: %q", response.Authored)
	}
	content, err := responseJSON(response)
	if err != nil {
		return err
	}
	id := RevisionID(response.ID, response.Revision)
	if _, err := tx.Exec(insert, id, response.ID, response.Revision, response.Rule.ID, micros(authored), content, CheckSum([]byte(content)), response.Original); err != nil {
		return err
	}
	if response.Revision == 1 {
		return nil
	}
	if _, err := tx.Exec(supersede, RevisionID(response.ID, response.Revision-1)); err != nil {
		return err
	}
	_, err = tx.Exec(latest, response.Revision, RevisionID(response.ID, 1))
	return err
}

// responseJSON is the response without the original, which has a column of its own.
func responseJSON(r QuestionnaireResponse) (string, error) {
	r.Original = ""
	content, err := appendResponse(make([]byte, 0, 1024), &r)
	return string(content), err
}

func completeResponse(tx Tx, id string, r Result) error {
	const update = `UPDATE questionnaire_responses SET result = $1, result_check_sum = $2 WHERE id = $3`
	made, ok := r.(QuestionnaireResult)
	if !ok {
		return wrongResult("a questionnaire response", r, made)
	}
	result, err := appendResult(make([]byte, 0, 512), &made)
	if err != nil {
		return err
	}
	_, err = tx.Exec(update, string(result), CheckSum(result), id)
	return err
}

// responseColumns reads revisions, and whether they are numbered as they must be: that one is superseded if there is a next
// one and only then, and that the first one names the last.
const responseColumns = `SELECT id, content, content_check_sum, original, result, result_check_sum, response_id, revision, instrument, authored_at, superseded,
	(superseded = 1) = EXISTS (SELECT 1 FROM questionnaire_responses next WHERE next.id = q.response_id || '~' || (q.revision + 1)) AND
	(revision > 1 OR latest = 1 AND superseded = 0 OR latest > 1 AND superseded = 1 AND
		EXISTS (SELECT 1 FROM questionnaire_responses last WHERE last.id = q.response_id || '~' || q.latest AND last.superseded = 0))
	FROM questionnaire_responses q WHERE id IN `

// foundBy are the columns by which a revision is found, which its content has, too.
type foundBy struct {
	response   string
	revision   int
	instrument string
	authored   int64
}

func loadResponses(tx Tx, of []Stored) (map[string]Loaded, error) {
	in, args := InList(idsOf(of))
	stored := make(map[string]Stored, len(of))
	for _, s := range of {
		stored[s.ID] = s
	}
	rows, err := tx.Query(responseColumns+in, args...)
	if err != nil {
		return nil, err
	}
	loaded := make(map[string]Loaded, len(of))
	var amended []string
	err = EachRow(rows, func() error {
		var id, content, original, result string
		var contentSum, resultSum, superseded int64
		var found foundBy
		var chained bool
		if err := rows.Scan(&id, &content, &contentSum, &original, &result, &resultSum,
			&found.response, &found.revision, &found.instrument, &found.authored, &superseded, &chained); err != nil {
			return err
		}
		if CheckSum([]byte(content)) != contentSum || result != "" && CheckSum([]byte(result)) != resultSum {
			return fmt.Errorf("%w: answers or scores of %s", ErrChanged, id)
		}
		r, err := responseOf(content)
		if err != nil {
			return fmt.Errorf("content of %s: %w", id, err)
		}
		if authored, _ := jsonfile.ParseTime(r.Authored); !chained || found != (foundBy{r.ID, r.Revision, r.Rule.ID, micros(authored)}) {
			return fmt.Errorf("%w: what %s is found by", ErrChanged, id)
		}
		s := stored[id]
		if r.Header() != s.Header { // whose digest is of the original alone, which is not read again
			return fmt.Errorf("%w: whose answers %s are", ErrChanged, id)
		}
		r.Original = original
		l := Loaded{Content: r}
		if s.Completed && result != "" {
			var made QuestionnaireResult
			if err := json.Unmarshal([]byte(result), &made); err != nil {
				return fmt.Errorf("result of %s: %w", id, err)
			}
			l.Result = made
		}
		loaded[id] = l
		if superseded == 1 || r.Revision > 1 {
			amended = append(amended, id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range amended {
		r := loaded[id].Content.(QuestionnaireResponse)
		if r.ofAllRevisions, err = loadAdverseEventIDs(tx, r.ID); err != nil {
			return nil, err
		}
		loaded[id] = Loaded{r, loaded[id].Result}
	}
	return loaded, addRescores(tx, loaded)
}

// loadAdverseEventIDs reads which adverse events follow from the revisions of a response. It keeps one revision at a time in
// memory, for there may be a thousand.
func loadAdverseEventIDs(tx Tx, response string) ([]string, error) {
	// "~~" comes after "~" and any digit, and the primary key is in this order.
	const query = `SELECT id, content, content_check_sum FROM questionnaire_responses WHERE id = $1 OR id >= $2 AND id < $3`
	rows, err := tx.Query(query, response, response+"~", response+"~~")
	if err != nil {
		return nil, err
	}
	var ids []string
	byRevision := map[int][]string{}
	if err := EachRow(rows, func() error {
		var id, content string
		var sum int64
		if err := rows.Scan(&id, &content, &sum); err != nil {
			return err
		}
		if CheckSum([]byte(content)) != sum {
			return fmt.Errorf("%w: answers of %s", ErrChanged, id)
		}
		r, err := responseOf(content)
		if err != nil {
			return fmt.Errorf("content of %s: %w", id, err)
		}
		if r.Key() != id {
			return fmt.Errorf("%w: what %s is found by", ErrChanged, id)
		}
		byRevision[r.Revision] = r.AdverseEventIDs()
		return nil
	}); err != nil {
		return nil, err
	}
	for revision := 1; revision <= len(byRevision); revision++ {
		of, ok := byRevision[revision]
		if !ok {
			return nil, fmt.Errorf("%w: revision %d of %s is missing", ErrChanged, revision, response)
		}
		ids = append(ids, of...)
	}
	return ids, nil
}

// addRescores adds to results what other definitions made of the same answers. A response that is being scored has none.
func addRescores(tx Tx, loaded map[string]Loaded) error {
	var scored []string
	for id, l := range loaded {
		if l.Result != nil {
			scored = append(scored, id)
		}
	}
	if len(scored) == 0 {
		return nil
	}
	rescores, err := loadRescores(tx, scored, func(id string) string { return loaded[id].Content.(QuestionnaireResponse).Rule.ID })
	if err != nil {
		return err
	}
	for id, made := range rescores {
		l := loaded[id]
		result := l.Result.(QuestionnaireResult)
		result.Rescores = made
		l.Result = result
		loaded[id] = l
	}
	return nil
}
