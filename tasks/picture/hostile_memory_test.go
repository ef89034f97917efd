//go:build unix

package picture_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// manyProfiles is a TIFF of 5 MB with 65,532 entries that each name the same 4 MiB as a profile.
func manyProfiles() []byte {
	const entries, profile = 65534, 4 << 20
	b := binary.LittleEndian.AppendUint32([]byte("II*\x00"), 8)
	b = binary.LittleEndian.AppendUint16(b, entries)
	entry := func(tag, kind uint16, count, value uint32) {
		b = binary.LittleEndian.AppendUint16(b, tag)
		b = binary.LittleEndian.AppendUint16(b, kind)
		b = binary.LittleEndian.AppendUint32(b, count)
		b = binary.LittleEndian.AppendUint32(b, value)
	}
	entry(0x100, 4, 1, 64)
	entry(0x101, 4, 1, 64)
	for range entries - 2 {
		entry(0x8773, 7, profile, 8+2+12*entries+4)
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, make([]byte, profile)...)
}

// manyICCP is a PNG of 400 profiles that each inflate to 4 MiB.
func manyICCP(t testing.TB) []byte {
	var z bytes.Buffer
	z.WriteString("x\x00\x00")
	w := zlib.NewWriter(&z)
	_, err := w.Write(make([]byte, 4<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	chunk := pngChunk("iCCP", z.Bytes())
	return withChunks(encodePNG(t, quarters(8, 8)), bytes.Repeat(chunk, 400))
}

// manyTexts is a PNG of 400 compressed texts that each inflate to 1 MiB of EXIF in digits.
func manyTexts(t testing.TB) []byte {
	chunk := pngChunk("zTXt", []byte("Raw profile type exif\x00\x00"+deflated("\nexif\n 500000\n"+strings.Repeat("00", 1<<19))))
	return withChunks(encodePNG(t, quarters(8, 8)), bytes.Repeat(chunk, 400))
}

// hiddenFrame is a JPEG whose real frame header, 65,535 pixels a side, stands where a decoder that
// gives the reserved marker before it a length does not look; such a one finds 64 x 48.
func hiddenFrame(t testing.TB) []byte {
	whole := encodeJPEG(t, quarters(64, 48))
	hidden := segment(0xc0, []byte{8, 0xff, 0xff, 0xff, 0xff, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1})
	reserved := binary.BigEndian.AppendUint16([]byte{0xff, 0x02}, uint16(2+len(hidden)))
	return withSegments(whole, append(reserved, hidden...))
}

// interlaced is a PNG of 16 bits, 7,000 pixels a side and in seven passes, of a few hundred kB.
func interlaced(t testing.TB) []byte {
	b := pngHeader(7000, 7000, 16, 2)
	b[28] = 1
	copy(b[8:], pngChunk("IHDR", b[16:29]))
	var z bytes.Buffer
	w, err := zlib.NewWriterLevel(&z, zlib.BestSpeed)
	require.NoError(t, err)
	_, err = io.CopyN(w, zeros{}, 7000*(6*7000+1)+7000)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return append(append(b, pngChunk("IDAT", z.Bytes())...), pngChunk("IEND", nil)...)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// withoutSum is a PNG without the four bytes at the end of its pixels that are their checksum, so that they
// are decoded twice.
func withoutSum(b []byte) []byte {
	last := bytes.LastIndex(b, []byte("IDAT")) - 4
	size := int(binary.BigEndian.Uint32(b[last:]))
	return slices.Concat(b[:last], pngChunk("IDAT", b[last+8:last+8+size-4]), pngChunk("IEND", nil))
}

// overlapping is a TIFF whose 16,000 strips all lie on the same 4 MB, which are codes of LZW that
// start anew and anew and give nothing.
func overlapping() []byte {
	const strips, size = 16000, 4 << 20
	var offsets, counts []byte
	for range strips {
		offsets = binary.LittleEndian.AppendUint32(offsets, 8)
		counts = binary.LittleEndian.AppendUint32(counts, size)
	}
	clears := bytes.Repeat([]byte{0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01, 0x00}, size/9)
	return rawTIFF(image.Rect(0, 0, 64, strips), append(clears, make([]byte, 9)...), []tiffTag{
		short(0x102, 8, 8, 8), short(0x115, 3), short(0x103, 5), short(0x116, 1), {0x111, 4, strips, offsets}, {0x117, 4, strips, counts},
	})
}

// manyReferences is the beginning of a HEIC of 230 kB in which 65,535 references each make the same
// item, which has 100,000 properties, the transparency of the primary picture.
func manyReferences() []byte {
	const properties, references = 100_000, 65_535
	infe := func(number string) string { return isoBox("infe", "\x02\x00\x00\x00", number, "\x00\x00hvc1\x00") }
	many := "\x00\x02\xff" + strings.Repeat("\x02", 255)
	return []byte(isoBox("ftyp", "heic\x00\x00\x00\x00mif1heic") + isoBox("meta", be32(0),
		isoBox("pitm", be32(0), "\x00\x01"),
		isoBox("iinf", be32(0), "\x00\x02", infe("\x00\x01"), infe("\x00\x02")),
		isoBox("iprp",
			isoBox("ipco", isoBox("ispe", be32(0), be32(64), be32(64)), isoBox("auxC", be32(0), "depth\x00")),
			isoBox("ipma", be32(0), be32(1+properties/255), "\x00\x01\x01\x01", strings.Repeat(many, properties/255))),
		isoBox("iref", be32(0), isoBox("auxl", "\x00\x02\xff\xff", strings.Repeat("\x00\x01", references))),
	))
}

func hostile(t testing.TB) map[string][]byte {
	files := map[string][]byte{
		"heic of many references":             manyReferences(),
		"tiff of many profiles":               manyProfiles(),
		"png of many profiles":                manyICCP(t),
		"png of many texts":                   manyTexts(t),
		"jpeg with a hidden frame":            hiddenFrame(t),
		"png, 16 bits, interlaced":            interlaced(t),
		"webp of 50 megapixels, 30 bytes":     []byte("RIFF\x16\x00\x00\x00WEBPVP8L\x0a\x00\x00\x00\x2f\x9e\x9b\xe7\x06\x00\x00\x00\x00\x00"),
		"tiff whose strips lie on each other": overlapping(),
	}
	return files
}

// largePNG is a picture of one colour.
func largePNG(t testing.TB, w, h int) []byte {
	var z bytes.Buffer
	zw, err := zlib.NewWriterLevel(&z, zlib.BestSpeed)
	require.NoError(t, err)
	_, err = io.CopyN(zw, zeros{}, int64(h)*int64(4*w+1))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	return append(append(pngHeader(uint32(w), uint32(h), 8, 6), pngChunk("IDAT", z.Bytes())...), pngChunk("IEND", nil)...)
}

func TestHostileFilesEndSoon(t *testing.T) {
	budget := picture.NewBudget(picture.DefaultBudget)
	for name, b := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			start := processorTime()
			res, err := picture.Process(t.Context(), bytes.NewReader(b), int64(len(b)), budget, picture.Options{})
			requireSettled(t, res, err)
			spent := processorTime() - start
			t.Log(spent, err)
			require.Less(t, spent, 10*time.Second)
		})
	}
}

func TestAHiddenFrameIsSeen(t *testing.T) {
	b := hiddenFrame(t)
	info, err := picture.Inspect(t.Context(), bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	require.Equal(t, 65535, info.Width)
	_, err = process(t, b, picture.Options{})
	p, ok := errors.AsType[*picture.Problem](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, picture.CodeTooLarge, p.Code)
}

func TestACostAboveTheMaximumIsAProblem(t *testing.T) {
	b := interlaced(t)
	_, err := picture.Process(t.Context(), bytes.NewReader(b), int64(len(b)), nil, picture.Options{})
	p, ok := errors.AsType[*picture.Problem](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, picture.CodeTooLarge, p.Code)
	require.Equal(t, "The picture is too large to be shown; the original is kept.", p.Detail)
	require.ErrorContains(t, p, "MB of memory; at most 335 MB are given to one picture")
}

// TestCancelledSoon ends the context while a large picture of each kind is in work.
func TestCancelledSoon(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes everything ten times slower")
	}
	files := hostile(t)
	files["png of 24 megapixels"] = largePNG(t, 6000, 4000)
	files["png of 24 megapixels, decoded twice"] = withoutSum(files["png of 24 megapixels"])
	files["bmp of 24 megapixels"] = encodeBMP(t, image.NewNRGBA(image.Rect(0, 0, 6000, 4000)))
	files["tiff of 24 megapixels"] = encodeTIFF([]*image.NRGBA{image.NewNRGBA(image.Rect(0, 0, 6000, 4000))})
	for _, photo := range []string{"30_24mp.webp", "20_iphone11pro_12mp_o6.heic", "08_progressive_12mp.jpg", "12_cmyk_swop.jpg"} {
		if b, err := os.ReadFile(realPhotos + "/" + photo); err == nil {
			files[photo] = b
		}
	}
	why := errors.New("enough")
	budget := picture.NewBudget(picture.DefaultBudget)
	defer drain(t, budget)
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			var slowest time.Duration
			for _, after := range []time.Duration{5, 100, 400} {
				ctx, cancel := context.WithCancelCause(t.Context())
				ended := make(chan time.Duration, 1)
				timer := time.AfterFunc(after*time.Millisecond, func() { ended <- processorTime(); cancel(why) })
				_, err := picture.Process(ctx, bytes.NewReader(b), int64(len(b)), budget, picture.Options{})
				if !timer.Stop() {
					slowest = max(slowest, processorTime()-<-ended)
				}
				cancel(nil)
				if p := new(picture.Problem); err != nil && !errors.As(err, &p) {
					require.ErrorIs(t, err, why)
				}
			}
			t.Log("returned after at most", slowest, "of processor time")
			require.Less(t, slowest, time.Second, "200 ms of one processor; others may be at work on what was left behind")
		})
	}
}

// drain waits until nothing is in work, also what was left behind.
func drain(t testing.TB, budget *picture.Budget) {
	t.Helper()
	for _, n := range []int64{picture.DefaultBudget, picture.DefaultBudget + 1} { // the room and the turn
		release, err := budget.Acquire(t.Context(), n)
		require.NoError(t, err)
		release()
	}
}

// TestMemoryStaysBounded processes each hostile file in a process of its own and asks the system
// for the most memory that it took.
func TestMemoryStaysBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes more memory than the pictures")
	}
	if name := os.Getenv("CASEPRESS_HOSTILE"); name != "" {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		res, err := picture.Process(t.Context(), bytes.NewReader(b), int64(len(b)), picture.NewBudget(picture.DefaultBudget), picture.Options{})
		requireSettled(t, res, err)
		status, err := os.ReadFile("/proc/self/status")
		require.NoError(t, err)
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		fmt.Println("peak", strings.Fields(peak)[0])
		return
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("only Linux tells a process the most memory that it had")
	}
	files := hostile(t)
	files["png of 49 megapixels"] = largePNG(t, 7000, 7000)
	files["png of 49 megapixels, decoded twice"] = withoutSum(files["png of 49 megapixels"])
	for _, photo := range []string{"30_24mp.webp", "20_iphone11pro_12mp_o6.heic", "92_bomb.png"} {
		if b, err := os.ReadFile(realPhotos + "/" + photo); err == nil {
			files[photo] = b
		}
	}
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/hostile"
			require.NoError(t, os.WriteFile(path, b, 0o600))
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemoryStaysBounded$")
			cmd.Env = append(os.Environ(), "CASEPRESS_HOSTILE="+path, "GOMEMLIMIT="+strconv.Itoa(picture.DefaultBudget+72<<20))
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			_, peak, _ := strings.Cut(string(out), "peak ")
			most, err := strconv.Atoi(strings.Fields(peak)[0]) // kB
			require.NoError(t, err)
			t.Logf("%d MB", most/1000)
			require.Less(t, most, 400_000)
		})
	}
}

// TestAWantOfMemoryIsNoDamage takes the addresses away that the sandbox of a HEIC needs, for a moment.
func TestAWantOfMemoryIsNoDamage(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs addresses too")
	}
	_, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("only Linux tells a process how many addresses it has")
	}
	b := testdata(t, "alpha.heic")
	_, err = process(t, b, picture.Options{}) // compiled from here on
	require.NoError(t, err)
	status, err := os.ReadFile("/proc/self/statm") // pages
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(status))[0])
	require.NoError(t, err)
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_AS, &old))
	const spare = 8 << 20 // for everything else; the sandbox needs 16 MiB and more
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: uint64(pages*os.Getpagesize() + spare), Max: old.Max}))
	_, err = process(t, b, picture.Options{})
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_AS, &old))
	require.ErrorIs(t, err, syscall.ENOMEM)
	p := new(picture.Problem)
	require.NotErrorAs(t, err, &p)
	res, err := process(t, b, picture.Options{})
	require.NoError(t, err)
	require.Empty(t, res.Notes)
}
