package picture

import (
	"errors"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/icc"
	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/metadata"
	"casepress/tasks/picture/planar"
)

// jpegCodec describes JPEG (ITU-T T.81). Planes are decoded at a fraction of the size, scaled,
// turned and encoded without ever being RGB, but for colours that planes cannot hold, such as
// CMYK.
var jpegCodec = codec{
	format: FormatJPEG, mediaType: "image/jpeg",
	sniff:   func(head []byte) bool { return hasPrefix(head, 0, "\xff\xd8\xff") },
	header:  jpegHeader,
	details: jpegDetails,
	cost:    jpegCost,
	decode:  (*job).jpeg,
	lossy:   true,
}

// keepBytes is the largest JPEG whose pixels are left alone if nothing else is to be
// done to it.
const keepBytes = 500_000

// jpegHeader reads the segments in front of the first scan. A damaged one leaves no size.
func jpegHeader(h *header, r *container.Reader) {
	own, err := jpeg.ReadHeader(r)
	if err == nil {
		h.Width, h.Height = own.Width, own.Height
		if !own.Decodable() {
			h.unsupported = jpeg.ErrUnsupported
		}
	}
	h.own = own
}

func jpegDetails(h *header, r *container.Reader, names *metadata.Names) {
	own := h.own.(jpeg.Header)
	h.profile, h.oddColours = own.Profile, own.ProfileLost
	names.ICC(own.Profile)
	if s, ok := container.JPEG(r); ok {
		for s.Next() && s.Marker != container.MarkerSOS && s.Marker != container.MarkerEOI {
			nameSegment(s, names)
		}
	}
	h.turn(names)
}

func nameSegment(s *container.Segments, names *metadata.Names) {
	if s.Marker >= container.MarkerAPP0 && s.Marker <= container.MarkerAPP15 || s.Marker == container.MarkerCOM {
		const beginning = 64
		if s.Length > beginning && names.Known(s.Marker, s.Bytes(beginning)) {
			return
		}
		names.Segment(s.Marker, s.Bytes(s.Length))
	}
}

func jpegCost(h *header, o Options) int64 {
	own := h.own.(jpeg.Header)
	eighths := own.Eighths(o.MaxSide)
	const pooled = 8 // the buffer of the file may be up to an eighth larger than asked for
	cost := h.size + h.size/pooled + own.Cost(eighths)
	if own.Supported() {
		return cost + finalCost(h, o)
	}
	return wholeCost(h, o, cost)
}

func (j *job) jpeg() error {
	own := j.header.own.(jpeg.Header)
	data, buffer, err := j.whole()
	if err != nil {
		return err
	}
	defer buffer.Free()
	j.nameLater(data)
	if own.Supported() {
		err = j.jpegPlanes(data, own)
	} else {
		err = j.jpegComponents(data, own)
	}
	if errors.Is(err, jpeg.ErrUnsupported) {
		return j.unsupported(err)
	}
	return err
}

// nameLater lists the metadata that stand behind the first scan, which are left out as well: as many
// as the budget of details allows beside the scans, which cost little more than their bytes. If the
// context ends, so does the list; decoding says so.
func (j *job) nameLater(data []byte) {
	r := container.NewMemoryReader(j.ctx, data, detailsBudget+2*j.size)
	j.names.GoOn(r)
	defer j.takeNames()
	s, _ := container.JPEG(r)
	for scanned := false; s.Next() && s.Marker != container.MarkerEOI; {
		switch {
		case s.Marker == container.MarkerSOS:
			scanned = true
			if _, ok := s.SkipScan(); !ok {
				return
			}
		case scanned:
			nameSegment(s, j.names)
		}
	}
}

func (j *job) jpegPlanes(data []byte, own jpeg.Header) error {
	m, report, err := jpeg.Decode(j.ctx, data, own.Eighths(j.options.MaxSide))
	if err != nil {
		return err
	}
	if report.Damage != nil {
		j.damaged(report.Damage)
	}
	if report == (jpeg.Report{}) && j.canKeepPixels(own) {
		done, err := j.keepPixels(data, m)
		if done || err != nil {
			m.Release()
			return err
		}
	}
	return j.finish(m)
}

func (j *job) jpegComponents(data []byte, own jpeg.Header) error {
	c, report, err := jpeg.DecodeComponents(j.ctx, data, own.Eighths(j.options.MaxSide))
	if err != nil {
		return err
	}
	if report.Damage != nil {
		j.damaged(report.Damage)
	}
	return j.finishRows(componentRows(c))
}

// canKeepPixels says whether the file is as it should be but for its metadata: encoding it
// again would only lose.
func (j *job) canKeepPixels(own jpeg.Header) bool {
	if max(own.Width, own.Height) > j.options.MaxSide || j.size > keepBytes || j.header.orientation != 1 || own.Progressive {
		return false
	}
	if own.Profile == nil {
		return !own.ProfileLost
	}
	p, err := icc.Parse(own.Profile)
	return err == nil && p.SRGB()
}

// keepPixels keeps the file's pixels as they are and makes the thumbnail from m. done is
// false if the file cannot be taken apart after all.
func (j *job) keepPixels(data []byte, m *planar.Image) (done bool, err error) {
	stripped, err := jpeg.Strip(data)
	if err != nil {
		return false, nil //nolint:nilerr // it is encoded anew instead
	}
	j.result.Full = Encoded{stripped, m.Width, m.Height, FormatJPEG}
	return true, j.thumbnail(m)
}
