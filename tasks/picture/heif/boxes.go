package heif

import "encoding/binary"

// Info is what the boxes of a file say about its pixels.
type Info struct {
	// Profile is the ICC profile, nil if there is none.
	Profile []byte
	// Limited says that the samples leave the ends of their range unused, as in
	// films: 16 to 235 for brightness.
	Limited bool
	// Depth is the most bits a sample has, 8 if the file does not say.
	Depth int
}

// ReadInfo looks through the properties that the file gives its pictures. A photo's
// tiles share the properties of the whole, so the first of each kind counts. What
// is damaged is left at its default.
//
//	"meta" > "iprp" > "ipco" > "colr" ("prof" or "rICC", then the profile; or "nclx", numbers), "pixi" (bits of each channel)
func ReadInfo(data []byte) Info {
	info := Info{Depth: 8}
	meta := find(data, "meta")
	if len(meta) < 4 {
		return info
	}
	ranged := false
	eachBox(find(find(meta[4:], "iprp"), "ipco"), func(kind string, b []byte) {
		switch {
		case kind == "colr" && len(b) > 4 && (string(b[:4]) == "prof" || string(b[:4]) == "rICC"):
			if info.Profile == nil {
				info.Profile = b[4:]
			}
		case kind == "colr" && len(b) >= 11 && string(b[:4]) == "nclx" && !ranged:
			ranged, info.Limited = true, b[10]&0x80 == 0
		case kind == "pixi" && len(b) > 5:
			for _, bits := range b[5:] {
				info.Depth = max(info.Depth, int(min(bits, 16)))
			}
		}
	})
	return info
}

// find returns the content of the first box of a kind, nil if there is none.
func find(b []byte, kind string) (content []byte) {
	eachBox(b, func(k string, c []byte) {
		if k == kind && content == nil {
			content = c
		}
	})
	return content
}

// eachBox calls f with every box in b until one is damaged.
//
//	4 size | 4 kind | content; size 1: 8 bytes of size follow the kind; size 0: to the end
func eachBox(b []byte, f func(kind string, content []byte)) {
	for len(b) >= 8 {
		size, head := uint64(binary.BigEndian.Uint32(b)), 8
		switch {
		case size == 1 && len(b) >= 16:
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		case size == 0:
			size = uint64(len(b))
		}
		if size < uint64(head) || size > uint64(len(b)) {
			return
		}
		f(string(b[4:8]), b[head:size])
		b = b[size:]
	}
}
