package jpeg_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/jpeg"
)

// part is a segment of a file; that of a scan has its data behind it.
type part struct {
	marker  byte
	payload []byte
	data    []byte
}

// partsOf takes a file apart.
func partsOf(tb testing.TB, file []byte) (parts []part) {
	tb.Helper()
	s, ok := container.JPEG(container.Memory(file))
	require.True(tb, ok)
	for s.Next() && s.Marker != container.MarkerEOI {
		p := part{marker: s.Marker, payload: bytes.Clone(s.Bytes(s.Length))}
		if from := s.At; s.Marker == container.MarkerSOS {
			_, ok := s.SkipScan()
			require.True(tb, ok)
			p.data = file[from:s.At]
		}
		parts = append(parts, p)
	}
	return parts
}

// joined puts a file together.
func joined(parts []part) []byte {
	file := []byte{0xff, container.MarkerSOI}
	for _, p := range parts {
		file = append(append(file, marked(p.marker, p.payload...)...), p.data...)
	}
	return append(file, 0xff, container.MarkerEOI)
}

// first is the first part of a kind.
func first(parts []part, marker byte) *part {
	return &parts[slices.IndexFunc(parts, func(p part) bool { return p.marker == marker })]
}

// flat is a grey picture of 96 x 96 pixels as sampled: every block is a DC of nothing and an end of block, each of
// one bit, in one scan.
func flat(factors ...byte) []byte {
	const dqt, sof0, dht, side = container.MarkerDQT, container.MarkerSOF0, container.MarkerDHT, 96
	frame, scan := []byte{8, 0, side, 0, side, byte(len(factors))}, []byte{byte(len(factors))}
	blocks, hMost, vMost := 0, 1, 1
	for i, f := range factors {
		frame, scan = append(frame, byte(i+1), f, 0), append(scan, byte(i+1), 0)
		blocks += int(f>>4) * int(f&15)
		hMost, vMost = max(hMost, int(f>>4)), max(vMost, int(f&15))
	}
	if len(factors) == 1 {
		blocks, hMost, vMost = 1, 1, 1
	}
	ceil := func(n, d int) int { return (n + d - 1) / d }
	bits := 2 * blocks * ceil(side, 8*hMost) * ceil(side, 8*vMost)
	data := make([]byte, ceil(bits, 8))
	if bits%8 != 0 {
		data[len(data)-1] = 0xff >> (bits % 8)
	}
	one := append(append([]byte{1}, make([]byte, 15)...), 0)
	return joined([]part{
		{dqt, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...), nil},
		{sof0, frame, nil},
		{dht, slices.Concat([]byte{0}, one, []byte{0x10}, one), nil},
		{container.MarkerSOS, append(scan, 0, 63, 0), data},
	})
}

// TestStripSampling keeps the samplings that every reader takes. All of these are whole files.
func TestStripSampling(t *testing.T) {
	for _, c := range []struct {
		factors []byte
		kept    bool
	}{
		{[]byte{0x11, 0x11, 0x11}, true},
		{[]byte{0x22, 0x11, 0x11}, true},
		{[]byte{0x22, 0x21, 0x21}, true},
		{[]byte{0x42, 0x11, 0x11}, true}, // 10 blocks
		{[]byte{0x31, 0x31, 0x31}, true},
		{[]byte{0x22}, true},
		{[]byte{0x44}, true}, // of one component an MCU is a block
		{[]byte{0x22, 0x22, 0x22}, false},
		{[]byte{0x44, 0x11, 0x11}, false},
		{[]byte{0x41, 0x41, 0x41}, false},
		{[]byte{0x44, 0x44, 0x44}, false},
		{[]byte{0x33, 0x11, 0x11}, false},
		{[]byte{0x31, 0x21, 0x21}, false}, // a sample and a half
	} {
		t.Run(fmt.Sprintf("%x", c.factors), func(t *testing.T) {
			file := flat(c.factors...)
			got, err := jpeg.Strip(file)
			require.Equal(t, c.kept, readerRefuses(file) == nil)
			if c.kept {
				require.NoError(t, err)
				requireBytes(t, file, got)
				return
			}
			require.ErrorIs(t, err, jpeg.ErrFormat)
			require.Nil(t, got)
		})
	}
}

// TestStripRefusesWhatReadersRefuse breaks one rule of each kind in a file that is kept without that.
func TestStripRefusesWhatReadersRefuse(t *testing.T) {
	const sof0, dqt, dht, sos = container.MarkerSOF0, container.MarkerDQT, container.MarkerDHT, container.MarkerSOS
	edit := func(marker byte, at int, to ...byte) func([]part) []part {
		return func(parts []part) []part {
			copy(first(parts, marker).payload[at:], to)
			return parts
		}
	}
	add := func(marker byte, payload ...byte) func([]part) []part {
		return func(parts []part) []part { return append([]part{{marker, payload, nil}}, parts...) }
	}
	behind := func(marker byte, payload ...byte) func([]part) []part {
		return func(parts []part) []part { return append(parts, part{marker, payload, nil}) }
	}
	repeated := func(marker byte, change func([]byte)) func([]part) []part {
		return func(parts []part) []part {
			p := *first(parts, marker)
			p.payload = bytes.Clone(p.payload)
			change(p.payload)
			return append(parts[:len(parts)-1:len(parts)-1], p, parts[len(parts)-1])
		}
	}
	steps := bytes.Repeat([]byte{8}, 128)
	one := append([]byte{1}, make([]byte, 16)...)
	for name, change := range map[string]func([]part) []part{
		"12 bits":                      edit(sof0, 0, 12),
		"a height of 0":                edit(sof0, 1, 0, 0),
		"a height beyond libjpeg's":    edit(sof0, 1, 0xff, 0xdd),
		"a width beyond libjpeg's":     edit(sof0, 3, 0xff, 0xdd),
		"extended sequential":          func(parts []part) []part { first(parts, sof0).marker = 0xc1; return parts },
		"progressive":                  func(parts []part) []part { first(parts, sof0).marker = 0xc2; return parts },
		"lossless":                     func(parts []part) []part { first(parts, sof0).marker = 0xc3; return parts },
		"hierarchical":                 func(parts []part) []part { first(parts, sof0).marker = 0xc5; return parts },
		"arithmetic coding":            func(parts []part) []part { first(parts, sof0).marker = 0xc9; return parts },
		"two components":               func([]part) []part { return partsOf(t, flat(0x11, 0x11)) },
		"four components":              func([]part) []part { return partsOf(t, flat(0x11, 0x11, 0x11, 0x11)) },
		"a component twice":            edit(sof0, 9, 1),
		"a factor of 0":                edit(sof0, 7, 0x10),
		"a factor of 5":                edit(sof0, 7, 0x51),
		"quantisation table 4":         edit(sof0, 8, 4),
		"quantisation table not there": edit(sof0, 8, 3),
		"a step of 0":                  edit(dqt, 64, 0),
		"steps of 16 bits":             func(parts []part) []part { first(parts, dqt).payload = append([]byte{0x10}, steps...); return parts },
		"steps of 16 bits behind those of 8": func(parts []part) []part {
			return slices.Insert(parts, 1, part{dqt, append([]byte{0x10}, steps...), nil})
		},
		"a quantisation table cut short": func(parts []part) []part { first(parts, dqt).payload = steps[:60]; return parts },
		"a category of DC that none has": edit(dht, 17, 16),
		"a category of DC of 12 bits":    edit(dht, 17, 12),
		"a coefficient of 11 bits":       edit(dht, 35, 0x0b),
		"a run before nothing":           edit(dht, 35, 0x50),
		"a code of ones alone, DC": func(parts []part) []part {
			first(parts, dht).payload[1] = 2
			first(parts, dht).payload = slices.Insert(first(parts, dht).payload, 18, 1)
			return parts
		},
		"a code of ones alone, AC": func(parts []part) []part {
			first(parts, dht).payload[19] = 2
			first(parts, dht).payload = append(first(parts, dht).payload, 1)
			return parts
		},
		"too many codes": func(parts []part) []part {
			first(parts, dht).payload[1] = 3
			first(parts, dht).payload = slices.Insert(first(parts, dht).payload, 18, 1, 2)
			return parts
		},
		"a class of Huffman tables": edit(dht, 18, 0x20),
		"Huffman tables 2 in a scan": func(parts []part) []part {
			edit(sos, 2, 0x20)(parts)
			return add(dht, append([]byte{2}, one...)...)(parts)
		},
		"no Huffman tables":              edit(sos, 2, 0x11),
		"arithmetic conditioning, wrong": add(container.MarkerDAC, 255, 0),
		"arithmetic conditioning":        add(container.MarkerDAC, 0, 0x10),
		"a number of lines":              behind(container.MarkerDNL, 0, 96),
		"a restart interval of 3 bytes":  add(0xdd, 0, 0, 0),
		"a restart interval twice":       func(parts []part) []part { return add(0xdd, 0, 0)(add(0xdd, 0, 0)(parts)) },
		"Ss":                             edit(sos, 7, 1),
		"Se":                             edit(sos, 8, 5),
		"Ah and Al":                      edit(sos, 9, 3),
		"a scan of no component":         func(parts []part) []part { first(parts, sos).payload = []byte{0, 0, 63, 0}; return parts },
		"a scan of an unknown component": edit(sos, 1, 7),
		"a scan of one component twice":  edit(sos, 3, 1),
		"a scan in another order":        edit(sos, 1, 2, 0, 1, 0),
		"a scan that is missing":         func(parts []part) []part { first(parts, sos).payload = []byte{1, 1, 0, 0, 63, 0}; return parts },
		"names that are colours": func(parts []part) []part {
			edit(sof0, 6, 'R', 0x11, 0, 'G', 0x11, 0, 'B')(parts)
			return edit(sos, 1, 'R', 0, 'G', 0, 'B')(parts)
		},
		"names that are colours to some": func(parts []part) []part {
			edit(sof0, 9, 0x22, 0x11, 0, 0x23)(parts)
			return edit(sos, 3, 0x22, 0, 0x23)(parts)
		},
		"colours by Adobe's segment":       add(0xee, adobe(0)[4:]...),
		"a used table twice before a scan": repeated(dqt, func(b []byte) { b[1]++ }),
		"a table behind the last scan":     behind(dqt, append([]byte{0}, steps[:64]...)...),
	} {
		t.Run(name, func(t *testing.T) {
			file := joined(change(partsOf(t, flat(0x11, 0x11, 0x11))))
			got, err := jpeg.Strip(file)
			require.ErrorIs(t, err, jpeg.ErrFormat)
			require.Nil(t, got)
		})
	}
}

// readerRefuses says why libjpeg would not read a file, as its jdmarker.c, jdinput.c, jdhuff.c and jdsample.c have it: a
// second reading of the rules, with nothing of the code under test.
func readerRefuses(file []byte) error {
	r := libjpeg{quantisation: map[byte]bool{}, huffman: map[byte][]byte{}}
	for at := 2; ; {
		for at < len(file) && file[at] == 0xff {
			at++
		}
		if at+2 >= len(file) || file[at] == 0xd9 {
			return r.end(at < len(file))
		}
		marker := file[at]
		n := int(binary.BigEndian.Uint16(file[at+1:]))
		if n < 2 || at+1+n > len(file) {
			return errors.New("a bogus length")
		}
		if err := r.segment(marker, file[at+3:at+1+n]); err != nil {
			return err
		}
		at += 1 + n
		for marker == 0xda && at+1 < len(file) && (file[at] != 0xff || file[at+1] == 0 || file[at+1]&0xf8 == 0xd0) {
			at++
		}
	}
}

type libjpeg struct {
	frame        []byte // the components
	quantisation map[byte]bool
	huffman      map[byte][]byte
	scanned      map[byte]bool
}

func (r *libjpeg) end(eoi bool) error {
	if !eoi || r.frame == nil || len(r.scanned) != len(r.frame)/3 {
		return errors.New("not all there")
	}
	return nil
}

func (r *libjpeg) segment(marker byte, b []byte) error {
	switch marker {
	case 0xe0, 0xdd:
		return nil
	case 0xc0:
		return r.sof(b)
	case 0xdb:
		for ; len(b) > 0; b = b[65:] {
			if len(b) < 65 || b[0] > 3 {
				return errors.New("DQT")
			}
			r.quantisation[b[0]] = true
		}
		return nil
	case 0xc4:
		return r.dht(b)
	case 0xda:
		return r.sos(b)
	}
	return fmt.Errorf("marker %x", marker)
}

func (r *libjpeg) dht(b []byte) error {
	for len(b) > 0 {
		n := 17
		for i := 1; i < 17 && i < len(b); i++ {
			n += int(b[i])
		}
		if n > 17+256 || n > len(b) || b[0]&^0x10 > 3 {
			return errors.New("DHT")
		}
		r.huffman[b[0]] = b[1:n]
		b = b[n:]
	}
	return nil
}

func (r *libjpeg) sof(b []byte) error {
	if r.frame != nil || len(b) < 6 || len(b) != 6+3*int(b[5]) || b[0] != 8 {
		return errors.New("SOF")
	}
	for _, side := range []uint16{binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint16(b[3:])} {
		if side == 0 || side > 65500 {
			return errors.New("size")
		}
	}
	r.frame, r.scanned = b[6:], map[byte]bool{}
	var h, v byte
	for at := 1; at < len(r.frame); at += 3 {
		h, v = max(h, r.frame[at]>>4), max(v, r.frame[at]&15)
	}
	if h > 4 || v > 4 {
		return errors.New("factors")
	}
	for at := 1; at < len(r.frame); at += 3 {
		if f := r.frame[at]; f>>4 == 0 || f&15 == 0 || h%(f>>4) != 0 || v%(f&15) != 0 {
			return errors.New("factors")
		}
	}
	return nil
}

func (r *libjpeg) sos(b []byte) error {
	if r.frame == nil || len(b) < 6 || len(b) != 4+2*int(b[0]) || b[0] > 4 {
		return errors.New("SOS")
	}
	blocks := 0
	for at := 1; at+4 < len(b); at += 2 {
		i := 0
		for ; i < len(r.frame) && r.frame[i] != b[at]; i += 3 {
		}
		if i >= len(r.frame) || r.scanned[b[at]] || !r.quantisation[r.frame[i+2]] {
			return errors.New("SOS")
		}
		r.scanned[b[at]] = true
		blocks += int(r.frame[i+1]>>4) * int(r.frame[i+1]&15)
		dc, ac := r.huffman[b[at+1]>>4], r.huffman[0x10|b[at+1]&15]
		if dc == nil || ac == nil || !derivable(dc) || !derivable(ac) || slices.Max(append([]byte{0}, dc[16:]...)) > 15 {
			return errors.New("bogus Huffman table definition")
		}
	}
	if b[0] > 1 && blocks > 10 {
		return errors.New("too many blocks in an MCU")
	}
	return nil
}

// derivable is what jpeg_make_d_derived_tbl asks of the counts: code is the last one of a length and one more.
func derivable(table []byte) bool {
	code := 0
	for i, n := range table[:16] {
		if code += int(n); n > 0 && code >= 1<<(i+1) {
			return false
		}
		code <<= 1
	}
	return true
}

// TestDecodeTellsTrailing finds bytes that show nowhere behind the last MCU of a scan and of a restart interval.
func TestDecodeTellsTrailing(t *testing.T) {
	file := small(t, "420-restart")
	restart := bytes.Index(file, []byte{0xff, 0xd0})
	require.Positive(t, restart)
	end := len(file) - 2
	for name, c := range map[string]struct {
		file     []byte
		trailing bool
	}{
		"none":                       {file, false},
		"none, without restarts":     {small(t, "420"), false},
		"before a restart marker":    {slices.Concat(file[:restart], []byte("more"), file[restart:]), true},
		"one byte":                   {slices.Concat(file[:restart], []byte{0}, file[restart:]), true},
		"before the end":             {slices.Concat(file[:end], []byte("more"), file[end:]), true},
		"fill bytes, which are none": {slices.Concat(file[:restart], []byte{0xff, 0xff}, file[restart:]), false},
	} {
		t.Run(name, func(t *testing.T) {
			m, report, err := jpeg.Decode(t.Context(), c.file, 8)
			require.NoError(t, err)
			m.Release()
			require.NoError(t, report.Damage)
			require.Equal(t, c.trailing, report.Trailing)
		})
	}
}

// FuzzStripRules alters tables and headers of small files, and wants a reader to take whatever is kept. Each edit
// is the segment, the place in it and what to put there; insert is a segment more.
func FuzzStripRules(f *testing.F) {
	var files [][]byte
	for _, name := range []string{"420", "422", "444", "grey", "420-alone", "420-optimised", "420-restart", "even", "coarse", "420-progressive"} {
		files = append(files, small(f, name))
	}
	files = append(files, flat(0x11, 0x11, 0x11), flat(0x42, 0x11, 0x11), flat(0x22), mustEncode(f, paint("noise", 17, 9, 2, 2), 50))
	for i := range files {
		f.Add(byte(i), []byte{}, []byte{})
		f.Add(byte(i), []byte{2, 1, 0x40, 3, 17, 16}, []byte{})
		f.Add(byte(i), []byte{1, 0, 7}, []byte{container.MarkerDAC, 255, 0})
		f.Add(byte(i), []byte{4, 2, 0x33}, []byte{container.MarkerDHT, 0, 2})
	}
	f.Fuzz(func(t *testing.T, file byte, edits, more []byte) {
		parts := partsOf(t, files[int(file)%len(files)])
		for e := range slices.Chunk(edits, 3) {
			if p := parts[int(e[0])%len(parts)].payload; len(e) == 3 && len(p) > 0 {
				p[int(e[1])%len(p)] = e[2]
			}
		}
		if len(more) > 0 && len(more) < 1000 {
			parts = append([]part{{more[0], more[1:], nil}}, parts...)
		}
		got, err := jpeg.Strip(joined(parts))
		if err != nil {
			require.ErrorIs(t, err, jpeg.ErrFormat)
			require.Nil(t, got)
			return
		}
		require.NoError(t, readerRefuses(got))
	})
}
