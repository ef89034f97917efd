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

// Size and spacing are those of the few raised digits that the typeface has, so
// that all stand in one row.
const (
	scriptScale = 0.6  // of the base's size
	scriptSpace = 0.04 // on either side, in ems
)

var scripts = makeScripts()

func makeScripts() map[rune]script {
	const up, down = 0.44, -0.14
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
	move := [2]float64{math.Round(scriptSpace * em), math.Round(s.rise * em)} // right, up
	b := binary.BigEndian.AppendUint16(nil, 0xffff)
	for i := range 4 {
		var v int16
		if len(outline) >= 10 {
			v = int16(math.Round(scriptScale*float64(int16(binary.BigEndian.Uint16(outline[2+2*i:])))) + move[i%2])
		}
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	b = binary.BigEndian.AppendUint16(b, wordArgs|argsAreXY|haveScale)
	b = binary.BigEndian.AppendUint16(b, base)
	for _, v := range move {
		b = binary.BigEndian.AppendUint16(b, uint16(int16(v)))
	}
	return binary.BigEndian.AppendUint16(b, uint16(math.Round(scriptScale*(1<<14))))
}
