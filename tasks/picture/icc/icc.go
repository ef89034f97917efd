// Package icc implements ICC profiles: what one says of a picture's colours, in tables that
// bring them to sRGB. It reads matrix profiles, which cameras, phones and screens have,
// and grey ones; it never reads a profile that is a table of colours, and never writes
// one.
//
// A matrix profile says how device values v become colours: a curve for each channel
// gives light, and three colorants sum the lights up to XYZ under D50. Bringing that to
// sRGB is
//
//	light = curve(v)    sRGB light = M⁻¹ C · light    v' = encode(clip(sRGB light))
//
// where C has the profile's colorants as columns and M those of sRGB, also under D50.
// Colours that sRGB cannot show are clipped channel by channel.
//
// Everything is computed with integers from tables, and the tables without fused or
// machine dependent arithmetic: equal pictures come out equal on every machine.
package icc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
)

var (
	// ErrUnsupported says that a profile is of a kind, or describes colours, that this
	// package does not convert: tables of colours, CMYK, Lab; or that it does not
	// belong to the picture it is to be used on.
	ErrUnsupported = errors.New("icc: profile not supported")
	// ErrInvalid says that the bytes are no profile, or a damaged one.
	ErrInvalid = errors.New("icc: not a valid profile")
)

// Profile converts pictures to sRGB. It is safe for concurrent use, and holds about
// 40 KB.
type Profile struct {
	grey *[256]uint8 // of a grey profile: each value's own in sRGB; else nil
	in   [3]entries  // of a colour profile: what each value of red, green, blue adds to the light
	same bool
}

// Parse reads a profile, version 2 or 4. It looks at no more than the tags it needs,
// takes time and memory that depend little on the input, and keeps nothing of it.
func Parse(profile []byte) (*Profile, error) {
	tags, err := readTags(profile)
	if err != nil {
		return nil, err
	}
	p := &Profile{}
	switch space := tags.space; space {
	case "GRAY":
		err = p.fillGrey(tags)
	case "RGB ":
		err = p.fillColour(tags)
	default:
		err = fmt.Errorf("%w: colour space %q", ErrUnsupported, space)
	}
	if err != nil {
		return nil, err
	}
	p.same = p.closeToSRGB()
	return p, nil
}

// SRGB says that the profile is sRGB, or so close to it that nothing is to be done: no
// colour would change by more than 2 of 255.
func (p *Profile) SRGB() bool { return p.same }

func (p *Profile) fillGrey(tags tags) error {
	c, err := tags.curve("kTRC")
	if err != nil {
		return err
	}
	out := encoded()
	p.grey = new([256]uint8)
	for v := range p.grey {
		light := int(float64(c[finer*v]*white) + 0.5)
		p.grey[v] = uint8((out[light] + half) >> codeBits)
	}
	return nil
}

func (p *Profile) fillColour(tags tags) error {
	var curves [3]*curve
	var colorants matrix
	for i, channel := range [3]string{"r", "g", "b"} {
		c, err := tags.curve(channel + "TRC")
		if err != nil {
			return err
		}
		xyz, err := tags.xyz(channel + "XYZ")
		if err != nil {
			return err
		}
		curves[i] = c
		for row := range 3 {
			colorants[row][i] = xyz[row]
		}
	}
	toSRGB, err := fromColorants(colorants)
	if err != nil {
		return err
	}
	p.in = fillEntries(toSRGB, curves)
	return nil
}

// closeToSRGB tries colours all over the range.
func (p *Profile) closeToSRGB() bool {
	const step, tolerance = 17, 2
	near := func(a, b uint8) bool { return max(a, b)-min(a, b) <= tolerance }
	if p.grey != nil {
		for v, to := range p.grey {
			if !near(uint8(v), to) {
				return false
			}
		}
		return true
	}
	out := encoded()
	for i := range 16 * 16 * 16 {
		r, g, b := uint8(i/256*step), uint8(i/16%16*step), uint8(i%16*step)
		x, y, z := p.rgb(out, r, g, b)
		if !near(r, x) || !near(g, y) || !near(b, z) {
			return false
		}
	}
	return true
}

// DisplayP3 returns the profile of Display P3 (SMPTE EG 432-1 under D65, with the curve of sRGB),
// for files that name it by number.
var DisplayP3 = sync.OnceValue(func() *Profile {
	fixed := func(b []byte, values ...float64) []byte {
		for _, v := range values {
			b = binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(v*65536))))
		}
		return b
	}
	xyz := func(x, y, z float64) []byte { return fixed([]byte("XYZ \x00\x00\x00\x00"), x, y, z) }
	curve := fixed([]byte("para\x00\x00\x00\x00\x00\x03\x00\x00"), 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045)
	p := &Profile{}
	err := p.fillColour(tags{space: "RGB ", data: map[string][]byte{
		"rXYZ": xyz(0.515121, 0.241196, -0.001053), "gXYZ": xyz(0.291977, 0.692245, 0.041885), "bXYZ": xyz(0.157104, 0.066574, 0.784073),
		"rTRC": curve, "gTRC": curve, "bTRC": curve,
	}})
	if err != nil {
		panic(err) // the numbers above are wrong
	}
	return p
})
