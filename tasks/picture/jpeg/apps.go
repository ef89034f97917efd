package jpeg

import (
	"encoding/binary"
	"strings"
)

// appSegments collects what the application segments say about how to show the picture.
type appSegments struct {
	jfif           bool
	adobe          bool
	adobeTransform byte
	exif           []byte   // the first one's TIFF structure
	icc            [][]byte // parts by number, from 1
	iccTotal       int
}

const (
	exifPrefix = "Exif\x00\x00"
	iccPrefix  = "ICC_PROFILE\x00"
)

func (a *appSegments) read(marker byte, b []byte) {
	switch n := marker - markerAPP0; {
	case n == 0 && strings.HasPrefix(string(b[:min(5, len(b))]), "JFIF\x00"):
		a.jfif = true
	case n == 1 && a.exif == nil && len(b) > len(exifPrefix) && string(b[:len(exifPrefix)]) == exifPrefix:
		a.exif = b[len(exifPrefix):]
	case n == 2 && len(b) > len(iccPrefix)+2 && string(b[:len(iccPrefix)]) == iccPrefix:
		a.readICC(b[len(iccPrefix):])
	case n == 14 && len(b) >= 12 && string(b[:5]) == "Adobe":
		a.adobe, a.adobeTransform = true, b[11]
	}
}

// readICC keeps a part of a profile: number(1) of(1) bytes (ICC.1, annex B.4).
func (a *appSegments) readICC(b []byte) {
	number, total := int(b[0]), int(b[1])
	if number == 0 || number > total || a.iccTotal != 0 && a.iccTotal != total {
		return
	}
	if a.icc == nil {
		a.icc, a.iccTotal = make([][]byte, total), total
	}
	if a.icc[number-1] == nil {
		a.icc[number-1] = b[2:]
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

// orientation reads tag 0x0112 of the first directory:
//
//	"II" or "MM" | 42(2) | offset of directory(4) | … | count(2) | per entry: tag(2) type(2) count(4) value(4)
func (a *appSegments) orientation() int {
	const tag, short, entrySize = 0x0112, 3, 12
	if len(a.exif) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(a.exif[:2]) == "MM" {
		order = binary.BigEndian
	} else if string(a.exif[:2]) != "II" {
		return 1
	}
	at := int64(order.Uint32(a.exif[4:]))
	if at+2 > int64(len(a.exif)) {
		return 1
	}
	dir := a.exif[at:]
	entries := dir[2:]
	for range order.Uint16(dir) {
		if len(entries) < entrySize {
			break
		}
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			break
		}
		entries = entries[entrySize:]
	}
	return 1
}
