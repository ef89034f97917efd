package picture

// cost is the memory in bytes that decoding a picture whole and resizing it will
// hold at its peak: the decoder's planes, the picture squeezed to its final width at
// full height, and the few copies of final size.
//
//	JPEG   samples x W x H; five times that if progressive, whose coefficients
//	       wait in 32 bits; 4 x W x H more for CMYK and RGB
//	PNG    1, 2, 4 or 8 x W x H; half as much again if interlaced; 4 x W x H more
//	       for a palette
//	GIF    5 x W x H, as BMP
//	WebP   5 x W x H: planes and their copy, or RGBA
//	TIFF   4 or 8 x W x H, twice: all of it may be one strip
func (h header) cost(o Options) int64 {
	pixels := int64(h.Width) * int64(h.Height)
	var decoded int64
	switch h.Format {
	case FormatJPEG:
		decoded = int64(h.samples * float64(pixels))
		if h.progressive {
			decoded *= 5
		}
		if h.converted {
			decoded += 4 * pixels
		}
	case FormatPNG:
		decoded = int64(h.depth) * pixels
		if h.interlaced {
			decoded += decoded / 2
		}
		if h.paletted {
			decoded += 4 * pixels
		}
	case FormatGIF, FormatBMP, FormatWebP:
		decoded = 5 * pixels
	case FormatTIFF:
		decoded = 2 * int64(max(h.depth, 4)) * pixels
	}
	w, ht := fitSize(h.Width, h.Height, o.MaxSide)
	squeezed := 4 * int64(w) * int64(h.Height)
	final := 4 * int64(w) * int64(ht)
	const buffers = 1 << 20
	return decoded + squeezed + 3*final + buffers
}
