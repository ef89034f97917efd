package picture

import (
	"errors"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/metadata"
	"casepress/tasks/picture/tiff"
)

// tiffCodec describes TIFF 6.0. Of several pages the first is shown.
var tiffCodec = codec{
	format: FormatTIFF, mediaType: "image/tiff",
	sniff: func(head []byte) bool {
		return hasPrefix(head, 0, "II*\x00") || hasPrefix(head, 0, "MM\x00*") || isBigTIFF(head)
	},
	header:  tiffHeader,
	details: tiffDetails,
	cost: func(h *header, o Options) int64 {
		own := h.own.(tiff.Header)
		return wholeCost(h, o, own.Cost(h.size))
	},
	decode: (*job).tiff,
}

// isBigTIFF says whether a file is of the kind with 64-bit offsets.
func isBigTIFF(head []byte) bool {
	return hasPrefix(head, 0, "II+\x00") || hasPrefix(head, 0, "MM\x00+")
}

func tiffHeader(h *header, r *container.Reader) {
	t, ok := r.TIFF()
	if !ok {
		h.unsupported = tiff.ErrUnsupported // of 64 bits
		return
	}
	own, pages, err := tiff.ReadHeader(t)
	h.own = own
	h.Width, h.Height, h.orientation, h.profile = own.Width, own.Height, own.Orientation, own.Profile
	h.pages, h.oddColours = pages, own.ProfileLost
	if errors.Is(err, tiff.ErrUnsupported) {
		h.unsupported = err
	}
}

func tiffDetails(_ *header, r *container.Reader, names *metadata.Names) {
	if t, ok := r.TIFF(); ok {
		names.TIFF(t)
	}
}

func (j *job) tiff() error {
	own := j.header.own.(tiff.Header)
	if own.GuessedAlpha {
		blank, err := j.tiffDecoder(own).Blank()
		if err != nil {
			return err
		}
		if blank {
			own = own.Opaque()
		}
	}
	d := j.tiffDecoder(own)
	if j.header.pages > 1 {
		j.note(CodeFirstPage, "The file has several pages; the first one is shown.")
	}
	if own.CMYK {
		j.note(CodeColours, "The picture's colours are of a kind that could not be converted; they may be off.")
		j.header.profile = nil
	}
	return j.finishRows(rows{own.Width, own.Height, func(y int, buffer []byte) ([]byte, error) {
		err := d.Row(buffer, y)
		if err == nil && y == own.Height-1 {
			if err = d.Damage(); err != nil && !errors.Is(err, tiff.ErrFormat) {
				j.damaged(err)
				err = nil
			}
		}
		return buffer, err
	}})
}

func (j *job) tiffDecoder(h tiff.Header) *tiff.Decoder {
	// A file whose strips lie upon each other may be read twice and no more.
	return tiff.NewDecoder(container.NewReader(j.ctx, &j.source, j.size, 2*j.size+1<<20), h)
}
