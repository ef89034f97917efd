package jpeg

import (
	"bytes"
	"errors"
	"fmt"

	"casepress/tasks/picture/container"
)

// ErrFormat is a file that is no JPEG, or one too broken for anything to be salvaged.
var ErrFormat = errors.New("not a readable JPEG")

// ErrUnsupported is a JPEG of a kind that is not decoded: 12 bits, arithmetic coding, lossless,
// two components; by Decode also one that planes cannot hold, which DecodeComponents takes.
var ErrUnsupported = errors.New("unsupported kind of JPEG")

// Transform says what the components of a picture are.
type Transform int

// The transforms. Unknown is any other count of components.
const (
	Unknown Transform = iota
	Grey
	YCbCr
	RGB
	CMYK
	YCCK
)

// Sampling says how many pixels a colour sample is wide and high; both are 0 if there
// is none, or if the file has a relation that planes cannot hold.
type Sampling struct{ X, Y int }

// Header is what a file says before its first scan.
type Header struct {
	Width, Height int // pixels, as stored; never 0
	Components    int
	Precision     int // bits a sample
	Progressive   bool
	Transform     Transform
	Sampling      Sampling
	// Profile is the joined ICC profile, nil if there is none or a part is missing.
	Profile []byte
	// ProfileLost says that there is one of which a part is missing.
	ProfileLost bool
	frame       byte // marker of the frame header
	components  []component
}

// ReadHeader reads a file up to its first scan. It sets nothing aside but the profile,
// which is part of the file. The error is ErrFormat if no frame header with a size is
// found.
func ReadHeader(r *container.Reader) (Header, error) {
	var h Header
	s, ok := container.JPEG(r)
	if !ok {
		return h, fmt.Errorf("read header: no start marker: %w", ErrFormat)
	}
	var apps appSegments
	var frame []byte
	for s.Next() && s.Marker != container.MarkerSOS && s.Marker != container.MarkerEOI {
		switch {
		case container.IsFrame(s.Marker):
			if h.frame == 0 {
				h.frame = s.Marker
				frame = s.Bytes(s.Length)
				h.readFrame(frame)
			}
		case s.Marker == markerAPP2:
			if bytes.HasPrefix(s.Bytes(int64(len(iccPrefix))), []byte(iccPrefix)) { // others may be large and many
				apps.read(s.Marker, s.Bytes(s.Length))
			}
		case s.Marker == container.MarkerAPP0, s.Marker == markerAPP14:
			apps.read(s.Marker, s.Bytes(s.Length))
		}
	}
	h.Profile = apps.profile()
	h.ProfileLost = h.Profile == nil && apps.icc != nil
	if h.Height == 0 && h.Width > 0 && s.Marker == container.MarkerSOS {
		h.readHeight(s, frame)
	}
	if h.Width == 0 || h.Height == 0 || h.Components == 0 {
		return h, fmt.Errorf("read header: no size: %w", ErrFormat)
	}
	h.Transform = h.transform(&apps)
	return h, nil
}

// readHeight looks behind the first scan for the DNL segment that tells the height which the
// frame header, with 0, leaves open (T.81, B.2.5).
func (h *Header) readHeight(s *container.Segments, frame []byte) {
	if _, ok := s.SkipScan(); !ok || !s.Next() || s.Marker != container.MarkerDNL {
		return
	}
	if lines := s.Bytes(2); len(lines) == 2 && len(frame) >= 3 {
		frame = bytes.Clone(frame)
		copy(frame[1:], lines)
		h.components = nil
		h.readFrame(frame)
	}
}

// transform follows the habits of the field: JFIF means YCbCr, else Adobe's segment
// tells, else the names of the components.
func (h *Header) transform(apps *appSegments) Transform {
	switch h.Components {
	case 1:
		return Grey
	case 3:
		rgb := apps.adobe && apps.adobeTransform == 0 || !apps.adobe && h.named("RGB")
		if rgb && !apps.jfif {
			return RGB
		}
		return YCbCr
	case 4:
		if apps.adobe && apps.adobeTransform != 0 {
			return YCCK
		}
		return CMYK
	}
	return Unknown
}

func (h *Header) named(ids string) bool {
	for i, c := range h.components {
		if c.id != ids[i] {
			return false
		}
	}
	return len(h.components) == len(ids)
}

// Decodable says whether DecodeComponents takes the picture.
func (h Header) Decodable() bool {
	return h.frame >= container.MarkerSOF0 && h.frame <= container.MarkerSOF2 && h.Precision == 8 &&
		len(h.components) == h.Components && h.Transform != Unknown
}

// Supported says whether Decode takes the picture.
func (h Header) Supported() bool {
	return h.Decodable() && (h.Transform == Grey || h.Transform == YCbCr && h.Sampling != Sampling{})
}

// scales are the sizes that Decode knows, in eighths.
var scales = [...]int{1, 2, 4, 6, 8}

// oversampling is how many times the size that is wanted a picture must have at each scale. Blocks
// are cut to their lowest frequencies each for itself, which only a resize after it hides:
// a sharp photo of 4032 pixels decoded at half the size and brought to 1600, 1.26 times
// less, was 0.53 dB worse than all of it brought there. With these it is 0.05 at most, the
// smaller scales needing more. 12 megapixels brought to 1600 are decoded at 6/8, 24 at 4/8.
var oversampling = [...]float64{1: 3.5, 2: 2.4, 4: 1.8, 6: 1.6, 8: 0}

// Eighths is the scale to decode at, in eighths of the size, for a picture whose longer
// side is to be target pixels: the smallest of 1, 2, 4, 6 and 8 that leaves enough for a
// resize to lose nothing that can be seen, 8 if none does.
func (h Header) Eighths(target int) int {
	for _, n := range scales {
		if float64(n*max(h.Width, h.Height)) >= 8*oversampling[n]*float64(target) {
			return n
		}
	}
	return 8
}

// reduced is the samples that n pixels become at a scale.
func reduced(n, eighths int) int { return ceil(n*eighths, 8) }

// ceil is n/d rounded up.
func ceil(n, d int) int { return (n + d - 1) / d }
