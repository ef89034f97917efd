package icc_test

import (
	"encoding/binary"
	"math"
)

// entry is a tag: its signature, and its data with the type in front.
type entry struct{ signature, data string }

// profile puts a profile together.
func profile(class, space, connection string, entries ...entry) []byte {
	p := make([]byte, 128+4+12*len(entries))
	copy(p[8:], "\x02\x10")
	copy(p[12:], class+space+connection)
	copy(p[36:], "acsp")
	binary.BigEndian.PutUint32(p[128:], uint32(len(entries)))
	for i, e := range entries {
		at := p[132+12*i:]
		copy(at, e.signature)
		binary.BigEndian.PutUint32(at[4:], uint32(len(p)))
		binary.BigEndian.PutUint32(at[8:], uint32(len(e.data)))
		p = append(p, e.data...)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	return p
}

// colour is a screen's profile with one curve for its three channels.
func colour(colorants [9]float64, trc string) []byte {
	var entries []entry
	for i, c := range []string{"r", "g", "b"} {
		entries = append(entries, entry{c + "XYZ", "XYZ \x00\x00\x00\x00" + numbers(colorants[3*i:3*i+3]...)},
			entry{c + "TRC", trc})
	}
	return profile("mntr", "RGB ", "XYZ ", entries...)
}

func grey(trc string) []byte {
	return profile("mntr", "GRAY", "XYZ ", entry{"kTRC", trc})
}

// numbers writes s15Fixed16Numbers.
func numbers(values ...float64) string {
	var p []byte
	for _, v := range values {
		p = binary.BigEndian.AppendUint32(p, uint32(int32(math.Round(v*65536))))
	}
	return string(p)
}

func curv(values ...uint16) string {
	p := binary.BigEndian.AppendUint32([]byte("curv\x00\x00\x00\x00"), uint32(len(values)))
	for _, v := range values {
		p = binary.BigEndian.AppendUint16(p, v)
	}
	return string(p)
}

func para(kind byte, parameters ...float64) string {
	return "para\x00\x00\x00\x00\x00" + string(kind) + "\x00\x00" + numbers(parameters...)
}

// Colorants under D50, a colour after the other, as the spaces' own profiles have them.
var (
	standard  = [9]float64{0.43607, 0.22249, 0.01392, 0.38515, 0.71687, 0.09708, 0.14307, 0.06061, 0.71410}
	displayP3 = [9]float64{0.51512, 0.24120, -0.00105, 0.29198, 0.69225, 0.04189, 0.15710, 0.06657, 0.78407}
	adobeRGB  = [9]float64{0.60974, 0.31111, 0.01947, 0.20528, 0.62567, 0.06087, 0.14919, 0.06322, 0.74457}

	srgbCurve  = para(3, 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045)
	adobeCurve = curv(563) // an exponent of 563/256, as Adobe RGB (1998) defines it
)

// A space is what its standard says of it, under D65: chromaticities and the curve to
// light and back.
type space struct {
	x, y  [3]float64
	light func(float64) float64
	value func(float64) float64
}

var (
	srgbSpace  = space{[3]float64{0.64, 0.30, 0.15}, [3]float64{0.33, 0.60, 0.06}, srgbLight, srgbValue}
	p3Space    = space{[3]float64{0.680, 0.265, 0.150}, [3]float64{0.320, 0.690, 0.060}, srgbLight, srgbValue}
	adobeSpace = space{[3]float64{0.64, 0.21, 0.15}, [3]float64{0.33, 0.71, 0.06}, exponent(563.0 / 256), exponent(256.0 / 563)}
)

func srgbLight(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

func srgbValue(l float64) float64 {
	if l <= 0.0031308 {
		return 12.92 * l
	}
	return 1.055*math.Pow(l, 1/2.4) - 0.055
}

func exponent(e float64) func(float64) float64 {
	return func(v float64) float64 { return math.Pow(v, e) }
}

// toXYZ is the matrix of a space's light to XYZ under D65: the chromaticities, each
// scaled so that all three together are white.
func (s space) toXYZ() (m [3][3]float64) {
	for i := range 3 {
		m[0][i], m[1][i], m[2][i] = s.x[i]/s.y[i], 1, (1-s.x[i]-s.y[i])/s.y[i]
	}
	scale := solve(m, [3]float64{0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290})
	for row := range 3 {
		for i := range 3 {
			m[row][i] *= scale[i]
		}
	}
	return m
}

// convert brings a colour, 0 to 255, from one space to another. There is no adaptation
// in it, since both are under D65: the way a profile takes through D50 is not taken.
func convert(from, to space, rgb [3]uint8) [3]uint8 {
	var xyz [3]float64
	for row, m := range from.toXYZ() {
		for i := range 3 {
			xyz[row] += m[i] * from.light(float64(rgb[i])/255)
		}
	}
	for i, l := range solve(to.toXYZ(), xyz) {
		rgb[i] = uint8(math.Round(255 * to.value(max(0, min(l, 1)))))
	}
	return rgb
}

// solve is m⁻¹ v by Cramer's rule.
func solve(m [3][3]float64, v [3]float64) (out [3]float64) {
	for i := range 3 {
		replaced := m
		for row := range 3 {
			replaced[row][i] = v[row]
		}
		out[i] = determinant(replaced) / determinant(m)
	}
	return out
}

func determinant(m [3][3]float64) float64 {
	return m[0][0]*(m[1][1]*m[2][2]-m[1][2]*m[2][1]) -
		m[0][1]*(m[1][0]*m[2][2]-m[1][2]*m[2][0]) +
		m[0][2]*(m[1][0]*m[2][1]-m[1][1]*m[2][0])
}
