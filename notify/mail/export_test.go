package mail

import (
	"time"

	"casepress/notify"
	"casepress/study"
)

// Compose is the content of a mail.
func (s *Sender) Compose(to study.Rung, a notify.Alert) ([]byte, error) {
	m, err := s.compose(to, a, time.Now())
	if err != nil {
		return nil, err
	}
	return m.content, nil
}
