package heif

import (
	"bytes"
	"encoding/binary"

	"casepress/tasks/picture/container"
)

// Info is what the boxes of a file say about its primary picture.
type Info struct {
	// Width and Height are the picture's in pixels, before it is turned or cropped; 0 if the
	// file does not say.
	Width, Height int
	// Codec is the kind of the item that holds the pixels, or those of the picture's first
	// tile: "hvc1" for HEVC, "av01" for AV1; "" if the file does not say.
	Codec string
	// Profile is the ICC profile, nil if there is none.
	Profile []byte
	// Colour is what the picture's nclx box says, nil if there is none.
	Colour *Colour
	// Depth is the most bits a sample has, 8 if the file does not say.
	Depth int
	// PlaneHalves is how many half bytes a pixel takes as planes of 8 bits: 3 if colour is half as
	// wide and high, which is taken where the file does not say, 4 if half as wide, 6 if as fine.
	PlaneHalves int64
	// Images is how many pictures the file has that are not hidden, tiles, thumbnails or
	// transparency; 1 if it does not say.
	Images int
	// MainIsThumbnail says that the file calls its primary picture a smaller version of another, which no
	// file should.
	MainIsThumbnail bool
	// Exif and XMP are the blocks of metadata, as they are in the file.
	Exif, XMP [][]byte

	primary, alpha uint32 // item numbers; alpha is 0 if the picture has no transparency
	pitm           int64  // the offset of the primary item's number in the file
	pitmWide       bool   // that number has 4 bytes
	alphaFlags     int64  // the offset of the flags of alpha's entry in iinf
	alphaLink      int64  // the offset of the kind of the box that makes it transparency
}

// Colour are code points of ITU-T H.273.
type Colour struct {
	Primaries, Transfer, Matrix uint16
	FullRange                   bool
}

// HasAlpha says whether the picture has transparency.
func (i Info) HasAlpha() bool { return i.alpha != 0 }

// Bounds on what is read.
const (
	maxMeta  = 4 << 20
	maxBlock = 1 << 20
	maxItems = 10_000
	// entryCost is what an entry of a table, or a piece of an item, takes off the account beside
	// its bytes, so that many small ones are bounded, and the context is looked at between two.
	entryCost = 8
)

// ReadInfo reads the meta box, wherever in the file it is. What is damaged is left at its
// default.
//
//	ftyp | meta: { pitm, iinf: { infe … }, iref: { auxl, dimg … }, iprp: { ipco: { ispe, colr, pixi … }, ipma }, iloc, idat } | mdat
func ReadInfo(r *container.Reader) Info {
	info := Info{Depth: 8, PlaneHalves: 3, Images: 1}
	meta, ok := r.Find(0, r.Size(), "meta")
	if !ok || meta.Cut || meta.Size < 4 || meta.Size > maxMeta {
		return info
	}
	b := r.Exactly(meta.At, meta.Size)
	if b == nil {
		return info
	}
	m := metaBox{Info: &info, file: r, r: r.Block(b), at: meta.At, items: map[uint32]item{}, properties: map[uint32][]uint16{}, alphas: map[uint32]bool{}, tiles: map[uint32]uint32{}}
	m.read()
	return info
}

// item is an entry of iinf and what refers to it.
type item struct {
	kind, mediaType string
	flags           int64 // where its flags are in the file
	hidden, part    bool  // part: a tile, a thumbnail, transparency or the like
}

// property is a box of ipco.
type property struct {
	kind string
	data []byte
}

// metaBox is a meta box on its way.
type metaBox struct {
	*Info
	file       *container.Reader
	r          *container.Reader // the contents of the box
	at         int64             // where they are in the file
	items      map[uint32]item
	all        []property
	properties map[uint32][]uint16 // by item, at most 255 indexes into all
	alphas     map[uint32]bool     // by item, what isAlpha said
	tiles      map[uint32]uint32   // by derived picture, its first source
	idat       []byte
}

func (m *metaBox) read() {
	var iloc, iref, ipma []byte
	var irefAt int64
	m.r.Boxes(4, m.r.Size(), func(b container.Box) bool {
		switch b.Kind {
		case "pitm":
			m.readPrimary(b)
		case "iinf":
			m.readItems(b)
		case "iref":
			iref, irefAt = m.contents(b), m.at+b.At
		case "iloc":
			iloc = m.contents(b)
		case "idat":
			m.idat = m.contents(b)
		case "iprp":
			m.r.Boxes(b.At, b.End(), func(b container.Box) bool {
				switch b.Kind {
				case "ipco":
					m.r.Boxes(b.At, b.End(), func(b container.Box) bool {
						m.all = append(m.all, property{b.Kind, m.contents(b)})
						return len(m.all) < maxItems
					})
				case "ipma":
					ipma = m.contents(b)
				}
				return true
			})
		}
		return true
	})
	m.readAssociations(ipma)
	m.readReferences(iref, irefAt)
	m.describe()
	m.readLocations(iloc)
}

func (m *metaBox) contents(b container.Box) []byte {
	if b.Cut {
		return nil
	}
	return m.r.Exactly(b.At, b.Size)
}

// readPrimary reads pitm: version(1) flags(3) number(2, from version 1 on 4).
func (m *metaBox) readPrimary(b container.Box) {
	c := cursor{b: m.contents(b)}
	m.pitmWide = c.number(1) > 0
	c.number(3)
	m.pitm = m.at + b.At + 4
	m.primary = uint32(c.number(width(m.pitmWide)))
}

func width(wide bool) int {
	if wide {
		return 4
	}
	return 2
}

// readItems reads what items there are:
//
//	iinf = version(1) flags(3) count(2, from version 1 on 4) infe …
//	infe = version(1) flags(3) number(2, in version 3 4) protection(2) type(4) name 0 [media type 0]
func (m *metaBox) readItems(b container.Box) {
	version := m.r.Exactly(b.At, 1)
	if version == nil {
		return
	}
	m.r.Boxes(b.At+4+int64(width(version[0] > 0)), b.End(), func(b container.Box) bool {
		c := cursor{b: m.contents(b)}
		v, flags := c.number(1), c.number(3)
		if b.Kind != "infe" || v != 2 && v != 3 {
			return true
		}
		number := uint32(c.number(width(v == 3)))
		c.number(2)
		kind := c.text(4)
		_, rest, _ := bytes.Cut(c.b, []byte{0})
		mediaType, _, _ := bytes.Cut(rest, []byte{0})
		if !c.ended {
			m.items[number] = item{kind: kind, mediaType: string(mediaType), flags: m.at + b.At + 3, hidden: flags&1 != 0}
		}
		return len(m.items) < maxItems
	})
}

// readAssociations reads which properties an item has:
//
//	ipma = version(1) flags(3) count(4) { number(2, from version 1 on 4) n(1) n x { essential(1 bit) index(7 bits, with flag 1 15) } }
//
// An item is named once; of one that comes again the first entry counts, as in libheif. So an
// item has at most 255 properties.
func (m *metaBox) readAssociations(b []byte) {
	c := cursor{b: b}
	version, flags := c.number(1), c.number(3)
	for range c.number(4) {
		number := uint32(c.number(width(version > 0)))
		_, known := m.properties[number]
		var indexes []uint16
		for range c.number(1) {
			size := 1 + int(flags&1)
			index := int(c.number(size) & (1<<(8*size-1) - 1))
			if index > 0 && index <= len(m.all) && !known {
				indexes = append(indexes, uint16(index-1))
			}
		}
		if !known {
			m.properties[number] = indexes
		}
		if c.ended || len(m.properties) == maxItems || !m.file.Charge(entryCost) {
			return
		}
	}
}

// readReferences reads what refers to what:
//
//	iref = version(1) flags(3) box …; each box: from(2, from version 1 on 4) count(2) count x { to(2 or 4) }
func (m *metaBox) readReferences(b []byte, at int64) {
	if len(b) < 4 {
		return
	}
	wide := width(b[0] > 0)
	r := m.file.Block(b)
	r.Boxes(4, r.Size(), func(box container.Box) bool {
		c := cursor{b: r.Exactly(box.At, box.Size)}
		from := uint32(c.number(wide))
		for i := range c.number(2) {
			to := uint32(c.number(wide))
			if c.ended {
				return true
			}
			if !r.Charge(entryCost) {
				return false
			}
			switch box.Kind {
			case "dimg":
				if i == 0 {
					m.tiles[from] = to
				}
				m.isPart(to)
			case "thmb":
				m.isPart(from)
				m.MainIsThumbnail = m.MainIsThumbnail || from == m.primary
			case "auxl":
				m.isPart(from)
				if to == m.primary && m.isAlpha(from) {
					m.alpha, m.alphaFlags, m.alphaLink = from, m.items[from].flags, at+box.At-4
				}
			}
		}
		return true
	})
}

func (m *metaBox) isPart(number uint32) {
	if i, ok := m.items[number]; ok {
		i.part = true
		m.items[number] = i
	}
}

// isAlpha says whether an auxiliary picture is transparency. Many may refer to one item, whose
// properties are looked through once.
func (m *metaBox) isAlpha(number uint32) bool {
	is, known := m.alphas[number]
	if !known {
		is = m.hasAlphaProperty(number)
		m.alphas[number] = is
	}
	return is
}

// hasAlphaProperty looks for the property that says what an auxiliary picture is for:
//
//	auxC = version and flags(4) name 0
func (m *metaBox) hasAlphaProperty(number uint32) bool {
	for _, p := range m.of(number, "auxC") {
		if len(p) > 4 && (bytes.HasPrefix(p[4:], []byte("urn:mpeg:hevc:2015:auxid:1\x00")) ||
			bytes.HasPrefix(p[4:], []byte("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\x00"))) {
			return true
		}
	}
	return false
}

// of returns an item's properties of a kind.
func (m *metaBox) of(number uint32, kind string) (all [][]byte) {
	indexes := m.properties[number]
	if !m.file.Charge(entryCost * int64(len(indexes))) {
		return nil
	}
	for _, i := range indexes {
		if m.all[i].kind == kind {
			all = append(all, m.all[i].data)
		}
	}
	return all
}

// describe takes what the properties of the primary picture say. Some writers give colour and
// depth to the tiles of a grid only.
func (m *metaBox) describe() {
	for _, p := range m.of(m.primary, "ispe") { // version and flags(4) width(4) height(4)
		c := cursor{b: p}
		c.number(4)
		w, h := c.number(4), c.number(4)
		if !c.ended && w < 1<<20 && h < 1<<20 {
			m.Width, m.Height = int(w), int(h)
		}
	}
	first := m.primary
	for range 8 { // a picture derived from one that is derived …
		m.Codec = m.items[first].kind
		m.describeColour(first)
		next, ok := m.tiles[first]
		if !ok {
			break
		}
		first = next
	}
	images := 0
	for _, i := range m.items {
		switch i.kind {
		case "hvc1", "av01", "grid", "iden", "iovl":
			if !i.hidden && !i.part {
				images++
			}
		}
	}
	m.Images = max(images, 1)
}

// describeColour reads colr ("prof" or "rICC", then the profile; or "nclx", numbers) and pixi
// (version and flags(4), channels(1), bits of each).
func (m *metaBox) describeColour(number uint32) {
	for _, p := range m.of(number, "colr") {
		c := cursor{b: p}
		switch c.text(4) {
		case "prof", "rICC":
			if m.Profile == nil && len(c.b) > 0 {
				m.Profile = c.b
			}
		case "nclx":
			colour := Colour{uint16(c.number(2)), uint16(c.number(2)), uint16(c.number(2)), c.number(1)&0x80 != 0}
			if m.Colour == nil && !c.ended {
				m.Colour = &colour
			}
		}
	}
	for _, p := range m.of(number, "pixi") {
		for _, bits := range p[min(len(p), 5):] {
			m.Depth = max(m.Depth, int(min(bits, 16)))
		}
	}
	// Of the decoder's settings byte 16 says how fine colour is (2: half as wide, 3: as fine), bytes 17
	// and 18 bits less 8.
	for _, p := range m.of(number, "hvcC") {
		if len(p) > 18 {
			m.PlaneHalves = max(m.PlaneHalves, [4]int64{3, 3, 4, 6}[p[16]&3])
			m.Depth = max(m.Depth, 8+int(p[17]&7), 8+int(p[18]&7))
		}
	}
}

// readLocations reads the items that are metadata:
//
//	iloc = version(1) flags(3) sizes of: offset, length, base, index (4 bits each) count(2, in version 2 4) item …
//	item = number(2, in version 2 4) [from version 1 on: method(2)] reference(2) base pieces(2) { [index] offset length } …
func (m *metaBox) readLocations(b []byte) {
	c := cursor{b: b}
	version := c.number(1)
	c.number(3)
	sizes := c.number(2)
	offsetSize, lengthSize, baseSize, indexSize := int(sizes>>12), int(sizes>>8&15), int(sizes>>4&15), int(sizes&15)
	if version == 0 {
		indexSize = 0
	}
	for range c.number(width(version >= 2)) {
		if !m.file.Charge(entryCost) {
			return
		}
		number, method := uint32(c.number(width(version >= 2))), uint64(0)
		if version >= 1 {
			method = c.number(2)
		}
		c.number(2)
		base, pieces := c.number(baseSize), c.number(2)
		i := m.items[number]
		wanted := i.kind == "Exif" || i.kind == "mime" && i.mediaType == "application/rdf+xml"
		var content []byte
		if pieceSize := indexSize + offsetSize + lengthSize; !wanted || pieceSize == 0 {
			c.skip(pieces * uint64(pieceSize))
			pieces = 0
		}
		for range pieces {
			c.number(indexSize)
			offset, length := c.number(offsetSize), c.number(lengthSize)
			if c.ended || len(content) > maxBlock || !m.file.Charge(entryCost) {
				return
			}
			content = append(content, m.piece(method, base+offset, length)...)
		}
		if c.ended {
			return
		}
		switch {
		case !wanted || len(content) == 0:
		case i.kind == "Exif":
			if len(content) >= 4 {
				skip := min(uint64(binary.BigEndian.Uint32(content))+4, uint64(len(content))) // to the TIFF block
				m.Exif = append(m.Exif, content[skip:])
			}
		default:
			m.XMP = append(m.XMP, content)
		}
	}
}

// piece reads a piece of an item from the file (method 0) or from idat (method 1).
func (m *metaBox) piece(method, offset, length uint64) []byte {
	r := m.file
	if method == 1 {
		r = m.file.Block(m.idat)
	}
	if method > 1 || offset > uint64(r.Size()) {
		return nil
	}
	return r.UpTo(int64(offset), int64(min(length, maxBlock)))
}

// cursor reads numbers from b.
type cursor struct {
	b     []byte
	ended bool // b was too short
}

// number reads a number of n bytes.
func (c *cursor) number(n int) (v uint64) {
	if n > len(c.b) {
		c.b, c.ended = nil, true
		return 0
	}
	for _, b := range c.b[:n] {
		v = v<<8 | uint64(b)
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) skip(n uint64) {
	if n > uint64(len(c.b)) {
		c.b, c.ended = nil, true
		return
	}
	c.b = c.b[n:]
}

// text reads n bytes.
func (c *cursor) text(n int) string {
	if n > len(c.b) {
		c.b, c.ended = nil, true
		return ""
	}
	s := string(c.b[:n])
	c.b = c.b[n:]
	return s
}
