package jpeg

import "math/bits"

// The tables of T.81 K.1 and K.2: steps for quality 50, line by line.
var encodeSteps = [2][64]byte{{
	16, 11, 10, 16, 24, 40, 51, 61,
	12, 12, 14, 19, 26, 58, 60, 55,
	14, 13, 16, 24, 40, 57, 69, 56,
	14, 17, 22, 29, 51, 87, 80, 62,
	18, 22, 37, 56, 68, 109, 103, 77,
	24, 35, 55, 64, 81, 104, 113, 92,
	49, 64, 78, 87, 103, 121, 120, 101,
	72, 92, 95, 98, 112, 100, 103, 99,
}, {
	17, 18, 24, 47, 99, 99, 99, 99,
	18, 21, 26, 66, 99, 99, 99, 99,
	24, 26, 56, 99, 99, 99, 99, 99,
	47, 66, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
}}

// quantiser divides the output of the transform, which is fdctScale times a
// coefficient, by one step for each coefficient, rounding to the nearest and halves
// away from zero:
//
//	((|c| + bias) * reciprocal >> 16) * shift >> 16, with the sign of c
//
// All tables but steps are in the order of fdct.
type quantiser struct {
	bias, reciprocal, shift [64]uint16
	product                 [64]uint64 // reciprocal * shift
	steps                   [64]byte   // line by line, as in encodeSteps
}

// fdctScale is what a coefficient of 1 is after the transform.
const fdctScale = 32

// init sets the tables for quality as image/jpeg and libjpeg understand it.
func (q *quantiser) init(class, quality int) {
	quality = min(max(quality, 1), 100)
	percent := 200 - 2*quality
	if quality < 50 {
		percent = 5000 / quality
	}
	for at, step := range encodeSteps[class] {
		step := min(max((int(step)*percent+50)/100, 1), 255)
		q.steps[at] = byte(step)
		q.set(at&7<<3|at>>3, uint32(step))
	}
}

// set makes coefficient i, in the order of fdct, be divided by step. The reciprocal
// is as exact as 16 bits can be; fdct_test.go checks that no quotient differs from
// that of a true division.
func (q *quantiser) set(i int, step uint32) {
	divisor := step * fdctScale
	shift := bits.Len32(divisor-1) - 1 // the reciprocal then has 16 bits, or is 1<<15
	reciprocal := (1<<(16+shift) + divisor - 1) / divisor
	q.bias[i] = uint16(divisor / 2)
	q.reciprocal[i] = uint16(reciprocal)
	q.shift[i] = 1 << (16 - shift)
	q.product[i] = uint64(reciprocal) << (16 - shift)
}
