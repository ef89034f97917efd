package icc

import (
	"encoding/binary"
	"fmt"
)

// A profile is a header, a directory, and the tags' data anywhere behind it:
//
//	 0  size of the profile     128  n, how many tags
//	12  class, "mntr" …         132  signature, offset, length of tag 0
//	16  colour space, "RGB "    144  … of tag 1
//	20  connection space, "XYZ "
//	36  "acsp"
const (
	headerSize = 128
	entrySize  = 12
	// maxTags is far above the 20 or so that profiles have.
	maxTags = 200
)

type tags struct {
	space string
	data  map[string][]byte
}

// readTags finds the tags of a profile that connects through XYZ. Tags that lie
// outside of it are left out.
func readTags(profile []byte) (tags, error) {
	if len(profile) < headerSize+4 || string(profile[36:40]) != "acsp" {
		return tags{}, fmt.Errorf("%w: no header", ErrInvalid)
	}
	t := tags{space: string(profile[16:20]), data: map[string][]byte{}}
	switch class := string(profile[12:16]); class {
	case "mntr", "scnr", "prtr", "spac":
	default:
		return tags{}, fmt.Errorf("%w: class %q", ErrUnsupported, class)
	}
	if connection := string(profile[20:24]); connection != "XYZ " {
		return tags{}, fmt.Errorf("%w: connection space %q", ErrUnsupported, connection)
	}
	n := binary.BigEndian.Uint32(profile[headerSize:])
	if n > maxTags || int(n)*entrySize > len(profile)-headerSize-4 {
		return tags{}, fmt.Errorf("%w: %d tags in %d bytes", ErrInvalid, n, len(profile))
	}
	for entry := profile[headerSize+4:][:int(n)*entrySize]; len(entry) > 0; entry = entry[entrySize:] {
		at, size := int64(binary.BigEndian.Uint32(entry[4:])), int64(binary.BigEndian.Uint32(entry[8:]))
		if size >= 8 && at+size <= int64(len(profile)) {
			t.data[string(entry[:4])] = profile[at : at+size]
		}
	}
	return t, nil
}

// get returns a tag's type and what follows it. A profile without the tag is one that
// has a table of colours in its place.
func (t tags) get(signature string) (kind string, body []byte, err error) {
	data, ok := t.data[signature]
	if !ok {
		return "", nil, fmt.Errorf("%w: no %s in it", ErrUnsupported, signature)
	}
	return string(data[:4]), data[8:], nil
}

func (t tags) xyz(signature string) (xyz [3]float64, err error) {
	kind, body, err := t.get(signature)
	if err != nil {
		return xyz, err
	}
	if kind != "XYZ " || len(body) < 12 {
		return xyz, fmt.Errorf("%w: %s is a %q of %d bytes", ErrInvalid, signature, kind, len(body))
	}
	for i := range xyz {
		xyz[i] = fixed(body[4*i:])
	}
	return xyz, nil
}

// fixed reads an s15Fixed16Number.
func fixed(p []byte) float64 { return float64(int32(binary.BigEndian.Uint32(p))) / 65536 }
