package picture

import "casepress/tasks/picture/icc"

// colourCodes are the code points of ITU-T H.273 that a PNG (cICP) or HEIC (nclx) gives for its
// colours.
type colourCodes struct {
	primaries, transfer, matrix uint16
	fullRange                   bool
	given                       bool
}

// The code points that matter (H.273, tables 2 and 3).
const (
	primariesBT709, primariesUnspecified, primariesP3                                   = 1, 2, 12
	primariesBT601a, primariesBT601b                                                    = 5, 6
	transferBT709, transferUnspecified, transferBT601, transferBT2020a, transferBT2020b = 1, 2, 6, 14, 15
	transferSRGB                                                                        = 13
)

// sRGB says that nothing is to be done. The curves of BT.709 and its like are those of sRGB to
// within what viewers make of them, and the primaries of BT.601 differ from BT.709's by less
// than can be seen.
func (c colourCodes) sRGB() bool {
	switch c.primaries {
	case primariesBT709, primariesUnspecified, primariesBT601a, primariesBT601b:
		return c.usualCurve()
	}
	return !c.given
}

func (c colourCodes) usualCurve() bool {
	switch c.transfer {
	case transferBT709, transferUnspecified, transferBT601, transferBT2020a, transferBT2020b, transferSRGB:
		return true
	}
	return false
}

// toSRGB lets convert bring the picture's colours to sRGB if they are others. Code points go
// before a profile, as the PNG standard has it; in HEIC there is one of the two. What cannot be
// converted is noted, and the colours stay as they are.
func (j *job) toSRGB(convert func(*icc.Profile) error) error {
	var p *icc.Profile
	var err error
	switch c := j.header.colour; {
	case c.given && j.header.oddColours:
		err = icc.ErrUnsupported
	case c.given && c.sRGB() && (j.header.profile == nil || c.primaries != primariesUnspecified):
		return nil
	case c.given && c.primaries == primariesP3 && c.usualCurve():
		p = icc.DisplayP3()
	case c.given && !c.sRGB():
		err = icc.ErrUnsupported
	case j.header.profile == nil && j.header.oddColours:
		err = icc.ErrUnsupported
	case j.header.profile == nil:
		return nil
	default:
		p, err = icc.Parse(j.header.profile)
	}
	if err == nil && p.SRGB() {
		return nil
	}
	if err == nil {
		err = convert(p)
	}
	if err == nil || j.ctx.Err() != nil {
		return err
	}
	j.note(CodeColours, "The picture's colours are of a kind that could not be converted; they may be off.")
	return nil
}
