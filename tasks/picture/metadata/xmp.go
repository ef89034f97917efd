package metadata

import (
	"bytes"
	"encoding/xml"
)

const (
	maxPacket = 1 << 20
	maxDepth  = 100
)

// readXMP notes the names of all properties and fields of an XMP packet, however deep:
// all elements and attributes but those that RDF and XML themselves are made of. A
// broken packet is read up to where it breaks, a long or deep one to the limits.
func (r *reader) readXMP(packet []byte) {
	d := xml.NewDecoder(bytes.NewReader(packet[:min(len(packet), maxPacket)]))
	d.Strict = false
	for depth := 0; depth < maxDepth; {
		token, err := d.Token()
		if err != nil {
			return
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			r.property(token.Name)
			for _, a := range token.Attr {
				r.property(a.Name)
			}
		case xml.EndElement:
			depth--
		}
	}
}

func (r *reader) property(name xml.Name) {
	switch name.Space {
	case "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "adobe:ns:meta/", "http://www.w3.org/XML/1998/namespace",
		"xmlns", "xml", "rdf", "x", "":
		return
	}
	r.name("XMP:", name.Local)
}
