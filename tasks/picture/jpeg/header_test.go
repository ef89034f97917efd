package jpeg_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/jpeg"
)

// marked writes a marker segment.
func marked(marker byte, payload ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(payload)+2)), payload...)
}

// inserted puts segments behind the start marker of data.
func inserted(data []byte, segments ...[]byte) []byte {
	return slices.Concat(data[:2], slices.Concat(segments...), data[2:])
}

// withoutJFIF removes the first segment, which must be JFIF's.
func withoutJFIF(tb testing.TB, data []byte) []byte {
	tb.Helper()
	require.Equal(tb, []byte{0xff, 0xe0}, data[2:4])
	return slices.Concat(data[:2], data[4+binary.BigEndian.Uint16(data[4:]):])
}

func iccPart(number, total byte, part string) []byte {
	return marked(0xe2, append(append([]byte("ICC_PROFILE\x00"), number, total), part...)...)
}

func adobe(transform byte) []byte {
	return marked(0xee, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), transform)...)
}

func TestReadHeader(t *testing.T) {
	data := small(t, "420")
	bare := withoutJFIF(t, data)
	named := bytes.Clone(bare)
	rename(t, named, "RGB")
	for _, c := range []struct {
		name  string
		data  []byte
		check func(*require.Assertions, jpeg.Header)
	}{
		{"plain", data, func(r *require.Assertions, h jpeg.Header) {
			r.Equal([3]int{59, 43, 3}, [3]int{h.Width, h.Height, h.Components})
			r.Equal(jpeg.Sampling{X: 2, Y: 2}, h.Sampling)
			r.Equal(jpeg.YCbCr, h.Transform)
			r.False(h.Progressive)
			r.Nil(h.Profile)
		}},
		{"progressive", small(t, "420-progressive"), func(r *require.Assertions, h jpeg.Header) { r.True(h.Progressive) }},
		{"grey", small(t, "grey"), func(r *require.Assertions, h jpeg.Header) {
			r.Equal(jpeg.Grey, h.Transform)
			r.Equal(jpeg.Sampling{}, h.Sampling)
		}},
		{"other factors", small(t, "even"), func(r *require.Assertions, h jpeg.Header) {
			r.Equal(jpeg.Sampling{X: 1, Y: 2}, h.Sampling)
		}},
		{"profile in parts", inserted(data, iccPart(2, 2, "world"), iccPart(1, 2, "hello ")), func(r *require.Assertions, h jpeg.Header) {
			r.Equal("hello world", string(h.Profile))
		}},
		{"profile with a part missing", inserted(data, iccPart(2, 2, "world")), func(r *require.Assertions, h jpeg.Header) { r.Nil(h.Profile) }},
		{"profile part 0", inserted(data, iccPart(0, 1, "x")), func(r *require.Assertions, h jpeg.Header) { r.Nil(h.Profile) }},
		{"Adobe RGB", inserted(bare, adobe(0)), func(r *require.Assertions, h jpeg.Header) { r.Equal(jpeg.RGB, h.Transform); r.False(h.Supported()) }},
		{"JFIF wins over Adobe", inserted(data, adobe(0)), func(r *require.Assertions, h jpeg.Header) { r.Equal(jpeg.YCbCr, h.Transform) }},
		{"Adobe YCbCr", inserted(bare, adobe(1)), func(r *require.Assertions, h jpeg.Header) { r.Equal(jpeg.YCbCr, h.Transform) }},
		{"components named RGB", named, func(r *require.Assertions, h jpeg.Header) { r.Equal(jpeg.RGB, h.Transform) }},
		{"fill and stray bytes", slices.Concat(data[:2], []byte{0xff, 0xff}, data[2:]), func(r *require.Assertions, h jpeg.Header) { r.True(h.Supported()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := jpeg.ReadHeader(container.Memory(c.data))
			require.NoError(t, err)
			c.check(require.New(t), h)
		})
	}
}

// frameAt finds the payload of the frame header.
func frameAt(tb testing.TB, data []byte) []byte {
	tb.Helper()
	for at := 2; at+4 < len(data); at += 2 + int(binary.BigEndian.Uint16(data[at+2:])) {
		if m := data[at+1]; m >= 0xc0 && m <= 0xc2 {
			return data[at+4:]
		}
	}
	require.Fail(tb, "no frame header")
	return nil
}

func rename(tb testing.TB, data []byte, ids string) {
	tb.Helper()
	frame := frameAt(tb, data)
	for i := range ids {
		frame[6+3*i] = ids[i]
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	zero := bytes.Clone(small(t, "420"))
	binary.BigEndian.PutUint16(frameAt(t, zero)[1:], 0)
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte("not a picture"), "start only": {0xff, 0xd8},
		"cut before the frame": small(t, "420")[:100], "no height": zero,
		"segment length 0": {0xff, 0xd8, 0xff, 0xc0, 0, 0}, "no start": small(t, "420")[2:],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jpeg.ReadHeader(container.Memory(data))
			require.ErrorIs(t, err, jpeg.ErrFormat)
			_, _, err = decode(t.Context(), data, 8)
			require.ErrorIs(t, err, jpeg.ErrFormat)
		})
	}
}

func TestDecodeUnsupported(t *testing.T) {
	for name, change := range map[string]func(frame []byte){
		"12 bits":         func(f []byte) { f[0] = 12 },
		"arithmetic":      func(f []byte) {}, // below
		"three by one":    func(f []byte) { f[7] = 0x31 },
		"colour is finer": func(f []byte) { f[7], f[10] = 0x11, 0x22 },
		"factor 0":        func(f []byte) { f[7] = 0 },
		"two components":  func(f []byte) { f[5] = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Clone(small(t, "420"))
			change(frameAt(t, data))
			if name == "arithmetic" {
				i := bytes.Index(data, []byte{0xff, 0xc0})
				data[i+1] = 0xc9
			}
			h, err := jpeg.ReadHeader(container.Memory(data))
			require.NoError(t, err)
			require.False(t, h.Supported())
			_, _, err = decode(t.Context(), data, 8)
			require.ErrorIs(t, err, jpeg.ErrUnsupported)
		})
	}
	for _, eighths := range []int{-1, 0, 3, 5, 7, 9, 16} {
		_, _, err := decode(t.Context(), small(t, "420"), eighths)
		require.ErrorIs(t, err, jpeg.ErrUnsupported)
	}
}

func TestEighths(t *testing.T) {
	for _, c := range []struct{ width, height, target, want int }{
		{4032, 3024, 1600, 6}, {3024, 4032, 1600, 6}, {6000, 4000, 1600, 4}, {5760, 10, 1600, 4}, {5759, 10, 1600, 6},
		{3414, 10, 1600, 6}, {3413, 10, 1600, 8}, {15361, 10, 1600, 2}, {15359, 10, 1600, 4}, {4032, 3024, 320, 2},
		{44800, 10, 1600, 1}, {1600, 1600, 1600, 8}, {100, 100, 1600, 8}, {60000, 60000, 320, 1}, {8, 8, 1, 4},
	} {
		require.Equal(t, c.want, jpeg.Header{Width: c.width, Height: c.height}.Eighths(c.target), "%+v", c)
	}
}
