//go:build !noheif

package heif

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
)

// Available says whether [Decode] can decode at all.
const Available = true

// MaxMemory is the most memory in bytes that a picture can be given.
const MaxMemory = 256 << 20

// The colour spaces and chroma samplings of libheif that the wrapper gives.
const (
	spaceYCbCr, spaceRGB, spaceGrey    = 0, 1, 2
	chroma420, chroma422, chroma444    = 1, 2, 3
	aligned                            = 16 // bytes; every row begins at a multiple
	leastWidth                         = 64 // samples of a row
	argumentBytes                      = 5 * 4
	atWidth, atHeight, atSpace, atMode = 0, 4, 8, 12
	atPremultiplied                    = 16
)

// Image is a decoded picture. Its samples lie in the sandbox until Close.
type Image struct {
	image.Image
	guest *guest
}

// Close gives the sandbox's memory back; the samples are gone with it.
func (i *Image) Close() { i.guest.close() }

// Decode decodes the primary picture of a file, of which info was read, upright: what the file
// says of turning and cropping is done. The samples are in the file's own colours. The result
// holds an *image.YCbCr, *image.Gray, *image.NRGBA or *image.RGBA, and must be closed. data may
// be changed.
//
// A picture of more than maxPixels gives [ErrTooLarge], one that the decoder refuses [ErrDamaged],
// and one that it cannot decode within memory bytes [ErrMemory]. Photos of 8 bits take 5 to 7
// bytes a pixel, of more bits 10. [ErrSandbox] is about the machine and not about the picture. When ctx ends the call returns within about 100 ms with its
// cause, but for the first call of a process, which spends about a second on compiling.
func Decode(ctx context.Context, data []byte, info Info, maxPixels, memory int64) (*Image, error) {
	info.useBrand(data)
	img, err := decode(ctx, data, maxPixels, memory)
	if ctx.Err() != nil {
		if err == nil {
			img.Close()
		}
		return nil, fmt.Errorf("heif: %w", context.Cause(ctx))
	}
	return img, err
}

// DecodeAlpha decodes the transparency of the primary picture, 255 where it is opaque, as Decode
// does the picture. It may be of another size. The decoder shows primary pictures only, so for as
// long as the call lasts the transparency is made one in data: its number in pitm, no longer hidden
// in iinf, and no longer the transparency of another in iref.
func DecodeAlpha(ctx context.Context, data []byte, info Info, maxPixels, memory int64) (*image.Gray, error) {
	if n := int64(len(data)); !info.HasAlpha() || max(info.pitm, info.alphaLink, info.alphaFlags)+4 > n {
		return nil, ErrUnsupported
	}
	for _, at := range []int64{info.pitm, info.alphaFlags, info.alphaLink} {
		was := [4]byte(data[at:])
		defer func() { copy(data[at:], was[:]) }()
	}
	if info.pitmWide {
		binary.BigEndian.PutUint32(data[info.pitm:], info.alpha)
	} else {
		binary.BigEndian.PutUint16(data[info.pitm:], uint16(info.alpha))
	}
	data[info.alphaFlags] &^= 1
	copy(data[info.alphaLink:], "free")
	img, err := Decode(ctx, data, info, maxPixels, memory)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	pix, stride := []byte(nil), 0
	switch img := img.Image.(type) {
	case *image.Gray:
		pix, stride = img.Pix, img.Stride
	case *image.YCbCr:
		pix, stride = img.Y, img.YStride
	default:
		return nil, fmt.Errorf("%w: transparency in colours", ErrDamaged)
	}
	alpha := image.NewGray(img.Bounds())
	for y := range alpha.Rect.Dy() {
		copy(alpha.Pix[y*alpha.Stride:][:alpha.Stride], pix[y*stride:])
	}
	return alpha, nil
}

// useBrand gives a file of HEVC the major brand of HEIC where it has another: the decoder asks the
// major brand what the file is, which may be a general one, as of MIAF or of films.
//
//	size(4) "ftyp" major brand(4)
func (i Info) useBrand(data []byte) {
	if len(data) < 12 || string(data[4:8]) != "ftyp" || i.Codec != "hvc1" {
		return
	}
	if brand := string(data[8:12]); brand != "heic" && brand != "heix" {
		copy(data[8:], "heic")
	}
}

func decode(ctx context.Context, data []byte, maxPixels, memory int64) (img *Image, err error) {
	g, err := newGuest(ctx, memory)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			if g.memory.refused {
				err = fmt.Errorf("%w: %w", ErrMemory, err)
			}
			g.close()
		}
	}()
	in, err := g.put(data)
	if err != nil {
		return nil, err
	}
	args, err := g.malloc(argumentBytes)
	if err != nil {
		return nil, err
	}
	if err := g.decode(in, len(data), true, args, 0); err != nil {
		return nil, err
	}
	l, err := g.layout(args, maxPixels)
	if err != nil {
		return nil, err
	}
	out, err := g.malloc(l.size)
	if err != nil {
		return nil, err
	}
	if err := g.decode(in, len(data), false, args, out); err != nil {
		return nil, err
	}
	if again, err := g.layout(args, maxPixels); err != nil || again != l {
		return nil, fmt.Errorf("%w: two sizes that differ", ErrDamaged)
	}
	pix, ok := g.module.Memory().Read(out, uint32(l.size))
	if !ok {
		return nil, errMemory
	}
	return &Image{l.image(pix), g}, nil
}

// layout is how the decoder lays a picture out.
type layout struct {
	width, height, space, mode int
	premultiplied              bool
	stride                     int // of brightness, grey or RGBA
	chromaStride, chromaHeight int
	size                       int
}

func (g *guest) layout(args uint32, maxPixels int64) (l layout, err error) {
	var premultiplied int
	for _, v := range []struct {
		at uint32
		to *int
	}{{atWidth, &l.width}, {atHeight, &l.height}, {atSpace, &l.space}, {atMode, &l.mode}, {atPremultiplied, &premultiplied}} {
		n, ok := g.module.Memory().ReadUint32Le(args + v.at)
		if !ok {
			return l, ErrDamaged
		}
		*v.to = int(n)
	}
	if l.width < 1 || l.height < 1 {
		return l, fmt.Errorf("%w: no pixels", ErrDamaged)
	}
	if l.width > 1<<20 || l.height > 1<<20 || int64(l.width)*int64(l.height) > maxPixels {
		return l, fmt.Errorf("%w: %d x %d", ErrTooLarge, l.width, l.height)
	}
	l.premultiplied = premultiplied == 1
	return l, l.measure()
}

// measure fills in strides and size.
func (l *layout) measure() error {
	// Planes are at least leastWidth wide inside the decoder, which copies them with their strides.
	align := func(n int) int { return (max(n, leastWidth) + aligned - 1) &^ (aligned - 1) }
	switch {
	case l.space == spaceGrey:
		l.stride = align(l.width)
	case l.space == spaceRGB:
		l.stride = max(4*leastWidth, align(4*l.width))
	case l.space == spaceYCbCr && l.mode == chroma420:
		l.stride, l.chromaStride, l.chromaHeight = align(l.width), align((l.width+1)/2), (l.height+1)/2
	case l.space == spaceYCbCr && l.mode == chroma422:
		l.stride, l.chromaStride, l.chromaHeight = align(l.width), align((l.width+1)/2), l.height
	case l.space == spaceYCbCr && l.mode == chroma444:
		l.stride, l.chromaStride, l.chromaHeight = align(l.width), align(l.width), l.height
	default:
		return fmt.Errorf("%w: colour space %d, chroma %d", ErrDamaged, l.space, l.mode)
	}
	l.size = l.stride*l.height + 2*l.chromaStride*l.chromaHeight
	return nil
}

func (l layout) image(pix []byte) image.Image {
	rect := image.Rect(0, 0, l.width, l.height)
	switch {
	case l.space == spaceGrey:
		return &image.Gray{Pix: pix, Stride: l.stride, Rect: rect}
	case l.space == spaceRGB && l.premultiplied:
		return &image.RGBA{Pix: pix, Stride: l.stride, Rect: rect}
	case l.space == spaceRGB:
		return &image.NRGBA{Pix: pix, Stride: l.stride, Rect: rect}
	}
	ratio := map[int]image.YCbCrSubsampleRatio{
		chroma420: image.YCbCrSubsampleRatio420, chroma422: image.YCbCrSubsampleRatio422, chroma444: image.YCbCrSubsampleRatio444,
	}[l.mode]
	luma, chroma := l.stride*l.height, l.chromaStride*l.chromaHeight
	return &image.YCbCr{
		Y: pix[:luma:luma], Cb: pix[luma : luma+chroma : luma+chroma], Cr: pix[luma+chroma:],
		YStride: l.stride, CStride: l.chromaStride, SubsampleRatio: ratio, Rect: rect,
	}
}

// decode calls the wrapper: once for the sizes, once for the samples.
func (g *guest) decode(in uint32, size int, sizesOnly bool, args, out uint32) error {
	only := uint64(0)
	if sizesOnly {
		only = 1
	}
	at := func(offset uint32) uint64 { return uint64(args + offset) }
	ok, err := g.call("decode", uint64(in), uint64(size), only, at(atWidth), at(atHeight), at(atSpace), at(atMode), at(atPremultiplied), uint64(out))
	if err == nil && ok == 0 {
		err = ErrDamaged
	}
	return err
}

var errMemory = errors.New("heif: the sandbox has no memory left")
