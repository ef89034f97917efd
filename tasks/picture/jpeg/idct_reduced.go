package jpeg

// extraBits4 are kept between the passes of the 4x4 transform.
const extraBits4 = 2

// inverse4Go turns len(last) blocks of 16 coefficients into 4x4 samples side by side.
func inverse4Go(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	for i, l := range last {
		b := (*[16]int16)(coefficients[16*i:])
		if l == 0 {
			flat(dst[4*i:], stride, 4, level(int32(b[0])*q[0]))
			continue
		}
		block4(dst[4*i:], stride, b, q)
	}
}

// block4 is, twice over, the transform of four: with s and c the values at odd
// frequencies turned by 3 pi/8,
//
//	x0, x3 = (c0 + c2) ± (1.307 c1 + 0.541 c3)
//	x1, x2 = (c0 - c2) ± (0.541 c1 - 1.307 c3)
//
// which is twice the orthonormal one; with the 4/8 of the reduction an eighth is left.
func block4(dst []byte, stride int, b *[16]int16, q *[64]int32) {
	var t [16]int32
	for v := range 4 {
		const round, down = 1 << (scaleBits - extraBits4 - 1), scaleBits - extraBits4
		c0, c1, c2, c3 := bounded(int32(b[v])*q[v]), int32(b[4+v])*q[4+v], int32(b[8+v])*q[8+v], int32(b[12+v])*q[12+v]
		e0, e1 := (c0+c2)<<scaleBits+round, (c0-c2)<<scaleBits+round
		z := (c1 + c3) * f0541
		o0, o1 := z+c1*f0765, z-c3*f1847
		t[v], t[4+v], t[8+v], t[12+v] = (e0+o0)>>down, (e1+o1)>>down, (e1-o1)>>down, (e0-o0)>>down
	}
	r0, r1, r2, r3 := dst[:4], dst[stride:stride+4], dst[2*stride:2*stride+4], dst[3*stride:3*stride+4]
	for x := range 4 {
		const round, down = 1 << (scaleBits + extraBits4 + 2), scaleBits + extraBits4 + 3
		c := (*[4]int32)(t[4*x:])
		e0, e1 := (c[0]+c[2])<<scaleBits+round, (c[0]-c[2])<<scaleBits+round
		z := (c[1] + c[3]) * f0541
		o0, o1 := z+c[1]*f0765, z-c[3]*f1847
		r0[x], r1[x], r2[x], r3[x] = sample((e0+o0)>>down), sample((e1+o1)>>down), sample((e1-o1)>>down), sample((e0-o0)>>down)
	}
}

// inverse2 turns n blocks of 4 coefficients into 2x2 samples side by side.
func inverse2(dst []byte, stride int, coefficients []int16, n int, q *[64]int32) {
	for i := range n {
		b := (*[4]int16)(coefficients[4*i:])
		dc, across, down, both := int32(b[0])*q[0]+4, int32(b[2])*q[2], int32(b[1])*q[1], int32(b[3])*q[3]
		top, bottom := dst[2*i:2*i+2], dst[stride+2*i:stride+2*i+2]
		top[0], top[1] = sample((dc+across+down+both)>>3), sample((dc-across+down-both)>>3)
		bottom[0], bottom[1] = sample((dc+across-down-both)>>3), sample((dc-across-down+both)>>3)
	}
}

// inverse1 turns the DC of each block into a sample.
func inverse1(dst []byte, dc []int16, q int32) {
	dst = dst[:len(dc)]
	for i, v := range dc {
		dst[i] = level(int32(v) * q)
	}
}
