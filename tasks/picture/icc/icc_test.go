package icc_test

import (
	"context"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/icc"
	"casepress/tasks/picture/planar"
)

func parse(t testing.TB, data []byte) *icc.Profile {
	t.Helper()
	p, err := icc.Parse(data)
	require.NoError(t, err)
	return p
}

// toSRGB converts one colour.
func toSRGB(t testing.TB, p *icc.Profile, rgb [3]uint8) [3]uint8 {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	m.SetNRGBA(0, 0, color.NRGBA{R: rgb[0], G: rgb[1], B: rgb[2], A: 77})
	require.NoError(t, p.ConvertNRGBA(t.Context(), m))
	require.Equal(t, uint8(77), m.Pix[3])
	return [3]uint8(m.Pix)
}

func requireNear(t testing.TB, want, got [3]uint8, delta float64, about any) {
	t.Helper()
	for i := range want {
		require.InDelta(t, want[i], got[i], delta, "%v: want %v, got %v", about, want, got)
	}
}

// TestKnownColours has pairs that are widely published: the corners of sRGB as
// Display P3 (the CSS Color 4 samples, rounded to 8 bits) and as Adobe RGB.
func TestKnownColours(t *testing.T) {
	for name, c := range map[string]struct {
		profile  []byte
		from, to [3]uint8
	}{
		"P3, red":      {colour(displayP3, srgbCurve), [3]uint8{234, 51, 35}, [3]uint8{255, 0, 0}},
		"P3, green":    {colour(displayP3, srgbCurve), [3]uint8{117, 251, 76}, [3]uint8{0, 255, 0}},
		"P3, blue":     {colour(displayP3, srgbCurve), [3]uint8{0, 0, 245}, [3]uint8{0, 0, 255}},
		"P3, magenta":  {colour(displayP3, srgbCurve), [3]uint8{234, 51, 247}, [3]uint8{255, 0, 255}},
		"P3, clipped":  {colour(displayP3, srgbCurve), [3]uint8{255, 0, 0}, [3]uint8{255, 0, 0}},
		"Adobe, red":   {colour(adobeRGB, adobeCurve), [3]uint8{219, 0, 0}, [3]uint8{255, 0, 0}},
		"Adobe, green": {colour(adobeRGB, adobeCurve), [3]uint8{144, 255, 60}, [3]uint8{0, 255, 0}},
		"Adobe, blue":  {colour(adobeRGB, adobeCurve), [3]uint8{0, 0, 250}, [3]uint8{0, 0, 255}},
	} {
		t.Run(name, func(t *testing.T) {
			got := toSRGB(t, parse(t, c.profile), c.from)
			// 8 bits leave dark values uncertain: near 0 sRGB is so steep that half a
			// value of the input is up to six of the output.
			for i := range got {
				delta := 1.0
				if c.to[i] == 0 {
					delta = 13
				}
				require.InDelta(t, c.to[i], got[i], delta, "want %v, got %v", c.to, got)
			}
		})
	}
}

// TestDefinitions compares with the spaces' definitions, computed another way.
func TestDefinitions(t *testing.T) {
	for name, c := range map[string]struct {
		profile []byte
		space   space
	}{
		"Display P3": {colour(displayP3, srgbCurve), p3Space},
		"Adobe RGB":  {colour(adobeRGB, adobeCurve), adobeSpace},
		"sRGB":       {colour(standard, srgbCurve), srgbSpace},
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, c.profile)
			for i := range 16 * 16 * 16 {
				rgb := [3]uint8{uint8(i / 256 * 17), uint8(i / 16 % 16 * 17), uint8(i % 16 * 17)}
				requireNear(t, convert(c.space, srgbSpace, rgb), toSRGB(t, p, rgb), 1, rgb)
			}
		})
	}
}

// TestRoundTrip brings sRGB colours to a wider space and back. What the 8 bits between
// lose is most in a dark channel beside a bright one.
func TestRoundTrip(t *testing.T) {
	p := parse(t, colour(displayP3, srgbCurve))
	for i := range 8 * 8 * 8 {
		rgb := [3]uint8{uint8(20 + i/64*30), uint8(20 + i/8%8*30), uint8(20 + i%8*30)}
		requireNear(t, rgb, toSRGB(t, p, convert(srgbSpace, p3Space, rgb)), 4, rgb)
	}
}

func TestNeutralStaysNeutral(t *testing.T) {
	for name, data := range map[string][]byte{
		"Display P3": colour(displayP3, srgbCurve),
		"Adobe RGB":  colour(adobeRGB, adobeCurve),
		"linear":     colour(displayP3, curv()),
	} {
		p := parse(t, data)
		for v := range 256 {
			c := toSRGB(t, p, [3]uint8{uint8(v), uint8(v), uint8(v)})
			require.Equal(t, [3]uint8{c[0], c[0], c[0]}, c, "%s, %d", name, v)
			m := uniform(8, 6, [3]uint8{uint8(v), 128, 128})
			require.NoError(t, p.Convert(t.Context(), m))
			require.Equal(t, [3]uint8{c[0], 128, 128}, samples(m), "%s, %d", name, v)
			m.Release()
		}
	}
	p := parse(t, colour(displayP3, srgbCurve))
	require.Equal(t, [3]uint8{255, 255, 255}, toSRGB(t, p, [3]uint8{255, 255, 255}))
	require.Equal(t, [3]uint8{}, toSRGB(t, p, [3]uint8{}))
}

// uniform is a 4:2:0 picture of one colour.
func uniform(width, height int, ycc [3]uint8) *planar.Image {
	m := planar.New(width, height, 2, 2)
	for i := range m.Planes {
		for y := range m.Planes[i].Height {
			for x := range m.Planes[i].Row(y) {
				m.Planes[i].Row(y)[x] = ycc[i]
			}
		}
	}
	return m
}

// samples is the last sample of each plane, where rounding up of sizes would show.
func samples(m *planar.Image) (s [3]uint8) {
	for i, p := range m.Planes {
		s[i] = p.Row(p.Height - 1)[p.Width-1]
	}
	return s
}

// TestPlanes holds planes to what single colours become.
func TestPlanes(t *testing.T) {
	p := parse(t, colour(displayP3, srgbCurve))
	for i := range 12 * 12 * 12 {
		ycc := [3]uint8{uint8(i / 144 * 23), uint8(i / 12 % 12 * 23), uint8(i % 12 * 23)}
		r, g, b := color.YCbCrToRGB(ycc[0], ycc[1], ycc[2])
		back := [3]uint8{}
		back[0], back[1], back[2] = color.RGBToYCbCr(r, g, b)
		if back != ycc {
			continue // not a colour that RGB has
		}
		want := toSRGB(t, p, [3]uint8{r, g, b})
		want[0], want[1], want[2] = color.RGBToYCbCr(want[0], want[1], want[2])
		m := uniform(3, 5, ycc)
		require.NoError(t, p.Convert(t.Context(), m))
		requireNear(t, want, samples(m), 2, ycc)
		m.Release()
	}
}

func TestSamplings(t *testing.T) {
	p := parse(t, colour(displayP3, srgbCurve))
	want := [3]uint8{}
	for i, s := range [][2]int{{1, 1}, {2, 1}, {2, 2}, {4, 1}, {4, 4}} {
		m := planar.New(11, 7, s[0], s[1])
		for i := range m.Planes {
			for y := range m.Planes[i].Height {
				for x := range m.Planes[i].Row(y) {
					m.Planes[i].Row(y)[x] = [3]uint8{120, 100, 170}[i]
				}
			}
		}
		require.NoError(t, p.Convert(t.Context(), m))
		if i == 0 {
			want = samples(m)
		}
		require.Equal(t, want, samples(m), "%v", s)
	}
}

func TestSRGB(t *testing.T) {
	table := make([]uint16, 1024)
	for i := range table {
		table[i] = uint16(math.Round(65535 * srgbLight(float64(i)/1023)))
	}
	for name, c := range map[string]struct {
		profile []byte
		want    bool
	}{
		"formula":          {colour(standard, srgbCurve), true},
		"table":            {colour(standard, curv(table...)), true},
		"formula 4":        {colour(standard, para(4, 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045, 0, 0)), true},
		"exponent":         {colour(standard, para(0, 2.2)), false},
		"Display P3":       {colour(displayP3, srgbCurve), false},
		"Adobe RGB":        {colour(adobeRGB, adobeCurve), false},
		"grey":             {grey(srgbCurve), true},
		"grey, exponent":   {grey(curv(0x0233)), false},
		"grey, linear":     {grey(curv()), false},
		"grey, two points": {grey(curv(0, 65535)), false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, parse(t, c.profile).SRGB()) })
	}
}

// TestCurves tells curves by what they make of a grey.
func TestCurves(t *testing.T) {
	const v = 100.0 / 255
	for name, c := range map[string]struct {
		trc   string
		light float64
	}{
		"none":               {curv(), v},
		"exponent":           {curv(0x0200), v * v},
		"table":              {curv(0, 6553, 65535), 2 * v * 0.1},
		"formula 0":          {para(0, 2), v * v},
		"formula 1":          {para(1, 2, 0.9, 0.1), math.Pow(0.9*v+0.1, 2)},
		"formula 1, below":   {para(1, 2, 2, -1), 0},
		"formula 2":          {para(2, 2, 0.9, 0, 0.1), math.Pow(0.9*v, 2) + 0.1},
		"formula 2, below":   {para(2, 2, 2, -1, 0.25), 0.25},
		"formula 3":          {para(3, 2, 0.5, 0.5, 0.1, 0.1), math.Pow(0.5*v+0.5, 2)},
		"formula 3, below":   {para(3, 2, 1, 0, 0.5, 0.9), 0.5 * v},
		"formula 4":          {para(4, 2, 0.5, 0.5, 0.1, 0.1, 0.2, 0.3), math.Pow(0.5*v+0.5, 2) + 0.2},
		"formula 4, below":   {para(4, 2, 1, 0, 0.5, 0.9, 0.2, 0.3), 0.5*v + 0.3},
		"beyond one":         {para(0, -1), 1},
		"negative base":      {para(3, 0.5, 1, -1, 0, 0), 0},
		"huge exponent":      {para(0, 30000), 0},
		"hugely negative":    {para(0, -30000), 1},
		"formula 3, all low": {para(3, 2, 1, 0, 1, 2), v},
	} {
		t.Run(name, func(t *testing.T) {
			m := planar.New(1, 1, 0, 0)
			m.Planes[0].Pix[0] = 100
			require.NoError(t, parse(t, grey(c.trc)).Convert(t.Context(), m))
			require.InDelta(t, 255*srgbValue(c.light), m.Planes[0].Pix[0], 0.6)
		})
	}
}

func TestGreyPictures(t *testing.T) {
	m := planar.New(2, 2, 0, 0)
	m.Planes[0].Row(0)[0], m.Planes[0].Row(1)[1] = 0, 100
	require.NoError(t, parse(t, colour(adobeRGB, adobeCurve)).Convert(t.Context(), m))
	require.Equal(t, uint8(0), m.Planes[0].Row(0)[0])
	require.Equal(t, uint8(math.Round(255*srgbValue(math.Pow(100.0/255, 563.0/256)))), m.Planes[0].Row(1)[1])

	p := parse(t, grey(curv()))
	require.ErrorIs(t, p.Convert(t.Context(), planar.New(2, 2, 2, 2)), icc.ErrUnsupported)
	rgb := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	rgb.Pix[0], rgb.Pix[1], rgb.Pix[2] = 1, 2, 3
	require.ErrorIs(t, p.ConvertNRGBA(t.Context(), rgb), icc.ErrUnsupported)
	require.Equal(t, []uint8{1, 2, 3, 0}, rgb.Pix)
	require.Equal(t, [3]uint8{188, 188, 188}, toSRGB(t, p, [3]uint8{128, 128, 128}))
}

func TestRefused(t *testing.T) {
	whole := colour(displayP3, srgbCurve)
	many := append([]byte{}, whole...)
	many[128] = 0xff
	for name, c := range map[string]struct {
		profile []byte
		want    error
	}{
		"empty":            {nil, icc.ErrInvalid},
		"text":             {make([]byte, 4000), icc.ErrInvalid},
		"header alone":     {whole[:128], icc.ErrInvalid},
		"too many tags":    {many, icc.ErrInvalid},
		"tags cut off":     {whole[:140], icc.ErrInvalid},
		"data cut off":     {whole[:len(whole)-1], icc.ErrUnsupported},
		"CMYK":             {profile("prtr", "CMYK", "Lab "), icc.ErrUnsupported},
		"RGB by tables":    {profile("mntr", "RGB ", "Lab ", entry{"A2B0", "mft2\x00\x00\x00\x00"}), icc.ErrUnsupported},
		"no matrix":        {profile("mntr", "RGB ", "XYZ ", entry{"A2B0", "mft2\x00\x00\x00\x00"}), icc.ErrUnsupported},
		"link":             {profile("link", "RGB ", "XYZ "), icc.ErrUnsupported},
		"Lab":              {profile("spac", "Lab ", "XYZ "), icc.ErrUnsupported},
		"short table":      {grey(curv(1, 2, 3)[:16]), icc.ErrInvalid},
		"long table":       {grey("curv\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00"), icc.ErrInvalid},
		"short formula":    {grey(para(3, 1, 1)), icc.ErrInvalid},
		"formula 5":        {grey(para(5, 1, 1, 1, 1, 1, 1, 1)), icc.ErrInvalid},
		"formula over 0":   {grey(para(1, 1, 0, 1)), icc.ErrInvalid},
		"curve of a kind":  {grey("what\x00\x00\x00\x00"), icc.ErrUnsupported},
		"XYZ of a kind":    {profile("mntr", "RGB ", "XYZ ", entry{"rTRC", curv()}, entry{"rXYZ", curv()}), icc.ErrInvalid},
		"white not D50":    {colour([9]float64{0.4124, 0.2126, 0.0193, 0.3576, 0.7152, 0.1192, 0.1805, 0.0722, 0.9505}, srgbCurve), icc.ErrUnsupported},
		"unreal colorants": {colour([9]float64{9, 0, 0, -9, 1, 0, 0.9642, 0, 0.8249}, srgbCurve), icc.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := icc.Parse(c.profile)
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestConvertEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := parse(t, colour(displayP3, srgbCurve))
	require.ErrorIs(t, p.Convert(ctx, planar.New(8, 8, 2, 2)), context.Canceled)
	require.ErrorIs(t, p.Convert(ctx, planar.New(8, 8, 0, 0)), context.Canceled)
	require.ErrorIs(t, p.ConvertNRGBA(ctx, image.NewNRGBA(image.Rect(0, 0, 8, 8))), context.Canceled)
}

func FuzzParse(f *testing.F) {
	f.Add(colour(displayP3, srgbCurve))
	f.Add(colour(adobeRGB, adobeCurve))
	f.Add(grey(curv(0, 1000, 65535)))
	f.Add(grey(para(4, 2.4, 0.9, 0.1, 0.1, 0.04, 0.1, 0.1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := icc.Parse(data)
		if err != nil {
			return
		}
		for _, sampling := range [2]int{0, 2} {
			m := planar.New(16, 16, sampling, sampling)
			for i := range m.Planes {
				for at := range m.Planes[i].Pix {
					m.Planes[i].Pix[at] = uint8(at*31 + i*97)
				}
			}
			_ = p.Convert(t.Context(), m)
			m.Release()
		}
		_ = toSRGBAny(t, p)
	})
}

// toSRGBAny converts a few colours, grey ones if the profile is.
func toSRGBAny(t *testing.T, p *icc.Profile) error {
	m := image.NewNRGBA(image.Rect(0, 0, 16, 16))
	for i := range m.Pix {
		m.Pix[i] = uint8(i * 37)
	}
	return p.ConvertNRGBA(t.Context(), m)
}
