package metadata

import (
	"bytes"
	"fmt"

	"casepress/tasks/picture/container"
)

// The tags that point at something: other directories and blocks of other kinds.
const (
	tagOrientation  = 0x0112
	tagXMP          = 0x02bc
	tagSubIFDs      = 0x014a
	tagIPTC         = 0x83bb
	tagPhotoshop    = 0x8649
	tagExif         = 0x8769
	tagICC          = 0x8773
	tagGPS          = 0x8825
	tagInterop      = 0xa005
	tagDateOriginal = 0x9003
	tagZoneOriginal = 0x9011
)

const maxDirectories = 64

// directories is a walk through the directories of a TIFF block, as EXIF is, or of a TIFF
// file.
type directories struct {
	*Names
	container.TIFF
	isFile  bool // tags that say how the picture is stored are no metadata
	visited map[int64]bool
}

// EXIF takes an EXIF block, which may begin with "Exif\0\0" as in JPEG: some writers of PNG and
// WebP put that there too.
func (n *Names) EXIF(b []byte) {
	const prefix = "Exif\x00\x00"
	if len(b) >= len(prefix) && bytes.HasPrefix(b, []byte(prefix[:4])) {
		b = b[len(prefix):]
	}
	if t, ok := n.account.Block(b).TIFF(); ok {
		n.walk(t, false)
	}
}

// TIFF takes a TIFF file.
func (n *Names) TIFF(t container.TIFF) { n.walk(t, true) }

func (n *Names) walk(t container.TIFF, isFile bool) {
	d := directories{Names: n, TIFF: t, isFile: isFile, visited: map[int64]bool{}}
	d.chain(t.First, mainNames)
}

// chain reads the directory at offset and those that follow it. None is read twice, so that a
// circle ends.
func (d *directories) chain(offset int64, names map[uint16]string) {
	for offset != 0 && !d.visited[offset] && len(d.visited) < maxDirectories {
		first := len(d.visited) == 0
		d.visited[offset] = true
		entries, next, ok := d.Directory(offset)
		if !ok {
			return
		}
		for _, e := range entries {
			if e.Tag == tagOrientation && first {
				d.turn(e)
			}
			d.entry(e, names)
		}
		offset = next
	}
}

// turn keeps the orientation that the first directory tells. The standard wants a SHORT;
// BYTE, LONG, SSHORT and SLONG are read as well, as writers use them and viewers obey.
func (d *directories) turn(e container.Entry) {
	if v, ok := d.Number(e); ok && v >= 1 && v <= 8 && d.orientation == 0 {
		d.orientation = int(v)
	}
}

func (d *directories) entry(e container.Entry, names map[uint16]string) {
	if names := directoryNames[e.Tag]; names != nil {
		for _, offset := range d.Numbers(e, maxDirectories) {
			d.chain(int64(offset), names)
		}
		return
	}
	switch e.Tag {
	case tagDateOriginal:
		d.taken = text(d.Value(e, maxBlock))
	case tagZoneOriginal:
		d.zone = text(d.Value(e, maxBlock))
	case tagXMP:
		d.XMP(d.Value(e, maxBlock))
		return
	case tagIPTC:
		d.iptc(d.Value(e, maxBlock))
		return
	case tagPhotoshop:
		d.photoshop(d.Value(e, maxBlock))
		return
	case tagICC:
		d.ICC(d.Value(e, maxProfile))
		return
	}
	if d.isFile && storageTags[e.Tag] {
		return
	}
	if name := names[e.Tag]; name != "" {
		d.name("", name)
	} else {
		d.name("", fmt.Sprintf("EXIF:0x%04x", e.Tag))
	}
}

const maxProfile = 4 << 20
