package picture_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Builders of the blocks and files that the tests read. Every value says "secret".

// entry is an EXIF tag; what is not nil becomes its value.
type entry struct {
	tag       uint16
	text      string
	number    uint32
	directory []entry
}

var exampleDirectory = []entry{
	{tag: 0x010f, text: "secret maker"},
	{tag: 0x0112, number: 6},
	{tag: 0x8769, directory: []entry{
		{tag: 0x9003, text: "2026:11:21 22:42:31"},
		{tag: 0x9011, text: "+01:00"},
		{tag: 0x927c, text: strings.Repeat("secret", 12000)},
		{tag: 0xa431, text: "secret serial"},
		{tag: 0xa005, directory: []entry{{tag: 0x0001, text: "R98"}}},
		{tag: 0xfff0, text: "secret"},
	}},
	{tag: 0x8825, directory: []entry{{tag: 0x0001, text: "N"}, {tag: 0x0002, text: "secret position"}}},
}

var thumbnailDirectory = []entry{{tag: 0x0103, number: 6}, {tag: 0x0201, number: 8}}

var exampleTags = []string{
	"BodySerialNumber", "Compression", "DateTimeOriginal", "EXIF:0xfff0", "GPSLatitude", "GPSLatitudeRef",
	"InteroperabilityIndex", "Make", "MakerNote", "OffsetTimeOriginal", "Orientation", "ThumbnailImage",
}

const exampleTime = "2026-11-21T22:42:31+01:00"

// tiff returns a TIFF block of directories, each pointing at the next.
func tiffBlock(order binary.AppendByteOrder, directories ...[]entry) []byte {
	b := order.AppendUint32(append([]byte{}, "II*\x00"...), 8)
	if order.String() == "BigEndian" {
		b = order.AppendUint32(append([]byte{}, "MM\x00*"...), 8)
	}
	for i, d := range directories {
		b = appendDirectory(order, b, d, i+1 < len(directories))
	}
	return b
}

// appendDirectory appends a directory and what it points at, the next one right behind.
func appendDirectory(order binary.AppendByteOrder, b []byte, entries []entry, more bool) []byte {
	after := len(b) + 2 + 12*len(entries) + 4
	var behind []byte
	b = order.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = order.AppendUint16(b, e.tag)
		at := uint32(after + len(behind))
		switch {
		case e.directory != nil:
			b = order.AppendUint32(order.AppendUint32(order.AppendUint16(b, 4), 1), at)
			behind = appendDirectory(order, append(make([]byte, after), behind...), e.directory, false)[after:]
		case e.text != "":
			b = order.AppendUint32(order.AppendUint16(b, 2), uint32(len(e.text)+1))
			if value := e.text + "\x00"; len(value) > 4 {
				b, behind = order.AppendUint32(b, at), append(behind, value...)
			} else {
				b = append(b, (value + "\x00\x00\x00")[:4]...)
			}
		default:
			b = order.AppendUint32(order.AppendUint32(order.AppendUint16(b, 4), 1), e.number)
		}
	}
	next := uint32(0)
	if more {
		next = uint32(after + len(behind))
	}
	return append(order.AppendUint32(b, next), behind...)
}

const exampleXMP = `<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:h="http://ns.adobe.com/xap/1.0/mm/" xmp:CreatorTool="secret">
<xmp:Label xml:lang="en">secret</xmp:Label><h:History><rdf:Seq><rdf:li h:instanceID="secret" rdf:parseType="Resource"/></rdf:Seq></h:History>
<xmp:naïve>secret</xmp:naïve></rdf:Description></rdf:RDF></x:xmpmeta>`

var exampleXMPTags = []string{"XMP:CreatorTool", "XMP:History", "XMP:Label", "XMP:Other", "XMP:instanceID"}

func iptcBlock() string {
	return "\x1c\x02\x50\x00\x06secret" + "\x1c\x02\x5a\x00\x06secret" + "\x1c\x09\x09\x00\x00"
}

func photoshop() string {
	return "8BIM\x04\x04\x00\x00\x00\x00\x00\x1b" + iptcBlock() + "\x00" +
		"8BIM\x04\x0c\x03abc\x00\x00\x00\x06secret" + "8BIM\x03\xed\x00\x00\x00\x00\x00\x00"
}

var photoshopTags = []string{"IPTC:9:9", "IPTC:Byline", "IPTC:City", "Photoshop", "ThumbnailImage"}

func iccProfile() string {
	return strings.Repeat("\x00", 128) + "\x00\x00\x00\x03" + "desc\x00\x00\x00\xa8\x00\x00\x00\x06" +
		"cprt\x00\x00\x00\xa8\x00\x00\x00\x06" + "????\x00\x00\x00\xa8\x00\x00\x00\x06" + "secret"
}

var iccTags = []string{"ICC:Other", "ICC:ProfileCopyright", "ICC:ProfileDescription"}

func tagsOf(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func jpegFile(segments ...string) []byte {
	return []byte("\xff\xd8" + strings.Join(segments, "") + "\xff\xda\x00\x02secret\xff\xe1\xff\xff\xff\xd9")
}

func appSegment(marker byte, payload string) string {
	n := len(payload) + 2
	return string([]byte{0xff, marker, byte(n >> 8), byte(n)}) + payload
}

func exifSegment() string {
	b := tiffBlock(binary.BigEndian, slices.DeleteFunc(slices.Clone(exampleDirectory), func(e entry) bool { return e.tag == 0x8769 }))
	return appSegment(0xe1, "Exif\x00\x00"+string(b))
}

func pngFile(chunks ...string) []byte {
	return []byte("\x89PNG\r\n\x1a\n" + rawChunk("IHDR", "0123456789012") + strings.Join(chunks, "") + rawChunk("IEND", ""))
}

func rawChunk(kind, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(data)))) + kind + data + "CRC!"
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func rawProfile(kind, data string) string {
	return fmt.Sprintf("\n%s\n%8d\n%s\n", kind, len(data), hex.EncodeToString([]byte(data)))
}

func webpFile(chunks ...string) []byte {
	all := "WEBP" + strings.Join(chunks, "")
	return []byte("RIFF" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(all)))) + all)
}

func riffChunk(kind, data string) string {
	size := string(binary.LittleEndian.AppendUint32(nil, uint32(len(data))))
	return kind + size + data + strings.Repeat("\x00", len(data)%2)
}

func isoBox(kind string, contents ...string) string {
	all := strings.Join(contents, "")
	return string(binary.BigEndian.AppendUint32(nil, uint32(8+len(all)))) + kind + all
}

func be32(v int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(v))) }

// heifFile returns a file with its EXIF in mdat and its XMP in idat.
func heifFile(exif, xmp string) []byte {
	ftyp := isoBox("ftyp", "heic\x00\x00\x00\x00")
	exif = "\x00\x00\x00\x06Exif\x00\x00" + exif
	meta := func(offset int) string {
		return isoBox("meta", "\x00\x00\x00\x00",
			isoBox("iinf", "\x00\x00\x00\x00\x00\x03",
				isoBox("infe", "\x02\x00\x00\x00\x00\x01\x00\x00hvc1\x00"),
				isoBox("infe", "\x02\x00\x00\x00\x00\x02\x00\x00Exif\x00"),
				isoBox("infe", "\x03\x00\x00\x00\x00\x00\x00\x03\x00\x00mime\x00application/rdf+xml\x00")),
			isoBox("pitm", "\x00\x00\x00\x00\x00\x01"),
			isoBox("iprp", isoBox("ipco", isoBox("colr", "prof", iccProfile()), isoBox("colr", "nclx1234567")),
				isoBox("ipma", "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x02\x01\x02")),
			isoBox("idat", "secret", xmp),
			isoBox("iloc", "\x01\x00\x00\x00\x44\x40\x00\x03",
				"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02", be32(0), be32(1), be32(2), be32(3),
				"\x00\x02\x00\x00\x00\x00", be32(0), "\x00\x01", be32(offset), be32(len(exif)),
				"\x00\x03\x00\x01\x00\x00", be32(6), "\x00\x01", be32(0), be32(len(xmp))))
	}
	offset := len(ftyp) + len(meta(0)) + 8
	return []byte(ftyp + meta(offset) + isoBox("mdat", exif))
}
