package main

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
)

// variants are n copies of a picture with other bytes behind it, so that their digests differ: a box of the type "free",
// as HEIC has them; other formats end before.
func variants(p []byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		text := fmt.Appendf(nil, "%016x", rand.Uint64())
		all[i] = append(bytes.Clone(p), binary.BigEndian.AppendUint32(nil, uint32(8+len(text)))...)
		all[i] = append(append(all[i], "free"...), text...)
	}
	return all
}

var smallJPEG, mediumJPEG = photo(800, 600), photo(1600, 1200)

func smallReport() form { return newForm(variants(smallJPEG, 1)...) }

func eightJPEGs() form { return newForm(variants(mediumJPEG, 8)...) }

// photo is a JPEG of smooth colours with some noise.
func photo(w, h int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		x, y := i%w, i/w
		n := random.IntN(24)
		img.SetRGBA(x, y, color.RGBA{uint8(x*200/w + n), uint8(y*200/h + n), uint8((x + y) * 100 / (w + h)), 255})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err) // writing to memory does not fail
	}
	return b.Bytes()
}

// hostilePictures are small files that ask for much: pixels that a header hides or that cost nothing to write, and
// metadata without end.
func hostilePictures() ([]named, error) {
	// VP8L: 16,000 x 3,125 pixels of one colour.
	webp, err := base64.StdEncoding.DecodeString("UklGRhYAAABXRUJQVlA4TAoAAAAvnpvnBoiICAAA")
	return []named{
		{"JPEG, 65,535² behind a reserved marker", hiddenJPEG()},
		{"PNG, 7,000² of 16 bits, interlaced", interlacedPNG(7000, 16)},
		{"PNG, 6,000² of 8 bits, interlaced", interlacedPNG(6000, 8)},
		{"PNG, 400 colour profiles", profilesPNG()},
		{"TIFF, 65,532 colour profiles", profilesTIFF()},
		{"WebP, 50 megapixels in 30 bytes", webp},
	}, err
}

// hiddenJPEG has a frame header of 65,535² inside of what a reader that takes FF 02 for a segment skips, and one of
// 100² after it.
func hiddenJPEG() []byte {
	b := []byte{0xFF, 0xD8, 0xFF, 0x02, 0, 0x15}
	b = append(b, 0xFF, 0xC2, 0, 0x11, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0)
	b = append(b, 0xFF, 0xC2, 0, 0x11, 8, 0, 100, 0, 100, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0)
	b = append(append(b, 0xFF, 0xDB, 0, 0x43, 0), bytes.Repeat([]byte{1}, 64)...)
	for _, class := range []byte{0x00, 0x10} { // one code of one bit
		b = append(append(b, 0xFF, 0xC4, 0, 0x14, class, 1), make([]byte, 16)...)
	}
	b = append(b, 0xFF, 0xDA, 0, 0x0C, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0)
	return append(append(b, make([]byte, 200)...), 0xFF, 0xD9)
}

// interlacedPNG is black, RGBA. One of 7,000² and 16 bits is 392 MB in a file of 0.4, more than one picture may need; one of
// 6,000² and 8 bits needs about as much as one may.
func interlacedPNG(side int, depth byte) []byte {
	var data bytes.Buffer
	w := zlib.NewWriter(&data)
	// The seven passes of Adam7: first column and row, steps.
	for _, p := range [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		columns, rows := (side-p[0]+p[2]-1)/p[2], (side-p[1]+p[3]-1)/p[3]
		row := make([]byte, 1+4*int(depth)/8*columns)
		for range rows {
			_, _ = w.Write(row) // writing to memory does not fail
		}
	}
	_ = w.Close()
	return png(uint32(side), uint32(side), depth, 6, 1, chunk("IDAT", data.Bytes()))
}

// profilesPNG has a colour profile of 4 MB that compresses well, 400 times.
func profilesPNG() []byte {
	profile := chunk("iCCP", append([]byte("x\x00\x00"), deflated(make([]byte, 4<<20))...))
	return png(8, 8, 8, 2, 0, append(bytes.Repeat(profile, 400), chunk("IDAT", deflated(make([]byte, 8*25)))...))
}

func png(width, height uint32, depth, colours, interlaced byte, chunks []byte) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	b := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(header, depth, colours, 0, 0, interlaced))...)
	return append(append(b, chunks...), chunk("IEND", nil)...)
}

func chunk(kind string, data []byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), kind...)
	b = append(b, data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func deflated(data []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(data) // writing to memory does not fail
	_ = w.Close()
	return b.Bytes()
}

// profilesTIFF has 65,532 directory entries that all name the same colour profile of 4 MB.
func profilesTIFF() []byte {
	const entries, profile = 65_534, 4 << 20
	b := append([]byte("II*\x00"), 8, 0, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, entries)
	at := uint32(len(b) + 12*entries + 4)
	entry := func(tag, kind uint16, count, value uint32) {
		b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, tag), kind)
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, count), value)
	}
	entry(0x100, 4, 1, 64)
	entry(0x101, 4, 1, 64)
	for range entries - 2 {
		entry(0x8773, 7, profile, at)
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, make([]byte, profile)...)
}
