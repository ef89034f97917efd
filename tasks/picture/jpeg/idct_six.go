package jpeg

const (
	f0366 = 2998  // sqrt2 cos5, cosN being that of N pi/12
	f0707 = 5793  // sqrt2 cos4
	f1225 = 10033 // sqrt2 cos2
)

// inverse6Go turns len(last) blocks of 36 coefficients into 6x6 samples side by side.
func inverse6Go(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	for i, l := range last {
		b := (*[36]int16)(coefficients[36*i:])
		if l == 0 {
			flat(dst[6*i:], stride, 6, level(int32(b[0])*q[0]))
			continue
		}
		block6(dst[6*i:], stride, b, q)
	}
}

// block6 is, twice over, the transform of six, by halves6. It is the orthonormal one
// times the root of 6; with the 6/8 of the reduction an eighth is left.
func block6(dst []byte, stride int, b *[36]int16, q *[64]int32) {
	var t [36]int32
	for v := range 6 {
		dc := bounded(int32(b[v]) * q[v])
		if b[6+v]|b[12+v]|b[18+v]|b[24+v]|b[30+v] == 0 {
			dc <<= extraBits
			t[v], t[6+v], t[12+v], t[18+v], t[24+v], t[30+v] = dc, dc, dc, dc, dc, dc
			continue
		}
		const round, down = 1 << (scaleBits - extraBits - 1), scaleBits - extraBits
		e0, e1, e2, o0, o1, o2 := halves6(dc, int32(b[6+v])*q[6+v], int32(b[12+v])*q[12+v],
			int32(b[18+v])*q[18+v], int32(b[24+v])*q[24+v], int32(b[30+v])*q[30+v], round)
		t[v], t[30+v] = (e0+o0)>>down, (e0-o0)>>down
		t[6+v], t[24+v] = (e1+o1)>>down, (e1-o1)>>down
		t[12+v], t[18+v] = (e2+o2)>>down, (e2-o2)>>down
	}
	row := func(y int) *[6]byte { return (*[6]byte)(dst[y*stride:]) }
	r0, r1, r2, r3, r4, r5 := row(0), row(1), row(2), row(3), row(4), row(5)
	for x := range 6 {
		const round, down = 1 << (scaleBits + extraBits + 2), scaleBits + extraBits + 3
		c := (*[6]int32)(t[6*x:])
		e0, e1, e2, o0, o1, o2 := halves6(c[0], c[1], c[2], c[3], c[4], c[5], round)
		r0[x], r5[x] = sample((e0+o0)>>down), sample((e0-o0)>>down)
		r1[x], r4[x] = sample((e1+o1)>>down), sample((e1-o1)>>down)
		r2[x], r3[x] = sample((e2+o2)>>down), sample((e2-o2)>>down)
	}
}

// halves6 is the transform of six but for its last sums: output i is ei+oi and output
// 5-i is ei-oi. As sqrt2 cos3 is 1 and sqrt2 cos1 is 1.366, few products are left:
//
//	e0, e2 = c0 + 0.707 c4 ± 1.225 c2    o0 = c1 + c3 + 0.366 (c1 + c5)
//	e1     = c0 - 1.414 c4               o1 = c1 - c3 - c5
//	                                     o2 = c5 - c3 + 0.366 (c1 + c5)
func halves6(c0, c1, c2, c3, c4, c5, round int32) (e0, e1, e2, o0, o1, o2 int32) {
	low, z4, z2 := c0<<scaleBits+round, c4*f0707, c2*f1225
	z := (c1 + c5) * f0366
	return low + z4 + z2, low - 2*z4, low + z4 - z2,
		(c1+c3)<<scaleBits + z, (c1 - c3 - c5) << scaleBits, (c5-c3)<<scaleBits + z
}
