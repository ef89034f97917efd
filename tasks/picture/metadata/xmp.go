package metadata

import (
	"bytes"
	"encoding/xml"
	"strconv"
	"strings"
)

const (
	maxPacket = 1 << 20
	maxDepth  = 100
)

// XMP notes the names of all properties and fields of an XMP packet, however deep:
// all elements and attributes but those that RDF and XML themselves are made of. A
// broken packet is read up to where it breaks, a long or deep one to the limits.
func (n *Names) XMP(packet []byte) {
	packet = packet[:min(len(packet), maxPacket)]
	if !n.account.Charge(int64(len(packet))) {
		return
	}
	d := xml.NewDecoder(bytes.NewReader(packet))
	d.Strict = false
	orientation := false // within an element of that name
	for depth := 0; depth < maxDepth; {
		token, err := d.Token()
		if err != nil {
			return
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			n.property(token.Name)
			orientation = isOrientation(token.Name)
			for _, a := range token.Attr {
				n.property(a.Name)
				if isOrientation(a.Name) {
					n.turnXMP(a.Value)
				}
			}
		case xml.CharData:
			if orientation {
				n.turnXMP(string(token))
			}
		case xml.EndElement:
			orientation = false
			depth--
		}
	}
}

func (n *Names) property(name xml.Name) {
	switch name.Space {
	case "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "adobe:ns:meta/", "http://www.w3.org/XML/1998/namespace",
		"xmlns", "xml", "rdf", "x", "":
		return
	}
	n.name("XMP:", name.Local)
}

func isOrientation(name xml.Name) bool {
	return name.Local == "Orientation" && (name.Space == "http://ns.adobe.com/tiff/1.0/" || name.Space == "tiff")
}

// turnXMP keeps the first orientation that XMP tells.
func (n *Names) turnXMP(value string) {
	v, err := strconv.Atoi(strings.TrimSpace(value))
	if err == nil && v >= 1 && v <= 8 && n.xmpOrientation == 0 {
		n.xmpOrientation = v
	}
}
