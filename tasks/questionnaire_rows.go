package tasks

import (
	"encoding/json"
	"fmt"
	"hash/crc32"

	"casepress/jsonfile"
)

// The tables of questionnaires are made by the store's migrations, as those of case reports:
//
//	questionnaire_responses  content and result of each revision of a response, by the id of the revision
//	adverse_events           content and result, by id

func insertResponse(tx Tx, r Recorded) error {
	const insert = `INSERT INTO questionnaire_responses (id, response_id, revision, instrument, authored_at, content, content_crc, original)
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
	if _, err := tx.Exec(insert, id, response.ID, response.Revision, response.Rule.ID, micros(authored), content, checkSum(content), response.Original); err != nil {
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

// responseJSON is the response without the original, which has a column of its own, and without what the table
// submissions has.
func responseJSON(r QuestionnaireResponse) (string, error) {
	r.Original, r.Study, r.Site, r.PatientID, r.VisitID = "", "", "", "", ""
	content, err := json.Marshal(r)
	return string(content), err
}

// checkSum tells whether what is read is what was written. The original has the digest in the table submissions; a letter that
// changes in the rest would be a wrong answer or score.
func checkSum(text string) int64 { return int64(crc32.Checksum([]byte(text), castagnoli)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func completeResponse(tx Tx, id string, r Result) error {
	const update = `UPDATE questionnaire_responses SET result = $1, result_crc = $2 WHERE id = $3`
	made, ok := r.(QuestionnaireResult)
	if !ok {
		return fmt.Errorf("result of a questionnaire response is a %T", r)
	}
	result, err := json.Marshal(made)
	if err != nil {
		return err
	}
	_, err = tx.Exec(update, string(result), checkSum(string(result)), id)
	return err
}

func loadResponses(tx Tx, of []Stored) (map[string]Loaded, error) {
	in, args := InList(idsOf(of))
	stored := make(map[string]Stored, len(of))
	for _, s := range of {
		stored[s.ID] = s
	}
	rows, err := tx.Query(`SELECT id, content, content_crc, original, result, result_crc FROM questionnaire_responses WHERE id IN `+in, args...)
	if err != nil {
		return nil, err
	}
	loaded := make(map[string]Loaded, len(of))
	err = EachRow(rows, func() error {
		var id, content, original, result string
		var contentSum, resultSum int64
		if err := rows.Scan(&id, &content, &contentSum, &original, &result, &resultSum); err != nil {
			return err
		}
		if checkSum(content) != contentSum || result != "" && checkSum(result) != resultSum {
			return fmt.Errorf("%w: answers or scores of %s are not as they were written", ErrInconsistent, id)
		}
		var r QuestionnaireResponse
		if err := json.Unmarshal([]byte(content), &r); err != nil {
			return fmt.Errorf("content of %s: %w", id, err)
		}
		s := stored[id]
		r.Original, r.Study, r.Site, r.PatientID, r.VisitID = original, s.Study, s.Site, s.PatientID, s.VisitID
		l := Loaded{Content: r}
		if s.Completed && result != "" {
			var made QuestionnaireResult
			if err := json.Unmarshal([]byte(result), &made); err != nil {
				return fmt.Errorf("result of %s: %w", id, err)
			}
			l.Result = made
		}
		loaded[id] = l
		return nil
	})
	if err != nil {
		return nil, err
	}
	return loaded, addRescores(tx, loaded)
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

func insertAdverseEvent(tx Tx, r Recorded) error {
	const insert = `INSERT INTO adverse_events (id, content) VALUES ($1, $2)`
	content, err := json.Marshal(r.Content)
	if err != nil {
		return err
	}
	_, err = tx.Exec(insert, r.Content.Header().ID, string(content))
	return err
}

func completeAdverseEvent(tx Tx, id string, r Result) error {
	const update = `UPDATE adverse_events SET result = $1 WHERE id = $2`
	if _, ok := r.(AdverseEventResult); !ok {
		return fmt.Errorf("result of an adverse event is a %T", r)
	}
	result, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = tx.Exec(update, string(result), id)
	return err
}

func loadAdverseEvents(tx Tx, of []Stored) (map[string]Loaded, error) {
	return loadJSON[AdverseEvent, AdverseEventResult](tx, "adverse_events", of)
}
