// Package metadata keeps the names of what a picture file says about itself: its EXIF
// directories, XMP, IPTC, colour profile and texts. It never keeps a value, since values
// are positions, serial numbers and names of people, but one: when the picture was taken.
package metadata

import (
	"bytes"
	"io"
	"maps"
	"slices"
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
}

const (
	maxTags   = 500
	maxBytes  = 4 << 20 // that one file may cost, inflated ones included
	readCosts = 32      // bytes that a read costs beside its own
)

// Read returns what the JPEG, PNG, WebP, TIFF, HEIF or AVIF file of size bytes in src
// says about itself; of other files, and of what is broken or cannot be read, nothing.
// It reads at most 4 MiB of a file, in at most some 100,000 reads, and holds no more.
func Read(src io.ReaderAt, size int64) Summary {
	r := reader{tags: map[string]struct{}{}, left: maxBytes}
	f := file{src: src, size: size}
	head := r.read(f, 0, 12)
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		r.readJPEG(f)
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		r.readPNG(f)
	case len(head) == 12 && string(head[:4]) == "RIFF" && string(head[8:]) == "WEBP":
		r.readWebP(f)
	case len(head) == 12 && string(head[4:8]) == "ftyp":
		r.readHEIF(f)
	case bytes.HasPrefix(head, []byte("II*\x00")), bytes.HasPrefix(head, []byte("MM\x00*")):
		r.readTIFF(f, true)
	}
	return Summary{Tags: slices.Sorted(maps.Keys(r.tags)), CapturedAt: capturedAt(r.taken, r.zone)}
}

// reader collects a Summary.
type reader struct {
	tags        map[string]struct{}
	taken, zone string // DateTimeOriginal and OffsetTimeOriginal as they are
	left        int    // bytes that may still be read
}

// file is a file, or a block of one that has offsets of its own.
type file struct {
	src  io.ReaderAt
	size int64
}

func block(b []byte) file { return file{bytes.NewReader(b), int64(len(b))} }

// read returns n bytes at offset, or nil if f has no such bytes or too many were read.
func (r *reader) read(f file, offset int64, n int) []byte {
	if n < 0 || offset < 0 || offset > f.size || int64(n) > f.size-offset || n+readCosts > r.left {
		return nil
	}
	r.left -= n + readCosts
	b := make([]byte, n)
	if _, err := f.src.ReadAt(b, offset); err != nil && err != io.EOF {
		return nil
	}
	return b
}

// readUpTo is read of n bytes, or of as many as there are and may be read.
func (r *reader) readUpTo(f file, offset, n int64) []byte {
	return r.read(f, offset, int(max(0, min(n, f.size-offset, int64(r.left-readCosts)))))
}

// name notes a tag. One that is not a plain name may be somebody's, so it is not kept.
func (r *reader) name(from, tag string) {
	if !plain(tag) {
		tag = "Other"
	}
	if len(r.tags) < maxTags {
		r.tags[from+tag] = struct{}{}
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
