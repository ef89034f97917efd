package jpeg

// The inverse transforms. Coefficients lie column by column, so that the first pass,
// over the horizontal frequencies, leaves rows for the second. All are exact to less
// than one level; arithmetic is that of int32, which wraps for coefficients that no
// picture has.

const (
	scaleBits = 13 // of the constants
	extraBits = 2  // kept between the passes

	f0298 = 2446  // sqrt2 (-cos1 + cos3 + cos5 - cos7), cosN being that of N pi/16
	f0390 = 3196  // sqrt2 (cos3 - cos5)
	f0541 = 4433  // sqrt2 cos6
	f0765 = 6270  // sqrt2 (cos2 - cos6)
	f0899 = 7373  // sqrt2 (cos3 - cos7)
	f1175 = 9633  // sqrt2 cos3
	f1501 = 12299 // sqrt2 (cos1 + cos3 - cos5 - cos7)
	f1847 = 15137 // sqrt2 (cos2 + cos6)
	f1961 = 16069 // sqrt2 (cos3 + cos5)
	f2053 = 16819 // sqrt2 (cos1 + cos3 - cos5 + cos7)
	f2562 = 20995 // sqrt2 (cos1 + cos3)
	f3072 = 25172 // sqrt2 (cos1 + cos3 + cos5 - cos7)
)

// inverse8Go turns len(last) blocks of 64 coefficients into 8x8 samples side by side.
func inverse8Go(dst []byte, stride int, coefficients []int16, last []uint8, q *[64]int32) {
	for i, l := range last {
		b := (*[64]int16)(coefficients[64*i:])
		if l == 0 {
			flat(dst[8*i:], stride, 8, level(int32(b[0])*q[0]))
			continue
		}
		block8(dst[8*i:], stride, b, q)
	}
}

// level is the sample of a block that has only a DC: what the passes below would say.
func level(dc int32) byte { return sample((bounded(dc) + 4) >> 3) }

// bounded keeps a DC from overflowing, so that shortcuts give what the passes give.
func bounded(dc int32) int32 { return min(max(dc, -1<<15), 1<<15-1) }

// sample shifts a value from around zero to 0 … 255.
func sample(v int32) byte { return byte(min(max(v+128, 0), 255)) }

func flat(dst []byte, stride, n int, v byte) {
	for y := range n {
		row := dst[y*stride : y*stride+n]
		for x := range row {
			row[x] = v
		}
	}
}

func block8(dst []byte, stride int, b *[64]int16, q *[64]int32) {
	var t [64]int32
	for v := range 8 {
		dc := bounded(int32(b[v]) * q[v])
		if b[8+v]|b[16+v]|b[24+v]|b[32+v]|b[40+v]|b[48+v]|b[56+v] == 0 {
			dc <<= extraBits
			t[v], t[8+v], t[16+v], t[24+v], t[32+v], t[40+v], t[48+v], t[56+v] = dc, dc, dc, dc, dc, dc, dc, dc
			continue
		}
		const round, down = 1 << (scaleBits - extraBits - 1), scaleBits - extraBits
		e0, e1, e2, e3, o0, o1, o2, o3 := halves(dc, int32(b[8+v])*q[8+v], int32(b[16+v])*q[16+v], int32(b[24+v])*q[24+v],
			int32(b[32+v])*q[32+v], int32(b[40+v])*q[40+v], int32(b[48+v])*q[48+v], int32(b[56+v])*q[56+v])
		t[v], t[56+v] = (e0+o0+round)>>down, (e0-o0+round)>>down
		t[8+v], t[48+v] = (e1+o1+round)>>down, (e1-o1+round)>>down
		t[16+v], t[40+v] = (e2+o2+round)>>down, (e2-o2+round)>>down
		t[24+v], t[32+v] = (e3+o3+round)>>down, (e3-o3+round)>>down
	}
	row := func(y int) *[8]byte { return (*[8]byte)(dst[y*stride:]) }
	r0, r1, r2, r3, r4, r5, r6, r7 := row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)
	for x := range 8 {
		const round, down = 1 << (scaleBits + extraBits + 2), scaleBits + extraBits + 3
		c := (*[8]int32)(t[8*x:])
		e0, e1, e2, e3, o0, o1, o2, o3 := halves(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7])
		r0[x], r7[x] = sample((e0+o0+round)>>down), sample((e0-o0+round)>>down)
		r1[x], r6[x] = sample((e1+o1+round)>>down), sample((e1-o1+round)>>down)
		r2[x], r5[x] = sample((e2+o2+round)>>down), sample((e2-o2+round)>>down)
		r3[x], r4[x] = sample((e3+o3+round)>>down), sample((e3-o3+round)>>down)
	}
}

// halves is the one-dimensional transform but for its last sums: output i is ei+oi and
// output 7-i is ei-oi.
func halves(c0, c1, c2, c3, c4, c5, c6, c7 int32) (e0, e1, e2, e3, o0, o1, o2, o3 int32) {
	z := (c2 + c6) * f0541
	t2, t3 := z-c6*f1847, z+c2*f0765
	t0, t1 := (c0+c4)<<scaleBits, (c0-c4)<<scaleBits

	z5 := (c7 + c3 + c5 + c1) * f1175
	z3, z4 := z5-(c7+c3)*f1961, z5-(c5+c1)*f0390
	z1, z2 := (c7+c1)*f0899, (c5+c3)*f2562
	return t0 + t3, t1 + t2, t1 - t2, t0 - t3,
		c1*f1501 - z1 + z4, c3*f3072 - z2 + z3, c5*f2053 - z2 + z4, c7*f0298 - z1 + z3
}
