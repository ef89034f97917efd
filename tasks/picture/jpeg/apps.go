package jpeg

import (
	"strings"

	"casepress/tasks/picture/container"
)

// appSegments collects what the application segments say about how to show the picture.
type appSegments struct {
	jfif           bool
	adobe          bool
	adobeTransform byte
	icc            [][]byte // parts by number, from 1
	iccTotal       int
	iccBytes       int
}

const (
	markerAPP2  = container.MarkerAPP0 + 2
	markerAPP14 = container.MarkerAPP0 + 14
	iccPrefix   = "ICC_PROFILE\x00"
)

func (a *appSegments) read(marker byte, b []byte) {
	switch n := marker - container.MarkerAPP0; {
	case n == 0 && strings.HasPrefix(string(b[:min(5, len(b))]), "JFIF\x00"):
		a.jfif = true
	case n == 2 && len(b) > len(iccPrefix)+2 && string(b[:len(iccPrefix)]) == iccPrefix:
		a.readICC(b[len(iccPrefix):])
	case n == 14 && len(b) >= 12 && string(b[:5]) == "Adobe":
		a.adobe, a.adobeTransform = true, b[11]
	}
}

// maxProfile is the most bytes of a profile that are read; those of printers have about 1 MB.
const maxProfile = 4 << 20

// readICC keeps a part of a profile: number(1) of(1) bytes (ICC.1, annex B.4).
func (a *appSegments) readICC(b []byte) {
	number, total := int(b[0]), int(b[1])
	if number == 0 || number > total || a.iccTotal != 0 && a.iccTotal != total {
		return
	}
	if a.icc == nil {
		a.icc, a.iccTotal = make([][]byte, total), total
	}
	if a.icc[number-1] == nil && a.iccBytes+len(b) <= maxProfile {
		a.icc[number-1] = b[2:]
		a.iccBytes += len(b)
	}
}

// profile joins the parts; nil if one is missing.
func (a *appSegments) profile() []byte {
	var joined []byte
	for _, part := range a.icc {
		if part == nil {
			return nil
		}
		joined = append(joined, part...)
	}
	return joined
}
