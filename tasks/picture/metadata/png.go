package metadata

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
)

// maxInflated bounds what one compressed chunk may become.
const maxInflated = 1 << 20

// readPNG reads a file's chunks:
//
//	length(4) | type(4) | data | CRC(4)
func (r *reader) readPNG(f file) {
	for at := int64(8); ; {
		head := r.read(f, at, 8)
		if head == nil {
			return
		}
		n, kind := int64(binary.BigEndian.Uint32(head)), string(head[4:])
		switch kind {
		case "IEND":
			return
		case "tIME":
			r.name("PNG:", "ModifyDate")
		case "eXIf":
			r.readEXIF(r.readUpTo(f, at+8, n))
		case "iCCP", "tEXt", "zTXt", "iTXt":
			r.chunk(kind, r.readUpTo(f, at+8, n))
		}
		at += 12 + n
	}
}

// chunk reads a chunk that begins with a keyword and a 0:
//
//	tEXt       text
//	zTXt, iCCP method(1) compressed
//	iTXt       compressed?(1) method(1) language 0 the keyword in it 0 text
func (r *reader) chunk(kind string, b []byte) {
	keyword, rest, _ := bytes.Cut(b, []byte{0})
	switch kind {
	case "tEXt":
		r.text(string(keyword), rest, false)
	case "zTXt":
		r.text(string(keyword), rest[min(1, len(rest)):], true)
	case "iTXt":
		if parts := bytes.SplitN(rest[min(2, len(rest)):], []byte{0}, 3); len(parts) == 3 {
			r.text(string(keyword), parts[2], rest[0] == 1)
		}
	case "iCCP":
		r.readICC(r.inflate(rest[min(1, len(rest)):]))
	}
}

// text notes a keyword, if it is one that the standard knows (others may say anything),
// or reads the block that some programs keep under one.
func (r *reader) text(keyword string, b []byte, compressed bool) {
	const profile = "Raw profile type "
	if keyword != "XML:com.adobe.xmp" && !strings.HasPrefix(keyword, profile) {
		if !pngKeywords[keyword] {
			keyword = "Text"
		}
		r.name("PNG:", keyword)
		return
	}
	if compressed {
		b = r.inflate(b)
	}
	switch kind := strings.ToLower(strings.TrimPrefix(keyword, profile)); kind {
	case "exif", "app1":
		if b = unhex(b); bytes.HasPrefix(b, []byte("http:")) {
			_, b, _ = bytes.Cut(b, []byte{0})
			r.readXMP(b)
			return
		}
		r.readEXIF(b)
	case "iptc", "8bim":
		if b = unhex(b); len(b) > 0 && b[0] == 0x1c {
			r.readIPTC(b)
			return
		}
		r.readPhotoshop(b)
	case "icc", "icm":
		r.readICC(unhex(b))
	case "xmp":
		r.readXMP(unhex(b))
	case "xml:com.adobe.xmp":
		r.readXMP(b)
	default:
		r.name("PNG:", "Text")
	}
}

// unhex decodes a raw profile: its kind and its length, each on a line, then hex digits
// on lines.
func unhex(b []byte) []byte {
	lines := bytes.Fields(b)
	if len(lines) < 3 {
		return nil
	}
	digits := bytes.Join(lines[2:], nil)
	n, _ := hex.Decode(digits, digits[:len(digits)&^1])
	return digits[:n]
}

// inflate returns as much of what b was before compression as may be read.
func (r *reader) inflate(b []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	inflated, _ := io.ReadAll(io.LimitReader(z, int64(max(0, min(maxInflated, r.left)))))
	r.left -= len(inflated)
	return inflated
}

var pngKeywords = map[string]bool{
	"Title": true, "Author": true, "Description": true, "Copyright": true, "Creation Time": true, "Software": true,
	"Disclaimer": true, "Warning": true, "Source": true, "Comment": true, "Collection": true, "Artist": true,
	"Document": true, "Label": true, "Make": true, "Model": true, "TimeStamp": true, "URL": true,
}
