package study_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/study"
)

// An instrument is named once, with each language of the study that it cannot be read in.
func TestMissingWording(t *testing.T) {
	for content, want := range map[string][]string{
		`"languages":["en"],"visits":[{"id":"V1","title":"A","day":1,"due":["phq-9","case-report"]}]`:    nil,
		`"languages":["en-GB"],"visits":[{"id":"V1","title":"A","day":1,"due":["phq-9","case-report"]}]`: nil,
		`"languages":["en","zh-CN"]`: nil,
		`"languages":["en","zh-CN","de"],"visits":[{"id":"V1","title":"A","day":1,"due":["phq-9"]},{"id":"V2","title":"B","day":9,"due":["who-5","phq-9"]}]`: {
			"phq-9 is due, and has no wording in zh-CN, de: see docs/instruments.md",
			"who-5 is due, and has no wording in en, zh-CN, de: see docs/instruments.md",
		},
	} {
		s, problems := study.Check("S1.json", []byte(`{"schema":1,"id":"S1","version":1,"title":"A",`+content+`}`))
		require.Empty(t, problems)
		var got []string
		for _, m := range s.MissingWording() {
			got = append(got, m.String())
		}
		require.Equal(t, want, got, content)
	}
}
