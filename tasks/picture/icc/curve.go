package icc

import (
	"encoding/binary"
	"fmt"
)

// finer is how many steps a curve has per value of 8 bits. The values between come
// from colour planes, whose red, green and blue are not whole.
const finer = 2

// curve is the light, 0 to 1, of every device value 0 to 255 by steps of 1/finer.
type curve [255*finer + 1]float64

// curve reads a tone curve: "curv" is a table, an exponent or nothing, "para" one of
// five formulas.
func (t tags) curve(signature string) (*curve, error) {
	kind, body, err := t.get(signature)
	if err != nil {
		return nil, err
	}
	var at func(float64) float64
	switch kind {
	case "curv":
		at = tableCurve(body)
	case "para":
		at = formulaCurve(body)
	default:
		return nil, fmt.Errorf("%w: %s is a %q", ErrUnsupported, signature, kind)
	}
	if at == nil {
		return nil, fmt.Errorf("%w: %s is cut short, or of an unknown kind", ErrInvalid, signature)
	}
	c := new(curve)
	for i := range c {
		c[i] = clip(at(float64(i) / float64(len(c)-1)))
	}
	return c, nil
}

// clip brings v to 0..1, and what is not a number to 0.
func clip(v float64) float64 {
	if v > 0 {
		return min(v, 1)
	}
	return 0
}

// tableCurve reads a count and as many 16-bit numbers: none is no curve, one is an
// exponent with 8 bits behind the point, more are light at equal steps.
func tableCurve(body []byte) func(float64) float64 {
	if len(body) < 4 {
		return nil
	}
	n, table := int64(binary.BigEndian.Uint32(body)), body[4:]
	if 2*n > int64(len(table)) {
		return nil
	}
	number := func(i int) float64 { return float64(binary.BigEndian.Uint16(table[2*i:])) }
	switch n {
	case 0:
		return func(x float64) float64 { return x }
	case 1:
		exponent := number(0) / 256
		return func(x float64) float64 { return power(x, exponent) }
	}
	last := int(n) - 1
	return func(x float64) float64 {
		at := float64(x * float64(last))
		i := min(int(at), last-1)
		step := float64((number(i+1) - number(i)) * (at - float64(i)))
		return (number(i) + step) / 65535
	}
}

// formulaCurve reads the number of a formula and its parameters, in the standard's
// order g a b c d e f. All five are
//
//	(a x + b)^g + e  where x >= d,  c x + f  below
//
// with what they do not mention 0, or 1 for a; formulas 1 and 2 begin at -b/a, and the
// c of 2 is both e and f.
func formulaCurve(body []byte) func(float64) float64 {
	counts := [...]int{1, 3, 4, 5, 7}
	if len(body) < 4 {
		return nil
	}
	kind, parameters := int(binary.BigEndian.Uint16(body)), body[4:]
	if kind >= len(counts) || len(parameters) < 4*counts[kind] {
		return nil
	}
	v := [7]float64{1: 1}
	for i := range counts[kind] {
		v[i] = fixed(parameters[4*i:])
	}
	g, a, b, c, d, e, f := v[0], v[1], v[2], v[3], v[4], v[5], v[6]
	if kind == 1 || kind == 2 {
		if a == 0 {
			return nil
		}
		c, d, e, f = 0, -b/a, c, c
	}
	return func(x float64) float64 {
		if x >= d {
			return power(float64(a*x)+b, g) + e
		}
		return float64(c*x) + f
	}
}
