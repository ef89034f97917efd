package jpeg_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/jpeg"
	"casepress/tasks/picture/planar"
)

// TestDecodeCutShort cuts a file at every byte: it gives a picture with damage, or the
// error, and the upper rows are right whenever there is a sequential picture.
func TestDecodeCutShort(t *testing.T) {
	for _, name := range []string{"420", "420-progressive", "420-restart", "grey", "420-alone"} {
		t.Run(name, func(t *testing.T) {
			data := small(t, name)
			pictures := 0
			step := 1
			if testing.Short() {
				step = 13
			}
			for n := 0; n < len(data)-2; n += step { // the end marker is not missed
				m, damage, err := decode(t.Context(), data[:n], 4+n%3*2)
				if err != nil {
					require.ErrorIs(t, err, jpeg.ErrFormat)
					continue
				}
				pictures++
				if n < len(data)-8 { // the last byte may be padding
					require.Error(t, damage, "%d of %d bytes", n, len(data))
				}
				m.Release()
			}
			require.Greater(t, pictures, len(data)/step/3)
		})
	}
}

func TestDecodeKeepsTheUpperRows(t *testing.T) {
	data := picture(t, 320, 320, 2, 2)
	whole := decoded(t, data, 8)
	m, damage, err := decode(t.Context(), data[:len(data)*2/3], 8)
	require.NoError(t, err)
	defer m.Release()
	require.EqualError(t, damage, "the data end after 65 % of the picture")
	for i := range m.Planes {
		rows := m.Planes[i].Height / 2
		upper, want := m.Planes[i], whole.Planes[i]
		upper.Height, want.Height = rows, rows
		require.Zero(t, furthest(t, []planar.Plane{upper}, []planar.Plane{want}))
		require.Equal(t, byte(128), m.Planes[i].Pix[(m.Planes[i].Height-1)*m.Planes[i].Stride])
	}
}

// TestDecodeAltered alters bytes anywhere. Nothing is asked but an answer.
func TestDecodeAltered(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range smallNames(t) {
		data := small(t, name)
		for range 60 {
			altered := bytes.Clone(data)
			for range 1 + r.IntN(6) {
				altered[r.IntN(len(data))] = byte(r.Uint32())
			}
			h, err := jpeg.ReadHeader(container.Memory(altered))
			if err != nil || h.Cost(8) > 64<<20 {
				continue
			}
			m, _, err := decode(t.Context(), altered, scales[r.IntN(len(scales))])
			if err == nil {
				m.Release()
			}
		}
	}
}

// intervals finds the data after each restart marker.
func intervals(data []byte) (at []int) {
	for i := range data[:len(data)-1] {
		if data[i] == 0xff && data[i+1] >= 0xd0 && data[i+1] <= 0xd7 {
			at = append(at, i)
		}
	}
	return at
}

// TestDecodeResumesAtRestarts loses parts of a file with a restart marker after each
// MCU of 16 x 16, and all but what was lost must be there.
func TestDecodeResumesAtRestarts(t *testing.T) {
	data := small(t, "420-restart")
	whole := decoded(t, data, 8)
	at := intervals(data)
	require.Len(t, at, 11)
	for _, c := range []struct {
		name string
		data []byte
		lost []int // MCUs
	}{
		{"an interval cut short", slices.Concat(data[:at[2]-8], data[at[2]:]), []int{2}},
		{"an interval gone", slices.Concat(data[:at[3]], data[at[4]:]), []int{4}},
		{"three intervals gone", slices.Concat(data[:at[3]], data[at[6]:]), []int{4, 5, 6}},
		{"a marker gone", slices.Concat(data[:at[4]], data[at[4]+2:]), []int{4, 5}},
		{"an older marker again", slices.Concat(data[:at[4]], data[at[2]:at[2]+2], data[at[4]:]), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, damage, err := decode(t.Context(), c.data, 8)
			require.NoError(t, err)
			require.Error(t, damage)
			defer m.Release()
			require.Subset(t, c.lost, differingMCUs(m.Planes[0], whole.Planes[0]))
		})
	}
}

func differingMCUs(a, b planar.Plane) (mcus []int) {
	across := (a.Width + 15) / 16
	for y := range a.Height {
		for x := range a.Width {
			if n := y/16*across + x/16; a.Pix[y*a.Stride+x] != b.Pix[y*b.Stride+x] && !slices.Contains(mcus, n) {
				mcus = append(mcus, n)
			}
		}
	}
	return mcus
}

// TestDecodeKeepsWhatIsCoarser breaks the codes of scans that only add detail: what the
// scans before them said must stay, so on average nothing is far from the picture.
func TestDecodeKeepsWhatIsCoarser(t *testing.T) {
	data := small(t, "420-approximation")
	whole := decoded(t, data, 8)
	for at := bytes.LastIndex(data, []byte{0xff, 0xda}) - 300; at < len(data)-2; at++ {
		altered := bytes.Clone(data)
		altered[at] ^= 0x55
		m, _, err := decode(t.Context(), altered, 8)
		require.NoError(t, err)
		require.Less(t, meanDifference(m.Planes[0], whole.Planes[0]), 4.0, at)
		m.Release()
	}
}

func meanDifference(a, b planar.Plane) float64 {
	sum := 0
	for y := range a.Height {
		for x, v := range a.Row(y) {
			sum += max(int(v)-int(b.Row(y)[x]), int(b.Row(y)[x])-int(v))
		}
	}
	return float64(sum) / float64(a.Width*a.Height)
}

// dht writes a table of Huffman codes.
func dht(id byte, counts [16]byte) []byte {
	n := 0
	for _, c := range counts {
		n += int(c)
	}
	return marked(0xc4, slices.Concat([]byte{id}, counts[:], make([]byte, n))...)
}

// longRuns is 49 megapixels of nothing in 100 KB, gone over 255 times.
func longRuns() []byte {
	const side, blocks = 7000, 875 * 875
	var runs big.Int // codes of 1 bit and 14 ones: 32767 blocks each
	for range blocks/32767 + 1 {
		runs.Lsh(&runs, 15).Or(&runs, big.NewInt(1<<14-1))
	}
	coded := runs.FillBytes(make([]byte, 46))
	return slices.Concat([]byte{0xff, 0xd8},
		segmentDQT(), marked(0xc2, 8, side>>8, side&255, side>>8, side&255, 1, 1, 0x11, 0),
		dht(0, [16]byte{1}), marked(0xc4, append([]byte{0x10, 1}, append(make([]byte, 15), 0xe0)...)...),
		marked(0xda, 1, 1, 0, 0, 0, 0), make([]byte, blocks/8+1),
		bytes.Repeat(slices.Concat(marked(0xda, 1, 1, 0, 1, 63, 0x10), bytes.ReplaceAll(coded, []byte{0xff}, []byte{0xff, 0})), 255),
		[]byte{0xff, 0xd9})
}

func segmentDQT() []byte { return marked(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...) }

func TestDecodeHostile(t *testing.T) {
	data := small(t, "420-progressive")
	scan := bytes.Index(data, []byte{0xff, 0xda})
	body := bytes.Clone(data[:len(data)-2])
	plain := small(t, "420")
	start := bytes.Index(plain, []byte{0xff, 0xda})
	ac := slices.Concat(dht(0x10, [16]byte{1}), marked(0xda, 1, 1, 0, 1, 63, 0), []byte{0})
	for _, c := range []struct {
		name string
		data []byte
		err  error
	}{
		{"no tables", slices.Concat(data[:2], data[bytes.Index(data, []byte{0xff, 0xc2}):bytes.Index(data, []byte{0xff, 0xc4})], data[scan:]), jpeg.ErrFormat},
		{"too many codes of a length", slices.Concat(plain[:start], dht(0, [16]byte{3}), plain[start:]), jpeg.ErrFormat},
		{"hundreds of scans of long runs", longRuns(), nil},
		{"more than 256 codes", inserted(small(t, "420"), dht(0, [16]byte{15: 255, 14: 255})), jpeg.ErrFormat},
		{"thousands of scans", append(body, bytes.Repeat(ac, 20_000)...), nil},
		{"thousands of tables", inserted(data, bytes.Repeat(dht(0x13, [16]byte{7: 200}), 50_000)), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			m, damage, err := decode(t.Context(), c.data, 8)
			require.ErrorIs(t, err, c.err)
			if err == nil && damage == nil {
				require.NotContains(t, c.name, "scans")
			}
			if m != nil {
				m.Release()
			}
			require.Less(t, time.Since(start), 20*time.Second) // not hours
		})
	}
}

func TestReadHeaderSetsNothingAside(t *testing.T) {
	data := bytes.Clone(small(t, "420"))
	binary.BigEndian.PutUint32(frameAt(t, data)[1:], 65500<<16|65500)
	h, err := jpeg.ReadHeader(container.Memory(data))
	require.NoError(t, err)
	require.Greater(t, h.Cost(8), int64(6)<<30)
	require.Less(t, testing.AllocsPerRun(10, func() { _, _ = jpeg.ReadHeader(container.Memory(data)) }), 9.0)
}

func TestDecodeEndsWithItsContext(t *testing.T) {
	stop := errors.New("stop")
	for _, name := range []string{"420", "420-progressive"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stop)
		_, _, err := decode(ctx, small(t, name), 8)
		require.ErrorIs(t, err, stop)
	}
}

// ending is a context that ends after it was looked at some times.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestSearchesEndWithTheContext ends the context while the decoder steps over 65,536 stray markers.
func TestSearchesEndWithTheContext(t *testing.T) {
	stray := bytes.Repeat([]byte{0xff, 0xd7}, 1<<16)
	scans, intervals := small(t, "420-progressive"), small(t, "420-restart")
	for name, data := range map[string][]byte{
		"between scans":     slices.Concat(scans[:len(scans)-2], []byte{0xff, 0xfe, 0, 2}, stray, scans[len(scans)-2:]),
		"between intervals": slices.Insert(intervals, bytes.Index(intervals, []byte{0xff, 0xd0}), stray...),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := decode(&ending{t.Context(), 10_000}, data, 8)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// TestDecodeEndsSoon cancels while a large picture is being decoded.
func TestDecodeEndsSoon(t *testing.T) {
	for _, name := range []string{"02_note10_12mp_o6.jpg", "08_progressive_12mp.jpg"} {
		data := photo(t, name)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, _, err := decode(ctx, data, 8)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, "it takes more than ten times as long")
	}
}

func TestDecodeSalvagesPhotos(t *testing.T) {
	for name, want := range map[string]string{
		"90_truncated.jpg": "the data end after ", "91_bitflips.jpg": "the data ",
	} {
		m, damage, err := decode(t.Context(), photo(t, name), 6)
		require.NoError(t, err)
		require.ErrorContains(t, damage, want)
		t.Log(name, damage)
		m.Release()
	}
}

// scans finds where the scans of a file begin.
func scans(data []byte) (at []int) {
	for i := range data[:len(data)-1] {
		if data[i] == 0xff && data[i+1] == container.MarkerSOS {
			at = append(at, i)
		}
	}
	return at
}

// TestDecodeTellsOfMissingScans leaves out scans of progressive files whose end mark is there: what is
// missing is detail, and the report says so at every scale.
func TestDecodeTellsOfMissingScans(t *testing.T) {
	for _, name := range []string{"420-progressive", "grey-progressive", "420-approximation", "420-spectral"} {
		data := small(t, name)
		at := scans(data)
		require.Greater(t, len(at), 2)
		check := func(name string, data []byte, whole bool) {
			t.Run(name, func(t *testing.T) {
				for _, eighths := range scales {
					m, damage, err := decode(t.Context(), data, eighths)
					require.NoError(t, err)
					m.Release()
					if whole {
						require.NoError(t, damage)
						continue
					}
					require.EqualError(t, damage, "the data end before the picture has all its detail", "%d/8", eighths)
				}
			})
		}
		check(name+", whole", data, true)
		for i := 1; i < len(at); i++ {
			check(fmt.Sprintf("%s, %d scans", name, i), slices.Concat(data[:at[i]], []byte{0xff, container.MarkerEOI}), false)
		}
	}
}

// TestDecodeTellsOfTwoFrames puts a second frame header in front of the scan and behind the first.
func TestDecodeTellsOfTwoFrames(t *testing.T) {
	for _, name := range []string{"420", "420-progressive", "grey"} {
		t.Run(name, func(t *testing.T) {
			data := small(t, name)
			from := bytes.Index(data, []byte{0xff, container.MarkerSOF0})
			if from < 0 {
				from = bytes.Index(data, []byte{0xff, container.MarkerSOF2})
			}
			to := from + 2 + int(binary.BigEndian.Uint16(data[from+2:]))
			second := bytes.Clone(data[from:to])
			second[6]-- // a row less
			m, damage, err := decode(t.Context(), slices.Concat(data[:to], second, data[to:]), 8)
			require.NoError(t, err)
			m.Release()
			require.EqualError(t, damage, "the file says twice how large the picture is")
		})
	}
}

// TestDecodeTellsOfStrayMarkers puts what no encoder writes, 0xff with the second byte of a reserved marker, between the data of
// each scan. What stands behind the data of a scan is none of the picture's.
func TestDecodeTellsOfStrayMarkers(t *testing.T) {
	for _, name := range []string{"420", "420-restart", "420-progressive", "grey-progressive", "420-approximation", "420-spectral"} {
		data := small(t, name)
		for i, scan := range scans(data) {
			begin := scan + 2 + int(binary.BigEndian.Uint16(data[scan+2:]))
			end := begin
			for data[end] != 0xff || data[end+1] == 0 || container.IsRestart(data[end+1]) {
				end++
			}
			for place, at := range map[string]int{"at the begin": begin, "at the end": end} {
				t.Run(fmt.Sprintf("%s, scan %d, %s", name, i, place), func(t *testing.T) {
					m, damage, err := decode(t.Context(), slices.Insert(bytes.Clone(data), at, 0xff, 0x70), 8)
					require.NoError(t, err)
					m.Release()
					if at == end {
						require.NoError(t, damage)
						return
					}
					require.Error(t, damage)
				})
			}
		}
	}
}
