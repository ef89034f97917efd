package icc

import "math"

// Each product below is rounded by its conversion, which forbids the compiler to fuse
// it with a sum: the results, unlike those of math.Pow, are the same on every machine.

// power is x^y, 0 where x is not positive. It is good to about 14 digits.
func power(x, y float64) float64 {
	if x <= 0 {
		return 0
	}
	fraction, exponent := math.Frexp(x)
	if fraction < math.Sqrt2/2 {
		fraction, exponent = fraction*2, exponent-1
	}
	log := logarithm(fraction)/math.Ln2 + float64(exponent)
	power := max(-1000, min(float64(y*log), 1000))
	whole := math.Floor(power + 0.5)
	return math.Ldexp(exponential(float64((power-whole)*math.Ln2)), int(whole))
}

// logarithm is ln x near 1: 2 artanh s with s = (x-1)/(x+1), by its series.
func logarithm(x float64) float64 {
	s := (x - 1) / (x + 1)
	square, sum := float64(s*s), 0.0
	for n := 23; n > 0; n -= 2 {
		sum = float64(sum*square) + 1/float64(n)
	}
	return float64(2 * float64(s*sum))
}

// exponential is e^x near 0, by its series.
func exponential(x float64) float64 {
	sum := 1.0
	for n := 16; n > 0; n-- {
		sum = 1 + float64(sum*x)/float64(n)
	}
	return sum
}
