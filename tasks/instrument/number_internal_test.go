package instrument

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRounding(t *testing.T) {
	for _, c := range []struct {
		number                   string
		places                   int
		halfUp, halfEven, ceiled string
	}{
		{"2.5", 0, "3", "2", "3"},
		{"3.5", 0, "4", "4", "4"},
		{"-2.5", 0, "-2", "-2", "-2"},
		{"-3.5", 0, "-3", "-4", "-3"},
		{"2.49", 0, "2", "2", "3"},
		{"2.51", 0, "3", "3", "3"},
		{"-2.51", 0, "-3", "-3", "-2"},
		{"7", 0, "7", "7", "7"},
		{"0.125", 2, "0.13", "0.12", "0.13"},
		{"0.135", 2, "0.14", "0.14", "0.14"},
		{"1/3", 3, "0.333", "0.333", "0.334"},
		{"2/3", 1, "0.7", "0.7", "0.7"},
		{"108/7", 0, "15", "15", "16"},
	} {
		r, ok := new(big.Rat).SetString(c.number)
		require.True(t, ok)
		for method, want := range map[string]string{halfUp: c.halfUp, halfEven: c.halfEven, ceil: c.ceiled, "": (number{r}).String()} {
			require.Equal(t, want, rounding{method, c.places}.of(number{r}).String(), "%s %s", method, c.number)
		}
		again, _ := new(big.Rat).SetString(c.number)
		require.Zero(t, again.Cmp(r), "it was changed")
	}
}

func TestNumberString(t *testing.T) {
	for _, s := range []string{"0", "-7", "12.5", "0.001", "-0.000000001", "108/7", "1/3", "-5/6", "123456789012345678901234567890", "0.0625"} {
		r, ok := new(big.Rat).SetString(s)
		require.True(t, ok)
		require.Equal(t, s, number{r}.String())
	}
	sums := []number{whole(1), {big.NewRat(1, 3)}, whole(-4), {big.NewRat(2, 3)}}
	require.Equal(t, "-2", sum(sums).String())
	require.Equal(t, "0", sum(nil).String())
}
