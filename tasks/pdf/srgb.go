package pdf

import (
	"encoding/binary"
	"math"
	"unicode/utf16"
)

// srgb returns an ICC profile (version 4.3, a display) for the sRGB colour space of
// IEC 61966-2-1, made here from the numbers of the standard: its primaries adapted
// to D50 and its curve as a formula.
//
//	header(128) | tags(4) | per tag: name(4) offset(4) length(4) | data, each padded to four bytes
func srgb() []byte {
	const header, entry = 128, 12
	xyz := func(v ...float64) []byte { return appendFixed([]byte("XYZ \x00\x00\x00\x00"), v...) }
	// y = (a x + b)^g from d on, c x below
	curve := appendFixed([]byte("para\x00\x00\x00\x00\x00\x03\x00\x00"), 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045)
	tags := []struct {
		name string
		data []byte
	}{
		{"desc", localised("sRGB")},
		{"cprt", localised("No copyright, use freely")},
		{"wtpt", xyz(0.9642, 1, 0.8249)},
		{"chad", appendFixed([]byte("sf32\x00\x00\x00\x00"), 1.047882, 0.022919, -0.050201, 0.029587, 0.990479, -0.017059, -0.009232, 0.015076, 0.751678)},
		{"rXYZ", xyz(0.436066, 0.222488, 0.013916)},
		{"gXYZ", xyz(0.385147, 0.716873, 0.097076)},
		{"bXYZ", xyz(0.143066, 0.060608, 0.714096)},
		{"rTRC", curve}, {"gTRC", curve}, {"bTRC", curve},
	}
	directory := binary.BigEndian.AppendUint32(nil, uint32(len(tags)))
	var body []byte
	start, curveAt := header+4+entry*len(tags), 0
	for _, t := range tags {
		at := start + len(body)
		if t.name == "rTRC" {
			curveAt = at
		}
		if t.name == "gTRC" || t.name == "bTRC" {
			at = curveAt // the three share one curve
		} else {
			body = append(body, t.data...)
			body = append(body, make([]byte, -len(t.data)&3)...)
		}
		directory = append(directory, t.name...)
		directory = binary.BigEndian.AppendUint32(directory, uint32(at))
		directory = binary.BigEndian.AppendUint32(directory, uint32(len(t.data)))
	}
	h := make([]byte, header)
	binary.BigEndian.PutUint32(h, uint32(start+len(body)))
	binary.BigEndian.PutUint32(h[8:], 0x04300000)
	copy(h[12:], "mntrRGB XYZ ")
	for i, v := range []uint16{2026, 1, 1} {
		binary.BigEndian.PutUint16(h[24+2*i:], v)
	}
	copy(h[36:], "acsp")
	copy(h[68:], appendFixed(nil, 0.9642, 1, 0.8249))
	return append(append(h, directory...), body...)
}

// appendFixed appends numbers with 16 bits before the point and 16 behind.
func appendFixed(b []byte, values ...float64) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(v*65536))))
	}
	return b
}

// localised returns English text: mluc(8) | 1(4) | 12(4) | enUS(4) | length(4) | 28(4) | UTF-16.
func localised(s string) []byte {
	units := utf16.Encode([]rune(s))
	b := []byte("mluc\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0cenUS")
	b = binary.BigEndian.AppendUint32(b, uint32(2*len(units)))
	b = binary.BigEndian.AppendUint32(b, 28)
	for _, u := range units {
		b = binary.BigEndian.AppendUint16(b, u)
	}
	return b
}
