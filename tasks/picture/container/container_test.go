package container_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"casepress/tasks/picture/container"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// visit is one step of a walk through a JPEG.
type visit struct {
	marker  byte
	payload string
	stray   bool
}

func TestSegments(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       []visit
	}{
		{"plain", "\xff\xd8\xff\xe0\x00\x04ab\xff\xdb\x00\x03c\xff\xd9rest", []visit{{0xe0, "ab", false}, {0xdb, "c", false}, {0xd9, "", false}}},
		{"fill bytes", "\xff\xd8\xff\xff\xff\xe0\x00\x03a\xff\xd9", []visit{{0xe0, "a", false}, {0xd9, "", false}}},
		{"stray bytes", "\xff\xd8xyz\xff\xe0\x00\x03a\xff\x00\xff\xd9", []visit{{0xe0, "a", true}, {0xd9, "", true}}},
		{"a reserved marker has no length", "\xff\xd8\xff\x02\x00\x08\xff\xc0\x00\x04ab\xff\xd9", []visit{{0xc0, "ab", true}, {0xd9, "", false}}},
		{"restart markers stand alone", "\xff\xd8\xff\xd0\xff\xd7\xff\xd8\xff\xe0\x00\x02\xff\xd9", []visit{{0xe0, "", true}, {0xd9, "", false}}},
		{"an impossible length is an empty payload", "\xff\xd8\xff\xfe\x00\x00\xff\xe0\x00\x03a\xff\xd9", []visit{{0xfe, "", true}, {0xe0, "a", false}, {0xd9, "", false}}},
		{"cut within a payload", "\xff\xd8\xff\xe0\x00\x10ab", nil},
		{"cut within a length", "\xff\xd8\xff\xe0\x00", nil},
		{"no marker", "\xff\xd8 nothing here", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []*container.Reader{
				container.Memory([]byte(c.file)),
				container.NewReader(t.Context(), strings.NewReader(c.file), int64(len(c.file)), 1<<20),
			} {
				s, ok := container.JPEG(r)
				require.True(t, ok)
				var got []visit
				for s.Next() {
					got = append(got, visit{s.Marker, string(s.Bytes(1 << 16)), s.Stray})
					if s.Marker == container.MarkerEOI {
						break
					}
				}
				require.Equal(t, c.want, got)
			}
		})
	}
	_, ok := container.JPEG(container.Memory([]byte("\x89PNG")))
	require.False(t, ok)
}

func TestSkipScan(t *testing.T) {
	file := []byte("\xff\xd8ab\xff\x00c\xff\xd0d\xff\xff\xd9")
	s, _ := container.JPEG(container.Memory(file))
	reserved, ok := s.SkipScan()
	require.True(t, ok)
	require.False(t, reserved)
	require.True(t, s.Next())
	require.Equal(t, byte(container.MarkerEOI), s.Marker)
	s, _ = container.JPEG(container.Memory([]byte("\xff\xd8ab\xff\x05c\xff\xd9")))
	reserved, ok = s.SkipScan()
	require.True(t, reserved && ok)
	s, _ = container.JPEG(container.Memory([]byte("\xff\xd8ab")))
	_, ok = s.SkipScan()
	require.False(t, ok)
}

func TestChunks(t *testing.T) {
	var got []string
	note := func(c container.Chunk) bool {
		got = append(got, c.Kind)
		if c.Cut {
			got = append(got, "cut")
		}
		return true
	}
	container.Memory([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x01tEXtaCRC!\x00\x00\x00\x00IENDCRC!\x00\x00\x00\x00moreCRC!")).PNGChunks(note)
	require.Equal(t, []string{"tEXt", "IEND"}, got, "nothing behind the end mark")
	got = nil
	container.Memory([]byte("\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDATabc")).PNGChunks(note)
	require.Equal(t, []string{"IDAT", "cut"}, got)
	got = nil
	container.Memory([]byte("RIFF\x1c\x00\x00\x00WEBPabcd\x01\x00\x00\x00x\x00efgh\x00\x00\x00\x00hide\x00\x00\x00\x00")).RIFFChunks(note)
	require.Equal(t, []string{"abcd", "efgh"}, got, "nothing behind the length that the file gives itself")
}

func TestBoxes(t *testing.T) {
	file := []byte("\x00\x00\x00\x08free" + "\x00\x00\x00\x01wide\x00\x00\x00\x00\x00\x00\x00\x12ab" + "\x00\x00\x00\x00last123")
	r := container.Memory(file)
	var got []string
	r.Boxes(0, r.Size(), func(b container.Box) bool {
		got = append(got, b.Kind+" "+string(file[b.At:b.End()]))
		return true
	})
	require.Equal(t, []string{"free ", "wide ab", "last 123"}, got)
	b, ok := r.Find(0, r.Size(), "wide")
	require.True(t, ok)
	require.Equal(t, int64(2), b.Size)
	b, ok = container.Memory([]byte("\x7f\xff\xff\xffmdat")).Find(0, 100, "mdat")
	require.True(t, ok && b.Cut)
	_, ok = container.Memory([]byte("\x00\x00\x00\x07bad!")).Find(0, 100, "bad!")
	require.False(t, ok, "smaller than its own head")
}

func TestTIFF(t *testing.T) {
	// A directory at 8: width as SHORT, as LONG again, orientation as BYTE, three bits elsewhere.
	file := []byte("MM\x00*\x00\x00\x00\x08\x00\x04" +
		"\x01\x00\x00\x03\x00\x00\x00\x01\x00\x07\x00\x00" + "\x01\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x09" +
		"\x01\x12\x00\x01\x00\x00\x00\x01\x06\x00\x00\x00" + "\x01\x02\x00\x03\x00\x00\x00\x03\x00\x00\x00\x3e" + "\x00\x00\x00\x08" + "\x00\x08\x00\x09\x00\x0a")
	d, ok := container.Memory(file).TIFF()
	require.True(t, ok)
	entries, next, ok := d.Directory(d.First)
	require.True(t, ok)
	require.Equal(t, int64(8), next)
	require.Len(t, entries, 3, "a tag that comes again does not count")
	for i, want := range []uint32{7, 6, 8} {
		v, ok := d.Number(entries[i])
		require.True(t, ok)
		require.Equal(t, want, v)
	}
	require.Equal(t, []uint32{8, 9, 10}, d.Numbers(entries[2], 9))
	require.Equal(t, []byte{0, 8, 0, 9, 0, 10}, d.Value(entries[2], 6))
	require.Nil(t, d.Value(entries[2], 5))
	_, _, ok = d.Directory(1000)
	require.False(t, ok)
	_, ok = container.Memory([]byte("II+\x00\x08\x00\x00\x00")).TIFF()
	require.False(t, ok)
}

func TestGIFBlocks(t *testing.T) {
	file := []byte("GIF89a\x02\x00\x03\x00\x80\x00\x00" + "rgbRGB" + "\x21\xf9\x04\x01\x00\x00\x05\x00" + "\x2c\x01\x00\x02\x00\x03\x00\x04\x00\x00" + "\x02\x02ab\x00" + "\x21\xfe\x01x\x00" + "\x3b")
	var got []container.GIFBlock
	container.Memory(file).GIFBlocks(func(b container.GIFBlock) bool { got = append(got, b); return true })
	require.Len(t, got, 3)
	require.Equal(t, byte(0xf9), got[0].Extension)
	require.True(t, got[1].Frame)
	require.Equal(t, []int{1, 2, 3, 4}, []int{got[1].X, got[1].Y, got[1].Width, got[1].Height})
	require.Equal(t, "\x02\x02ab", string(file[got[1].At:got[1].At+4]))
	require.Equal(t, byte(0xfe), got[2].Extension)
}

func TestReaderKeepsToItsBudget(t *testing.T) {
	r := container.NewReader(t.Context(), bytes.NewReader(make([]byte, 1000)), 1000, 200)
	require.Len(t, r.UpTo(0, 100), 100)
	require.Nil(t, r.UpTo(0, 100), "each read costs 32 more")
	require.True(t, r.Exhausted())
	require.NoError(t, r.Err())
	require.Nil(t, r.Block(make([]byte, 50)).Exactly(0, 50), "a block is on the same account")
}

func TestReaderInflatesNoMoreThanItMay(t *testing.T) {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, err := w.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	all, ok := container.Memory(nil).Inflate(z.Bytes(), 1<<20)
	require.True(t, ok)
	require.Len(t, all, 1<<20)
	all, ok = container.Memory(nil).Inflate(z.Bytes(), 1<<20-1)
	require.False(t, ok)
	require.Len(t, all, 1<<20-1)
	r := container.NewReader(t.Context(), nil, 0, 1<<18)
	_, ok = r.Inflate(z.Bytes(), 1<<20)
	require.False(t, ok)
	require.True(t, r.Exhausted())
	_, ok = container.Memory(nil).Inflate(z.Bytes()[:100], 1<<20)
	require.False(t, ok)
}

func TestReaderEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r := container.NewReader(ctx, strings.NewReader("abc"), 3, 1<<20)
	require.Equal(t, "abc", string(r.UpTo(0, 9)))
	require.NoError(t, r.Err())
	why := errors.New("enough")
	cancel(why)
	require.Nil(t, r.UpTo(0, 3))
	require.ErrorIs(t, r.Err(), why)
	r = container.NewReader(t.Context(), strings.NewReader("abc"), 9, 1<<20)
	require.Nil(t, r.UpTo(0, 9))
	require.ErrorIs(t, r.Err(), io.EOF, "a file that has shrunk is no damaged picture")
}

// FuzzWalks walks whatever comes as every container, and requires that each walk ends and stays
// within the file.
func FuzzWalks(f *testing.F) {
	for _, s := range []string{"\xff\xd8\xff\xe0\x00\x04ab\xff\xd9", "\x89PNG\r\n\x1a\n\x00\x00\x00\x01tEXtaCRC!", "RIFF\x1c\x00\x00\x00WEBPabcd\x01\x00\x00\x00x\x00", "\x00\x00\x00\x08free", "II*\x00\x08\x00\x00\x00\x01\x00", "GIF89a\x02\x00\x03\x00\x00\x00\x00\x2c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const budget = 1 << 20
		size := int64(len(b))
		r := container.NewReader(t.Context(), bytes.NewReader(b), size, budget)
		within := func(at, n int64) { require.True(t, at >= 0 && n >= 0 && at+n <= size, "%d, %d of %d", at, n, size) }
		if s, ok := container.JPEG(r); ok {
			for s.Next() && s.Marker != container.MarkerEOI {
				within(s.Payload, s.Length)
				if s.Marker == container.MarkerSOS {
					s.SkipScan()
				}
			}
		}
		chunk := func(c container.Chunk) bool { within(c.At, c.Size); return true }
		r.PNGChunks(chunk)
		r.RIFFChunks(chunk)
		r.Boxes(0, size, func(b container.Box) bool { within(b.At, b.Size); return true })
		r.GIFBlocks(func(container.GIFBlock) bool { return true })
		if d, ok := r.TIFF(); ok {
			entries, _, _ := d.Directory(d.First)
			for _, e := range entries {
				d.Value(e, 1000)
				d.Numbers(e, 100)
			}
		}
		require.NoError(t, r.Err())
	})
}
