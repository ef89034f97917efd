package jpeg

// The forward transform and quantisation, for two neighbouring blocks at a time, as
// assembly where there is some and as Go elsewhere. Both give the same bits.
//
// The transform is that of Loeffler, Ligtenberg and Moschytz in 14-bit fixed point:
// columns first, their output kept to a quarter, then lines, their output left at
// fdctScale. A block's coefficients are kept column by column: the one of
// horizontal frequency u and vertical frequency v at 8*u+v.

// fdctPosition has, for each place in zigzag order, the place in the order of fdct.
var fdctPosition = func() (t [64]uint8) {
	for at, natural := range zigzagOrder {
		t[at] = natural&7<<3 | natural>>3
	}
	return t
}()

// zigzagOrder has, for each place in zigzag order, the place line by line.
var zigzagOrder = func() (t [64]uint8) {
	u, v := 0, 0
	for at := range t {
		t[at] = uint8(8*v + u)
		switch up := (u+v)&1 == 0; {
		case up && u == 7, !up && v < 7 && u == 0:
			v++
		case up && v == 0, !up && v == 7:
			u++
		case up:
			u, v = u+1, v-1
		default:
			u, v = u-1, v+1
		}
	}
	return t
}()

// sqrt(2) cos(i pi/16) in fixed point, and the sums of them that the transform
// multiplies by. That these are sums of the six rounded numbers, and not rounded on
// their own, is what lets the assembly multiply by the six alone.
const (
	fdctBits = 14

	fdctC1 = 22725
	fdctC2 = 21407
	fdctC3 = 19266
	fdctC5 = 12873
	fdctC6 = 8867
	fdctC7 = 4520
)

// fdctGo transforms and quantises pairs of neighbouring blocks whose lines begin at
// src and are stride apart. It fills 128 of coefficients and 2 of nonzero a pair.
func fdctGo(coefficients []int16, nonzero []uint64, src []byte, stride, pairs int, q *quantiser) {
	for block := range 2 * pairs {
		var columns [64]int32
		fdctColumns(&columns, src[8*block:], stride)
		nonzero[block] = fdctLines((*[64]int16)(coefficients[64*block:]), &columns, q)
	}
}

// fdctColumns transforms the columns of one block; that of x goes to columns[8*x].
func fdctColumns(columns *[64]int32, src []byte, stride int) {
	r0, r1 := (*[8]byte)(src), (*[8]byte)(src[stride:])
	r2, r3 := (*[8]byte)(src[2*stride:]), (*[8]byte)(src[3*stride:])
	r4, r5 := (*[8]byte)(src[4*stride:]), (*[8]byte)(src[5*stride:])
	r6, r7 := (*[8]byte)(src[6*stride:]), (*[8]byte)(src[7*stride:])
	const shift, half = fdctBits - 2, 1 << (fdctBits - 2 - 1)
	for x := range 8 {
		y0, y1, y2, y3, y4, y5, y6, y7 := fdct8(
			int32(r0[x]), int32(r1[x]), int32(r2[x]), int32(r3[x]),
			int32(r4[x]), int32(r5[x]), int32(r6[x]), int32(r7[x]))
		out := (*[8]int32)(columns[8*x:])
		out[0], out[4] = (y0-8*128)<<2, y4<<2 // samples are about 128
		out[1], out[3] = (y1+half)>>shift, (y3+half)>>shift
		out[2], out[6] = (y2+half)>>shift, (y6+half)>>shift
		out[5], out[7] = (y5+half)>>shift, (y7+half)>>shift
	}
}

// fdctLines transforms the lines of what fdctColumns made, quantises, and returns
// which coefficients are not 0.
func fdctLines(out *[64]int16, columns *[64]int32, q *quantiser) (nonzero uint64) {
	const shift, half = fdctBits, 1 << (fdctBits - 1)
	for v := range 8 {
		y0, y1, y2, y3, y4, y5, y6, y7 := fdct8(
			columns[v], columns[8+v], columns[16+v], columns[24+v],
			columns[32+v], columns[40+v], columns[48+v], columns[56+v])
		set := q.quantise(out, v, y0)
		set |= q.quantise(out, 8+v, (y1+half)>>shift) << 8
		set |= q.quantise(out, 16+v, (y2+half)>>shift) << 16
		set |= q.quantise(out, 24+v, (y3+half)>>shift) << 24
		set |= q.quantise(out, 32+v, y4) << 32
		set |= q.quantise(out, 40+v, (y5+half)>>shift) << 40
		set |= q.quantise(out, 48+v, (y6+half)>>shift) << 48
		set |= q.quantise(out, 56+v, (y7+half)>>shift) << 56
		nonzero |= set << v
	}
	return nonzero
}

// quantise divides c by the i-th step into out[i] and returns 1 unless that is 0.
func (q *quantiser) quantise(out *[64]int16, i int, c int32) uint64 {
	sign := c >> 31
	quotient := uint64(uint32((c^sign)-sign)+uint32(q.bias[i&63])) * q.product[i&63] >> 32
	out[i&63] = int16((int32(quotient) ^ sign) - sign)
	return -quotient >> 63
}

// fdct8 transforms one line or column: y0 and y4 are plain sums, the others are
// times 1<<fdctBits. 12 multiplications give what the definition needs 20 for.
func fdct8(x0, x1, x2, x3, x4, x5, x6, x7 int32) (y0, y1, y2, y3, y4, y5, y6, y7 int32) {
	s0, d0 := x0+x7, x0-x7
	s1, d1 := x1+x6, x1-x6
	s2, d2 := x2+x5, x2-x5
	s3, d3 := x3+x4, x3-x4

	e0, e3 := s0+s3, s0-s3
	e1, e2 := s1+s2, s1-s2
	z := (e2 + e3) * fdctC6
	y0, y4 = e0+e1, e0-e1
	y2, y6 = z+e3*(fdctC2-fdctC6), z-e2*(fdctC2+fdctC6)

	z1, z2 := (d3+d0)*(fdctC7-fdctC3), (d2+d1)*(fdctC1+fdctC3)
	z3, z4 := d3+d1, d2+d0
	z5 := (z3 + z4) * fdctC3
	z3 = z5 - z3*(fdctC3+fdctC5)
	z4 = z5 - z4*(fdctC3-fdctC5)
	y1 = d0*(fdctC1+fdctC3-fdctC5-fdctC7) + z1 + z4
	y3 = d1*(fdctC1+fdctC3+fdctC5-fdctC7) - z2 + z3
	y5 = d2*(fdctC1+fdctC3-fdctC5+fdctC7) - z2 + z4
	y7 = d3*(fdctC3+fdctC5-fdctC1-fdctC7) + z1 + z3
	return
}
