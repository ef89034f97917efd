package instrument

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// number is an exact number. Its functions make new ones and change none.
type number struct{ r *big.Rat }

// plus, sum and cmp spare whole numbers, which nearly all are, the work on fractions.

func (n number) plus(m number) number {
	if n.r.IsInt() && m.r.IsInt() {
		return number{new(big.Rat).SetInt(new(big.Int).Add(n.r.Num(), m.r.Num()))}
	}
	return number{new(big.Rat).Add(n.r, m.r)}
}

func sum(all []number) number {
	ints, fractions := new(big.Int), new(big.Rat)
	for _, n := range all {
		if n.r.IsInt() {
			ints.Add(ints, n.r.Num())
		} else {
			fractions.Add(fractions, n.r)
		}
	}
	return number{new(big.Rat).SetInt(ints)}.plus(number{fractions})
}

func (n number) cmp(m number) int {
	if n.r.IsInt() && m.r.IsInt() {
		return n.r.Num().Cmp(m.r.Num())
	}
	return n.r.Cmp(m.r)
}

func whole(v int64) number { return number{new(big.Rat).SetInt64(v)} }

func (n number) minus(m number) number { return number{new(big.Rat).Sub(n.r, m.r)} }
func (n number) times(m number) number { return number{new(big.Rat).Mul(n.r, m.r)} }
func (n number) over(m number) number  { return number{new(big.Rat).Quo(n.r, m.r)} }
func (n number) isWhole() bool         { return n.r.IsInt() }

// index returns a whole number as an int; ok is false for a fraction and for what is too large.
func (n number) index() (i int, ok bool) {
	if !n.r.IsInt() || !n.r.Num().IsInt64() {
		return 0, false
	}
	return int(n.r.Num().Int64()), true
}

func least(a, b number) number {
	if b.cmp(a) < 0 {
		return b
	}
	return a
}

func most(a, b number) number {
	if b.cmp(a) > 0 {
		return b
	}
	return a
}

// places returns how many digits stand after the point, and false if they never end.
func (n number) places() (int, bool) {
	rest := new(big.Int).Set(n.r.Denom())
	count := func(factor int64) (times int) {
		f, m := big.NewInt(factor), new(big.Int)
		for {
			q, r := new(big.Int).QuoRem(rest, f, m)
			if r.Sign() != 0 {
				return times
			}
			rest, times = q, times+1
		}
	}
	places := max(count(2), count(5))
	return places, rest.IsInt64() && rest.Int64() == 1
}

// String returns the number as a decimal if its digits end, such as "12.5", and otherwise as a
// fraction in lowest terms, such as "108/7".
func (n number) String() string {
	if n.r.IsInt() {
		return n.r.Num().String()
	}
	if places, ends := n.places(); ends {
		return n.r.FloatString(places)
	}
	return n.r.String()
}

// rounding is how a number is rounded. Its method is empty where nothing is to be rounded.
type rounding struct {
	method string
	places int
}

// The methods of rounding. Half-up rounds a tie towards plus infinity, half-even to the even digit,
// and ceil everything towards plus infinity.
const (
	halfUp   = "half-up"
	halfEven = "half-even"
	ceil     = "ceil"
)

func (by rounding) of(n number) number {
	if by.method == "" || n.r.IsInt() {
		return n
	}
	scale := number{new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(by.places)), nil))}
	scaled := n.times(scale).r
	floor, rest := new(big.Int).DivMod(scaled.Num(), scaled.Denom(), new(big.Int))
	twice := new(big.Int).Lsh(rest, 1).Cmp(scaled.Denom())
	up := false
	switch by.method {
	case halfUp:
		up = twice >= 0
	case halfEven:
		up = twice > 0 || twice == 0 && floor.Bit(0) == 1
	case ceil:
		up = rest.Sign() > 0
	}
	if up {
		floor.Add(floor, big.NewInt(1))
	}
	return number{new(big.Rat).SetInt(floor)}.over(scale)
}

// Decimal is a number in decimal digits, such as "12.5". Empty stands for no number. In JSON it is a
// number or null.
type Decimal string

// decimal returns a number whose digits end.
func (n number) decimal() Decimal { return Decimal(n.String()) }

// MarshalJSON implements json.Marshaler.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if d == "" {
		return []byte("null"), nil
	}
	if _, err := parseDecimal(string(d)); err != nil {
		return nil, err
	}
	return []byte(d), nil
}

// UnmarshalJSON implements json.Unmarshaler. It refuses what is no number in digits, or has more than
// 40 characters.
func (d *Decimal) UnmarshalJSON(content []byte) error {
	if bytes.Equal(content, []byte("null")) {
		*d = ""
		return nil
	}
	if _, err := parseDecimal(string(content)); err != nil {
		return err
	}
	*d = Decimal(content)
	return nil
}

// parseDecimal reads a number as JSON writes it, but without exponent: "1e999999999" would fill the
// memory with zeros.
func parseDecimal(s string) (number, error) {
	const most = 40 // characters; no score has as many
	if len(s) <= most && !strings.ContainsAny(s, "eE/ \t\r\n") && json.Valid([]byte(s)) {
		if r, ok := new(big.Rat).SetString(s); ok {
			return number{r}, nil
		}
	}
	return number{}, fmt.Errorf("must be a number of up to %d characters, without an exponent", most)
}
