package metadata

import (
	"bytes"
	"encoding/hex"
	"strings"
)

// Text takes a text chunk of a PNG, of what it begins with: a keyword and a 0.
//
//	tEXt       text
//	zTXt       method(1) compressed
//	iTXt       compressed?(1) method(1) language 0 the keyword in it 0 text
func (n *Names) Text(kind string, b []byte) {
	keyword, rest, _ := bytes.Cut(b, []byte{0})
	switch kind {
	case "tEXt":
		n.text(string(keyword), rest, false)
	case "zTXt":
		n.text(string(keyword), rest[min(1, len(rest)):], true)
	case "iTXt":
		if parts := bytes.SplitN(rest[min(2, len(rest)):], []byte{0}, 3); len(parts) == 3 {
			n.text(string(keyword), parts[2], rest[0] == 1)
		}
	}
}

// text notes a keyword, if it is one that the standard knows (others may say anything),
// or reads the block that some programs keep under one.
func (n *Names) text(keyword string, b []byte, compressed bool) {
	const profile = "Raw profile type "
	if keyword != "XML:com.adobe.xmp" && !strings.HasPrefix(keyword, profile) {
		if !pngKeywords[keyword] {
			keyword = "Text"
		}
		n.name("PNG:", keyword)
		return
	}
	if compressed {
		b = n.inflate(b)
	}
	switch kind := strings.ToLower(strings.TrimPrefix(keyword, profile)); kind {
	case "exif", "app1":
		if b = unhex(b); bytes.HasPrefix(b, []byte("http:")) {
			_, b, _ = bytes.Cut(b, []byte{0})
			n.XMP(b)
			return
		}
		n.EXIF(b)
	case "iptc", "8bim":
		if b = unhex(b); len(b) > 0 && b[0] == 0x1c {
			n.iptc(b)
			return
		}
		n.photoshop(b)
	case "icc", "icm":
		n.ICC(unhex(b))
	case "xmp":
		n.XMP(unhex(b))
	case "xml:com.adobe.xmp":
		n.XMP(b)
	default:
		n.name("PNG:", "Text")
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
	size, _ := hex.Decode(digits, digits[:len(digits)&^1])
	return digits[:size]
}

// inflate returns as much of what b was before compression as may be read.
func (n *Names) inflate(b []byte) []byte {
	inflated, _ := n.account.Inflate(b, maxBlock)
	return inflated
}

// Comment notes that a file has a text of its own.
func (n *Names) Comment() { n.name("", "Comment") }

// Block notes a block of metadata of which no more is read.
func (n *Names) Block(name string) { n.name("", name) }

// ModifyDate notes that a PNG has a time of change.
func (n *Names) ModifyDate() { n.name("PNG:", "ModifyDate") }

var pngKeywords = map[string]bool{
	"Title": true, "Author": true, "Description": true, "Copyright": true, "Creation Time": true, "Software": true,
	"Disclaimer": true, "Warning": true, "Source": true, "Comment": true, "Collection": true, "Artist": true,
	"Document": true, "Label": true, "Make": true, "Model": true, "TimeStamp": true, "URL": true,
}
