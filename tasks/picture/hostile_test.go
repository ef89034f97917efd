package picture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// samples are small pictures of every format.
func samples(t testing.TB) map[string][]byte {
	src := quarters(64, 48)
	paletted := image.NewPaletted(image.Rect(0, 0, 7, 9), color.Palette{red, green})
	return map[string][]byte{
		"jpeg": withSegments(encodeJPEG(t, noise(64, 48)), exif(binary.BigEndian, 6), profileSegment(swapped())),
		"cmyk": testdata(t, "cmyk.jpg"),
		"png":  withChunks(encodePNG(t, src), profileChunk(t, swapped()), pngChunk("eXIf", exif(binary.BigEndian, 6)[10:])),
		"gif":  encodeGIF(t, &gif.GIF{Image: []*image.Paletted{paletted, paletted}, Delay: []int{0, 0}}),
		"bmp":  encodeBMP(t, src), "tiff": encodeTIFF([]*image.NRGBA{src, src}, short(0x112, 6)),
		"webp": testdata(t, "lossy.webp"), "webp lossless": testdata(t, "lossless.webp"), "webp alpha": testdata(t, "alpha.webp"),
		"webp animation": testdata(t, "animation.webp"), "heic": testdata(t, "quarters.heic"),
	}
}

// requireSettled requires that the end of Process is one of two: a picture or a
// problem.
func requireSettled(t testing.TB, res picture.Result, err error) {
	t.Helper()
	if err != nil {
		p := new(picture.Problem)
		require.ErrorAs(t, err, &p)
		require.NotEmpty(t, p.Detail)
		require.Nil(t, p.Stack, "%v\n%s", p.Err, p.Stack)
		return
	}
	require.Equal(t, image.Rect(0, 0, res.Full.Width, res.Full.Height), decode(t, res.Full.Data).Bounds())
	require.Equal(t, image.Rect(0, 0, res.Thumb.Width, res.Thumb.Height), decode(t, res.Thumb.Data).Bounds())
}

// holding is a file that says how much memory is held, at most, when its end is read.
type holding struct {
	*bytes.Reader
	heap uint64
}

func (h *holding) ReadAt(p []byte, off int64) (int, error) {
	const end = 12 // an end mark
	if off+int64(len(p)) > h.Size()-end {
		h.heap = max(h.heap, heap())
	}
	return h.Reader.ReadAt(p, off)
}

// heap is how much memory is in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestPNGPartsAreNotHeld processes a PNG in which texts stand between 200,000 pieces without pixels.
func TestPNGPartsAreNotHeld(t *testing.T) {
	pieces := bytes.Repeat(append(pngChunk("IDAT", nil), pngChunk("teSt", nil)...), 200_000)
	src := &holding{Reader: bytes.NewReader(withChunks(encodePNG(t, quarters(8, 8)), pieces))}
	before := heap()
	_, err := picture.Process(t.Context(), src, src.Size(), nil, picture.Options{})
	require.NoError(t, err)
	require.NotZero(t, src.heap)
	require.Less(t, src.heap, before+1<<20)
}

// TestPNGTransparencyIsNotReadWhole processes a PNG whose transparencies are large and damaged.
func TestPNGTransparencyIsNotReadWhole(t *testing.T) {
	const size = 8 << 20
	chunk := pngChunk("tRNS", make([]byte, size))
	chunk[len(chunk)-1] ^= 1
	b := withChunks(encodePNG(t, quarters(8, 8)), chunk, chunk)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := process(t, b, picture.Options{})
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size))
}

// TestWebPIsNotHeldWhole processes a WebP that has 8 MB behind its pixels, in their chunk.
func TestWebPIsNotHeldWhole(t *testing.T) {
	const more = 8 << 20
	b := append(testdata(t, "lossless.webp"), make([]byte, more)...)
	at := bytes.Index(b, []byte("VP8L")) + 4
	for _, at := range []int{4, at} {
		binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])+more)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := process(t, b, picture.Options{})
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(more))
}

func TestProcessSettlesWhateverIsBroken(t *testing.T) {
	o := picture.Options{MaxPixels: 1 << 20}
	for name, whole := range samples(t) {
		t.Run(name, func(t *testing.T) {
			step := max(1, len(whole)/40)
			for n := 0; n < len(whole); n += step {
				res, err := process(t, whole[:n], o)
				requireSettled(t, res, err)
			}
			random := rand.New(rand.NewPCG(1, uint64(len(whole))))
			for range 60 {
				b := bytes.Clone(whole)
				for range 1 + random.IntN(8) {
					b[random.IntN(len(b))] = byte(random.Uint32())
				}
				res, err := process(t, b, o)
				requireSettled(t, res, err)
			}
		})
	}
}

func TestProcessBoundsEveryFormat(t *testing.T) {
	for name, b := range samples(t) {
		t.Run(name, func(t *testing.T) {
			for _, o := range []picture.Options{{MaxPixels: 62}, {MaxSourceSide: 6}, {MaxBytes: 60}} {
				res, err := process(t, b, o)
				p, ok := errors.AsType[*picture.Problem](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, picture.CodeTooLarge, p.Code)
				require.NotZero(t, res.Source.Width)
			}
		})
	}
}

func TestProcessGivesTheBudgetBack(t *testing.T) {
	const all = 32 << 20
	budget := picture.NewBudget(all)
	for name, whole := range samples(t) {
		for _, b := range [][]byte{whole, whole[:len(whole)/2]} {
			_, _ = picture.Process(t.Context(), bytes.NewReader(b), int64(len(b)), budget, picture.Options{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			release, err := budget.Acquire(ctx, all)
			require.NoError(t, err, name)
			release()
			cancel()
		}
	}
}

// cancelling serves a file and cancels as soon as its end has been read, that is, when
// decoding begins.
type cancelling struct {
	*bytes.Reader
	cancel func()
}

func (c *cancelling) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	if off+int64(len(p)) == c.Size() && len(p) > 1<<16 {
		c.cancel()
	}
	return n, err
}

func TestProcessStopsInTheMiddleOfAJPEG(t *testing.T) {
	b := encodeJPEG(t, noise(2000, 1500))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	src := &cancelling{Reader: bytes.NewReader(b), cancel: func() { cancel(why) }}
	_, err := picture.Process(ctx, src, int64(len(b)), nil, picture.Options{})
	require.ErrorIs(t, err, why)
}

func TestProcessWaitsForTheBudget(t *testing.T) {
	for name, b := range samples(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				budget := picture.NewBudget(1 << 20)
				for _, n := range []int64{1 << 20, 1<<20 + 1} { // the room and the turn
					release, err := budget.Acquire(t.Context(), n)
					require.NoError(t, err)
					defer release()
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("waited"))
				defer cancel()
				res, err := picture.Process(ctx, bytes.NewReader(b), int64(len(b)), budget, picture.Options{TimeLimit: 10 * time.Second})
				require.ErrorContains(t, err, "waited")
				require.Equal(t, time.Minute, res.Waited)
				require.Zero(t, res.Worked, "waiting is not work")
			})
		})
	}
}
