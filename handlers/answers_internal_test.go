package handlers

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
)

func TestRoomForLongAnswers(t *testing.T) {
	const asks, other = "192.0.2.1", "192.0.2.2"
	for name, tc := range map[string]struct {
		own, others, bytes int
		limit              int // of uploads: negative where clients have no shares
		refused            bool
	}{
		"all":                                {others: maxAnswers - reservedAnswer - 1, bytes: reservedAnswer + 1},
		"more than all":                      {others: maxAnswers - reservedAnswer, bytes: reservedAnswer + 1, refused: true},
		"the share of a client":              {own: maxAnswersFrom - 1<<20, bytes: 1 << 20},
		"more than the share":                {own: maxAnswersFrom - 1<<20 + 1, bytes: 1 << 20, refused: true},
		"more than the share, in one answer": {bytes: maxAnswersFrom + 1},
		"without shares":                     {own: maxAnswers - 1<<20, bytes: 1 << 20, limit: -1},
		"the reserve":                        {others: maxAnswers + moreAnswers - reservedAnswer, bytes: reservedAnswer},
		"more than the reserve":              {others: maxAnswers + moreAnswers - reservedAnswer + 1, bytes: reservedAnswer, refused: true},
		"too long for the reserve":           {others: maxAnswers, bytes: reservedAnswer + 1, refused: true},
		"the reserve is for the first":       {own: 1, others: maxAnswers - 1, bytes: longAnswer + 1, refused: true},
		"the reserve, without shares":        {own: 1, others: maxAnswers - 1, bytes: longAnswer + 1, limit: -1, refused: true},
		"short":                              {own: 1, others: 2 * maxAnswers, bytes: longAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			a := &API{cfg: Config{MaxUploadsPerAddress: tc.limit}.withDefaults()}
			defer HoldAnswers(a, asks, tc.own)()
			defer HoldAnswers(a, other, tc.others)()
			c, _ := gin.CreateTestContext(httptest.NewRecorder())
			c.Request = httptest.NewRequest(http.MethodGet, "/case-reports", nil)
			c.Request.RemoteAddr = asks + ":1"
			before := AnswersHeld(a)
			release, err := a.holdAnswer(c, tc.bytes)
			if tc.refused {
				require.Equal(t, codeOverloaded, asFault(err).code)
			} else {
				require.NoError(t, err)
				release()
			}
			require.Equal(t, before, AnswersHeld(a))
		})
	}
}
