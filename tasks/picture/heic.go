package picture

import (
	"errors"
	"fmt"
	"image"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/heif"
	"casepress/tasks/picture/metadata"
)

// heicCodec describes HEIC: HEVC in the boxes of ISO/IEC 23008-12. It is decoded by libheif in
// a sandbox.
var heicCodec = codec{
	format: FormatHEIC, mediaType: "image/heic",
	sniff: func(head []byte) bool {
		return hasBrand(head, "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "mif2", "msf1", "miaf")
	},
	header: func(h *header, r *container.Reader) {
		heifHeader(h, r)
		if codec := h.own.(heif.Info).Codec; codec != "" && codec != "hvc1" {
			h.unsupported = fmt.Errorf("pictures of kind %q: %w", codec, heif.ErrUnsupported)
		}
	},
	details:   func(h *header, r *container.Reader, names *metadata.Names) { heifDetails(h, r, names) },
	cost:      heicCost,
	decode:    heicDecoder(),
	maxPixels: heicPixels,
	isolated:  true,
}

// heicPixels is the largest picture that is decoded, about four seconds.
const heicPixels = 25_000_000

func heicDecoder() func(*job) error {
	if !heif.Available {
		return nil
	}
	return (*job).heic
}

// heicMemory is what the sandbox is given: what photos need and half as much again.
func heicMemory(h *header, size int64) int64 {
	pixel := int64(8)
	if h.own.(heif.Info).Depth > 8 {
		pixel = 10
	}
	const fixed = 16 << 20
	return min(2*size+pixel*h.area()+fixed, heif.MaxMemory)
}

// heicCost counts the file, the sandbox, the planes on their way out of it, and those of final
// size; with transparency, or where there are no planes, that and pixels.
func heicCost(h *header, o Options) int64 {
	info := h.own.(heif.Info)
	cost := h.size + heicMemory(h, h.size)
	switch {
	case info.HasAlpha():
		return wholeCost(h, o, cost+h.area())
	case info.Colour != nil && info.Colour.Matrix == 0: // red, green and blue
		return wholeCost(h, o, cost)
	}
	return cost + info.PlaneHalves*h.area()/2 + finalCost(h, o)
}

// heic decodes the picture in the sandbox and goes on with its planes. What the file says of
// turning and cropping is done by the decoder.
func (j *job) heic() error {
	info := j.header.own.(heif.Info)
	data, err := j.bytes(j.size)
	if err != nil {
		return err
	}
	pixels := min(j.options.MaxPixels, heicPixels)
	if j.header.pages > 1 {
		j.note(CodeFirstPage, "The file has several pictures; the main one is shown.")
	}
	if info.MainIsThumbnail {
		j.damaged(errors.New("the file calls its main picture a smaller version of another"))
	}
	var alpha *image.Gray
	if info.HasAlpha() {
		alpha, err = heif.DecodeAlpha(j.ctx, data, info, pixels, heicMemory(j.header, j.size))
		if errors.Is(err, heif.ErrSandbox) {
			return machineError{err}
		}
		if err != nil && j.ended() != nil {
			return err
		}
	}
	img, err := heif.Decode(j.ctx, data, info, pixels, heicMemory(j.header, j.size))
	if errors.Is(err, heif.ErrSandbox) {
		return machineError{err}
	}
	if errors.Is(err, heif.ErrTooLarge) {
		return problem(CodeTooLarge, "The picture is larger than its header says; it is not decoded.")
	}
	if errors.Is(err, heif.ErrMemory) {
		return tooMuchMemory(fmt.Errorf("decoding needs more than %d MB of memory", heicMemory(j.header, j.size)/1_000_000))
	}
	if err != nil {
		return err
	}
	defer img.Close()
	size := img.Bounds().Size()
	j.header.Width, j.header.Height = size.X, size.Y
	ycc, ok := img.Image.(*image.YCbCr)
	if grey, is := img.Image.(*image.Gray); is {
		ycc, ok = withoutColour(grey), true
	}
	switch {
	case !info.HasAlpha():
	case ok && alpha != nil && alpha.Rect == ycc.Rect:
		return j.finishRows(transparentRows(ycc, alpha))
	default:
		j.noteTransparency()
	}
	if m := planesOf(img.Image, false); m != nil {
		return j.finish(m)
	}
	r, err := rowsOf(img.Image, image.Rectangle{Max: size})
	if err != nil {
		return err
	}
	return j.finishRows(r)
}

// withoutColour is a grey picture as one in colour, on the same pixels.
func withoutColour(grey *image.Gray) *image.YCbCr {
	colour := image.NewYCbCr(image.Rect(0, 0, grey.Rect.Dx(), 1), image.YCbCrSubsampleRatio410)
	for i := range colour.Cb {
		colour.Cb[i], colour.Cr[i] = 128, 128
	}
	return &image.YCbCr{
		Y: grey.Pix, Cb: colour.Cb, Cr: colour.Cr, YStride: grey.Stride, CStride: 0, // one row of colour for all
		SubsampleRatio: image.YCbCrSubsampleRatio410, Rect: grey.Rect,
	}
}
