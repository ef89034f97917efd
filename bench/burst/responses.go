package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

const (
	studyID   = "S1"
	studyFile = `{"schema":1,"id":"S1","version":3,"title":"Eight in the evening","languages":["en","zh-CN"],
"crisisText":{"en":"Please call 0800 123 now.","zh-CN":"请立即拨打 0800 123。"}}
`
	path = "/questionnaire-responses"
)

// response is one patient's answers, as they are sent and as they must be found afterwards.
type response struct {
	id, sha256 string
	request    []byte // HTTP/1.1, whole
	total      int64
	flagged    bool
}

// newResponses makes answers to the PHQ-9 that were given just now, whose ids begin with QR- and the prefix. Those with a flag
// are spread evenly.
func newResponses(n, flagged int, prefix string) []response {
	authored := time.Now().In(time.FixedZone("", 8*60*60)).Format(time.RFC3339)
	all := make([]response, n)
	for i := range all {
		r := response{id: fmt.Sprintf("QR-%s%05d", prefix, i), flagged: flagged > 0 && i%(n/flagged) == 0 && i/(n/flagged) < flagged}
		var answers []byte
		for item := 1; item <= 9; item++ {
			value := (i>>item + item) % 4
			if item == 9 {
				value = 0
				if r.flagged {
					value = 1 + i%3
				}
			}
			r.total += int64(value)
			answers = fmt.Appendf(answers, `,"%d":%d`, item, value)
		}
		body := fmt.Appendf(nil, `{"id":%q,"study":%q,"instrument":"phq-9","version":"1","patientId":"P%05d","visitId":"V02","language":"en",`+
			`"authored":%q,"answers":{%s},"scores":{"total":%d}}`, r.id, studyID, i, authored, answers[1:], r.total)
		sum := sha256.Sum256(body)
		r.sha256 = hex.EncodeToString(sum[:])
		r.request = append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, len(body)), body...)
		all[i] = r
	}
	return all
}

// stored is what a service has after the burst.
type stored struct {
	responses     []storedResponse
	adverseEvents []string // the ids of the responses that they come from
	lastScore     time.Time
	cpu           time.Duration // of the service until all was scored, before it was read
}

// storedResponse is a response as a service shows it.
type storedResponse struct {
	ID     string `json:"id"`
	SHA256 string `json:"sha256"`
	Total  *int64 `json:"total"` // nil: not scored
}

// compare returns an error that names whatever is lost, doubled, not scored or wrong.
func (s stored) compare(sent []response) error {
	var problems []error
	found := map[string]storedResponse{}
	for _, one := range s.responses {
		if _, twice := found[one.ID]; twice {
			problems = append(problems, fmt.Errorf("%s is there twice", one.ID))
		}
		found[one.ID] = one
	}
	events := map[string]int{}
	for _, id := range s.adverseEvents {
		events[id]++
	}
	for _, r := range sent {
		got, there := found[r.id]
		switch {
		case !there:
			problems = append(problems, fmt.Errorf("%s is lost", r.id))
		case got.SHA256 != r.sha256:
			problems = append(problems, fmt.Errorf("%s has the digest %s, not %s", r.id, got.SHA256, r.sha256))
		case got.Total == nil:
			problems = append(problems, fmt.Errorf("%s has no score", r.id))
		case *got.Total != r.total:
			problems = append(problems, fmt.Errorf("%s has the score %d, not %d", r.id, *got.Total, r.total))
		}
		want := 0
		if r.flagged {
			want = 1
		}
		if events[r.id] != want {
			problems = append(problems, fmt.Errorf("%s has %d adverse events, not %d", r.id, events[r.id], want))
		}
		delete(found, r.id)
		delete(events, r.id)
	}
	for id := range found {
		problems = append(problems, fmt.Errorf("%s was never sent", id))
	}
	for id := range events {
		problems = append(problems, fmt.Errorf("%s has an adverse event and was never sent", id))
	}
	if len(problems) > 10 {
		problems = append(problems[:10], fmt.Errorf("and %d more", len(problems)-10))
	}
	return errors.Join(problems...)
}
