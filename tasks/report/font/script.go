package font

import (
	"encoding/binary"
	"math"
)

// script is a raised or lowered small character made from a full-size one.
// Laboratory values need them (10⁹/L, m², H₂O) and the typeface lacks most.
type script struct {
	base rune
	rise float64 // in ems
}

// scriptScale is the size of a raised or lowered character relative to its base.
const scriptScale = 0.6

var scripts = makeScripts()

func makeScripts() map[rune]script {
	const up, down = 0.36, -0.14
	all := map[rune]script{
		'⁰': {'0', up}, '¹': {'1', up}, '²': {'2', up}, '³': {'3', up}, 'ⁱ': {'i', up}, 'ⁿ': {'n', up},
	}
	for i := range rune(6) {
		all['⁴'+i] = script{'4' + i, up}
	}
	for i := range rune(10) {
		all['₀'+i] = script{'0' + i, down}
	}
	for i, base := range []rune("+−=()") {
		all['⁺'+rune(i)] = script{base, up}
		all['₊'+rune(i)] = script{base, down}
	}
	return all
}

// compose returns the outline of a script as a composite glyph (one component,
// scaled and moved) over the glyph base of the cut font, whose outline is given:
//
//	-1(2) | box(4x2) | flags(2) | glyph(2) | dx(2) | dy(2) | scale(2, 2.14 bits)
func (s script) compose(base uint16, outline []byte, em float64) []byte {
	const wordArgs, argsAreXY, haveScale = 1, 2, 8
	rise := int16(math.Round(s.rise * em))
	b := binary.BigEndian.AppendUint16(nil, 0xffff)
	for i := range 4 {
		var v int16
		if len(outline) >= 10 {
			v = int16(math.Round(scriptScale * float64(int16(binary.BigEndian.Uint16(outline[2+2*i:])))))
		}
		if i%2 == 1 { // yMin, yMax
			v += rise
		}
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	b = binary.BigEndian.AppendUint16(b, wordArgs|argsAreXY|haveScale)
	b = binary.BigEndian.AppendUint16(b, base)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(rise))
	return binary.BigEndian.AppendUint16(b, uint16(math.Round(scriptScale*(1<<14))))
}
