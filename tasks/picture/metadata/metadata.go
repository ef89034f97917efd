// Package metadata implements the list of what a picture file says about itself: the names of
// its EXIF tags, XMP properties, IPTC data sets, colour profile tags and texts. It keeps no
// value, since values are positions, serial numbers and names of people, but two: when the
// picture was taken, and which way up it is. It walks no file: the walkers of package
// container do, and hand the blocks that they find to [Names].
package metadata

import (
	"maps"
	"slices"

	"casepress/tasks/picture/container"
)

// Summary is what a file says about itself, by name.
type Summary struct {
	// Tags are sorted and unique: an EXIF tag by its name in the standard ("Model",
	// "GPSLatitude"), other tags with where they come from before it ("XMP:CreatorTool",
	// "IPTC:Byline", "ICC:ProfileDescription", "PNG:Comment"). There are at most 500.
	Tags []string
	// CapturedAt is EXIF's DateTimeOriginal as RFC 3339, without a zone if the file has no
	// OffsetTimeOriginal: "2026-11-21T22:42:31+01:00", "2026-11-21T22:42:31". It is empty
	// if the file does not tell, or not sensibly.
	CapturedAt string
	// Orientation is EXIF's, 1 to 8, and XMPOrientation that of XMP; 0 if there is none.
	Orientation, XMPOrientation int
}

const (
	maxTags  = 500
	maxBlock = 1 << 20 // bytes of one value or inflated text
)

// Names collects the names of what is in one file.
type Names struct {
	account                     *container.Reader
	tags                        map[string]struct{}
	taken, zone                 string // DateTimeOriginal and OffsetTimeOriginal as they are
	orientation, xmpOrientation int
	extended                    []byte // XMP that is too long for one segment, in the order of the file
}

// New returns a collection whose work is charged to the account of r, the reader of the file.
func New(r *container.Reader) *Names {
	return &Names{account: r, tags: map[string]struct{}{}}
}

// GoOn charges what follows to the account of r: that of an earlier step ends with its context.
func (n *Names) GoOn(r *container.Reader) { n.account = r }

// Summary returns what was collected.
func (n *Names) Summary() Summary {
	if len(n.extended) > 0 {
		n.XMP(n.extended)
		n.extended = nil
	}
	return Summary{
		Tags: slices.Sorted(maps.Keys(n.tags)), CapturedAt: capturedAt(n.taken, n.zone),
		Orientation: n.orientation, XMPOrientation: n.xmpOrientation,
	}
}

// name notes a tag. One that is not a plain name may be somebody's, so it is not kept.
func (n *Names) name(from, tag string) {
	if !plain(tag) {
		tag = "Other"
	}
	if len(n.tags) < maxTags {
		n.tags[from+tag] = struct{}{}
	}
}

func plain(tag string) bool {
	for _, c := range []byte(tag) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != ' ' && c != ':' {
			return false
		}
	}
	return len(tag) > 0 && len(tag) <= 64
}
