package blob_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/blob"
)

func TestKeyIsValid(t *testing.T) {
	good := strings.Repeat("09af", 16)
	require.True(t, blob.Key(good).Valid())
	for name, k := range map[string]string{
		"empty": "", "short": good[:63], "long": good + "0", "upper case": strings.ToUpper(good),
		"no hex": "g" + good[1:], "path": "../../" + good[6:], "zero byte": "\x00" + good[1:],
	} {
		require.False(t, blob.Key(k).Valid(), name)
	}
}
