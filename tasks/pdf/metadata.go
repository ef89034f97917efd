package pdf

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"time"
)

const creator = "casepress"

// metadata is what the PDF says of itself to programs: in its document information and as XMP.
type metadata struct {
	title, subject, language string
	time                     time.Time
}

// metadataOf returns the metadata of a document whose names were cleaned, see [layout.cleanNames].
func metadataOf(doc Document) metadata {
	l := layout{doc: doc, words: doc.Options.labels()}
	m := metadata{
		title: joined(" ", doc.Title, doc.ID), subject: l.subject(), language: l.words.tag,
		time: doc.ReceivedAt.UTC().Truncate(time.Second),
	}
	if m.time.IsZero() {
		m.time = time.Unix(0, 0).UTC() // gofpdf would look at the clock
	}
	return m
}

// xmp returns the metadata as XMP, with the claim to be PDF/A-2b.
func (m metadata) xmp(id [16]byte) []byte {
	text := func(s string) string {
		var b bytes.Buffer
		_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer returns no error
		return b.String()
	}
	at := m.time.Format("2006-01-02T15:04:05Z")
	uuid := hex.EncodeToString(id[:])
	uuid = uuid[:8] + "-" + uuid[8:12] + "-" + uuid[12:16] + "-" + uuid[16:20] + "-" + uuid[20:]
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xpacket begin="`+"\ufeff"+`" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/">
<pdfaid:part>2</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>
<dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">%s</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">%s</rdf:li></rdf:Alt></dc:description>
<dc:creator><rdf:Seq><rdf:li>%s</rdf:li></rdf:Seq></dc:creator>
<dc:language><rdf:Bag><rdf:li>%s</rdf:li></rdf:Bag></dc:language>
<pdf:Producer>%[3]s</pdf:Producer><xmp:CreatorTool>%[3]s</xmp:CreatorTool>
<xmp:CreateDate>%[5]s</xmp:CreateDate><xmp:ModifyDate>%[5]s</xmp:ModifyDate><xmp:MetadataDate>%[5]s</xmp:MetadataDate>
<xmpMM:DocumentID>uuid:%[6]s</xmpMM:DocumentID><xmpMM:InstanceID>uuid:%[6]s</xmpMM:InstanceID>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>`, text(m.title), text(m.subject), creator, m.language, at, uuid)
	return b.Bytes()
}
