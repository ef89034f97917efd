package jpeg

// wellFormed says whether payload is as long as a segment of that kind must be, so that
// nothing can hide behind it, and whether there is such a kind. Its contents are the
// decoder's matter.
func wellFormed(marker byte, payload []byte) bool {
	switch {
	case isFrame(marker):
		return frameFits(payload)
	case marker == markerSOS:
		return len(payload) >= 6 && payload[0] <= 4 && len(payload) == 4+2*int(payload[0])
	case marker == markerDRI, marker == markerDNL:
		return len(payload) == 2
	case marker == markerDAC:
		return len(payload)%2 == 0
	case marker == markerDQT:
		return tablesFit(payload, quantisationBytes)
	case marker == markerDHT:
		return tablesFit(payload, huffmanBytes)
	}
	return false
}

// frameFits also wants a picture of at least one pixel.
func frameFits(payload []byte) bool {
	return len(payload) >= 9 && payload[5] <= 4 && len(payload) == 6+3*int(payload[5]) &&
		payload[1]|payload[2] != 0 && payload[3]|payload[4] != 0
}

// tablesFit says whether b is a row of tables; size tells how long the first of a row
// is, 0 if it cannot be told.
func tablesFit(b []byte, size func(b []byte) int) bool {
	for len(b) > 0 {
		n := size(b)
		if n == 0 || n > len(b) {
			return false
		}
		b = b[n:]
	}
	return true
}

func quantisationBytes(b []byte) int {
	if b[0]>>4 == 0 {
		return 1 + 64
	}
	return 1 + 2*64
}

func huffmanBytes(b []byte) int {
	if len(b) < 17 {
		return 0
	}
	n := 17
	for _, count := range b[1:17] {
		n += int(count)
	}
	return n
}
