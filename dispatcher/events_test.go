package dispatcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
)

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"0", "1234", "1234-9f86d081884c", "01", "-1", "0-9f86d081884c", "1-9F86D081884C", "1-", "9223372036854775808", "1-9f86d081884", " 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := dispatcher.ParsePosition(s)
		if err != nil {
			require.Zero(t, p)
			return
		}
		require.Equal(t, s, p.String(), "a position has one spelling")
	})
}

func TestParsePosition(t *testing.T) {
	for s, want := range map[string]dispatcher.Position{
		"0": {}, "1234": {Sequence: 1234}, "1234-9f86d081884c": {Sequence: 1234, Check: "9f86d081884c"},
	} {
		got, err := dispatcher.ParsePosition(s)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, s := range []string{"", "01", "-1", "+1", "0-9f86d081884c", "1-9F86D081884C", "1-", "1-9f86d081884", "9223372036854775808", "1 ", "next"} {
		_, err := dispatcher.ParsePosition(s)
		require.Error(t, err, s)
	}
}
