package tasks_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

// BenchmarkQuestionnaire measures what is done to one response beside the network, the log and the rows.
func BenchmarkQuestionnaire(b *testing.B) {
	studies := studiesOf(b, studyS1)
	text := document(map[string]string{"scores": `{"total":12}`})
	r := readResponse(b, studies, tasks.Arrival{At: arrived}, map[string]string{"scores": `{"total":12}`})
	s := tasks.NewSubmission(tasks.KindQuestionnaireResponse(), r)
	s.ReceivedAt = arrived
	record, err := s.Encode()
	require.NoError(b, err)
	for name, run := range map[string]func() error{
		"read": func() error {
			_, problems := tasks.ReadQuestionnaireResponse(text, "", studies, tasks.Arrival{At: arrived})
			require.Empty(b, problems)
			return nil
		},
		"encode": func() error { _, err := s.Encode(); return err },
		"decode": func() error { _, err := tasks.DecodeSubmission(record); return err },
		"score": func() error {
			_, err := tasks.QuestionnaireTask{Studies: studies, Response: r}.Execute(b.Context())
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, run())
			}
		})
	}
}
